"""Why something could not be done, in the words of the desk. Callers hear other sentences: bookings/language."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from bookings.errors import AnswerRequired, BookingError, ConfigurationError, UpstreamUnavailable

_WORDS: dict[str, str | Promise] = {
    "slot_taken": _("Another appointment has that time."),
    "slot_not_offered": _("Cal.com does not offer that time."),
    "date_in_past": _("That time has passed."),
    "too_soon": _("That is sooner than the service can be booked."),
    "too_far": _("That is further ahead than the service can be booked."),
    "closed": _("The branch is closed then."),
    "limit_reached": _("Cal.com takes no more bookings of this kind then."),
    "phone_required": _("This service cannot be booked without a telephone number."),
    "time_ambiguous": _("The clocks are changed at that time, and show it twice. Choose another."),
    "time_nonexistent": _("The clocks are changed at that time, and skip it. Choose another."),
    "hold_required": _("Cal.com could not be asked whether that time is still free. Nothing was booked; try again."),
    "upstream_unavailable": _("Cal.com does not answer. Nothing was changed; try again in a minute."),
    "deadline_exceeded": _("Cal.com did not answer in time. Nothing was changed; try again."),
    "temporarily_unavailable": _("Others are changing the same day. Nothing was changed; try again."),
    "idempotency_in_progress": _("It is just being changed. Look again in a moment."),
    "idempotency_key_reused": _("This form was sent before. Look whether it was booked, and begin again."),
    "booking_not_found": _("It was never booked at Cal.com."),
    "already_cancelled": _("It was cancelled before."),
    "already_booked": _("The caller has an appointment at that time, or as many as Cal.com allows."),
    "cancel_not_allowed": _("Cal.com cancels no booking of this kind."),
    "reschedule_not_allowed": _("Cal.com reschedules no booking of this kind."),
}


def sentence_of(refusal: BookingError) -> str:
    """Return one sentence for staff; a wrong setting is told as it is."""
    if isinstance(refusal, UpstreamUnavailable) and refusal.access_refused:
        return str(_("Cal.com refuses the API key. Nothing was changed; an owner must enter a new key."))
    if isinstance(refusal, AnswerRequired):
        name = refusal.field.get("label") or refusal.field["slug"]
        return str(_("Cal.com asks for “%s”.")) % name
    if isinstance(refusal, ConfigurationError):
        return str(_("It cannot be booked as things are set up: %s")) % refusal
    return str(_WORDS.get(refusal.code, _("It could not be done. Nothing was changed.")))
