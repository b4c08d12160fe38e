"""JSON on the wire: how bodies are read and answers are written."""

from collections.abc import Iterable, Mapping
from typing import IO, Any

import orjson
from rest_framework.exceptions import ParseError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from bookings.api.problem_catalog import RequestTooLarge

LONGEST_BODY = 65_536  # bytes; a booking has 1 kB
DEEPEST_BODY = 20
"""Objects and arrays in one another. A search has four; what is deeper could be read and not be written again."""


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
    """Return whether more than `levels` objects and arrays are in one another; a level at a time, not by recursion."""
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
        """Return the JSON renderer."""
        return next(iter(renderers)), "application/json"
