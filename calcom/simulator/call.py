"""One request as the operations see it, and what they answer."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from calcom.simulator.errors import refused
from calcom.simulator.state import State
from calcom.simulator.webhooks import Messenger
from calcom.simulator.world import Json, User


class Answer(NamedTuple):
    """A status and a body; bytes go out as they are."""

    status: int
    body: Json | bytes | None


def success(data: object, status: int = 200) -> Answer:
    """Answer in the usual envelope."""
    return Answer(status, {"status": "success", "data": data})


@dataclass
class Call:
    """
    A request on its way through an operation.

    A write awaits `think` between its check and its effect: there the latency passes, as it does in Cal.com, and
    there races are lost. Reads do not: their answer is as old as their latency.
    """

    state: State
    messenger: Messenger
    query: Mapping[str, str]
    raw_query: str
    params: Mapping[str, str]
    body: Any
    user: User | None
    pause: Callable[[], Awaitable[None]]
    thought: bool = False

    @property
    def caller(self) -> User:
        """The user whose key it is, where the operation demands one."""
        if self.user is None:
            raise refused(401, NO_AUTHENTICATION)
        return self.user

    @property
    def fields(self) -> Json:
        """The body as an object; anything else counts as empty."""
        return self.body if isinstance(self.body, dict) else {}

    @property
    def attendee_email(self) -> str | None:
        """The address of the attendee that the body names, if it does."""
        attendee = self.fields.get("attendee")
        return attendee.get("email") if isinstance(attendee, dict) else None

    async def think(self) -> None:
        """Let the latency of the operation pass, once."""
        if not self.thought:
            self.thought = True
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
