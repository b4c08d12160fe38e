"""What is assembled by hand is what the standard library would have said."""

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookings.api import presenters

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns", "UTC"]
MINUTES = st.integers(min_value=28_000_000, max_value=36_000_000)  # 2023 to 2038, as epoch minutes


def _slots(starts: list[int], zone: str, minutes: int = 30, language: str = "en") -> list[dict[str, str]]:
    return json.loads(orjson.dumps(presenters.slots(tuple(starts), zone=zone, minutes=minutes, language=language)))


@given(starts=st.lists(MINUTES, max_size=20), zone=st.sampled_from(ZONES), minutes=st.integers(5, 600))
def test_slots_have_the_branch_offset(starts: list[int], zone: str, minutes: int) -> None:
    """FM-50: each start and end carries the offset that clocks there have at that very moment."""
    for start, slot in zip(starts, _slots(starts, zone, minutes), strict=True):
        local = datetime.fromtimestamp(start * 60, ZoneInfo(zone))
        assert slot["start"] == local.isoformat()
        assert (
            slot["end"] == (local.astimezone(UTC) + timedelta(minutes=minutes)).astimezone(ZoneInfo(zone)).isoformat()
        )
        assert slot["weekday"] == presenters.WEEKDAYS["en"][local.weekday()]


@pytest.mark.parametrize(
    ("zone", "before", "offsets"),
    [
        ("Europe/Berlin", "2026-10-25T00:30+00:00", ["+02:00", "+01:00", "+01:00"]),
        ("Europe/Berlin", "2027-03-28T00:30+00:00", ["+01:00", "+02:00", "+02:00"]),
        ("America/New_York", "2026-11-01T05:30+00:00", ["-04:00", "-05:00", "-05:00"]),
        ("Australia/Lord_Howe", "2027-04-03T14:30+00:00", ["+11:00", "+10:30", "+10:30"]),
    ],
)
def test_clock_change_night_has_distinct_slots(zone: str, before: str, offsets: list[str]) -> None:
    """FM-50: the offset tells apart the two hours that clocks show twice."""
    start = int(datetime.fromisoformat(before).timestamp()) // 60

    said = [slot["start"] for slot in _slots([start, start + 30, start + 60], zone)]

    assert [text[-6:] for text in said] == offsets
    assert len(set(said)) == 3


def test_weekdays_follow_the_requested_language() -> None:
    """The weekday is the branch's, not that of UTC."""
    late = int(datetime(2026, 11, 23, 23, 30, tzinfo=UTC).timestamp()) // 60

    assert _slots([late], "Europe/Berlin", language="de")[0]["weekday"] == "Dienstag"
    assert _slots([late], "America/New_York", language="en")[0]["weekday"] == "Monday"
