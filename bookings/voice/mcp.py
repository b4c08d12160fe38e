"""
The Model Context Protocol at one URL: versions that begin with `initialize`, and 2026-07-28, which needs no beginning.

Plain JSON, no session, no stream: each POST is answered by itself. The key in Authorization decides the company.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from bookings.api import wire
from bookings.api.problem_catalog import PROBLEMS
from bookings.models import AgentKey
from bookings.voice import envelope, formats, results
from bookings.voice.calls import Call, present
from bookings.voice.tools import BY_NAME, PROMPTS, TOOLS

NEWEST = "2026-07-28"
OLDER = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
_META = "io.modelcontextprotocol/"
_TTL_MS = 300_000

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
HEADER_MISMATCH, UNSUPPORTED_VERSION, UNAUTHORIZED = -32020, -32022, -32001


class RpcError(Exception):
    """What JSON-RPC calls an error: the request is wrong. A tool that fails is a result."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


@dataclass(frozen=True, slots=True)
class _Rpc:
    """One request, and whether it speaks the newest version."""

    http: HttpRequest
    key: AgentKey
    method: str
    params: Mapping[str, Any]
    is_newest: bool

    def complete(self, result: dict[str, Any], *, listed: bool = False) -> dict[str, Any]:
        """Return a result with what the newest version adds to it."""
        if not self.is_newest:
            return result
        caching = {"ttlMs": _TTL_MS, "cacheScope": "private"} if listed else {}
        return {**result, **caching, "resultType": "complete"}


@csrf_exempt
def receive(request: HttpRequest) -> HttpResponse:
    """Answer one JSON-RPC request. GET and DELETE get 405: there is no stream and no session."""
    if request.method != "POST":
        return HttpResponse(status=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "POST"})
    if not _is_allowed_origin(request):
        return _error(None, INVALID_REQUEST, "This origin is not allowed.", status=HTTPStatus.FORBIDDEN)
    try:
        key = envelope.key_shown(request)
        message = _message(envelope.raw_body(request))
    except (RpcError, *envelope.REFUSALS) as exc:
        return _refusal(exc)
    if "id" not in message:
        return HttpResponse(status=HTTPStatus.ACCEPTED)  # a notification
    return _answer(request, key, message)


def _refusal(exc: Exception) -> HttpResponse:
    """Answer what is wrong before a method is known, in the one body of which Python clients show the message."""
    if isinstance(exc, RpcError):
        return _error(None, exc.code, str(exc), status=HTTPStatus.BAD_REQUEST)
    problem = PROBLEMS[envelope.code_of(exc)]
    code = UNAUTHORIZED if problem.status == HTTPStatus.UNAUTHORIZED else INVALID_REQUEST
    text, headers = envelope.detail_of(exc) or problem.title, envelope.headers_of(exc)
    return _error(None, code, text, status=problem.status, headers=headers)


def _message(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise RpcError(PARSE_ERROR, f"The body is not JSON: {exc.msg}.") from exc
    if not isinstance(found, dict) or not isinstance(found.get("method"), str) or found.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, "Send one JSON-RPC 2.0 request; batches are not taken.")
    if not isinstance(found.get("params") or {}, dict):
        raise RpcError(INVALID_REQUEST, "params must be an object.")
    return found


def _answer(request: HttpRequest, key: AgentKey, message: Mapping[str, Any]) -> HttpResponse:
    params = message.get("params") or {}
    is_newest = False
    try:
        is_newest = _speaks_newest(request, message["method"], params)
        rpc = _Rpc(request, key, message["method"], params, is_newest)
        return _json({"jsonrpc": "2.0", "id": message["id"], "result": _METHODS.get(rpc.method, _unknown)(rpc)})
    except (RpcError, envelope.Malformed) as exc:
        code = exc.code if isinstance(exc, RpcError) else INVALID_PARAMS
        data = exc.data if isinstance(exc, RpcError) else None
        is_new_code = code in {HEADER_MISMATCH, UNSUPPORTED_VERSION}
        status = HTTPStatus.OK
        if is_newest or is_new_code:
            status = HTTPStatus.NOT_FOUND if code == METHOD_NOT_FOUND else HTTPStatus.BAD_REQUEST
        return _error(message["id"], code, str(exc), data=data, status=status)


def _speaks_newest(request: HttpRequest, method: str, params: Mapping[str, Any]) -> bool:
    """
    Return whether the request says that it is one of 2026-07-28.

    Raises:
        RpcError: its headers and its body differ, or it names a version that does not exist.
    """
    meta = params.get("_meta")
    named = meta.get(f"{_META}protocolVersion") if isinstance(meta, dict) else None
    header = request.headers.get("MCP-Protocol-Version")
    if named is None and method != "server/discover" and header != NEWEST:
        return False
    if named not in {None, NEWEST} and named not in OLDER:
        supported = {"supported": [NEWEST, *OLDER], "requested": named}
        raise RpcError(UNSUPPORTED_VERSION, "This version is not spoken here.", supported)
    if header is not None and named is not None and header != named:
        raise RpcError(HEADER_MISMATCH, "MCP-Protocol-Version differs from the version in _meta.")
    if (told := request.headers.get("Mcp-Method")) is not None and told != method:
        raise RpcError(HEADER_MISMATCH, "Mcp-Method differs from the method.")
    if (told := request.headers.get("Mcp-Name")) is not None and _decoded(told) != params.get("name"):
        raise RpcError(HEADER_MISMATCH, "Mcp-Name differs from the name in params.")
    return NEWEST in {named, header} or method == "server/discover"


def _decoded(header: str) -> str:
    if not (header.startswith("=?base64?") and header.endswith("?=")):
        return header
    try:
        return base64.b64decode(header[9:-2], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return header


def _is_allowed_origin(request: HttpRequest) -> bool:
    """Return whether the request comes from no browser, or from a page of Slotline's own host."""
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.get_host()


# --- methods -----------------------------------------------------------------------------------------------------


def _initialize(rpc: _Rpc) -> dict[str, Any]:
    asked = rpc.params.get("protocolVersion")
    return {
        "protocolVersion": asked if asked in OLDER else OLDER[0],
        "capabilities": {"tools": {}},
        "serverInfo": _server_info(),
        "instructions": _instructions(rpc),
    }


def _discover(rpc: _Rpc) -> dict[str, Any]:
    return rpc.complete(
        {
            "supportedVersions": [NEWEST, *OLDER],
            "capabilities": {"tools": {}},
            "instructions": _instructions(rpc),
            "_meta": {f"{_META}serverInfo": _server_info()},
        },
        listed=True,
    )


def _ping(rpc: _Rpc) -> dict[str, Any]:
    return rpc.complete({})


def _list_tools(rpc: _Rpc) -> dict[str, Any]:
    return rpc.complete({"tools": [formats.mcp(tool) for tool in TOOLS]}, listed=True)


def _call_tool(rpc: _Rpc) -> dict[str, Any]:
    name = rpc.params.get("name")
    if not isinstance(name, str) or name not in BY_NAME:
        raise RpcError(INVALID_PARAMS, f"There is no such tool. Tools: {', '.join(BY_NAME)}.")
    told = envelope.tool_answer(name, rpc.params.get("arguments") or {}, call=_call(rpc), key=rpc.key, request=rpc.http)
    # One text with everything: LiveKit, Pipecat and OpenAI's Agents show a model the text only (run 2026-11).
    content = [{"type": "text", "text": results.text(told)}]
    return rpc.complete({"content": content, "structuredContent": told, "isError": "code" in told})


def _unknown(rpc: _Rpc) -> dict[str, Any]:
    raise RpcError(METHOD_NOT_FOUND, f"There is no method {rpc.method[:60]}.")


_METHODS: Mapping[str, Callable[[_Rpc], dict[str, Any]]] = {
    "initialize": _initialize,
    "server/discover": _discover,
    "ping": _ping,
    "tools/list": _list_tools,
    "tools/call": _call_tool,
}


def _call(rpc: _Rpc) -> Call:
    """Return the call that headers name, or `_meta`, which the client fills in and no model."""
    call = envelope.call_of_headers(rpc.http, "mcp")
    if call.call_id:
        return call
    meta = rpc.params.get("_meta")
    told = present(meta) if isinstance(meta, dict) else {}
    return Call(
        platform="mcp",
        call_id=told.get("call_id", ""),
        caller_number=told.get("caller_number", ""),
        called_number=told.get("called_number", ""),
        language=told.get("language", "") or call.language,
    )


def _instructions(rpc: _Rpc) -> str:
    accepted = wire.accepted_language(rpc.http.headers.get("Accept-Language", ""))
    branch = rpc.key.branch
    return PROMPTS[accepted or wire.spoken_language(branch.language if branch else "") or "en"]


def _server_info() -> dict[str, str]:
    return {"name": "slotline", "version": str(settings.SPECTACULAR_SETTINGS["VERSION"])}


def _json(
    body: Mapping[str, Any], *, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    return HttpResponse(orjson.dumps(body), status=status, headers=headers, content_type="application/json")


def _error(
    id_: object,
    code: int,
    message: str,
    *,
    data: object = None,
    status: int,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    error: dict[str, object] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return _json({"jsonrpc": "2.0", "id": id_, "error": error}, status=status, headers=headers)
