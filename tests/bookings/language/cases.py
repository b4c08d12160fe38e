"""Answers as callers hear them, by name: each has its sentence in every golden file."""

from collections.abc import Callable
from datetime import date, datetime, timedelta

from bookings.availability.rules import Reason
from bookings.availability.search import Status
from bookings.language import sentences
from bookings.language.sentences import SearchResult, Time

FRIDAY = date(2026, 11, 20)


def at(days: int, hour: int, minute: int = 0, *, other: bool = False) -> Time:
    """A time so many days after that Friday."""
    return Time(datetime(2026, 11, 20, hour, minute) + timedelta(days=days), with_other=other)  # noqa: DTZ001  local


def result(status: Status, *times: Time, until: int = 13, **more: object) -> Callable[[str], str]:
    """What is said about a search, by language."""
    found = SearchResult(status, times, FRIDAY, FRIDAY + timedelta(days=until), **more)
    return lambda language: sentences.search_result(found, language)


_FREE, _OTHERS, _NONE, _UNSURE = Status.AVAILABLE, Status.ALTERNATIVES, Status.NONE, Status.DEGRADED
_MORNING = (at(4, 9), at(4, 10, 30), at(4, 11, 30))

CASES: dict[str, Callable[[str], str]] = {
    "the time that was asked for": result(_FREE, at(4, 10), exact=True),
    "the time that was asked for, half past": result(_FREE, at(1, 10, 30), exact=True),
    "the time that was asked for, with Emma": result(_FREE, at(4, 14), exact=True, staff="Emma"),
    "the time that was asked for, held": result(_FREE, at(4, 10), exact=True, held=True),
    "three times of one morning": result(_FREE, *_MORNING),
    "two times of one day, before and after noon": result(_FREE, at(4, 9), at(4, 14)),
    "one time in the window": result(_FREE, at(0, 17, 45)),
    "two days": result(_FREE, at(4, 9), at(4, 10, 30), at(5, 9)),
    "three days, with Emma": result(_FREE, at(0, 12), at(1, 13, 5), at(6, 0, 30), staff="Emma"),
    "weekdays a week ahead and more need their date": result(_FREE, at(6, 9), at(7, 9), at(11, 9)),
    "the month and the year are said once": result(_FREE, at(46, 9), at(47, 9)),
    "the days of two months": result(_FREE, at(10, 9), at(12, 9)),
    "fully booked": result(_OTHERS, at(4, 11, 30), at(5, 9), reason=Reason.FULLY_BOOKED),
    "fully booked, one time instead": result(_OTHERS, at(4, 11, 30), reason=Reason.FULLY_BOOKED),
    "closed": result(_OTHERS, at(1, 9), at(3, 9), reason=Reason.CLOSED),
    "in the past": result(_OTHERS, at(0, 16), at(1, 10), at(3, 10), reason=Reason.DATE_IN_PAST),
    "too soon": result(_OTHERS, at(0, 18), reason=Reason.TOO_SOON),
    "too far": result(_OTHERS, at(89, 9), at(90, 9), reason=Reason.TOO_FAR),
    "something else than what was offered": result(_OTHERS, at(4, 13), at(4, 15)),
    "Emma is not free, at other times she is": result(
        _OTHERS, at(4, 11), at(5, 10), reason=Reason.FULLY_BOOKED, staff="Emma"
    ),
    "Emma is busy, and another person is free": result(
        _OTHERS, at(4, 10, other=True), at(4, 10, 30), at(5, 9), reason=Reason.FULLY_BOOKED, staff="Emma"
    ),
    "only another person is free": result(_OTHERS, at(4, 10, other=True), reason=Reason.FULLY_BOOKED, staff="Emma"),
    "nothing until the end": result(_NONE, until=90, reason=Reason.FULLY_BOOKED),
    "nothing, and it was closed": result(_NONE, until=90, reason=Reason.CLOSED),
    "nothing in two weeks": result(_NONE, reason=Reason.FULLY_BOOKED, further=True),
    "not certain": result(_UNSURE, at(4, 10)),
    "not certain, several": result(_UNSURE, *_MORNING, staff="Emma"),
    "nothing is known": result(_UNSURE),
    "nothing is known, and it was closed": result(_UNSURE, reason=Reason.CLOSED),
    "so many far days that not all can be told": result(
        _OTHERS, at(20, 17, 45), at(34, 17, 45), at(48, 17, 45), reason=Reason.TOO_FAR
    ),
    "the name is unknown": lambda language: sentences.which_person(["Emma", "Ben"], several=False, language=language),
    "the name is unknown, and no staff can be requested": lambda language: sentences.which_person(
        [], several=False, language=language
    ),
    "several are called so": lambda language: sentences.which_person(
        ["Anna Kurz", "Anna Lang"], several=True, language=language
    ),
    "no certain person can be promised": sentences.any_person,
}
