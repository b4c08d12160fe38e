"""
What can go wrong at Cal.com, sorted by what may have happened there.

Nothing (`Unavailable`), a no (`Refused`), or nobody knows (`OutcomeUnknown`). No message holds a uid or an address.
"""

from enum import StrEnum


class CalcomError(Exception):
    """Any of the three."""

    outcome = "failed"
    """One word for the logs."""
    retry_after: float | None = None
    """Seconds after which asking again makes sense, where Cal.com or what guards it said so."""


class Unavailable(CalcomError):
    """Nothing happened at Cal.com: it was not reached, did not answer a read, or asked us to wait. Try later."""

    outcome = "unavailable"

    def __init__(self, message: str, *, retry_after: float | None = None, outcome: str = "") -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.outcome = outcome or self.outcome


class Reason(StrEnum):
    """Why Cal.com said no, from its recorded texts."""

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
    """Cal.com said no, and nothing changed there."""

    outcome = "refused"

    def __init__(self, reason: Reason, message: str, *, event_type_is_missing: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.event_type_is_missing = event_type_is_missing
        """Whether what was not found is the event type: deleted there, it can be neither listed nor booked."""


class KeyRefused(Refused):
    """
    Cal.com does not take the account's API key, and nothing changed there: it was revoked, or has expired.

    Only another key ends it. Raised without a request, too, while such an answer is recent (`resilience.refusals`).
    """

    outcome = "key_refused"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(Reason.UNAUTHORIZED, message)
        self.retry_after = retry_after


class OtherOwner(CalcomError):
    """The account's API key is another Cal.com user's than the account was mirrored from. Nothing was changed."""

    outcome = "other_owner"


class OutcomeUnknown(CalcomError):
    """A write left and no answer came, or a 5xx: look it up before anything is sent again."""

    outcome = "unknown"


def unanswered(message: str, *, write: bool) -> CalcomError:
    """Return what it means that a request which left got no answer we understand."""
    return OutcomeUnknown(message) if write else Unavailable(message)
