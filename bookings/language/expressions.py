"""
The parts of speech about time that every language's grammar builds, and the one resolver reads.

A phrase is a flat sequence of items, in the order in which they were said: days, times of day, limits, and the words
that join them. What belongs together is the resolver's business, the same for all languages.
"""

from dataclasses import dataclass
from datetime import date
from enum import Enum, StrEnum

from bookings.availability.criteria import PartOfDay


class Which(StrEnum):
    """Which of several days, weeks or months of the name."""

    PLAIN = "plain"
    THIS = "this"
    COMING = "coming"
    """The first one to come, beyond doubt."""
    NEXT = "next"
    """People differ: the first one to come, or the one of the week after this."""
    AFTER_NEXT = "after_next"


class Edge(StrEnum):
    """A part of a week or month."""

    START = "start"
    MIDDLE = "middle"
    END = "end"


class Unit(StrEnum):
    """What spans are counted in."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Bound(StrEnum):
    """How a limit lies to what it names."""

    FROM = "from"
    AFTER = "after"
    """Of a clock time, from it; of a day, from the next one."""
    UNTIL = "until"
    """Of a clock time, before it; of a day, to its end."""
    BEFORE = "before"
    LATEST = "latest"
    """Of a clock time, including it; of a day, to its end."""


class Joint(Enum):
    """A word between items."""

    OR = "or"
    AND = "and"
    BUT = "but"
    """What follows narrows all that was said, or replaces what was excluded."""
    COMMA = "comma"
    NOT = "not"
    """Excludes what follows or, at the end of a clause, what stands before."""
    NOT_THAT = "not_that"
    """Excludes what stands before; where nothing does, what follows."""
    IF = "if"
    """Until the next joint: what may not be possible."""
    CORRECTION = "correction"
    """What follows replaces what was said before of its kind."""
    EARLIEST = "earliest"
    OPEN = "open"
    """Any time will do."""
    ALWAYS = "always"
    """Makes a day a habit."""
    OR_LATER = "or_later"
    OR_EARLIER = "or_earlier"


@dataclass(frozen=True, slots=True)
class RelativeDay:
    """So many days from today."""

    days: int


@dataclass(frozen=True, slots=True)
class Weekday:
    """A day by its name, 0 for Monday."""

    index: int
    which: Which = Which.PLAIN
    habit: bool = False
    """Every such day."""


@dataclass(frozen=True, slots=True)
class Week:
    """A calendar week, Monday to Sunday, counted from this one; with `edge`, a part of it."""

    ahead: int
    edge: Edge | None = None


@dataclass(frozen=True, slots=True)
class Weekend:
    """Saturday and Sunday."""

    which: Which = Which.PLAIN


@dataclass(frozen=True, slots=True)
class Workdays:
    """Monday to Friday."""


@dataclass(frozen=True, slots=True)
class DayOfMonth:
    """A date as far as it was said."""

    day: int
    month: int | None = None
    year: int | None = None


@dataclass(frozen=True, slots=True)
class EitherDate:
    """A date of two numbers that people order differently."""

    one: DayOfMonth
    other: DayOfMonth


@dataclass(frozen=True, slots=True)
class Month:
    """A month by its number, or counted from this one; with `edge`, a part of it."""

    number: int | None = None
    ahead: int = 0
    edge: Edge | None = None
    year: int | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """So much from now or, after a day, from that day."""

    count: int
    unit: Unit
    vague: bool = True
    """People also mean the week or month around that day."""


@dataclass(frozen=True, slots=True)
class Holiday:
    """A holiday by its key in `holiday_dates`."""

    key: str


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day. Hours to 12 may be of either half of the day, unless `exact`."""

    hour: int
    minute: int = 0
    exact: bool = False
    """Said so that only one half of the day is meant."""
    unsure: bool = False
    """An hour later for people of another region."""


@dataclass(frozen=True, slots=True)
class Around:
    """About a clock time, in minutes before and after it."""

    clock: Clock
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of the day in minutes since midnight, such as a part of the day or after lunch."""

    first: int
    last: int
    part: PartOfDay | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound on days or times."""

    bound: Bound
    of: "Day | Clock | Band | tuple[Item, ...]"


@dataclass(frozen=True, slots=True)
class Between:
    """Two bounds of one kind."""

    first: "Day | Clock"
    last: "Day | Clock"


@dataclass(frozen=True, slots=True)
class OfferChoice:
    """One of the times offered before: by its number from 1, or -1 for the last."""

    number: int


@dataclass(frozen=True, slots=True)
class OfferShift:
    """Later or earlier than what was offered: in minutes, or None where it was not said by how much."""

    direction: int
    minutes: int | None = None


Day = RelativeDay | Weekday | Week | Weekend | Workdays | DayOfMonth | EitherDate | Month | Span | Holiday
TimeOfDay = Clock | Around | Band
Item = Day | TimeOfDay | Limit | Between | OfferChoice | OfferShift | Joint
DAYS = (RelativeDay, Weekday, Week, Weekend, Workdays, DayOfMonth, EitherDate, Month, Span, Holiday)
TIMES = (Clock, Around, Band)


def part(of: PartOfDay) -> Band:
    """Return the stretch that is a part of the day."""
    first, last = of.hours
    return Band(first * 60, last * 60, of)


def full_date(value: date) -> DayOfMonth:
    """Return a date of which nothing is left open."""
    return DayOfMonth(value.day, value.month, value.year)


MORNING, NOON, AFTERNOON, EVENING = (part(each) for each in PartOfDay)
EARLY_MORNING = Band(5 * 60, 10 * 60, PartOfDay.MORNING)
LATE_MORNING = Band(10 * 60, 12 * 60, PartOfDay.MORNING)
EARLY_AFTERNOON = Band(12 * 60, 15 * 60, PartOfDay.AFTERNOON)
LATE_AFTERNOON = Band(15 * 60, 18 * 60, PartOfDay.AFTERNOON)
EARLY_EVENING = Band(17 * 60, 19 * 60, PartOfDay.EVENING)
LATE_EVENING = Band(20 * 60, 24 * 60, PartOfDay.EVENING)
