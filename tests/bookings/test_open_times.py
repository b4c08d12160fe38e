"""When a service can be booked: what Cal.com lists, minus ours, minus what rules forbid."""

from datetime import timedelta

import pytest
from django.utils import timezone

from bookings.availability import calendar_view
from bookings.errors import ConfigurationError
from cachectl.infra.deadline import Deadline
from tests.bookings.helpers import PATIENCE, book, intent, let_jobs_finish, let_lists_know, starts_of
from tests.factories import KARL, SUNDAY, TUESDAY, WEDNESDAY, at, cannot_be_booked

LIST = "GET /v2/slots"
BOOK = "POST /v2/bookings"


def test_the_list_of_a_day(salon, calcom, simulator):
    """FM-50: nine to six in Berlin, whatever the hour is in UTC."""
    times = starts_of(salon.colour, calcom)

    assert (times[0], times[-1]) == (at(9), at(17))
    assert simulator.count(LIST) == 1


def test_a_window_without_a_minute_in_it_is_empty(salon, calcom, simulator):
    ends = at(10) + timedelta(seconds=50)

    assert starts_of(salon.beard, calcom, at(10) + timedelta(seconds=10), ends) == []
    assert starts_of(salon.beard, calcom, at(9), ends, now=at(10) + timedelta(seconds=10)) == []
    assert simulator.count(LIST) == 0


def test_a_known_answer_costs_one_trip_and_one_query(salon, calcom, simulator, django_assert_num_queries):
    """The service comes with its branch and event type; nothing else is asked but the claims."""
    starts_of(salon.cut, calcom)
    salon.cut.branch.company  # noqa: B018  loaded, as the view has it

    with django_assert_num_queries(1):
        starts_of(salon.cut, calcom)
    assert simulator.count(LIST) == 1


def test_a_booking_is_gone_from_the_next_answer(salon, calcom, simulator):
    """FM-24: without a request, before any worker ran."""
    before = starts_of(salon.colour, calcom)
    book(intent(salon.colour, at(14)), calcom)

    gone = set(before) - set(starts_of(salon.colour, calcom))
    assert at(14) in gone
    assert gone <= {at(13), at(14), at(15)}
    assert simulator.count(LIST) == 1


def test_other_services_of_the_host_lose_the_time_too(salon, calcom):
    """FM-22: colour makes Emma busy for a cut with her, and leaves Ben's beards alone."""
    salon.cut.event_type = salon.emmas_cut.event_type
    before, beards = starts_of(salon.cut, calcom), starts_of(salon.beard, calcom)
    book(intent(salon.colour, at(14)), calcom)

    assert set(before) - set(starts_of(salon.cut, calcom)) == {at(14), at(14, 30), at(15)}
    assert starts_of(salon.beard, calcom) == beards


def test_what_is_on_its_way_is_not_offered(salon, calcom, simulator):
    """FM-06."""
    starts_of(salon.cut, calcom)
    with simulator.holding(BOOK):
        book(intent(salon.cut, at(14)), calcom, wait=0.2)
        assert at(14) not in starts_of(salon.cut, calcom)
    let_jobs_finish()


def test_a_round_robin_slot_is_hidden_until_a_newer_list_knows_of_the_booking(salon, calcom):
    """The list proved one free host, and this may have been the one."""
    starts_of(salon.cut, calcom)
    book(intent(salon.cut, at(14)), calcom)

    assert at(14) not in starts_of(salon.cut, calcom)


def test_doubt_costs_a_request_where_nothing_else_is_left(salon, calcom, simulator):
    starts_of(salon.cut, calcom)
    book(intent(salon.cut, at(14)), calcom)

    assert starts_of(salon.cut, calcom, at(14), at(14, 30)) == []  # no list could know of it yet
    let_lists_know()
    assert at(14) not in starts_of(salon.cut, calcom)  # and there is enough else
    assert simulator.count(LIST) == 1

    for _ in range(2):
        assert starts_of(salon.cut, calcom, at(14), at(14, 30)) == [at(14)]
    assert simulator.count(LIST) == 2


def test_rules_are_applied_on_top_of_the_list(salon, calcom):
    """Notice, horizon, hours and closures are the branch's own."""
    salon.branch.opening_hours = {"tue": [["10:00", "12:00"], ["14:00", "16:00"]]}
    salon.branch.closures = [{"first": WEDNESDAY.isoformat(), "last": WEDNESDAY.isoformat()}]
    assert starts_of(salon.colour, calcom) == [at(10), at(11), at(14), at(15)]
    assert starts_of(salon.colour, calcom, at(0, on=WEDNESDAY), at(23, on=WEDNESDAY)) == []

    salon.colour.notice_minutes = 60
    assert starts_of(salon.colour, calcom, now=at(9, 30)) == [at(11), at(14), at(15)]
    salon.colour.horizon_days = 0
    assert starts_of(salon.colour, calcom, now=at(9, 30)) == []


def test_where_rules_alone_decide_nobody_is_asked(salon, calcom, simulator):
    """A window that has passed costs nothing."""
    yesterday = timezone.now() - timedelta(days=1)

    assert starts_of(salon.colour, calcom, yesterday, yesterday + timedelta(hours=5)) == []
    assert simulator.count() == 0


def test_what_cannot_be_booked_is_not_searched(practice, practice_calcom, simulator):
    with pytest.raises(ConfigurationError):
        starts_of(cannot_be_booked(practice.vaccination), practice_calcom)
    assert simulator.count() == 0


def test_alternatives_are_the_nearest_in_the_week_after(salon, calcom):
    """FM-53: each of them is a slot of the list."""

    def near(wished):
        return calendar_view.alternatives(
            service=salon.colour, start=wished, now=timezone.now(), calcom=calcom, deadline=Deadline.after(PATIENCE)
        )

    assert near(at(14)) == [at(13), at(15), at(12)]
    assert near(at(12, on=SUNDAY))[0].date() > SUNDAY
    assert near(at(12, on=TUESDAY - timedelta(days=900)))[0] > timezone.now()


def test_two_weeks_cost_one_request(salon, calcom, simulator):
    """A request costs Cal.com's limit the same for one day as for fourteen."""
    starts_of(salon.colour, calcom, at(0), at(0) + timedelta(days=13))
    starts_of(salon.colour, calcom, at(0), at(0) + timedelta(days=13))

    assert simulator.count(LIST) == 1


def test_nobody_elses_appointments_are_seen(salon, practice, calcom, practice_calcom):
    """A tenant's claims are on its own hosts."""
    before = starts_of(practice.follow_up, practice_calcom)
    book(intent(salon.colour, at(16), KARL), calcom)

    assert starts_of(practice.follow_up, practice_calcom) == before
