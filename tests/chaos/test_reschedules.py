"""Moves that go wrong in every way, one after the other: in the end there is one booking, and our row says where."""

from contextlib import suppress
from random import Random

import pytest

from bookings.errors import BookingError
from bookings.models import Appointment, Claim, Operation
from bookings.scheduling import rescheduling
from bookings.scheduling.claims import Contention
from cachectl.infra.deadline import Deadline
from cachectl.infra.redis import redis_client
from calcom.errors import CalcomError
from tests.bookings.helpers import begin, book, intent, let_jobs_finish, pass_time, reschedule, settle
from tests.conftest import trust_redis
from tests.factories import KARL, at

MOVE = "POST /v2/bookings/{uid}/reschedule"
FAULTS = ("reset_before", "reset_after", "error_before", "error_after", "invalid_json")
STARTS = (at(9), at(11), at(13), at(15), at(17))
STEPS = 8


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 12))])
@pytest.mark.parametrize("service", ["colour", "cut"])
def test_whatever_goes_wrong_there_is_one_booking(salon, calcom, simulator, service, seed):
    """Invariant 3: faults before and after the effect, people at Cal.com, death between the steps. Prints its seed."""
    random = Random(f"{service} {seed}")
    appointment = book(intent(getattr(salon, service), at(15)), calcom).appointment
    book(intent(getattr(salon, service), at(11), KARL), calcom)

    for _ in range(STEPS):
        _leave_no_pause(salon)
        _something_happens(random, _read(appointment), calcom, simulator)
    simulator.clear_faults()
    _leave_no_pause(salon)
    _let_it_settle(appointment, calcom)

    row = _read(appointment)
    standing = [each for each in simulator.bookings() if each["status"] == "accepted"]
    assert len(standing) == 2
    assert row.remote_uid in {each["uid"] for each in standing}
    assert calcom.get_booking(uid=row.remote_uid).start == row.start
    assert simulator.overlaps() == []
    assert Claim.objects.filter(kind="confirmed", conflicting=False).count() == Claim.objects.count() == 2


def _leave_no_pause(salon):
    """Reset breaker and limiter, so that the next call is sent."""
    redis_client().flushdb()
    trust_redis(salon.account)


def _something_happens(random, appointment, calcom, simulator):
    """A move, perhaps with a fault; one whose sender dies before or after sending; a person at Cal.com; time passes."""
    start = random.choice(STARTS)
    happens = random.choice(("move", "move", "fault", "die unsent", "die sent", "person", "sweep"))
    if happens == "fault":
        simulator.fail(MOVE, random.choice(FAULTS))
    if happens in {"move", "fault"}:
        _try(lambda: reschedule(appointment, start, calcom, wait=Deadline.after(0.4)))
    elif happens.startswith("die"):
        _try(lambda: _die(appointment, start, calcom, is_sent=happens == "die sent"))
    elif happens == "person" and _is_free(simulator, start):
        uid = _tail(calcom, appointment.remote_uid)
        simulator.reschedule_elsewhere(uid, start)
    elif happens == "sweep":
        _sweep(calcom, random.choice((1, 31)))


def _die(appointment, start, calcom, *, is_sent):
    ask = Operation(
        company=appointment.company, appointment=appointment, kind="reschedule", new_start=start, reason="x"
    )
    rescheduling.commit(ask, None, Deadline.after(0))
    if is_sent:
        begin(ask, calcom).execute()


def _try(deed):
    with suppress(BookingError, Contention, CalcomError):
        deed()
    let_jobs_finish()


def _sweep(calcom, seconds):
    pass_time(seconds)
    for operation in Operation.objects.due():
        settle(operation, calcom)


def _let_it_settle(appointment, calcom):
    """Let the sweep go on until nothing is open, and then ask for a move, which finds out what people did there."""
    for _ in range(6):
        _sweep(calcom, 61)
    for start in STARTS:
        _try(lambda start=start: reschedule(_read(appointment), start, calcom, wait=0.4))
        for _ in range(3):
            _sweep(calcom, 61)
    assert not Operation.objects.open().exists()


def _is_free(simulator, start):
    return not any(
        each["status"] == "accepted" and each["start"][:13] == start.isoformat()[:13] for each in simulator.bookings()
    )


def _tail(calcom, uid):
    while (here := calcom.get_booking(uid=uid)).rescheduled_to_uid:
        uid = here.rescheduled_to_uid
    return uid


def _read(appointment):
    rows = Appointment.objects.select_related(
        "company", "branch", "service__branch", "service__event_type", "event_type"
    )
    return rows.get(pk=appointment.pk)
