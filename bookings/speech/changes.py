"""What callers are told about their appointments: booked, moved, cancelled, found. Only what is known is promised."""

from collections.abc import Mapping

Sentence = Mapping[str, str]
"""By language."""

_PENDING: Mapping[str, Sentence] = {
    "create": {
        "de": "Ich trage den Termin gerade ein. Einen Moment bitte.",
        "en": "I am entering your appointment right now. One moment, please.",
    },
    "move": {
        "de": "Ich verlege den Termin gerade. Einen Moment bitte.",
        "en": "I am moving your appointment right now. One moment, please.",
    },
    "cancel": {
        "de": "Ich sage den Termin gerade ab. Einen Moment bitte.",
        "en": "I am cancelling your appointment right now. One moment, please.",
    },
}
_BOOKED: Sentence = {"de": "Ihr Termin steht.", "en": "Your appointment is booked."}
_MOVED: Sentence = {"de": "Ihr Termin ist verlegt.", "en": "Your appointment has been moved."}
_CANCELLED: Sentence = {"de": "Ihr Termin ist abgesagt.", "en": "Your appointment is cancelled."}
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


def changed(operation: str, status: str, language: str) -> str:
    """Return what may be said about a change: `pending`, or the state that the appointment is in after it."""
    if status == "pending":
        return _PENDING[operation][language]
    known = {"confirmed": _MOVED if operation == "move" else _BOOKED, "cancelled": _CANCELLED}
    return known.get(status, _OVER)[language]


def found(number: int, language: str) -> str:
    """Return what may be said to a caller who is known, about so many appointments of theirs."""
    sentence = _FOUND_NONE if number == 0 else _FOUND_ONE if number == 1 else _FOUND_SEVERAL
    return sentence[language]
