"""Admission of one request to Cal.com by circuit breaker and rate limiter, in one round trip to Redis."""

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
    """Permission to send one request."""

    _permit: Permit
    _call: Call

    def answered(self, headers: Mapping[str, str], status: int) -> None:
        """Record the response. Without one, the exception of the transport is recorded instead."""
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
    Admit the request that the block sends; exceptions of the transport must pass through it.

    Args:
        breaker: of the account and this kind of calls.
        limiter: of the account's credential; the other arguments are those of `Limiter.permit`.

    Raises:
        CircuitOpen: nothing was sent.
        Throttled: the rate limit does not permit it in time; nothing was sent.
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
