"""When holidays are: those that move with Easter or stand in every calendar, and those of a region by `holidays`."""

from datetime import date, timedelta
from functools import cache

A_DAY = timedelta(days=1)
_AFTER_EASTER = {
    "rose_monday": -48, "ash_wednesday": -46, "good_friday": -2, "easter_sunday": 0, "easter_monday": 1,
    "ascension": 39, "whit_sunday": 49, "whit_monday": 50, "corpus_christi": 60,
}  # fmt: skip
_FIXED = {
    "neujahr": (1, 1), "new_years_day": (1, 1), "epiphany": (1, 6), "valentines": (2, 14), "labour_day": (5, 1),
    "independence_day": (7, 4), "assumption": (8, 15), "halloween": (10, 31), "reformation": (10, 31),
    "all_saints": (11, 1), "veterans_day": (11, 11), "st_nicholas": (12, 6), "christmas_eve": (12, 24),
    "christmas_day": (12, 25), "boxing_day": (12, 26), "new_years_eve": (12, 31),
}  # fmt: skip
_STRETCHES = {"christmas": (24, 27), "between_the_years": (27, 32)}
_NATIONAL = {"DE": "German Unity Day", "AT": "National Day", "CH": "National Day"}


def holiday_dates(key: str, today: date, region: str | None) -> tuple[list[tuple[date, date]], bool]:
    """
    Return the next dates of a holiday as [first, last), and whether they are beyond doubt; none where it is unknown.

    Args:
        region: a country, or a country and its subdivision: DE, DE-BY, US.
    """
    for year in (today.year, today.year + 1):
        found = _in_year(key, year, region)
        if found and found[1] > today:
            return [found], True
    return [], True


def _in_year(key: str, year: int, region: str | None) -> tuple[date, date] | None:
    easter = easter_of(year)
    if key in _AFTER_EASTER:
        return _day(easter + _AFTER_EASTER[key] * A_DAY)
    if key in _FIXED:
        return _day(date(year, *_FIXED[key]))
    if key in {"easter", "pentecost"}:
        begins = easter + (49 if key == "pentecost" else -2) * A_DAY
        return begins, easter + (51 if key == "pentecost" else 2) * A_DAY
    if key in _STRETCHES:
        first, last = _STRETCHES[key]
        return date(year, 12, first), date(year, 12, first) + (last - first) * A_DAY
    if key.startswith("advent_"):
        fourth = date(year, 12, 24) - ((date(year, 12, 24).weekday() + 1) % 7) * A_DAY
        return _day(fourth - (4 - int(key[-1])) * 7 * A_DAY)
    return _of_region(key, year, region)


def _of_region(key: str, year: int, region: str | None) -> tuple[date, date] | None:
    """Look a holiday up by its English name, underscores for spaces, in the calendar of the region."""
    if not region:
        return None
    name = _NATIONAL.get(region[:2], "") if key == "national_day" else key.replace("_", " ")
    days = _calendar(region, year)
    return next((_day(each) for each, names in days if name and name.lower() in names), None)


@cache
def _calendar(region: str, year: int) -> list[tuple[date, str]]:
    import holidays  # noqa: PLC0415  slow to import, and rarely asked for

    country, _, subdivision = region.partition("-")
    days = holidays.country_holidays(country, subdiv=subdivision or None, years=year, language="en_US")
    return sorted((day, name.lower()) for day, name in days.items())


def easter_of(year: int) -> date:
    """Return Easter Sunday of the Gregorian calendar."""
    # Gauss's algorithm in the form of Meeus, Jones and Butcher.
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    m = (32 + 2 * e + 2 * i - h - k) % 7
    n = (a + 11 * h + 19 * m) // 433
    month = (h + m - 7 * n + 90) // 25
    return date(year, month, (h + m - 7 * n + 33 * month + 19) % 32)


def _day(day: date) -> tuple[date, date]:
    return day, day + A_DAY
