"""What routes get and return, and the five shapes of a refusal (recorded 2026-11-21)."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple

from calcom.simulator.dataset import Json, User
from calcom.simulator.state import Booking, State

Announce = Callable[[str, Booking, Callable[[Booking, float], Json]], Awaitable[None]]
"""Sends a message of a trigger about a booking to the subscribers; the last argument writes the body."""

_EXCEPTIONS = {
    400: "BadRequestException",
    401: "UnauthorizedException",
    403: "ForbiddenException",
    404: "NotFoundException",
    409: "ConflictException",
    422: "UnprocessableEntityException",
}


class RefusedError(Exception):
    """A refusal: a status and either the `error` of the usual envelope or a `bare` body."""

    def __init__(self, status: int, *, error: Json | None = None, bare: Json | None = None) -> None:
        super().__init__(status, error or bare)
        self.status = status
        self._error = error
        self._bare = bare

    def body(self, *, path: str, timestamp: str) -> Json:
        """Return the body of the response to a request for `path`, which includes the query."""
        if self._bare is not None:
            return self._bare
        return {"status": "error", "timestamp": timestamp, "path": path, "error": self._error}


def refused(status: int, message: str) -> RefusedError:
    """Build a refusal in the usual shape."""
    details = {"message": message, "error": HTTPStatus(status).phrase, "statusCode": status}
    return RefusedError(status, error={"code": _EXCEPTIONS[status], "message": message, "details": details})


def invalid(*errors: Json) -> RefusedError:
    """Build a refusal with a list of violations."""
    return RefusedError(
        400,
        error={"code": "BadRequestException", "message": "Bad Request Exception", "details": {"errors": list(errors)}},
    )


def violation(target: Json, name: str, **constraints: str) -> Json:
    """Describe a property of `target` that violates constraints, for `invalid`."""
    shown = {"value": target[name]} if name in target else {}
    return {"target": target, **shown, "property": name, "children": [], "constraints": constraints}


def coded(code: str, message: str) -> RefusedError:
    """Build a refusal without details, as the layer below the API does."""
    return RefusedError(400, error={"code": code, "message": message})


def throttled() -> RefusedError:
    """Build the refusal of the rate limit; its `details` is text."""
    message = "CustomThrottlerGuard - Too many requests. Please try again later."
    return RefusedError(429, error={"code": "ThrottlerException", "message": message, "details": message})


def bare(status: int, message: str) -> RefusedError:
    """Build a refusal without an envelope."""
    return RefusedError(status, bare={"statusCode": status, "message": message})


def wrong(name: str, *constraints: str) -> str:
    """Describe a wrong property in the spelling of slots and bookings, for `refuse_wrong`."""
    return f"{name} property is wrong,{', '.join(constraints)} "


def refuse_wrong(*complaints: str) -> None:
    """Raise a refusal that lists the complaints, if there are any."""
    if complaints:
        raise refused(400, ", ".join(complaints))


class Response(NamedTuple):
    """A status and a body; bytes are sent as they are."""

    status: int
    body: Json | bytes | None


def success(data: object, status: int = 200) -> Response:
    """Wrap `data` in the usual envelope."""
    return Response(status, {"status": "success", "data": data})


@dataclass
class Request:
    """
    A request as its route gets it.

    A write awaits `pass_latency` between its check and its effect, as Cal.com does, so that races can be lost there.
    A read does not: its response is as old as its latency.
    """

    state: State
    announce: Announce
    query: Mapping[str, str]
    raw_query: str
    params: Mapping[str, str]
    body: Any
    user: User | None
    pause: Callable[[], Awaitable[None]]
    latency_passed: bool = False

    @property
    def key_owner(self) -> User:
        """The user whose key it carries; raises the 401 if there is none."""
        if self.user is None:
            raise refused(401, NO_AUTHENTICATION)
        return self.user

    @property
    def fields(self) -> Json:
        """The body if it is an object, else an empty one."""
        return self.body if isinstance(self.body, dict) else {}

    @property
    def attendee_email(self) -> str | None:
        """The attendee's address in the body, if there is one."""
        attendee = self.fields.get("attendee")
        return attendee.get("email") if isinstance(attendee, dict) else None

    async def pass_latency(self) -> None:
        """Wait for the latency of the route; a second call returns at once."""
        if not self.latency_passed:
            self.latency_passed = True
            await self.pause()


NO_AUTHENTICATION = (
    "ApiAuthStrategy - No authentication method provided. Either pass an API key as 'Bearer' header or OAuth client "
    "credentials as 'x-cal-secret-key' and 'x-cal-client-id' headers"
)
# Of a write with an expired key only the status is recorded; the text is not.
EXPIRED = "ApiAuthStrategy - api key - Your api key is expired"
NO_PERMISSION = (
    "PermissionsGuard - no authentication provided. Provide either authorization bearer token containing managed user "
    "access token or oAuth client id in 'x-cal-client-id' header."
)
