"""Instants as seconds since 1970, and how Cal.com reads and writes them."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

DAY = 86_400

_ZONES = available_timezones()
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def parse_exact(text: object) -> float | None:
    """Parse ISO 8601, UTC by default; `None` for anything else."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def parse(text: object) -> int | None:
    """Parse ISO 8601 to whole seconds; `None` for anything else."""
    instant = parse_exact(text)
    return None if instant is None else int(instant)


def moment(text: str) -> datetime:
    """Parse ISO 8601 as an aware instant; raises `ValueError` for anything else."""
    instant = parse_exact(text)
    if instant is None:
        raise ValueError(f"{text!r} is not an ISO 8601 date and time")
    return datetime.fromtimestamp(instant, UTC)


def is_date(text: str) -> bool:
    """Return whether the text is a date without a time."""
    return _DATE.fullmatch(text) is not None


def is_zone(name: object) -> bool:
    return name in _ZONES


def millis(instant: float) -> str:
    """Write `2026-11-23T14:00:00.000Z`, the API's spelling."""
    day, seconds = divmod(instant, DAY)
    minutes, rest = divmod(seconds, 60)
    return f"{_day(int(day))}T{_clock(int(minutes))}:{rest:06.3f}Z" if rest < 59.9995 else millis(round(instant))


def local_millis(instant: int, zone: ZoneInfo) -> str:
    """Write `2026-11-23T09:00:00.000-05:00`."""
    return datetime.fromtimestamp(instant, zone).isoformat(timespec="milliseconds")


def plain(instant: int) -> str:
    """Write `2026-11-23T14:00:00Z`, the spelling of some webhooks."""
    return f"{millis(instant)[:19]}Z"


def offset(instant: int) -> str:
    """Write `2026-11-23T14:00:00+00:00`, the spelling of webhooks about cancellations."""
    return f"{millis(instant)[:19]}+00:00"


def utc_offset_minutes(instant: int, zone: str) -> int:
    """Return how far the zone is ahead of UTC at that instant."""
    ahead = datetime.fromtimestamp(instant, ZoneInfo(zone)).utcoffset()
    return int(ahead.total_seconds()) // 60 if ahead else 0


@lru_cache(maxsize=4096)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * DAY, UTC).date().isoformat()


@lru_cache(maxsize=1440)
def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
