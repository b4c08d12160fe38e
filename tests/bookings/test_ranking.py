"""Which slots are offered: a table of examples, and what holds for every list."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookings.availability.criteria import PartOfDay, TimeCriteria
from bookings.availability.ranking import Candidate, Features, features, rank

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "UTC"]
DAYS = {name: date(2026, 11, 23) + timedelta(days=number) for number, name in enumerate(("Mo", "Tu", "We", "Th", "Fr"))}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def minute(when: str, zone: ZoneInfo = BERLIN) -> int:
    """The epoch minute of a time in the week from 23 November 2026, written as Tu 10:30."""
    day, clock = when.split()
    return int(datetime.combine(DAYS[day], time.fromisoformat(clock), zone).timestamp()) // 60


def free(*times: str, others: tuple[str, ...] = ()) -> list[Candidate]:
    own = [Candidate(minute(when)) for when in times]
    return own + [Candidate(minute(when), same_staff=False) for when in others]


def at(when: str) -> TimeCriteria:
    """One time."""
    return TimeCriteria.at(EPOCH + timedelta(minutes=minute(when)))


def on(*days: str, part: str | None = None, not_before: str | None = None) -> TimeCriteria:
    """Days, a part of the day."""
    return TimeCriteria.on(
        [DAYS[day] for day in days],
        BERLIN,
        part=PartOfDay(part) if part else None,
        not_before=time.fromisoformat(not_before) if not_before else None,
    )


def said(candidates: list[Candidate]) -> list[str]:
    """The offers as they are written in the table."""
    local = [datetime.fromtimestamp(each.start * 60, BERLIN) for each in candidates]
    return [f"{when:%a}"[:2] + f" {when:%H:%M}" for when in local]


A_WEEK = free(*(f"{day} {hour:02}:{half}" for day in DAYS for hour in range(9, 18) for half in ("00", "30")))


@pytest.mark.parametrize(
    ("candidates", "wanted", "expected"),
    [
        # One time is wanted: the nearest, an hour apart where there are enough.
        (free("Tu 09:30", "Tu 10:30", "Tu 16:00", "We 10:00"), at("Tu 10:00"), ["Tu 09:30", "Tu 10:30", "We 10:00"]),
        (free("Tu 10:30", "Tu 11:00", "Tu 11:30"), at("Tu 10:00"), ["Tu 10:30", "Tu 11:00", "Tu 11:30"]),
        (free("Tu 10:30", "Tu 11:00", "Tu 11:30", "Tu 12:30"), at("Tu 10:00"), ["Tu 10:30", "Tu 11:30", "Tu 12:30"]),
        # Two hours later the same day, or the same hour a day later.
        (free("Tu 11:59", "We 10:00"), at("Tu 10:00"), ["Tu 11:59", "We 10:00"]),
        (free("Tu 12:01", "We 10:00"), at("Tu 10:00"), ["We 10:00", "Tu 12:01"]),
        # Of a day that was not asked for one time is enough, as long as there are other days.
        (free("We 10:00", "We 11:00", "We 12:00", "Th 10:00", "Fr 10:00"), at("Tu 10:00"),
         ["We 10:00", "Th 10:00", "Fr 10:00"]),
        (free("We 10:00", "We 11:00", "We 12:00"), at("Tu 10:00"), ["We 10:00", "We 11:00", "We 12:00"]),
        # The morning is full: noon the same day, then other mornings.
        (free("Tu 12:00", "Tu 17:30", "We 09:00", "We 13:00", "Mo 11:00"), on("Tu", part="morning"),
         ["Tu 12:00", "Mo 11:00", "We 09:00"]),
        # The part of the day counts beside the clock: half past five is far from the morning twice over.
        (free("Tu 16:00", "Th 11:30"), on("Tu", part="morning"), ["Th 11:30", "Tu 16:00"]),
        # Emma is wanted: three hours are worth seeing her, at the same time she comes first, and no other person twice.
        (free("Tu 12:30", others=("Tu 10:00",)), at("Tu 10:00"), ["Tu 12:30", "Tu 10:00"]),
        (free("Tu 13:30", others=("Tu 10:00",)), at("Tu 10:00"), ["Tu 10:00", "Tu 13:30"]),
        (free("Tu 11:00", others=("Tu 11:00", "Tu 10:00")), at("Tu 10:00"), ["Tu 11:00", "Tu 10:00"]),
        (free("Tu 10:00", "Tu 10:00"), at("Tu 10:00"), ["Tu 10:00"]),
        ([], at("Tu 10:00"), []),
    ],
)  # fmt: skip
def test_what_a_good_receptionist_would_offer(
    candidates: list[Candidate], wanted: TimeCriteria, expected: list[str]
) -> None:
    """FM-54: three at most, the most convenient first, none twice; and a choice where there is one."""
    ranked = rank(candidates, criteria=wanted, zone=BERLIN, after=minute("Mo 00:00"))

    assert said(ranked) == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (on("Tu"), ["Tu 09:00", "Tu 12:00", "Tu 15:00"]),
        (on("Tu", part="morning"), ["Tu 09:00", "Tu 10:00", "Tu 11:00"]),
        (on("Tu", part="afternoon"), ["Tu 12:00", "Tu 13:00", "Tu 15:00"]),
        (on("Tu", not_before="16:30"), ["Tu 16:30", "Tu 17:00", "Tu 17:30"]),
        (on("Tu", "We", "Th"), ["Tu 09:00", "We 09:00", "Th 09:00"]),
        (on("Tu", "Th", part="evening"), ["Tu 17:00", "Tu 17:30", "Th 17:00"]),
        (on(*DAYS, part="noon"), ["Mo 11:00", "Tu 11:00", "We 11:00"]),
    ],
)
def test_what_was_asked_for_is_offered_as_a_choice(wanted: TimeCriteria, expected: list[str]) -> None:
    """Spread over the day; of several days one time on each, then the next best."""
    wished = [candidate for candidate in A_WEEK if wanted.covers(candidate.start)]

    assert said(rank(wished, criteria=wanted, zone=BERLIN, after=minute("Mo 00:00"))) == expected


def test_with_whom_stays_with_the_offer() -> None:
    """Where both could take the caller, it is the one who was asked for."""
    both = [Candidate(minute("Tu 11:00"), same_staff=False), Candidate(minute("Tu 11:00"))]

    assert rank(both, criteria=at("Tu 10:00"), zone=BERLIN, after=0) == [Candidate(minute("Tu 11:00"))]


@pytest.mark.parametrize(
    ("when", "wanted", "expected"),
    [
        ("Tu 10:00", at("Tu 10:00"), Features(0, 0)),
        ("Tu 11:30", at("Tu 10:00"), Features(0, 90)),
        ("Th 09:00", at("Tu 10:00"), Features(2, 60)),
        ("Tu 14:00", on("Tu", part="morning"), Features(0, 121, same_part=False)),
        ("We 08:00", on("Tu", part="morning", not_before="09:00"), Features(1, 60)),
        ("Mo 10:00", on("Tu", "We"), Features(1, 0)),
        ("We 10:00", on("Tu", "Th"), Features(1, 0)),
    ],
)
def test_features_are_what_people_compare(when: str, wanted: TimeCriteria, expected: Features) -> None:
    """Days between the dates, minutes between the clocks, and the part of the day."""
    assert features(Candidate(minute(when)), criteria=wanted, zone=BERLIN) == expected


def test_a_clock_that_was_changed_is_read_as_it_shows() -> None:
    """FM-50: nine o'clock is nine o'clock, an hour of sleep more or less."""
    before = TimeCriteria.at(datetime(2026, 10, 24, 9, tzinfo=BERLIN))
    nine, ten = (datetime(2026, 10, 25, hour, tzinfo=BERLIN) for hour in (9, 10))
    candidates = [Candidate(int(each.timestamp()) // 60) for each in (ten, nine)]

    best = rank(candidates, criteria=before, zone=BERLIN, after=0, limit=1)

    assert best == [candidates[1]]


NOW = minute("Mo 00:00")
STARTS = st.integers(min_value=NOW - 10_000, max_value=NOW + 100_000)
WANTED = st.one_of(
    STARTS.map(lambda start: TimeCriteria.at(EPOCH + timedelta(minutes=start))),
    st.lists(st.tuples(STARTS, st.integers(1, 40_000)), min_size=1, max_size=10).map(
        lambda spans: TimeCriteria.between(
            (EPOCH + timedelta(minutes=first), EPOCH + timedelta(minutes=first + span)) for first, span in spans
        )
    ),
    st.builds(
        lambda days, part: TimeCriteria.on(sorted(days), BERLIN, part=part),
        st.sets(st.sampled_from(list(DAYS.values())), min_size=1),
        st.sampled_from(PartOfDay) | st.none(),
    ),
)


@given(
    candidates=st.lists(st.builds(Candidate, STARTS, st.booleans()), max_size=60),
    wanted=WANTED,
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    limit=st.integers(1, 3),
    data=st.data(),
)
def test_whatever_is_free_the_offers_are_sound(
    candidates: list[Candidate], wanted: TimeCriteria, zone: ZoneInfo, limit: int, data: st.DataObject
) -> None:
    """FM-53, FM-54: each is a slot of the list, none comes twice or is past, and the order of the list is nothing."""
    ranked = rank(candidates, criteria=wanted, zone=zone, after=NOW, limit=limit)
    starts = [each.start for each in ranked]
    future = {each.start for each in candidates if each.start > NOW}

    assert set(ranked) <= set(candidates)
    assert set(starts) <= future
    assert len(set(starts)) == len(starts) == min(limit, len(future))
    assert rank(data.draw(st.permutations(candidates)), criteria=wanted, zone=zone, after=NOW, limit=limit) == ranked
    costs = [features(each, criteria=wanted, zone=zone).cost for each in ranked]
    assert costs == sorted(costs)


@given(candidates=st.lists(st.builds(Candidate, STARTS), max_size=40), wanted=WANTED)
def test_nothing_free_is_better_than_the_first_offer(candidates: list[Candidate], wanted: TimeCriteria) -> None:
    """However the others are spread, the first is the most convenient there is."""
    best = rank(candidates, criteria=wanted, zone=BERLIN, after=NOW)[:1]

    for candidate in candidates:
        if candidate.start > NOW:
            cost = features(candidate, criteria=wanted, zone=BERLIN).cost
            assert features(best[0], criteria=wanted, zone=BERLIN).cost <= cost
