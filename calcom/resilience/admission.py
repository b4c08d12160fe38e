"""One request to Cal.com: breaker and rate limiter are asked in one trip, and both learn what came of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from cachectl.infra.circuit_breaker import Call, CircuitOpen
from calcom.resilience.circuit_breaker import AccountBreaker, outcome_of
from calcom.resilience.rate_limiter import Limiter, Permit
from calcom.types import Priority


@dataclass(frozen=True, slots=True)
class Admission:
    """Leave to send one request."""

    _permit: Permit
    _call: Call

    def answered(self, headers: Mapping[str, str], status: int) -> None:
        """Take note of Cal.com's answer. Where none came, the exception of the transport says so."""
        self._permit.ended(headers, status)
        self._call.outcome = outcome_of(status)


@contextmanager
def admit(
    breaker: AccountBreaker,
    limiter: Limiter,
    priority: Priority,
    *,
    tenant: str | None,
    longest_call_s: float,
    deadline_left_s: float,
    poll_of: str = "",
) -> Iterator[Admission]:
    """
    Admit one request; put it around the transport, inside of what sorts its errors.

    Args:
        breaker: of the account and of this kind of calls.
        limiter: of the account's credential.
        priority: who asks, as `Limiter.permit` is told; likewise the rest.
        tenant: whose request it is.
        longest_call_s: the time-out of the call itself.
        deadline_left_s: how long the caller can wait.
        poll_of: the account that polls with it, if one does.

    Raises:
        CircuitOpen: nothing was sent.
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
    permitted = None
    try:
        permitted = permit(take=breaker.storage.take)
    except CircuitOpen as exc:
        if exc.retry_after:
            raise
    with breaker.guard(is_open=permitted is None) as call:
        yield Admission(permitted or permit(), call)
