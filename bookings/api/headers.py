"""What agents ask for, and are told, in headers."""

import math
import re
from collections.abc import Mapping
from functools import lru_cache

from django.conf import settings

from bookings.api.problem_catalog import LANGUAGES, RequestInvalid
from cachectl.cache import CacheResult, Freshness

SHORTEST_WAIT, LONGEST_WAIT = 0.5, 8.0  # seconds
_WAIT = re.compile(r'(?:^|[,;\s])wait\s*=\s*"?(\d{1,6}(?:\.\d{1,6})?)"?\s*(?:$|[,;])', re.IGNORECASE | re.ASCII)
_MAX_AGE = re.compile(r'(?:^|[,\s])max-age\s*=\s*"?(\d{1,9})"?\s*(?:$|,)', re.IGNORECASE | re.ASCII)
_NO_CACHE = re.compile(r"(?:^|[,\s])no-cache\s*(?:$|,)", re.IGNORECASE)
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def preferred_wait(header: str) -> float | None:
    """Return how long the caller can wait (Prefer: wait=3), in bounds, s; None where it does not say."""
    found = _WAIT.search(header)
    return min(LONGEST_WAIT, max(SHORTEST_WAIT, float(found[1]))) if found else None


def greatest_age(header: str) -> float | None:
    """Return how old the answer may be (Cache-Control: max-age=N, or no-cache), s; None where it does not say."""
    if not header:
        return None
    if _NO_CACHE.search(header):
        return 0.0
    found = _MAX_AGE.search(header)
    return float(found[1]) if found else None


def idempotency_key(environ: Mapping[str, str]) -> str | None:
    """Return the Idempotency-Key, quoted or not, or None."""
    given = environ.get("HTTP_IDEMPOTENCY_KEY")
    if given is None:
        return None
    key = given.strip().strip('"')
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        raise RequestInvalid("Idempotency-Key", "It must have 1 to 255 visible ASCII characters.")
    return key


@lru_cache(maxsize=256)
def spoken_language(tag: str) -> str | None:
    """Return the language of a BCP 47 tag that we speak, or None."""
    primary = tag.strip().partition("-")[0].lower()
    return primary if primary in LANGUAGES else None


@lru_cache(maxsize=256)
def accepted_language(header: str) -> str | None:
    """Return the language we speak that Accept-Language likes best, or None."""
    wishes = []
    for part in header.split(","):
        tag, _, parameter = part.partition(";")
        language = spoken_language(tag)
        weight = _weight(parameter)
        if language and weight > 0:
            wishes.append((weight, language))
    return max(wishes, key=lambda wish: wish[0])[1] if wishes else None


def _weight(parameter: str) -> float:
    try:
        return float(parameter.partition("=")[2] or 1)
    except ValueError:
        return 0.0


def retry_after(seconds: float | None) -> dict[str, str]:
    """Return when asking again makes sense: a second from now where nobody knows better."""
    return {"Retry-After": str(max(1, math.ceil(seconds or 1)))}


def of_cache(known: CacheResult) -> dict[str, str]:
    """Return where the answer comes from: Cache-Status (RFC 9211), Age, and the same in one word."""
    asked = known.loaded or known.collapsed or known.freshness is Freshness.MISSING
    if asked:
        status = "fwd=miss; collapsed" if known.collapsed else "fwd=miss"
    elif known.freshness is Freshness.FRESH:
        status = f"hit; ttl={max(0, int(settings.CACHE_MAX_AGE - (known.age or 0)))}"
    else:
        status = "fwd=stale"
    headers = {"Cache-Status": f"Slotline; {status}", "X-Cache-Hit": "false" if asked else "true"}
    if known.age is not None:
        headers["Age"] = str(int(known.age))
    return headers
