"""What callers hear about holds and appointments: read back, booked, moved, cancelled, found."""

from collections.abc import Mapping
from datetime import date, datetime

from bookings.language.dates import dated
from bookings.language.sentences import LANGUAGES, LONGEST

Sentence = Mapping[str, str]
"""By language."""

_PENDING: Mapping[str, Sentence] = {
    "create": {
        "de": "Ich trage den Termin gerade ein. Einen Moment bitte.",
        "en": "I am entering your appointment right now. One moment, please.",
    },
    "reschedule": {
        "de": "Ich verlege den Termin gerade. Einen Moment bitte.",
        "en": "I am moving your appointment right now. One moment, please.",
    },
    "cancel": {
        "de": "Ich sage den Termin gerade ab. Einen Moment bitte.",
        "en": "I am cancelling your appointment right now. One moment, please.",
    },
}
_WAITING: Mapping[str, Sentence] = {
    "create": {
        "de": "Unser Kalender antwortet gerade nicht. Ich habe Ihren Wunsch notiert und trage ihn ein, sobald es geht."
        " Sicher ist der Termin noch nicht.",
        "en": "Our calendar is not answering right now. I have noted your wish, and will enter it as soon as I can. The"
        " appointment is not certain yet.",
    },
    "reschedule": {
        "de": "Unser Kalender antwortet gerade nicht. Ich habe notiert, dass Sie verlegen möchten. Bis ich es eintragen"
        " kann, gilt der alte Termin.",
        "en": "Our calendar is not answering right now. I have noted that you would like to move it. Until I can enter"
        " that, the old appointment stands.",
    },
    "cancel": {
        "de": "Unser Kalender antwortet gerade nicht. Ich habe Ihre Absage notiert und trage sie ein, sobald es geht.",
        "en": "Our calendar is not answering right now. I have noted that you cancel, and will enter it as soon as I"
        " can.",
    },
}
_AWAITING: Mapping[str, Sentence] = {
    "create": {
        "de": "Ich habe den Termin angefragt. Er ist erst sicher, wenn er bestätigt ist.",
        "en": "I have requested the appointment. It is only certain once it has been confirmed.",
    },
    "reschedule": {
        "de": "Ich habe den neuen Termin angefragt. Er ist erst sicher, wenn er bestätigt ist.",
        "en": "I have requested the new time. It is only certain once it has been confirmed.",
    },
}
_WITH: Sentence = {"de": "bei", "en": "with"}
_AGREED: Sentence = {"de": "Ist das so richtig?", "en": "Is that right?"}
_AHEAD: Mapping[str, tuple[str, ...]] = {
    "de": ("heute", "morgen", "übermorgen"),
    "en": ("today", "tomorrow", "the day after tomorrow"),
}
_BOOKED: Sentence = {"de": "Ihr Termin steht.", "en": "Your appointment is booked."}
_MOVED: Sentence = {"de": "Ihr Termin ist verlegt.", "en": "Your appointment has been moved."}
_TAKES_NOW: Sentence = {"de": "Er dauert jetzt {minutes} Minuten.", "en": "It takes {minutes} minutes now."}
_CANCELLED: Sentence = {"de": "Ihr Termin ist abgesagt.", "en": "Your appointment is cancelled."}
_NOT_MADE: Sentence = {
    "de": "Dieser Termin ist leider nicht zustande gekommen.",
    "en": "I'm sorry, that appointment was not confirmed.",
}
_OVER: Sentence = {"de": "Dieser Termin ist schon vorbei.", "en": "That appointment is already over."}

_FOUND_NONE: Sentence = {
    "de": "Unter Ihrer Nummer finde ich keinen kommenden Termin.",
    "en": "I cannot find an upcoming appointment under your number.",
}
_FOUND_ONE: Sentence = {"de": "Ich habe Ihren Termin gefunden.", "en": "I have found your appointment."}
_FOUND_SEVERAL: Sentence = {
    "de": "Ich habe mehrere Termine von Ihnen gefunden. Um welchen geht es?",
    "en": "I have found several appointments of yours. Which one is it about?",
}

_CALL_THIS_NUMBER: Sentence = {
    "de": "Ich habe es notiert. Es ruft Sie jemand unter der Nummer zurück, von der Sie anrufen.",
    "en": "I have made a note of it. Someone will call you back on the number you are calling from.",
}
_CALL_THE_NUMBER: Sentence = {
    "de": "Ich habe es notiert. Es ruft Sie jemand unter der Nummer zurück, die Sie genannt haben.",
    "en": "I have made a note of it. Someone will call you back on the number you gave me.",
}
_CALL_IF_EARLIER: Sentence = {
    "de": "Ich habe es notiert. Ihr Termin bleibt bestehen, und wenn früher etwas frei wird, ruft Sie jemand an.",
    "en": "I have made a note of it. Your appointment stays, and someone will call you if an earlier time opens.",
}
_CALLED_BEFORE: Sentence = {
    "de": "Darum hat sich schon jemand gekümmert.",
    "en": "Someone has taken care of that already.",
}


def read_back(*, service: str, staff: str, start: datetime, today: date, language: str) -> str:
    """Return the details of a hold for the caller to confirm. `start` is in the branch's zone; `staff` may be empty."""
    words, _ = LANGUAGES[language]
    when = f"{words.on(dated(start.date(), today))} {words.at_clocks([start.time()], '')}"
    spoken = f"{service} {_WITH[language]} {staff} {when}. {_AGREED[language]}" if staff else ""
    return spoken if 0 < len(spoken) <= LONGEST else f"{service} {when}. {_AGREED[language]}"


def day_name(day: date, today: date, language: str) -> str:
    """Return a day as people call it, such as tomorrow, Saturday, the twenty-second of November."""
    ahead, names = (day - today).days, _AHEAD[language]
    spelled = LANGUAGES[language][0].alone(dated(day, today))
    return f"{names[ahead]}, {spelled}" if 0 <= ahead < len(names) else spelled


def operation_outcome(kind: str, status: str, language: str) -> str:
    """
    Return what may be said about the outcome of an operation.

    `status` is `pending`, `waiting` where it is pending because Cal.com cannot be asked, or the state that the
    appointment is in after it.
    """
    if status in {"pending", "waiting"}:
        return (_PENDING if status == "pending" else _WAITING)[kind][language]
    if status == "awaiting_confirmation":
        return _AWAITING.get(kind, _AWAITING["create"])[language]
    known = {
        "confirmed": _MOVED if kind == "reschedule" else _BOOKED,
        "cancelled": _CANCELLED,
        "rejected": _NOT_MADE,
        "expired": _NOT_MADE,
    }
    return known.get(status, _OVER)[language]


def new_length(minutes: int, language: str) -> str:
    """Return what is said where the length of an appointment has changed."""
    return _TAKES_NOW[language].format(minutes=minutes)


def callback_noted(*, done: bool, own_number: bool, language: str) -> str:
    """Return what a caller who asked for a callback may hear; the number itself is never read out."""
    sentence = _CALLED_BEFORE if done else _CALL_THIS_NUMBER if own_number else _CALL_THE_NUMBER
    return sentence[language]


def earlier_noted(language: str) -> str:
    """Return what a caller hears who keeps the appointment and waits for an earlier one."""
    return _CALL_IF_EARLIER[language]


def appointments_found(number: int, language: str) -> str:
    """Return what an identified caller hears who has so many upcoming appointments."""
    sentence = _FOUND_NONE if number == 0 else _FOUND_ONE if number == 1 else _FOUND_SEVERAL
    return sentence[language]
