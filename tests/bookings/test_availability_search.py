"""What was asked for, or the best that is free instead; and how far Cal.com is asked for it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bookings.availability import search as availability_search
from bookings.availability.calendar_view import Calendar
from bookings.availability.criteria import PartOfDay, TimeCriteria
from bookings.availability.rules import Reason
from bookings.availability.search import AvailabilityQuery, AvailabilityResult, Status
from bookings.errors import ConfigurationError
from cachectl import cache
from cachectl.cache import CacheResult, Day, Freshness
from cachectl.freshness import WORST_FIRST
from cachectl.infra.deadline import Deadline
from calcom.day_ranges import date_of, minute_from
from calcom.service import OpenSlots
from calcom.simulator import Kind
from tests.bookings.helpers import PATIENCE, book, intent, let_lists_know
from tests.factories import BERLIN, KARL, SUNDAY, TUESDAY, WEDNESDAY, at, cannot_be_booked

LIST = "GET /v2/slots"
A_DAY = timedelta(days=1)


def asked(service, wanted, *, staff=None, own=None, offered=(), max_offers=3):
    """A question, with anybody unless it is for one person."""
    calendars = [Calendar(own, staff)] if own else []
    return AvailabilityQuery(
        service=service,
        calendars=[*calendars, Calendar(service.event_type)],
        criteria=wanted,
        offered=frozenset(int(start.timestamp()) // 60 for start in offered),
        max_offers=max_offers,
    )


def search(calcom, question, *, now=None, wait=PATIENCE, max_age=None) -> AvailabilityResult:
    """Ask it."""
    return availability_search.search(
        question, now=now or timezone.now(), calcom=calcom, deadline=Deadline.after(wait), max_age=max_age
    )


def starts(found):
    """When the offers are."""
    return [offer.start for offer in found.offers]


class Diary:
    """
    Cal.com with days known more or less well: what the cache has, and what a load would bring.

    `loading`: another load is running, and brings the days that are waited for first.
    """

    def __init__(self, known, truth=(), *, loading=False):
        self.known, self.truth, self.loading, self.loads = dict(known), set(truth), loading, []

    def open_slots(self, *, event_type, first, last, deadline, max_age=None, revalidate=False):
        begin, end = minute_from(first), minute_from(last)
        dates = [first.date() + number * A_DAY for number in range((date_of(end - 1) - date_of(begin)).days + 1)]
        loading, waited = self.loading, not deadline.passed
        if waited:
            self.loading = False
            self.loads.append((first, last))
            for day in dates:
                self.known[day] = Freshness.FRESH, [start for start in self.truth if date_of(start) == day]
        days = {day: self._day(day) for day in dates}
        freshness = next(
            freshness for freshness in WORST_FIRST if freshness in {day.freshness for day in days.values()}
        )
        starts = sorted(start for day in days.values() for start in day.starts if begin <= start < end)
        why = None if freshness.verified else "deadline"
        known = CacheResult(days, freshness, 1.0, loaded=waited and not loading, failure=why, loading=loading)
        return OpenSlots(starts, days, known)

    def _day(self, day):
        freshness, starts = self.known.get(day, (Freshness.MISSING, []))
        return Day(day, sorted(starts), None if freshness is Freshness.MISSING else 1.0, freshness)


NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
IN_NOVEMBER = [NOON.date() + number * A_DAY for number in range(100)]


@pytest.fixture
def always_open(salon):
    """A service that Cal.com alone says when to have."""
    salon.branch.opening_hours = {}
    return salon.beard


def noons(*days):
    """Noon on these dates, as epoch minutes."""
    return [minute_from(datetime.combine(day, NOON.time(), UTC)) for day in days]


def test_what_used_to_be_free_decides_how_far_to_ask(always_open):
    """Old knowledge promises a slot, so two weeks are asked for; it was wrong, so the answer says how far it looked."""
    diary = Diary({day: (Freshness.EXPIRED, noons(day)) for day in IN_NOVEMBER[:30]}, truth=noons(*IN_NOVEMBER[40:]))
    question = asked(always_open, TimeCriteria.on([IN_NOVEMBER[2]], BERLIN))

    found = search(diary, question, now=NOON)
    further = search(diary, question, now=NOON)

    assert (found.status, found.reason, found.more) == (Status.NONE, Reason.FULLY_BOOKED, True)
    assert found.until == datetime(2026, 12, 4, tzinfo=UTC)
    assert further.offers[0].start.date() == IN_NOVEMBER[40]
    assert [(last - first).days for first, last in diary.loads] == [13, 89]


@pytest.mark.parametrize(("first_free", "looked"), [(5, [13]), (40, [13, 89])])
def test_what_somebody_is_loading_is_waited_for_before_more_is_asked(always_open, first_free, looked):
    """A call begins, its days are being loaded, and the first question comes: that load is the only request."""
    diary = Diary({}, truth=noons(*IN_NOVEMBER[first_free:]), loading=True)

    found = search(diary, asked(always_open, TimeCriteria.on([IN_NOVEMBER[2]], BERLIN)), now=NOON)

    assert found.offers[0].start.date() == IN_NOVEMBER[first_free]
    assert [(last - first).days for first, last in diary.loads] == looked


@pytest.mark.parametrize(
    ("known", "loads"),
    [
        ({}, 1),
        ({IN_NOVEMBER[2]: Freshness.FRESH}, 0),
        ({IN_NOVEMBER[2]: Freshness.STALE}, 0),
        ({IN_NOVEMBER[2]: Freshness.EXPIRED}, 1),
        (dict.fromkeys(IN_NOVEMBER[:14], Freshness.FRESH) | {IN_NOVEMBER[9]: Freshness.EXPIRED}, 0),
        (dict.fromkeys(IN_NOVEMBER[:14], Freshness.FRESH) | {IN_NOVEMBER[2]: Freshness.MISSING}, 1),
    ],
)
def test_only_days_that_decide_are_loaded(always_open, known, loads):
    """What was asked for is known to be free, or not known well enough to say so."""
    diary = Diary({day: (freshness, noons(day)) for day, freshness in known.items()}, truth=noons(*IN_NOVEMBER))

    found = search(diary, asked(always_open, TimeCriteria.on([IN_NOVEMBER[2]], BERLIN)), now=NOON)

    assert (found.status, len(diary.loads)) == (Status.AVAILABLE, loads)


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    known=st.dictionaries(
        st.sampled_from(IN_NOVEMBER[:40]), st.tuples(st.sampled_from(Freshness), st.booleans()), max_size=40
    ),
    free=st.sets(st.sampled_from(IN_NOVEMBER)),
    wished=st.sets(st.sampled_from(IN_NOVEMBER[:30]), min_size=1, max_size=3),
    heard=st.sets(st.sampled_from(IN_NOVEMBER)),
)
def test_however_little_is_known_one_request_is_enough(always_open, known, free, wished, heard):
    """Invariant 4: each offer is on a list, in the future, and new; and only who looked says that nothing is free."""
    diary = Diary(
        {
            day: (freshness, noons(day) if full else [])
            for day, (freshness, full) in known.items()
            if freshness is not Freshness.MISSING
        },
        truth=noons(*free),
    )
    lists = {start for _, starts in diary.known.values() for start in starts} | diary.truth
    question = asked(always_open, TimeCriteria.on(sorted(wished), BERLIN))
    question = replace(question, offered=frozenset(noons(*heard)))

    found = search(diary, question, now=NOON)

    minutes = [minute_from(offer.start) for offer in found.offers]
    assert len(diary.loads) <= 1
    assert set(minutes) <= lists - question.offered
    assert all(NOON < offer.start <= NOON + 90 * A_DAY for offer in found.offers)
    assert found.known.verified
    if found.status is Status.AVAILABLE:
        assert all(question.criteria.covers(minute) for minute in minutes)
    if found.status is Status.NONE and not found.more:
        assert not (diary.truth - question.offered) & set(noons(*IN_NOVEMBER[1:90]))


def test_what_was_asked_for_is_the_answer(salon, calcom, simulator):
    """One time was asked for and is free: one offer, one request, and then none."""
    cold = search(calcom, asked(salon.cut, TimeCriteria.at(at(10))))
    warm = search(calcom, asked(salon.cut, TimeCriteria.at(at(10))))

    assert (cold.status, cold.reason, starts(cold)) == (Status.AVAILABLE, None, [at(10)])
    assert starts(warm) == [at(10)]
    assert (cold.known.loaded, warm.known.loaded, warm.known.verified) == (True, False, True)
    assert simulator.count(LIST) == 1


def test_a_cached_answer_costs_one_query(salon, calcom, simulator, django_assert_num_queries):
    """The claims, and nothing else."""
    search(calcom, asked(salon.cut, TimeCriteria.at(at(10))))
    question = asked(salon.cut, TimeCriteria.at(at(10)))

    with django_assert_num_queries(1):
        search(calcom, question)


def test_a_taken_time_has_alternatives_and_a_reason(salon, calcom, simulator):
    """FM-53: real ones, on that day first, and none of them is the time that was refused."""
    search(calcom, asked(salon.colour, TimeCriteria.at(at(14))))
    book(intent(salon.colour, at(14)), calcom)

    found = search(calcom, asked(salon.colour, TimeCriteria.at(at(14))))

    assert (found.status, found.reason) == (Status.ALTERNATIVES, Reason.FULLY_BOOKED)
    assert starts(found) == [at(14, on=TUESDAY - A_DAY), at(12), at(16)]
    assert simulator.count(LIST) == 1


@pytest.mark.parametrize(
    ("wanted", "reason", "first_day"),
    [
        (lambda now: TimeCriteria.on([SUNDAY], BERLIN), Reason.CLOSED, SUNDAY - 2 * A_DAY),
        (lambda now: TimeCriteria.at(at(20)), Reason.CLOSED, TUESDAY),
        (lambda now: TimeCriteria.at(now - A_DAY), Reason.DATE_IN_PAST, None),
        (lambda now: TimeCriteria.at(now + timedelta(minutes=10)), Reason.TOO_SOON, None),
        (lambda now: TimeCriteria.at(now + 100 * A_DAY), Reason.TOO_FAR, None),
    ],
    ids=["closed all day", "closed in the evening", "past", "too soon", "too far"],
)
def test_rules_say_why_not_and_the_nearest_is_offered(salon, calcom, simulator, *, wanted, reason, first_day):
    """FM-51: the reason is the rule's, the offers are slots of the list, and it costs one request."""
    salon.cut.notice_minutes = 60
    now = timezone.now()

    found = search(calcom, asked(salon.cut, wanted(now)), now=now)

    assert (found.status, found.reason, len(found.offers)) == (Status.ALTERNATIVES, reason, 3)
    assert all(now + timedelta(hours=1) <= start <= now + 90 * A_DAY for start in starts(found))
    if first_day:
        assert starts(found)[0].astimezone(BERLIN).date() == first_day
    assert simulator.count(LIST) == 1


def test_a_wish_that_is_far_ahead_is_searched_around_its_day(salon, calcom, simulator):
    """Two weeks, the wish among them, or the last two that callers may book."""
    far = TUESDAY + 35 * A_DAY
    near_the_end = search(calcom, asked(salon.cut, TimeCriteria.at(timezone.now() + 100 * A_DAY)))
    found = search(calcom, asked(salon.cut, TimeCriteria.on([far], BERLIN, part=PartOfDay.MORNING)))

    assert {start.astimezone(BERLIN).date() for start in starts(found)} == {far}
    assert all(start > timezone.now() + 80 * A_DAY for start in starts(near_the_end))


def test_it_looks_as_far_as_it_must_with_one_request(salon, calcom, simulator):
    """Three weeks are full: the first free day is found all the same, and Cal.com is asked once."""
    today = timezone.now().astimezone(BERLIN).date()
    salon.branch.closures = [{"first": str(today), "last": str(today + 21 * A_DAY)}]

    found = search(calcom, asked(salon.cut, TimeCriteria.on([TUESDAY], BERLIN)))

    assert (found.status, found.reason, len(found.offers)) == (Status.ALTERNATIVES, Reason.CLOSED, 3)
    assert starts(found)[0].astimezone(BERLIN).date() - today <= 23 * A_DAY
    assert simulator.count(LIST) == 1


def test_known_weeks_without_a_slot_cost_one_request_more_and_no_loop(salon, calcom, simulator):
    first = timezone.now().date()
    cache.read(
        account_id=salon.account.pk, event_type_id=salon.cut.event_type_id,
        first=first, last=first + 13 * A_DAY, deadline=Deadline.after(PATIENCE),
    )  # fmt: skip
    salon.branch.closures = [{"first": str(first - A_DAY), "last": str(first + 40 * A_DAY)}]

    found = search(calcom, asked(salon.cut, TimeCriteria.on([TUESDAY], BERLIN)))

    assert len(found.offers) == 3
    assert simulator.count(LIST) == 2


def test_days_known_to_somebody_else_are_enough(salon, calcom, simulator):
    """The call began by loading two weeks from today; a wish in the second of them costs nothing, met or not."""
    first = timezone.now().date()
    cache.read(
        account_id=salon.account.pk, event_type_id=salon.cut.event_type_id,
        first=first, last=first + 13 * A_DAY, deadline=Deadline.after(PATIENCE),
    )  # fmt: skip

    met = search(calcom, asked(salon.cut, TimeCriteria.at(at(10))))
    closed = search(calcom, asked(salon.cut, TimeCriteria.at(at(20))))

    assert (met.status, closed.status) == (Status.AVAILABLE, Status.ALTERNATIVES)
    assert simulator.count(LIST) == 1


def test_nothing_at_all_says_how_far_it_looked(salon, calcom, simulator):
    """When everything is closed until the end, that is said, and there is nothing more to ask for."""
    salon.branch.closures = [{"first": "2020-01-01", "last": "2099-12-31"}]
    now = timezone.now()

    found = search(calcom, asked(salon.cut, TimeCriteria.on([TUESDAY], BERLIN)), now=now)

    assert (found.status, found.reason, found.offers, found.more) == (Status.NONE, Reason.CLOSED, [], False)
    assert found.until == now + salon.cut.horizon_days * A_DAY
    assert simulator.count(LIST) == 1


def test_asking_on_never_repeats_an_offer(salon, calcom, simulator):
    """FM-54: page after page until the day is over, then other days, without a request."""
    heard, reasons = [], []
    for _ in range(8):
        found = search(calcom, asked(salon.colour, TimeCriteria.on([TUESDAY], BERLIN), offered=heard))
        assert not set(starts(found)) & set(heard)
        heard += starts(found)
        reasons.append(found.reason)

    assert sorted(heard[:9]) == [at(hour) for hour in range(9, 18)]
    assert all(start.astimezone(BERLIN).date() != TUESDAY for start in heard[9:])
    assert reasons == [None] * 8
    assert simulator.count(LIST) == 1


def test_somebody_by_name_is_offered_first_and_others_at_their_times(salon, calcom, simulator):
    """FM-11."""
    emma, own = salon.emma, salon.emmas_cut.event_type
    question = asked(salon.cut, TimeCriteria.at(at(10)), staff=emma, own=own)
    first = search(calcom, question)
    book(intent(salon.colour, at(10)), calcom)
    requests = simulator.count(LIST)

    second = search(calcom, question)

    assert [(each.start, each.calendar.staff) for each in first.offers] == [(at(10), emma)]
    assert (second.status, second.reason) == (Status.ALTERNATIVES, Reason.FULLY_BOOKED)
    assert [each.calendar.staff for each in second.offers if each.start == at(11, 30)] == [emma]
    assert len(second.offers) == len(set(starts(second))) == 3
    assert simulator.count(LIST) == requests


def test_two_calendars_are_loaded_side_by_side(salon, calcom, simulator):
    """Emma's own and everybody's: two requests, in flight at the same moment."""
    question = asked(salon.cut, TimeCriteria.at(at(20)), staff=salon.emma, own=salon.emmas_cut.event_type)

    with simulator.holding(LIST):
        found = search(calcom, question, wait=0.5)
        assert simulator.count(LIST) == 2
    assert (found.status, found.offers, found.known.failure) == (Status.DEGRADED, [], "deadline")


def test_an_outage_is_no_full_diary(salon, calcom, simulator):
    """FM-32."""
    simulator.fail(LIST, Kind.ERROR_BEFORE, times=None)

    found = search(calcom, asked(salon.cut, TimeCriteria.at(at(10))))

    assert (found.status, found.reason, found.offers, found.more) == (Status.DEGRADED, None, [], False)
    assert (found.known.freshness, found.known.failure) == (Freshness.MISSING, "unavailable")


def test_what_was_known_before_is_offered_as_uncertain(salon, calcom, simulator, settings):
    """CacheResult availability is still read out in an outage, marked as what it is."""
    search(calcom, asked(salon.cut, TimeCriteria.at(at(10))))
    settings.CACHE_MAX_AGE = settings.CACHE_STALE_WHILE_REVALIDATE = 0
    simulator.fail(LIST, Kind.ERROR_BEFORE, times=None)

    found = search(calcom, asked(salon.cut, TimeCriteria.at(at(10))))

    assert (found.status, starts(found), found.known.verified) == (Status.DEGRADED, [at(10)], False)


def test_nobody_waits_beyond_the_deadline(salon, calcom, simulator):
    """FM-46."""
    with simulator.holding(LIST):
        began = datetime.now(UTC)
        found = search(calcom, asked(salon.cut, TimeCriteria.at(at(10))), wait=0.3)
        assert (found.status, found.known.failure) == (Status.DEGRADED, "deadline")
        assert datetime.now(UTC) - began < timedelta(seconds=5)


def test_without_redis_nobody_hangs(salon, calcom, simulator, settings):
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    began = datetime.now(UTC)

    found = search(calcom, asked(salon.cut, TimeCriteria.at(at(10))))

    assert (found.status, found.known.failure) == (Status.DEGRADED, "throttled")
    assert datetime.now(UTC) - began < timedelta(seconds=5)


def test_doubt_costs_a_request_where_just_that_is_wished_for(salon, calcom, simulator):
    """Of two hosts one was booked: who wants that time hears whether the other is free; others do not need to."""
    search(calcom, asked(salon.cut, TimeCriteria.at(at(10))))
    book(intent(salon.cut, at(14)), calcom)

    assert (
        search(calcom, asked(salon.cut, TimeCriteria.at(at(14)))).status is Status.ALTERNATIVES
    )  # no list could know yet
    let_lists_know()
    assert search(calcom, asked(salon.cut, TimeCriteria.on([TUESDAY], BERLIN))).status is Status.AVAILABLE
    assert search(calcom, asked(salon.cut, TimeCriteria.at(at(14)), offered=[at(14)])).status is Status.ALTERNATIVES
    assert simulator.count(LIST) == 1

    for _ in range(2):
        found = search(calcom, asked(salon.cut, TimeCriteria.at(at(14))))
        assert (found.status, starts(found)) == (Status.AVAILABLE, [at(14)])
    assert simulator.count(LIST) == 2


def test_an_agent_may_insist_on_a_newer_answer(salon, calcom, simulator):
    """max_age is about the answer, whatever is known."""
    search(calcom, asked(salon.cut, TimeCriteria.at(at(10))))

    search(calcom, asked(salon.cut, TimeCriteria.at(at(10))), max_age=60)
    search(calcom, asked(salon.cut, TimeCriteria.at(at(10))), max_age=0)

    assert simulator.count(LIST) == 2


def test_what_cannot_be_booked_is_not_searched(practice, practice_calcom, simulator):
    service = cannot_be_booked(practice.vaccination)
    with pytest.raises(ConfigurationError):
        search(practice_calcom, asked(service, TimeCriteria.on([TUESDAY], ZoneInfo("America/New_York"))))
    assert simulator.count() == 0


def test_nobody_elses_appointments_are_seen(salon, practice, calcom, practice_calcom):
    """A tenant's claims are on its own hosts."""
    question = asked(practice.follow_up, TimeCriteria.on([WEDNESDAY], ZoneInfo("America/New_York")))
    before = search(practice_calcom, question)
    book(intent(salon.colour, at(16), KARL), calcom)

    assert starts(search(practice_calcom, question)) == starts(before)
