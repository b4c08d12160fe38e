"""
What agents are told about each problem code: status, whether to try again, a sentence for the caller, and a hint.

A code cannot be added without its sentence in every language: a test compares the catalogue with the errors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

_NOT_FOR_CALLERS = (
    "This is a fault of the integration: do not repeat the request as it is, tell the people who built it."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What an agent is told about a code."""

    status: HTTPStatus
    title: str
    de: str = "Da ist bei uns gerade etwas schiefgegangen."
    en: str = "Something went wrong on our side just now."
    hint: str
    retryable: bool = False

    def spoken(self, language: str) -> str:
        """Return the sentence for the caller."""
        return self.de if language == "de" else self.en


PROBLEMS: Mapping[str, Problem] = {
    # another time
    "slot_taken": Problem(
        status=HTTPStatus.CONFLICT,
        title="This time is taken",
        de="Diese Zeit wurde leider gerade vergeben. Darf es eine andere sein?",
        en="I'm sorry, that time has just been taken. Would another time suit you?",
        hint="Offer one of the alternatives, or ask for availability again. Never offer this time again.",
    ),
    "limit_reached": Problem(
        status=HTTPStatus.CONFLICT,
        title="The service takes no more bookings then",
        de="Für diesen Tag sind leider keine Termine mehr möglich. Darf es ein anderer Tag sein?",
        en="I'm sorry, no more appointments are possible on that day. Would another day suit you?",
        hint="Offer one of the alternatives, or a day from next_possible_day on. Never offer this day again.",
    ),
    "slot_not_offered": Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="This time is not offered",
        de="Zu dieser Zeit gibt es leider keinen Termin. Darf es eine andere sein?",
        en="I'm sorry, there is no appointment at that time. Would another time suit you?",
        hint="Offer one of the alternatives, or only times that availability returned.",
    ),
    "hold_expired": Problem(
        status=HTTPStatus.CONFLICT,
        title="The hold has run out",
        de="So lange konnte ich die Zeit leider nicht freihalten. Soll ich noch einmal nachsehen?",
        en="I'm sorry, I could not keep that time free any longer. Shall I check again?",
        hint="Hold the same slot_token once more, or offer one of the alternatives. Nothing was booked.",
    ),
    "date_in_past": Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="This time is over",
        de="Diese Zeit liegt schon hinter uns. Welchen Tag meinen Sie?",
        en="That time has already passed. Which day do you mean?",
        hint="Check which day is today for this branch, then ask the caller for the day.",
    ),
    "too_soon": Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="This time is too soon",
        de="So kurzfristig geht es leider nicht. Darf es etwas später sein?",
        en="I'm sorry, that is too soon. Could it be a little later?",
        hint="Offer a later time; the service needs some notice.",
    ),
    "too_far": Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="This time is too far ahead",
        de="So weit im Voraus kann ich noch nichts eintragen. Darf es früher sein?",
        en="I cannot book that far ahead yet. Could it be earlier?",
        hint="Offer an earlier time; the service can only be booked up to its horizon.",
    ),
    "closed": Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="The branch is closed then",
        de="Zu dieser Zeit ist geschlossen. Darf es eine andere sein?",
        en="We are closed at that time. Would another time suit you?",
        hint="Offer one of the alternatives, or ask for availability.",
    ),
    # ask the caller
    "service_unknown": Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="There is no such service",
        de="Das habe ich nicht in unserem Angebot gefunden. Was darf es sein?",
        en="I could not find that among our services. What would you like?",
        hint="Ask which of the candidates is meant. Never choose one yourself.",
    ),
    "service_ambiguous": Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="Several services fit",
        de="Da gibt es mehrere Möglichkeiten. Welche meinen Sie?",
        en="There are several options. Which one do you mean?",
        hint="Ask which of the candidates is meant, then use its id.",
    ),
    "confirm_token_invalid": Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="There is no such confirm_token in this conversation",
        de="Ich lese Ihnen den Termin noch einmal vor. Einen Moment bitte.",
        en="Let me read the appointment back to you once more. One moment, please.",
        hint="Hold the slot by its slot_token, read read_back to the caller, and send the confirm_token of that"
        " answer.",
    ),
    "identity_required": Problem(
        status=HTTPStatus.FORBIDDEN,
        title="The caller is not identified",
        de="Wie lautet Ihre Terminnummer? Oder nennen Sie mir Ihren Namen und den Tag des Termins.",
        en="What is your booking reference? Or tell me your name and the day of the appointment.",
        hint="Ask for the reference, or for the exact name and the date, and send what the caller says. Never guess.",
    ),
    "identity_mismatch": Problem(
        status=HTTPStatus.FORBIDDEN,
        title="Nothing was found under what was said",
        de="Damit kann ich leider keinen Termin zuordnen. Können Sie das noch einmal prüfen?",
        en="I'm sorry, I cannot match that to an appointment. Could you check it once more?",
        hint="Say nothing about whether such an appointment exists. After three tries offer a call back.",
    ),
    "phone_required": Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="The caller's phone number is needed",
        de="Unter welcher Nummer erreichen wir Sie?",
        en="What number can we reach you on?",
        hint="Ask for the number, and send it as the caller says it, with the country code if it is a foreign one.",
    ),
    "answer_required": Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="Something must be asked of the caller first",
        de="Dafür brauche ich noch eine Angabe von Ihnen.",
        en="I need one more detail from you for that.",
        hint="Ask the caller for what field and label name, as one of options where there are any, and send the same"
        " request with it in answers, as {field: value}. What is held stays held. Never answer for the caller.",
    ),
    "time_not_understood": Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="The time was not understood",
        de="Welchen Tag und welche Uhrzeit meinen Sie?",
        en="Which day and what time do you mean?",
        hint="Send instants with their offset, as in 2026-11-24T10:00:00+01:00, and the end after the start; to search,"
        " when with the caller's own words as phrase, with windows, or with date, part_of_day, not_before or time.",
    ),
    "time_ambiguous": Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="The time may be read in several ways",
        de="Diese Zeit kommt in der Nacht der Zeitumstellung zweimal. Meinen Sie davor oder danach?",
        en="That time comes twice in the night when the clocks change. Do you mean before or after that?",
        hint="Ask what spoken says. Then send the caller's answer: their words, or one of the readings as an instant.",
    ),
    "phone_ambiguous": Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="The number may be read in two ways",
        de="Ist das eine inländische oder eine ausländische Nummer? Bitte nennen Sie sie mit der Landesvorwahl.",
        en="Is that a number from here or from abroad? Please say it with the country code.",
        hint="Ask which of the readings is meant, then send it with plus and country code.",
    ),
    "time_nonexistent": Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="Clocks skip this time",
        de="Diese Zeit fällt wegen der Zeitumstellung aus. Welche Zeit meinen Sie?",
        en="That time is skipped when the clocks change. What time do you mean?",
        hint="Ask the caller for another time.",
    ),
    # hold first
    "hold_required": Problem(
        status=HTTPStatus.CONFLICT,
        title="This time is not certain and must be held first",
        de="Ich halte die Zeit erst einmal für Sie fest. Einen Moment bitte.",
        en="Let me keep that time for you first. One moment, please.",
        hint="Nothing was booked: Cal.com could not be asked whether the time is still free. Hold its slot_token"
        " (search for the time where you have none), say read_back, and book with confirm_token once the caller"
        " agrees.",
    ),
    # try again
    "upstream_unavailable": Problem(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        title="The calendar cannot be reached",
        de="Unser Kalender antwortet gerade nicht. Soll Sie jemand zurückrufen?",
        en="Our calendar is not answering right now. Shall someone call you back?",
        hint="Nothing was changed. Try again after Retry-After. If it fails again, say spoken, and send who shall be"
        " called back to POST /v1/callbacks: that works without the calendar.",
        retryable=True,
    ),
    "deadline_exceeded": Problem(
        status=HTTPStatus.GATEWAY_TIMEOUT,
        title="The time to answer was over",
        de="Das dauert gerade etwas länger. Einen Moment bitte.",
        en="This is taking a little longer. One moment, please.",
        hint="Nothing was promised. Try again, with a longer Prefer: wait if the caller can wait; if it fails again,"
        " offer a call back (POST /v1/callbacks).",
        retryable=True,
    ),
    "idempotency_in_progress": Problem(
        status=HTTPStatus.CONFLICT,
        title="The first request with this key still runs",
        de="Ich bin noch dabei. Einen Moment bitte.",
        en="I am still working on it. One moment, please.",
        hint="Send the same request again after Retry-After; it gets the outcome of the first.",
        retryable=True,
    ),
    "rate_limited": Problem(
        status=HTTPStatus.TOO_MANY_REQUESTS,
        title="Too many requests",
        de="Einen Moment bitte.",
        en="One moment, please.",
        hint="Wait for Retry-After, then try again.",
        retryable=True,
    ),
    "temporarily_unavailable": Problem(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        title="We cannot work right now",
        de="Unser System antwortet gerade nicht. Einen Moment bitte.",
        en="Our system is not answering right now. One moment, please.",
        hint="Try again after Retry-After, with the same Idempotency-Key.",
        retryable=True,
    ),
    # final
    "idempotency_key_reused": Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="This key came with another request",
        hint="Use a new Idempotency-Key for a new wish, and the old one only for the very same request.",
    ),
    "more_token_unknown": Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="No search goes on under this more_token",
        de="Einen Moment bitte, ich sehe noch einmal nach.",
        en="One moment, please, let me check again.",
        hint="Search again with service and when. A more_token lasts half an hour.",
    ),
    "booking_not_found": Problem(
        status=HTTPStatus.NOT_FOUND,
        title="There is no such booking",
        de="Diesen Termin habe ich nicht gefunden.",
        en="I could not find that appointment.",
        hint="Check the id; only bookings of the key's company are found.",
    ),
    "conversation_ended": Problem(
        status=HTTPStatus.CONFLICT,
        title="The phone call is over",
        de="Dieses Gespräch ist schon beendet. Bitte rufen Sie noch einmal an.",
        en="This call has already ended. Please call us again.",
        hint="Nothing was done. Begin a new conversation, with another call_id, and use its id."
        " POST /v1/callbacks works with this one, too.",
    ),
    "already_cancelled": Problem(
        status=HTTPStatus.CONFLICT,
        title="It is cancelled already",
        de="Dieser Termin ist bereits abgesagt.",
        en="That appointment is already cancelled.",
        hint="Tell the caller; nothing else is to be done.",
    ),
    "already_booked": Problem(
        status=HTTPStatus.CONFLICT,
        title="There is an appointment under the same details",
        de="Unter Ihren Angaben gibt es schon einen Termin. Möchten Sie ihn verlegen, oder ist dieser für jemand"
        " anderen?",
        en="There is already an appointment under your details. Would you like to move it, or is this one for someone"
        " else?",
        hint="Nothing was booked. To move the appointment that exists send its id, from booking or from POST"
        " /v1/bookings/find, to POST /v1/bookings/{id}/reschedule. For another person send another e-mail address and"
        " phone number, or none.",
    ),
    "change_too_late": Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="It begins too soon to be changed by phone",
        de="So kurz vorher kann ich den Termin leider nicht mehr ändern. Soll sich jemand bei Ihnen melden?",
        en="I'm sorry, I can no longer change the appointment this close to its start. Shall someone call you?",
        hint="The company sets how long before its start an appointment can be moved or cancelled. Offer a call back.",
    ),
    "cancel_not_allowed": Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="Appointments of this kind cannot be cancelled",
        de="Dieser Termin lässt sich leider nicht absagen. Soll sich jemand bei Ihnen melden?",
        en="I'm sorry, this appointment cannot be cancelled. Shall someone call you?",
        hint="The appointment stands. Offer to move it, or a call back (POST /v1/callbacks).",
    ),
    "reschedule_not_allowed": Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="Appointments of this kind cannot be rescheduled, or not so late",
        de="Dieser Termin lässt sich leider nicht verlegen. Soll sich jemand bei Ihnen melden?",
        en="I'm sorry, this appointment cannot be moved. Shall someone call you?",
        hint="The appointment stands where it is. Offer to keep it, to cancel it, or a call back (POST /v1/callbacks).",
    ),
    "too_many_reschedules": Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="It was moved as often as the company allows",
        de="Diesen Termin kann ich leider nicht noch einmal verlegen. Soll sich jemand bei Ihnen melden?",
        en="I'm sorry, I cannot move this appointment again. Shall someone call you?",
        hint="The appointment stands where it is. Offer to keep it, to cancel it, or a call back.",
    ),
    "configuration_error": Problem(
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
        title="Something is set up wrongly",
        de="Das kann ich Ihnen gerade nicht einrichten. Soll sich jemand bei Ihnen melden?",
        en="I cannot set that up for you right now. Shall someone get back to you?",
        hint="Do not try again: staff must put it right. Say spoken; send who shall be called back to POST"
        " /v1/callbacks.",
    ),
    # the request itself
    "unauthorized": Problem(
        status=HTTPStatus.UNAUTHORIZED,
        title="No valid key was shown",
        hint="Send Authorization: Bearer with a key that is not revoked.",
    ),
    "signature_invalid": Problem(
        status=HTTPStatus.UNAUTHORIZED,
        title="The signature is wrong",
        hint="Sign exactly the bytes that are sent, with a secret of this company, and check the clock.",
    ),
    "scope_missing": Problem(
        status=HTTPStatus.FORBIDDEN,
        title="The key may not do this",
        hint="Use a key that was given this scope.",
    ),
    "request_malformed": Problem(
        status=HTTPStatus.BAD_REQUEST,
        title="The request cannot be read",
        hint=_NOT_FOR_CALLERS,
    ),
    "request_invalid": Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="Something in the request is wrong",
        de="Das habe ich nicht verstanden. Können Sie es noch einmal sagen?",
        en="I did not understand that. Could you say it again?",
        hint="See errors: each names the field and what is wrong with it.",
    ),
    "idempotency_key_required": Problem(
        status=HTTPStatus.BAD_REQUEST,
        title="An Idempotency-Key is required",
        hint="Send Idempotency-Key, made once per wish and repeated with it, or name the conversation.",
    ),
    "window_too_long": Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="The window is too long",
        de="Das ist ein langer Zeitraum. Welche Woche passt Ihnen?",
        en="That is a long time. Which week would suit you?",
        hint="Ask for at most thirty-one days at once.",
    ),
    "request_too_large": Problem(
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        title="The body is too large",
        hint=_NOT_FOR_CALLERS,
    ),
    "unsupported_media_type": Problem(
        status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        title="The body must be JSON",
        hint="Send Content-Type: application/json.",
    ),
    "not_found": Problem(
        status=HTTPStatus.NOT_FOUND,
        title="There is nothing at this address",
        hint=_NOT_FOR_CALLERS,
    ),
    "method_not_allowed": Problem(
        status=HTTPStatus.METHOD_NOT_ALLOWED,
        title="This method is not for this address",
        hint="Use one of the methods that Allow names.",
    ),
    "internal_error": Problem(
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
        title="Something broke",
        hint="Report request_id. A booking may be repeated with the same Idempotency-Key only.",
    ),
}

ACCESS_REFUSED = replace(
    PROBLEMS["upstream_unavailable"],
    retryable=False,
    title="The calendar refuses us access",
    de="An unseren Kalender komme ich gerade nicht heran. Soll Sie jemand zurückrufen?",
    en="I cannot get into our calendar right now. Shall someone call you back?",
    hint="Nothing was changed. Do not try again: staff must put it right. Say spoken, and send who shall be called back"
    " to POST /v1/callbacks: that works without the calendar.",
)
"""Instead of `upstream_unavailable` where Cal.com refuses our key, so that trying again does not help."""
