"""A caller's words about time become criteria of a search, on the clocks and in the opening hours of a branch."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from bookings.availability.criteria import TimeCriteria
from bookings.errors import AskCaller, PhraseInPast, TimeAmbiguous, TimeNonexistent, TimeNotUnderstood
from bookings.language import understanding
from bookings.language.resolver import Window
from bookings.language.understanding import DEFAULT_HOURS, Understanding
from bookings.models import Branch

OPEN_END = timedelta(days=14)
"""How much of a window without an end is searched at first; an answer says how to go on."""
_VARIANTS = {"de-AT", "de-CH", "en-GB", "en-US"}


@dataclass(frozen=True, slots=True)
class PhraseCriteria:
    """What a phrase asks for, and how that is said back."""

    criteria: TimeCriteria
    understood: str


def criteria_of_phrase(
    phrase: str, *, branch: Branch, language: str, now: datetime, offered: Sequence[datetime] = ()
) -> PhraseCriteria:
    """
    Return what a phrase asks for.

    Args:
        language: "de" or "en"; where the branch is decides between its variants.
        now: aware.
        offered: the starts that the caller was offered last, aware, in that order.

    Raises:
        TimeNotUnderstood, TimeAmbiguous, TimeNonexistent, PhraseInPast: with the question to ask.
    """
    zone = ZoneInfo(branch.time_zone)
    variant = f"{language}-{branch.phone_region}"
    found = understanding.understand(
        phrase,
        language=variant if variant in _VARIANTS else language,
        now=_local(now, zone),
        zone=zone,
        hours=_hours(branch),
        region=branch.phone_region,
        offered=[_local(start, zone) for start in offered],
    )
    if found.ask:
        raise _question(found, zone)
    return PhraseCriteria(_criteria(found, zone), found.spoken)


def _hours(branch: Branch) -> Sequence[Sequence[tuple[int, int]]]:
    """Return the opening hours; without any, those that are usual: "at three" does not mean the night."""
    if not branch.opening_hours:
        return DEFAULT_HOURS
    return branch.hours().by_weekday


def _criteria(found: Understanding, zone: ZoneInfo) -> TimeCriteria:
    if len(found.windows) == 1 and _is_exact(found.windows[0]):
        return TimeCriteria.at(found.windows[0][0].replace(tzinfo=zone))
    spans = [(first, last or first + OPEN_END) for first, last in found.windows]
    return TimeCriteria.between(
        [(first.replace(tzinfo=zone), last.replace(tzinfo=zone)) for first, last in spans], found.part
    )


def _is_exact(window: Window) -> bool:
    first, last = window
    return last is not None and last - first == timedelta(minutes=1)


def _question(found: Understanding, zone: ZoneInfo) -> AskCaller:
    error: AskCaller
    match found.code:
        case understanding.AMBIGUOUS:
            readings = [first.replace(tzinfo=zone) for first, _ in found.windows]
            error = TimeAmbiguous("The caller's words may be read in several ways.", readings=readings)
        case understanding.NONEXISTENT:
            error = TimeNonexistent("Clocks are set forward then and skip this time.")
        case understanding.IN_PAST:
            error = PhraseInPast("The caller's words name a time that has passed.")
        case _:
            error = TimeNotUnderstood("The caller's words are not understood.")
    error.question, error.other_language = found.question, found.other_language
    return error


def _local(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)
