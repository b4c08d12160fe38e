"""Whose time is taken, whose may be: the verdict over claims, and what the database refuses."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from bookings.availability.occupancy import Conflict, Occupancy, Row, check_conflict, read_occupancy
from bookings.errors import SlotTaken
from bookings.models import Appointment, Claim, Operation
from bookings.scheduling import claims
from tests.bookings.helpers import book, cancel, claims_of, intent, let_jobs_finish, settle, write_down
from tests.factories import ANNA, KARL, MARIA, at

BOOK = "POST /v2/bookings"
EMMA, BEN = 1, 2
TEN = at(10)


def row(host, appointment, kind, start=TEN, minutes=30):
    """A claim that stands."""
    begins = start.timestamp()
    return Row(host, appointment, kind, begins, begins + minutes * 60, begins, False, begins)


@pytest.mark.parametrize(
    ("hosts", "rows", "verdict", "open_hosts"),
    [
        ({EMMA}, [], Conflict.FREE, {EMMA}),
        ({EMMA}, [row(EMMA, 1, "confirmed")], Conflict.TAKEN, set()),
        ({EMMA}, [row(EMMA, 1, "held")], Conflict.TAKEN, {EMMA}),
        ({EMMA}, [row(EMMA, 1, "pending")], Conflict.TAKEN, {EMMA}),
        ({EMMA, BEN}, [], Conflict.FREE, {EMMA, BEN}),
        ({EMMA, BEN}, [row(EMMA, 1, "confirmed")], Conflict.FREE, {BEN}),
        ({EMMA, BEN}, [row(EMMA, 1, "confirmed"), row(BEN, 2, "confirmed")], Conflict.TAKEN, set()),
        # Cal.com may choose either, so it must be asked about one wish at a time.
        ({EMMA, BEN}, [row(EMMA, 1, "pending"), row(BEN, 1, "pending")], Conflict.WAIT, {EMMA, BEN}),
        ({EMMA, BEN}, [row(EMMA, 1, "pending")], Conflict.WAIT, {EMMA, BEN}),
        # Two wishes ahead use up both.
        (
            {EMMA, BEN},
            [row(EMMA, 1, "pending"), row(BEN, 1, "pending"), row(EMMA, 2, "queued"), row(BEN, 2, "queued")],
            Conflict.TAKEN,
            {EMMA, BEN},
        ),
        # One after the other, they may both be given to the same host.
        (
            {EMMA, BEN},
            [row(EMMA, 1, "pending", minutes=15), row(EMMA, 2, "pending", at(10, 15), 15)],
            Conflict.WAIT,
            {EMMA, BEN},
        ),
        # Who is confirmed elsewhere cannot be chosen: a write to her is nothing to wait for.
        (
            {EMMA, BEN},
            [row(EMMA, 1, "confirmed", minutes=15), row(EMMA, 2, "pending", at(10, 15), 15)],
            Conflict.FREE,
            {BEN},
        ),
        # Cal.com knows nothing of our holds, and could choose the very host.
        ({EMMA, BEN}, [row(EMMA, 1, "held")], Conflict.TAKEN, {EMMA, BEN}),
    ],
)
def test_the_verdict(hosts, rows, verdict, open_hosts):
    """FM-13: a wish goes to Cal.com only when no write in flight could be given one of its hosts."""
    assert check_conflict(Occupancy(frozenset(hosts), rows)) == (verdict, open_hosts)


def test_who_waits_goes_after_the_older_wish_and_before_the_younger():
    """The line is in order of asking."""
    rows = [row(host, appointment, "queued") for appointment in (1, 2) for host in (EMMA, BEN)]
    occupancy = Occupancy(frozenset({EMMA, BEN}), rows)

    assert check_conflict(occupancy, ahead_of=1)[0] is Conflict.FREE
    assert check_conflict(occupancy, ahead_of=2)[0] is Conflict.WAIT


# --- several hosts -----------------------------------------------------------------------------------------------


def test_the_second_wish_waits_for_the_first_and_then_gets_the_other_host(salon, calcom, simulator):
    """FM-13: two writes that could touch one host are never in flight at once."""
    with simulator.holding(BOOK):
        book(intent(salon.cut, at(14)), calcom, wait=0.2)
        second = book(intent(salon.cut, at(14), KARL), calcom, wait=0.3)
        assert (second.is_settled, second.operation.state) == (False, "queued")
        assert claims_of(second.appointment) == {"Emma": "queued", "Ben": "queued"}
        assert simulator.count(BOOK) == 1
    let_jobs_finish()

    assert settle(second.operation, calcom).state == "done"
    assert {booking["host"] for booking in simulator.bookings()} == {"emma", "ben"}


def test_who_waits_is_served_within_the_deadline_when_the_first_is_done(salon, calcom, simulator):
    """The caller on the line hears "booked", not "being entered"."""
    simulator.fail(BOOK, "hang", seconds=3)
    assert not book(intent(salon.cut, at(14)), calcom, wait=0.3).is_settled

    assert book(intent(salon.cut, at(14), KARL), calcom).is_settled


def test_the_third_wish_for_two_hosts_is_refused_at_once(salon, calcom, simulator):
    with simulator.holding(BOOK):
        book(intent(salon.cut, at(14)), calcom, wait=0.2)
        book(intent(salon.cut, at(14), KARL), calcom, wait=0.2)

        with pytest.raises(SlotTaken) as refusal:
            book(intent(salon.cut, at(14), MARIA), calcom)

    assert len(refusal.value.alternatives) == 3


def test_who_waited_in_vain_is_refused(salon, calcom, simulator):
    """The other host was busy elsewhere: Cal.com says so, and the row says what became of the wish."""
    simulator.busy("ben", at(14), at(15))
    with simulator.holding(BOOK):
        book(intent(salon.cut, at(14)), calcom, wait=0.2)
        second = book(intent(salon.cut, at(14), KARL), calcom, wait=0.2)
    let_jobs_finish()

    settled = settle(second.operation, calcom)
    assert (settled.outcome, settled.appointment.state) == ("not_available", "rejected")
    assert claims_of(settled.appointment) == {}


def test_a_wish_for_one_of_them_is_in_the_way_of_a_wish_for_anybody(salon, calcom, simulator):
    """While colour is on its way to Emma, Cal.com might give her the cut as well."""
    with simulator.holding(BOOK):
        book(intent(salon.colour, at(14)), calcom, wait=0.2)
        cut = book(intent(salon.cut, at(14), KARL), calcom, wait=0.2)
        assert cut.operation.state == "queued"
    let_jobs_finish()

    assert settle(cut.operation, calcom).appointment.host == salon.ben.host
    assert simulator.overlaps() == []


def test_who_waits_can_be_taken_back(salon, calcom, simulator):
    """What was not sent is cancelled without Cal.com, and gives its place in the line up."""
    first = write_down(intent(salon.cut, at(14)))
    second = write_down(intent(salon.cut, at(14), KARL))

    cancel(second.appointment, calcom)

    assert claims_of(second.appointment) == {}
    assert settle(first, calcom).state == "done"


# --- the database ------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_database_refuses_overlap(salon):
    """FM-02."""
    first, second = (_appointment(salon, minute) for minute in (0, 15))
    claims.take(first, [salon.emma.host_id], Claim.Kind.CONFIRMED)

    with pytest.raises(IntegrityError, match="claim_host_time_once"), transaction.atomic():
        claims.take(second, [salon.emma.host_id], Claim.Kind.PENDING)

    claims.take(second, [salon.ben.host_id], Claim.Kind.PENDING)


@pytest.mark.django_db
@pytest.mark.parametrize("outside", [{"kind": "queued"}, {"kind": "confirmed", "conflicting": True}])
def test_who_waits_and_what_conflicts_stand_outside_the_constraint(salon, outside):
    """Wishes in line take no time yet, and Cal.com's truth is always storable."""
    first, second = (_appointment(salon, minute) for minute in (0, 15))
    claims.take(first, [salon.emma.host_id], Claim.Kind.CONFIRMED)

    Claim.objects.create(appointment=second, host=salon.emma.host, start=second.start, end=second.end, **outside)


@pytest.mark.django_db
def test_appointments_that_touch_do_not_overlap(salon):
    """Half-open: the next one begins when the last one ends."""
    first, second = (_appointment(salon, minute) for minute in (0, 30))

    for appointment in (first, second):
        claims.take(appointment, [salon.emma.host_id], Claim.Kind.CONFIRMED)


def test_a_hold_that_ran_out_is_in_nobodys_way(salon, calcom):
    dead = _appointment(salon, 0, state="held", expires_at=timezone.now() - timedelta(seconds=1))
    Claim.objects.create(
        appointment=dead,
        host=salon.emma.host,
        kind="held",
        start=dead.start,
        end=dead.end,
        expires_at=dead.expires_at,
    )

    assert book(intent(salon.colour, at(10), ANNA), calcom).is_settled
    dead.refresh_from_db()
    assert dead.state == "expired"


def test_a_hold_that_lives_is_not_booked_over(salon, calcom, simulator):
    """FM-05, FM-14: our holds decide; Cal.com is not asked."""
    held = _appointment(salon, 0, state="held", expires_at=timezone.now() + timedelta(minutes=2))
    Claim.objects.create(
        appointment=held,
        host=salon.emma.host,
        kind="held",
        start=held.start,
        end=held.end,
        expires_at=held.expires_at,
    )

    with pytest.raises(SlotTaken):
        book(intent(salon.colour, at(10)), calcom)
    assert simulator.count(BOOK) == 0


@pytest.mark.django_db(transaction=True)
def test_read_is_planned_once_for_a_connection(salon):
    """Each answer reads claims: PostgreSQL keeps the statement's plan after a few times."""
    connection.close()  # it may have prepared more than it keeps
    for _ in range(10):
        read_occupancy(salon.colour.event_type, at(14), at(15))

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%bookings_claim%'")
        assert cursor.fetchone() == (1,)


@pytest.mark.django_db(transaction=True)
def test_a_writer_in_the_way_says_nothing_about_time(salon):
    _lock_on_another_connection = connection.copy()
    with _lock_on_another_connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [salon.emma.host_id])
    try:
        with pytest.raises(claims.Contention), claims.writing(salon.colour.event_type):
            raise AssertionError("It should not have got here.")
    finally:
        _lock_on_another_connection.close()

    with claims.writing(salon.colour.event_type):
        assert not Operation.objects.exists()


def _appointment(salon, minute, **fields):
    start = at(10) + timedelta(minutes=minute)
    return Appointment.objects.create(
        company=salon.company,
        branch=salon.branch,
        service=salon.cut,
        event_type=salon.cut.event_type,
        start=start,
        end=start + timedelta(minutes=30),
        **{"state": "confirmed", **fields},
    )
