"""How much a key may ask."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from bookings.api.throttles import Buckets, Rate


@pytest.mark.parametrize("text", ["", "6000", "6000/fortnight", "-1/min", "0/min", "many/min"])
def test_a_rate_that_is_none_is_named(text: str) -> None:
    """The setting is refused by its name."""
    with pytest.raises(ImproperlyConfigured, match="BOOKINGS_THROTTLE_RATE"):
        Rate.parse(text)


def test_a_bucket_gives_what_it_holds_and_refills_steadily(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than the rate at once, then one by one."""
    buckets, rate, now = Buckets(), Rate.parse("2/sec"), [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    first, second, third = (buckets.take(1, rate) for _ in range(3))
    now[0] += 0.5
    later = buckets.take(1, rate)

    assert [standing.wait for standing in (first, second, later)] == [0, 0, 0]
    assert third.wait == 0.5
    assert (first.remaining, second.remaining, third.remaining) == (1, 0, 0)


def test_keys_do_not_share_a_bucket() -> None:
    """One busy agent slows nobody else down."""
    buckets, rate = Buckets(), Rate.parse("1/min")
    buckets.take(1, rate)

    assert buckets.take(1, rate).wait > 0
    assert buckets.take(2, rate).wait == 0
