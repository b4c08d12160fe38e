"""HTTP on the wire: JSON bodies, and the headers of requests and responses."""

import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import IO, Any

import orjson
from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from bookings.api.problems import RequestInvalid, RequestTooLarge
from bookings.language.sentences import LANGUAGES
from cachectl.cache import CacheResult, Freshness

LONGEST_BODY = 65_536  # bytes; a booking has 1 kB
DEEPEST_BODY = 20
"""Levels of objects and arrays. A search has four; deeper ones could be read and not be written again."""
SHORTEST_WAIT, LONGEST_WAIT = 0.5, 8.0  # seconds
_WAIT = re.compile(r'(?:^|[,;\s])wait\s*=\s*"?(\d{1,6}(?:\.\d{1,6})?)"?\s*(?:$|[,;])', re.IGNORECASE | re.ASCII)
_MAX_AGE = re.compile(r'(?:^|[,\s])max-age\s*=\s*"?(\d{1,9})"?\s*(?:$|,)', re.IGNORECASE | re.ASCII)
_NO_CACHE = re.compile(r"(?:^|[,\s])no-cache\s*(?:$|,)", re.IGNORECASE)
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class Parser(BaseParser):
    """Reads JSON strictly (UTF-8, no NaN, bounded depth), and never more than `LONGEST_BODY` of it."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,  # noqa: ARG002  the signature is DRF's
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> Any:
        """Return what the body says."""
        body = stream.read(LONGEST_BODY + 1)
        if len(body) > LONGEST_BODY:
            raise RequestTooLarge(f"The body has more than {LONGEST_BODY} bytes.")
        try:
            read = orjson.loads(body)
        except orjson.JSONDecodeError as exc:
            raise ParseError(f"The body is not JSON: {exc.msg} at byte {exc.pos}.") from exc
        if body.count(b"[") + body.count(b"{") > DEEPEST_BODY and _is_deeper(read, DEEPEST_BODY):
            raise ParseError(f"The body has more than {DEEPEST_BODY} objects and arrays in one another.")
        return read


def _is_deeper(value: object, levels: int) -> bool:
    """Return whether objects and arrays nest deeper than `levels`; a level at a time, not by recursion."""
    level = [value]
    for _ in range(levels + 1):
        containers = [each for each in level if isinstance(each, dict | list)]
        if not containers:
            return False
        level = [inner for each in containers for inner in (each.values() if isinstance(each, dict) else each)]
    return True


class Renderer(BaseRenderer):
    """Writes JSON."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: object,
        accepted_media_type: str | None = None,  # noqa: ARG002  the signature is DRF's
        renderer_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> bytes:
        """Return the bytes of the answer; `orjson.Fragment` in it passes as it is."""
        return b"" if data is None else orjson.dumps(data)


class AlwaysJson(BaseContentNegotiation):
    """The API speaks JSON whatever is accepted: a client that accepts nothing else still reads the status."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """Return the JSON parser if the body says that it is JSON."""
        named = (request.content_type or "").partition(";")[0].strip().lower()
        return next(iter(parsers)) if named == "application/json" else None

    def select_renderer(
        self,
        request: Request,  # noqa: ARG002  the signature is DRF's
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,  # noqa: ARG002
    ) -> tuple[BaseRenderer, str]:
        return next(iter(renderers)), "application/json"


# --- Headers -------------------------------------------------------------------------------------------------------


def preferred_wait(header: str) -> float | None:
    """Return the seconds the caller can wait (Prefer: wait=3), within bounds; None where it does not say."""
    found = _WAIT.search(header)
    return min(LONGEST_WAIT, max(SHORTEST_WAIT, float(found[1]))) if found else None


def max_age(header: str) -> float | None:
    """Return the greatest age in seconds (Cache-Control: max-age=N, or no-cache); None where it does not say."""
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
    """Return the language we speak that Accept-Language prefers, or None."""
    weights = []
    for part in header.split(","):
        tag, _, parameter = part.partition(";")
        language = spoken_language(tag)
        weight = _weight(parameter)
        if language and weight > 0:
            weights.append((weight, language))
    return max(weights, key=lambda pair: pair[0])[1] if weights else None


def _weight(parameter: str) -> float:
    try:
        return float(parameter.partition("=")[2] or 1)
    except ValueError:
        return 0.0


def retry_after(seconds: float | None) -> dict[str, str]:
    """Return the Retry-After header: one second where nothing better is known."""
    return {"Retry-After": str(max(1, math.ceil(seconds or 1)))}


def cache_headers(known: CacheResult) -> dict[str, str]:
    """Return Cache-Status (RFC 9211), X-Cache-Hit and Age."""
    forwarded = known.loaded or known.collapsed or known.freshness is Freshness.MISSING
    if forwarded:
        status = "fwd=miss; collapsed" if known.collapsed else "fwd=miss"
    elif known.freshness is Freshness.FRESH:
        status = f"hit; ttl={max(0, int(settings.CACHE_MAX_AGE - (known.age or 0)))}"
    else:
        status = "fwd=stale"
    headers = {"Cache-Status": f"Slotline; {status}", "X-Cache-Hit": "false" if forwarded else "true"}
    if known.age is not None:
        headers["Age"] = str(int(known.age))
    return headers
