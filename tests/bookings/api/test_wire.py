"""Request and response headers."""

import pytest

from bookings.api import wire
from bookings.api.problems import RequestInvalid
from cachectl.cache import CacheResult, Freshness


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("wait=3", 3.0),
        ("respond-async, wait=2.5", 2.5),
        ('WAIT="4"', 4.0),
        ("wait=0", 0.5),
        ("wait=600", 8.0),
        ("", None),
        ("wait=", None),
        ("wait=-1", None),
        ("wait=3x", None),
        ("await=3", None),
        ("wait=٣", None),
        ("wait=" + "9" * 400, None),
    ],
)
def test_prefer_wait_is_parsed_within_bounds(given: str, expected: float | None) -> None:
    """Values outside the bounds are clamped; anything else is ignored, as the standard asks."""
    assert wire.preferred_wait(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("max-age=30", 30.0),
        ("no-store, max-age=0", 0.0),
        ("no-cache", 0.0),
        ("", None),
        ("max-age=soon", None),
        ("s-maxage=9", None),
        ("max-age=-1", None),
    ],
)
def test_max_age_is_parsed(given: str, expected: float | None) -> None:
    """Directives that are not for us are ignored."""
    assert wire.max_age(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("de", "de"),
        ("de-AT, en;q=0.5", "de"),
        ("fr, en;q=0.8, de;q=0.9", "de"),
        ("en;q=0, de;q=0.1", "de"),
        ("fr", None),
        ("*", None),
        ("de;q=x", None),
        ("", None),
    ],
)
def test_accept_language_is_parsed(given: str, expected: str | None) -> None:
    """Languages that we do not speak are passed over."""
    assert wire.accepted_language(given) == expected


@pytest.mark.parametrize("given", ["", " ", '""', "x" * 256, "schlüssel", "two words", "tab\there"])
def test_invalid_idempotency_key_is_refused(given: str) -> None:
    """It is refused by name, and not taken for another one."""
    with pytest.raises(RequestInvalid) as refused:
        wire.idempotency_key({"HTTP_IDEMPOTENCY_KEY": given})

    assert refused.value.field == "Idempotency-Key"


def test_idempotency_key_is_unquoted() -> None:
    """The draft standard quotes it, most clients do not."""
    assert wire.idempotency_key({"HTTP_IDEMPOTENCY_KEY": '"abc-1"'}) == "abc-1"
    assert wire.idempotency_key({"HTTP_IDEMPOTENCY_KEY": "abc-1"}) == "abc-1"
    assert wire.idempotency_key({}) is None


@pytest.mark.parametrize(
    ("known", "status", "hit"),
    [
        (CacheResult({}, Freshness.FRESH, 33.4), "Slotline; hit; ttl=86", "true"),
        (CacheResult({}, Freshness.FRESH, None), "Slotline; hit; ttl=120", "true"),
        (CacheResult({}, Freshness.STALE, 300.0), "Slotline; fwd=stale", "true"),
        (CacheResult({}, Freshness.EXPIRED, 3000.0), "Slotline; fwd=stale", "true"),
        (CacheResult({}, Freshness.FRESH, 0.2, loaded=True), "Slotline; fwd=miss", "false"),
        (CacheResult({}, Freshness.FRESH, 0.2, collapsed=True), "Slotline; fwd=miss; collapsed", "false"),
        (CacheResult({}, Freshness.MISSING, None), "Slotline; fwd=miss", "false"),
    ],
)
def test_cache_headers_describe_the_result(known: CacheResult, status: str, hit: str) -> None:
    """RFC 9211, in one line, and in one word for those who want no more."""
    told = wire.cache_headers(known)

    assert (told["Cache-Status"], told["X-Cache-Hit"]) == (status, hit)
    assert told.get("Age") == (None if known.age is None else str(int(known.age)))
