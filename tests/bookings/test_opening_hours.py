"""Opening hours are local; what comes of them are instants, also on the nights when clocks are changed."""

from datetime import UTC, datetime

import pytest

from bookings.opening_hours import Hours

DAILY = {day: [["09:00", "18:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}


def opened(hours, day):
    """When it is open on a UTC date, as text in UTC."""
    noon = datetime.fromisoformat(f"{day}T12:00:00+00:00")
    spans = [tuple(datetime.fromtimestamp(minute * 60, UTC) for minute in span) for span in hours.between(noon, noon)]
    return [(start.strftime("%H:%M"), end.strftime("%H:%M")) for start, end in spans if start.date().isoformat() == day]


@pytest.mark.parametrize(
    ("day", "utc"),
    [
        ("2026-10-24", ("07:00", "16:00")),
        ("2026-10-25", ("08:00", "17:00")),
        ("2027-03-27", ("08:00", "17:00")),
        ("2027-03-28", ("07:00", "16:00")),
        ("2028-02-29", ("08:00", "17:00")),
    ],
)
def test_clocks_decide_when_it_opens(day, utc):
    """FM-50."""
    assert opened(Hours.parse("Europe/Berlin", DAILY, []), day) == [utc]


def test_open_across_midnight_is_one_time():
    """A slot may begin on one day and end on the next."""
    bar = {"fri": [["20:00", "24:00"]], "sat": [["00:00", "02:00"]]}
    friday = datetime(2026, 11, 27, 21, tzinfo=UTC)

    (night,) = Hours.parse("Europe/Berlin", bar, []).between(friday, friday)
    assert (night[1] - night[0]) == 6 * 60


def test_closures_close_and_without_hours_nothing_else_does():
    """Whatever Cal.com offers will do, except on these days."""
    hours = Hours.parse("Europe/Berlin", {}, [{"first": "2026-12-24", "last": "2026-12-26"}])

    assert opened(hours, "2026-12-25") == []
    assert [end for _, end in opened(hours, "2026-12-26")] != []


@pytest.mark.parametrize(
    "written",
    [
        {"monday": []},
        {"mon": "09:00-18:00"},
        {"mon": [["9", "18"]]},
        {"mon": [["18:00", "09:00"]]},
        {"mon": [["09:00", "13:00"], ["12:00", "18:00"]]},
        {"mon": [["09:00", "25:00"]]},
        {"mon": [["09:00:30", "18:00"]]},
        ["mon"],
    ],
)
def test_hours_that_nobody_could_go_by_are_refused(written):
    """The person who types them reads what is expected."""
    with pytest.raises(ValueError, match=r"weekday|hours of mon"):
        Hours.parse("Europe/Berlin", written, [])


@pytest.mark.parametrize("written", [{"first": "2026-12-24"}, [{"first": "2026-12-24"}], [{"first": "x", "last": "y"}]])
def test_closures_that_nobody_could_go_by_are_refused(written):
    """The same for closures."""
    with pytest.raises(ValueError, match="Closures are written"):
        Hours.parse("Europe/Berlin", {}, written)


def test_a_closure_in_the_wrong_order_is_refused():
    """It would close nothing."""
    with pytest.raises(ValueError, match="ends before"):
        Hours.parse("Europe/Berlin", {}, [{"first": "2026-12-26", "last": "2026-12-24"}])
