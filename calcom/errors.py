"""
Errors of Cal.com, by what may have happened there.

Nothing (`Unavailable`), a refusal (`Refused`), or unknown (`OutcomeUnknown`). No message has a uid or an address.
"""

from enum import StrEnum


class CalcomError(Exception):
    """The base of all."""

    outcome = "failed"
    """For logs and metrics."""
    retry_after: float | None = None
    """Seconds after which a repeat makes sense, if known."""


class Unavailable(CalcomError):
    """Nothing happened at Cal.com: not reached, no response to a read, or throttled. Repeat later."""

    outcome = "unavailable"

    def __init__(self, message: str, *, retry_after: float | None = None, outcome: str = "") -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.outcome = outcome or self.outcome


class Reason(StrEnum):
    """Why Cal.com refused, by its recorded texts."""

    NOT_AVAILABLE = "not_available"  # taken, busy or outside hours: one text for all three (recorded 2026-11-21)
    OUT_OF_BOUNDS = "out_of_bounds"  # too soon or too far
    IN_PAST = "in_past"
    ALREADY_CANCELLED = "already_cancelled"
    ALREADY_MOVED = "already_moved"
    ALREADY_ENDED = "already_ended"
    NOT_FOUND = "not_found"
    LIMIT_REACHED = "limit_reached"  # of the event type, by day, week, month or year
    BOOKER_LIMIT = "booker_limit"  # this address has as many bookings to come as the event type allows
    CANCELLING_OFF = "cancelling_off"
    UNAUTHORIZED = "unauthorized"
    INVALID = "invalid"  # our request was wrong: a field, a length, a version


class Refused(CalcomError):
    """Cal.com refused, and nothing changed there."""

    outcome = "refused"

    def __init__(self, reason: Reason, message: str, *, event_type_is_missing: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.event_type_is_missing = event_type_is_missing
        """Whether the event type was not found: deleted at Cal.com, it can be neither listed nor booked."""


class KeyRefused(Refused):
    """
    Cal.com refused the account's API key, which was revoked or has expired. Nothing changed there.

    Only another key ends it. Raised without a request, too, after a recent refusal (`resilience.refusals`).
    """

    outcome = "key_refused"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(Reason.UNAUTHORIZED, message)
        self.retry_after = retry_after


class OtherOwner(CalcomError):
    """The account's API key is that of another Cal.com user than was synced. Nothing was changed."""

    outcome = "other_owner"


class OutcomeUnknown(CalcomError):
    """A write got no response, or a 5xx: look it up before sending it again."""

    outcome = "unknown"


def unanswered(message: str, *, write: bool) -> CalcomError:
    """Return the error of a request that was sent and got no readable response."""
    return OutcomeUnknown(message) if write else Unavailable(message)
