"""Where things stand on the board of a day."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookings.admin.day_board import LEAST, Entry, Scale, Span, minute_of
from tests.factories import BERLIN

DAY = Scale(9 * 60, 18 * 60)


def test_scale_shows_whole_hours_around_everything():
    """An appointment before opening makes the board longer, not itself invisible."""
    assert Scale.around([(9 * 60, 18 * 60), (7 * 60 + 45, 8 * 60 + 15)]) == Scale(7 * 60, 18 * 60)
    assert Scale.around([(9 * 60, 17 * 60 + 1)]).last == 18 * 60
    assert Scale.around([]) == Scale(8 * 60, 18 * 60)
    assert [name for name, _ in DAY.hours] == [f"{hour}:00" for hour in range(9, 18)]


def test_entries_apart_take_the_whole_width():
    blocks = DAY.place([Entry(600, 660, "b"), Entry(540, 600, "a")])

    assert [(block.content, block.left, block.width) for block in blocks] == [("a", 0, 100), ("b", 0, 100)]
    assert (blocks[0].top, blocks[0].height) == (0, pytest.approx(11.111))


def test_overlapping_entries_stand_beside_each_other():
    """The third one finds room in the lane that has become free."""
    blocks = {
        block.content: block for block in DAY.place([Entry(540, 600, "a"), Entry(570, 660, "b"), Entry(600, 630, "c")])
    }

    assert {name: (block.left, block.width) for name, block in blocks.items()} == {
        "a": (0, 50),
        "b": (50, 50),
        "c": (0, 50),
    }


def test_short_entry_is_high_enough_to_be_read():
    """The next one, which begins before it ends on the board, stands beside it."""
    short, following = DAY.place([Entry(540, 545, "short"), Entry(545, 600, "next")])

    assert short.height == DAY.span(540, 540 + LEAST).height
    assert short.minutes == 5
    assert {short.width, following.width} == {50}


def test_closed_time_is_what_lies_outside_of_opening_hours():
    assert DAY.outside([(10 * 60, 12 * 60), (14 * 60, 18 * 60)]) == [DAY.span(540, 600), DAY.span(720, 840)]
    assert DAY.outside([]) == [Span(0, 100)]
    assert DAY.outside([(0, 1440)]) == []


def test_minutes_are_those_of_the_wall_clock_when_clocks_change():
    """On 25 October 2026 the hour from two to three comes twice; ten o'clock is ten o'clock all the same."""
    day = date(2026, 10, 25)

    assert minute_of(datetime(2026, 10, 25, 9, 0, tzinfo=UTC), day, BERLIN) == 10 * 60
    assert minute_of(datetime(2026, 10, 24, 20, 0, tzinfo=UTC), day, BERLIN) == 0
    assert minute_of(datetime(2026, 10, 26, 9, 0, tzinfo=UTC), day, BERLIN) == 1440


@given(st.lists(st.tuples(st.integers(540, 1050), st.integers(1, 120)), max_size=25))
def test_no_two_blocks_cover_each_other(times):
    """Whatever overlaps in time, all of it can be read."""
    blocks = DAY.place([Entry(start, min(start + length, 1080), n) for n, (start, length) in enumerate(times)])

    assert sorted(block.content for block in blocks) == list(range(len(times)))
    for number, one in enumerate(blocks):
        for other in blocks[:number]:
            apart_in_time = one.top >= other.top + other.height - 0.01 or other.top >= one.top + one.height - 0.01
            apart_in_width = one.left >= other.left + other.width - 0.01 or other.left >= one.left + one.width - 0.01
            assert apart_in_time or apart_in_width
