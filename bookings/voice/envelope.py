"""What all adapters share: a body of bounded size, who may speak for a company, and the answer of a tool."""

import functools
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import APIException, AuthenticationFailed, Throttled
from structlog.contextvars import bind_contextvars

from bookings.api import problems, wire
from bookings.api.auth import key_of
from bookings.api.directory import TTLCache
from bookings.api.problems import RequestError, RequestTooLarge, SignatureInvalid
from bookings.models import AgentKey
from bookings.voice import calls, replays, results
from bookings.voice.calls import Call
from bookings.voice.formats import CALL_ID, CALLED_NUMBER, CALLER_ID
from bookings.voice.tools import BY_NAME
from cachectl.infra.throttle import Throttle
from monitoring import metrics
from monitoring.middleware import address_of

log = structlog.get_logger(__name__)

LONGEST_BODY = 4 * 1024 * 1024  # bytes: Vapi sends assistant and messages with each call, Retell the transcript
BAD_SIGNATURES = Throttle("adapter-signature", "60 per minute")
REPLAY_WINDOW_S = 600
"""Longer than a signature with a window of 300 s both ways can be sent again."""
Signed = Callable[[Mapping[str, Any]], bool]

_signing_keys: TTLCache[str, list[AgentKey]] = TTLCache(
    lambda company: list(
        AgentKey.objects.unrevoked()
        .filter(company__slug=company, company__active=True)
        .exclude(platform_secrets="")
        .select_related("company__account", "branch")
        .order_by("-pk")
    )
)
"""The keys of a company that have secrets of platforms, the newest first. Held in memory, never logged."""


class Malformed(RequestError):
    """The body is no envelope of the platform; the message says what is missing."""

    code = "request_malformed"


REFUSALS = (RequestError, APIException, OperationalError, InterfaceError, UnreadablePostError)
"""What is wrong with a request before a tool runs."""


def adapter(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Make a view take POST only, and answer what is wrong with the request itself as a problem."""

    @csrf_exempt
    @functools.wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method != "POST":
            return problems.plain("method_not_allowed", "Voice platforms send POST.", Allow="POST")
        try:
            return view(request, *args, **kwargs)
        except REFUSALS as exc:
            return problems.plain(code_of(exc), detail_of(exc), **headers_of(exc))

    return wrapped


def code_of(exc: Exception) -> str:
    """Return the code of a refusal."""
    return "request_malformed" if isinstance(exc, UnreadablePostError) else problems.code_of(exc)


def detail_of(exc: Exception) -> str:
    """Return what an integrator may read of a refusal: our own sentences only."""
    return str(exc) if isinstance(exc, RequestError | APIException) else ""


def headers_of(exc: Exception) -> dict[str, str]:
    """Return the headers that go with a refusal."""
    if isinstance(exc, AuthenticationFailed):
        return {"WWW-Authenticate": 'Bearer realm="Slotline"'}
    if isinstance(exc, Throttled | OperationalError | InterfaceError):
        return wire.retry_after(getattr(exc, "wait", None))
    return {}


# --- the body ----------------------------------------------------------------------------------------------------


def raw_body(request: HttpRequest) -> bytes:
    """
    Return the bytes as they came.

    Raises:
        RequestTooLarge: there are more than `LONGEST_BODY`.
    """
    body = request.read(LONGEST_BODY + 1)
    if len(body) > LONGEST_BODY:
        raise RequestTooLarge(f"The body has more than {LONGEST_BODY} bytes.")
    return body


def parsed(body: bytes) -> dict[str, Any]:
    """
    Return the JSON object.

    Raises:
        Malformed: it is none.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise Malformed(f"The body is not JSON: {exc.msg} at byte {exc.pos}.") from exc
    if not isinstance(found, dict):
        raise Malformed("The body must be a JSON object.")
    return found


def member(envelope: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object within an envelope, empty where there is none."""
    found = envelope.get(name)
    return found if isinstance(found, dict) else {}


def text_of(envelope: Mapping[str, Any], name: str) -> str:
    """Return a text within an envelope, empty where there is none."""
    found = envelope.get(name)
    return found if isinstance(found, str) else ""


# --- who may speak for a company ---------------------------------------------------------------------------------


def key_that_signed(request: HttpRequest, company: str, platform: str, is_signed: Signed) -> AgentKey:
    """
    Return the key of the company with a secret that signed the request.

    An unknown company gets the same answer as a wrong signature: it does not reveal which exist.

    Raises:
        SignatureInvalid: there is none.
        Throttled: too many wrong signatures came from this address.
    """
    address = address_of(request.META)
    if wait := BAD_SIGNATURES.wait(address):
        metrics.BAD_SIGNATURES.labels("throttled").inc()
        raise Throttled(wait, "Too many requests with a wrong signature came from this address.")
    for key in _signing_keys(company):
        if any(is_signed(secret) for secret in key.secrets_of(platform)):
            return _admitted(key)
    BAD_SIGNATURES.hit(address)
    metrics.BAD_SIGNATURES.labels("refused").inc()
    raise SignatureInvalid("The signature does not fit this body, or is too old.")


def key_shown(request: HttpRequest, company: str | None = None) -> AgentKey:
    """
    Return the key in the header Authorization; with `company` it must be that company's.

    Raises:
        AuthenticationFailed, Throttled: as `api.auth.key_of`.
    """
    key = key_of(request.META)
    if key is None:
        raise AuthenticationFailed("Send Authorization: Bearer with a key of Slotline.")
    if company is not None and key.company.slug != company:
        raise AuthenticationFailed("The key is of another company than the address names.")
    return _admitted(key)


def clear_keys() -> None:
    """Drop what is kept of keys: a secret was added or removed in this process."""
    _signing_keys.clear()


def _admitted(key: AgentKey) -> AgentKey:
    bind_contextvars(company_id=key.company_id)
    return key


# --- a tool ------------------------------------------------------------------------------------------------------


def call_of_headers(request: HttpRequest, platform: str) -> Call:
    """Return the call that trusted headers name: they are filled in by the platform, never by a model."""
    headers = request.headers
    return Call(
        platform=platform,
        call_id=_present(headers.get(CALL_ID, "")),
        caller_number=_present(headers.get(CALLER_ID, "")),
        called_number=_present(headers.get(CALLED_NUMBER, "")),
        language=_present(headers.get("X-Language", "")),
    )


def _present(text: str) -> str:
    return calls.present({"it": text}).get("it", "")


def tool_answer(tool: str, arguments: object, *, call: Call, key: AgentKey, request: HttpRequest) -> dict[str, object]:
    """
    Run the tool and return what the model is told.

    Raises:
        Malformed: there is no such tool, or the arguments are no object.
    """
    if tool not in BY_NAME:
        raise Malformed(f"There is no tool {tool[:60]!r}. Tools: {', '.join(BY_NAME)}.")
    if isinstance(arguments, str):
        arguments = parsed(arguments.encode()) if arguments.strip() else {}
    if not isinstance(arguments, dict):
        raise Malformed("The arguments of a tool are an object.")
    return calls.answer(tool, arguments, call=call, key=key, environ=request.META)


def answer_by_headers(request: HttpRequest, company: str, tool: str, platform: str) -> HttpResponse:
    """Run a tool whose arguments are the body, for a platform without an envelope: call and caller are in headers."""
    key = key_shown(request, company)
    arguments, call = parsed(raw_body(request)), call_of_headers(request, platform)
    return flat_answer(tool_answer(tool, arguments, call=call, key=key, request=request))


def flat_answer(told: Mapping[str, Any]) -> HttpResponse:
    """Return what the model is told as JSON; a failure of the business is a success of HTTP."""
    return HttpResponse(results.text(told), content_type="application/json", status=HTTPStatus.OK)


def once(signature: str, produce: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the answer to a signed request; a repeat of the very same one gets the same answer."""
    return replays.answer_once(signature, window_s=REPLAY_WINDOW_S, produce=produce)
