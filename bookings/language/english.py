"""English: numbers, times and days as people say them."""

from collections.abc import Sequence
from datetime import time

from bookings.language.dates import Day, joined

OR, AND = "or", "and"
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth"}
_ORDINALS |= {"twelve": "twelfth", "twenty": "twentieth", "thirty": "thirtieth"}
# Without them nine may be morning or evening: the clock of speech has twelve hours.
_PARTS = ((5, "at night"), (12, "in the morning"), (18, "in the afternoon"), (24, "in the evening"))


def number(value: int) -> str:
    """Return a number from 0 to 99."""
    tens, ones = divmod(value, 10)
    if value < len(_SMALL):
        return _SMALL[value]
    return f"{_TENS[tens]}-{_SMALL[ones]}" if ones else _TENS[tens]


def clock(at: time) -> str:
    """Return a time of day, such as ten thirty in the morning."""
    return " ".join(filter(None, _hands(at)))


def at_clocks(times: Sequence[time], conjunction: str) -> str:
    """Return times of one day, such as at nine or ten thirty in the morning."""
    hands = [_hands(each) for each in times]
    parts = {part for _, part in hands}
    if len(parts) == 1:
        return f"at {joined([hand for hand, _ in hands], conjunction)} {parts.pop()}".rstrip()
    return f"at {joined([clock(each) for each in times], conjunction)}"


def on(day: Day) -> str:
    """Return on which day, such as on Tuesday."""
    if day.relative:
        return day.relative
    name = f"on {WEEKDAYS[day.date.weekday()]}"
    return f"{name}, {_date(day)}," if day.dated else name


def up_to(day: Day) -> str:
    """Return until which day, such as up to Tuesday, the first of December."""
    return f"up to {WEEKDAYS[day.date.weekday()]}, {_date(day)},"


def alone(day: Day) -> str:
    """Return a day by itself, such as Tuesday, the first of December."""
    if day.relative:
        return day.relative.capitalize()
    weekday = WEEKDAYS[day.date.weekday()]
    return f"{weekday}, {_date(day)}" if day.dated else weekday


def _hands(at: time) -> tuple[str, str]:
    """Return what the hands show, and which half of the day it is, where that is not clear."""
    if at.minute == 0 and at.hour % 12 == 0:
        return ("noon" if at.hour else "midnight"), ""
    hour = number(at.hour % 12 or 12)
    minute = f"oh {number(at.minute)}" if 0 < at.minute < 10 else number(at.minute)
    return (f"{hour} {minute}" if at.minute else hour), next(part for end, part in _PARTS if at.hour < end)


def _date(day: Day) -> str:
    head, dash, last = number(day.date.day).rpartition("-")
    ordinal = f"the {head}{dash}{_ORDINALS.get(last) or last + 'th'}"
    month = f" of {_MONTHS[day.date.month - 1]}" if day.month else ""
    # Callers book a year ahead at most: this century's years will do.
    return ordinal + month + (f" twenty {number(day.date.year % 100)}" if day.year else "")
