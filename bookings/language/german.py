"""German: numbers, times and days as people say them."""

from collections.abc import Sequence
from datetime import time

from bookings.language.dates import Day, joined

OR, AND = "oder", "und"
WEEKDAYS = ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag")
_MONTHS = (
    "Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November",
    "Dezember",
)  # fmt: skip
_SMALL = (
    "null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "elf", "zwölf",
    "dreizehn", "vierzehn", "fünfzehn", "sechzehn", "siebzehn", "achtzehn", "neunzehn",
)  # fmt: skip
_TENS = ("", "", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig")
_ORDINALS = {1: "ersten", 3: "dritten", 7: "siebten", 8: "achten"}
_RELATIVE = {"today": "heute", "tomorrow": "morgen"}


def number(value: int) -> str:
    """Return a number from 0 to 99."""
    tens, ones = divmod(value, 10)
    if value < len(_SMALL):
        return _SMALL[value]
    return ("" if ones == 0 else f"{'ein' if ones == 1 else _SMALL[ones]}und") + _TENS[tens]


def clock(at: time) -> str:
    """Return a time of day, such as zehn Uhr dreißig."""
    hour = "ein" if at.hour == 1 else number(at.hour)
    return f"{hour} Uhr {number(at.minute)}" if at.minute else f"{hour} Uhr"


def at_clocks(times: Sequence[time], conjunction: str) -> str:
    """Return times of one day, such as um neun Uhr oder zehn Uhr dreißig."""
    return f"um {joined([clock(each) for each in times], conjunction)}"


def on(day: Day) -> str:
    """Return on which day, such as am Dienstag."""
    if day.relative:
        return _RELATIVE[day.relative]
    name = f"am {WEEKDAYS[day.date.weekday()]}"
    return f"{name}, dem {_date(day)}," if day.dated else name


def up_to(day: Day) -> str:
    """Return until which day, such as bis Dienstag, den ersten Dezember."""
    return f"bis {WEEKDAYS[day.date.weekday()]}, den {_date(day)},"


def alone(day: Day) -> str:
    """Return a day by itself, such as Dienstag, erster Dezember."""
    if day.relative:
        return _RELATIVE[day.relative].capitalize()
    weekday = WEEKDAYS[day.date.weekday()]
    ordinal, *rest = _date(day).split(" ")
    return f"{weekday}, {' '.join((ordinal[:-1] + 'r', *rest))}" if day.dated else weekday


def _date(day: Day) -> str:
    value = day.date.day
    ordinal = _ORDINALS.get(value) or number(value) + ("ten" if value < len(_SMALL) else "sten")
    month = f" {_MONTHS[day.date.month - 1]}" if day.month else ""
    # Callers book a year ahead at most: this century's years will do.
    return ordinal + month + (f" zweitausend{number(day.date.year % 100)}" if day.year else "")
