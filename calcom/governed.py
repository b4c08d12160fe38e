"""One request under the governor: breaker and budget are asked in one trip, and both told what came of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from calcom.breaker import Attempt, Breaker, IsOpen, guarded
from calcom.limiter import Limiter, Permit
from calcom.types import Priority


@dataclass(frozen=True, slots=True)
class Passage:
    """Leave to send one request."""

    _permit: Permit
    _attempt: Attempt

    def answered(self, headers: Mapping[str, str], status: int) -> None:
        """Tell what Cal.com answered. Where no answer came there is nothing to tell."""
        self._permit.ended(headers, status)
        self._attempt.answered(status)


@contextmanager
def governed(
    breaker: Breaker,
    limiter: Limiter,
    priority: Priority,
    *,
    tenant: str | None,
    longest_call_s: float,
    deadline_left_s: float,
    poll_of: str = "",
) -> Iterator[Passage]:
    """
    Let one request pass; put it around the transport, inside of what sorts its errors.

    Args:
        breaker: of the account and of this kind of calls.
        limiter: of the account's credential.
        priority: who asks, as `Limiter.permit` is told; likewise the rest.
        tenant: whose request it is.
        longest_call_s: the time-out of the call itself.
        deadline_left_s: how long the caller can wait.
        poll_of: the account that polls with it, if one does.

    Raises:
        LeftAlone: the breaker is open; nothing was sent.
        Throttled: the budget does not allow it in time; nothing was sent.
    """
    permit = partial(
        limiter.permit,
        priority,
        tenant=tenant,
        longest_call_s=longest_call_s,
        deadline_left_s=deadline_left_s,
        poll_of=poll_of,
    )
    try:
        permitted = permit(take=breaker.storage.take)
    except IsOpen:
        permitted = None
    with guarded(breaker, is_open=permitted is None) as attempt:
        yield Passage(permitted or permit(), attempt)
