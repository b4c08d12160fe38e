"""What is said about a hold before the caller agrees to it, and the days by name."""

from collections.abc import Mapping
from datetime import date, datetime
from types import ModuleType

from bookings.language import english, german
from bookings.language.dates import dated

LONGEST = 250
"""Characters that one answer may have."""
_SPEECH: Mapping[str, ModuleType] = {"de": german, "en": english}
_WITH = {"de": "bei", "en": "with"}
_AGREED = {"de": "Ist das so richtig?", "en": "Is that right?"}
_AHEAD: Mapping[str, tuple[str, ...]] = {
    "de": ("heute", "morgen", "übermorgen"),
    "en": ("today", "tomorrow", "the day after tomorrow"),
}


def read_back(*, service: str, staff: str, start: datetime, today: date, language: str) -> str:
    """Return what is held, for the caller to agree to. `start` is in the branch's zone; `staff` may be empty."""
    speech = _SPEECH[language]
    when = f"{speech.on(dated(start.date(), today))} {speech.at_clocks([start.time()], '')}"
    spoken = f"{service} {_WITH[language]} {staff} {when}. {_AGREED[language]}" if staff else ""
    return spoken if 0 < len(spoken) <= LONGEST else f"{service} {when}. {_AGREED[language]}"


def day_name(day: date, today: date, language: str) -> str:
    """Return a day as people call it, such as tomorrow, Saturday, the twenty-second of November."""
    ahead, names = (day - today).days, _AHEAD[language]
    spelled = _SPEECH[language].alone(dated(day, today))
    return f"{names[ahead]}, {spelled}" if 0 <= ahead < len(names) else str(spelled)
