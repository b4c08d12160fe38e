"""
Why a request of an agent fails, grouped by what the agent does next.

Offer another time (`AnotherTime`), ask the caller (`AskCaller`), hold the time first (`HoldRequired`), try again
(`TryLater`), say how it is (`Final`), or fetch a person (`ConfigurationError`). The stable `code` is part of the API;
`api/problem_catalog.py` has its status and its words.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from calcom.types import RequiredField

if TYPE_CHECKING:
    from bookings.models import Appointment


class BookingError(Exception):
    """Base of all. The message is for developers and names no caller."""

    code: ClassVar[str]
    retryable: ClassVar[bool] = False
    """Whether the same request may succeed later."""


class AnotherTime(BookingError):
    """Not at this time: offer one of `alternatives`, or ask for another."""

    def __init__(self, message: str, *, alternatives: Sequence[datetime] = ()) -> None:
        super().__init__(message)
        self.alternatives = tuple(alternatives)
        """Up to three starts (UTC) that are free as far as we know, the nearest first."""
        self.tokens: tuple[str, ...] = ()
        """The slot_token of each of them, in a conversation; else none."""


class SlotTaken(AnotherTime):
    """Another appointment or hold takes this time."""

    code = "slot_taken"


class SlotNotOffered(AnotherTime):
    """Cal.com does not list it: no host works then, or slots begin at other minutes."""

    code = "slot_not_offered"


class HoldExpired(AnotherTime):
    """The hold ran out, or another one replaced it, before it was booked."""

    code = "hold_expired"


class DateInPast(AnotherTime):
    """It has begun already."""

    code = "date_in_past"


class TooSoon(AnotherTime):
    """It begins sooner than the notice that is asked for."""

    code = "too_soon"


class TooFar(AnotherTime):
    """It is further ahead than callers may book."""

    code = "too_far"


class Closed(AnotherTime):
    """The branch is closed then."""

    code = "closed"


class LimitReached(AnotherTime):
    """The event type takes no more bookings in that day, week, month or year: offer another one."""

    code = "limit_reached"


class AskCaller(BookingError):
    """The request does not say what is meant: ask, never guess."""

    question: str = ""
    """What to ask, in the caller's language, where it is more exact than what the code stands for."""
    other_language: str = ""
    """The language in which the caller's words would be known."""


class ServiceUnknown(AskCaller):
    """The company offers nothing of that kind."""

    code = "service_unknown"

    def __init__(self, message: str, *, candidates: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.candidates = tuple(candidates)
        """Names of what it does offer."""


class ConfirmTokenInvalid(AskCaller):
    """Nothing was read back to this caller under this token."""

    code = "confirm_token_invalid"


class IdentityRequired(AskCaller):
    """The caller is not identified, so nothing is said about any appointment."""

    code = "identity_required"


class IdentityMismatch(AskCaller):
    """What the caller said leads to no appointment of theirs. Whether there is one at all is not said."""

    code = "identity_mismatch"


class PhoneRequired(AskCaller):
    """A callback, or the event type, needs the caller's number: none was given, and none is known for certain."""

    code = "phone_required"


class AnswerRequired(AskCaller):
    """Cal.com requires an answer to a booking field, and none was given, or one that the field does not allow."""

    code = "answer_required"

    def __init__(self, message: str, *, field: RequiredField) -> None:
        super().__init__(message)
        self.field = field


class TimeNotUnderstood(AskCaller):
    """The time is not one: no offset, no such date, an end before its start."""

    code = "time_not_understood"


class PhraseInPast(AskCaller):
    """The caller's words name a time that has passed; what they meant instead is asked."""

    code = "date_in_past"


class TimeAmbiguous(AskCaller):
    """It may be several times: clocks show it twice, or people mean different days by the words."""

    code = "time_ambiguous"

    def __init__(self, message: str, *, readings: Sequence[datetime]) -> None:
        super().__init__(message)
        self.readings = tuple(readings)
        """The instants it may be, or begin at, with their offsets."""


class PhoneAmbiguous(AskCaller):
    """A number was said without country code or zero, and two people may have it."""

    code = "phone_ambiguous"

    def __init__(self, message: str, *, readings: Sequence[str]) -> None:
        super().__init__(message)
        self.readings = tuple(readings)
        """The numbers it may be, E.164."""


class TimeNonexistent(AskCaller):
    """Clocks are set forward and skip that local time."""

    code = "time_nonexistent"


class HoldRequired(BookingError):
    """The time was free when last known, and Cal.com could not be asked: it is held and read back, and then booked."""

    code = "hold_required"


class TryLater(BookingError):
    """Not now: the same request may succeed in `retry_after` seconds."""

    retryable = True

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UpstreamUnavailable(TryLater):
    """Cal.com could not be asked, and what is known does not answer the question."""

    code = "upstream_unavailable"

    def __init__(self, message: str, *, retry_after: float = 1.0, access_refused: bool = False) -> None:
        super().__init__(message, retry_after=retry_after)
        self.access_refused = access_refused
        """Whether Cal.com refuses us, as with a revoked key: only staff can end that, so the agent is not to repeat."""
        self.retryable = not access_refused  # type: ignore[misc]  # of this one, whatever holds for the others


class DeadlineExceeded(TryLater):
    """The caller's time was over before anything was promised."""

    code = "deadline_exceeded"


class RecordsLocked(TryLater):
    """Our own rows stay locked for longer than any writer takes. Nothing was changed."""

    code = "temporarily_unavailable"


class IdempotencyInProgress(TryLater):
    """The first of these equal requests still runs; its outcome will be this one's, too."""

    code = "idempotency_in_progress"


class Final(BookingError):
    """It will not work this way, now or later."""


class IdempotencyKeyReused(Final):
    """The key came with another request before."""

    code = "idempotency_key_reused"


class SearchExpired(Final):
    """No search is saved under this token: it was never issued, or half an hour has passed."""

    code = "more_token_unknown"


class BookingNotFound(Final):
    """There is no such booking, or it is not this company's."""

    code = "booking_not_found"


class ConversationEnded(Final):
    """The phone call is over: nothing new is done in it, and no appointment is shown. Begin another conversation."""

    code = "conversation_ended"


class AlreadyCancelled(Final):
    """It is cancelled already."""

    code = "already_cancelled"


class AlreadyBooked(Final):
    """
    There is an appointment under the same details.

    Either at that very time, and Cal.com would return it instead of a new one; or the event type allows each caller so
    many only.
    """

    code = "already_booked"

    def __init__(self, message: str, *, appointment: "Appointment | None" = None) -> None:
        super().__init__(message)
        self.appointment = appointment
        """The caller's own, where it is known here. It is named to whom it belongs only."""


class ChangeTooLate(Final):
    """It begins too soon to be moved or cancelled by phone."""

    code = "change_too_late"


class CancelNotAllowed(Final):
    """Cal.com cancels no booking of this event type."""

    code = "cancel_not_allowed"


class RescheduleNotAllowed(Final):
    """Callers may not reschedule bookings of this event type, or not so shortly before their start."""

    code = "reschedule_not_allowed"


class TooManyReschedules(Final):
    """It was moved as often as the company lets callers move one appointment."""

    code = "too_many_reschedules"


class ConfigurationError(BookingError):
    """Something is set up wrongly, here or at Cal.com, and only staff can put it right; the message says what."""

    code = "configuration_error"
