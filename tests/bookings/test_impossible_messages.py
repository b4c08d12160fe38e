"""What can never be understood is classified once; what has to be looked up is looked up behind callers' requests."""

from datetime import timedelta

import orjson
import pytest
from django.utils import timezone

from bookings.models import Appointment, Claim
from calcom.http.parsing import METADATA_KEY
from calcom.models import EventType, WebhookDelivery
from calcom.resilience.rate_limiter import limiter_for
from calcom.types import Priority, RemoteBooking, RemoteState
from calcom.webhooks import events
from calcom.webhooks.events import BookingSnapshot, Ignored
from tests.bookings.helpers import begin, book, cancel, claims_of, intent, write_down
from tests.calcom.webhooks import Hooks, body_of, handed_out
from tests.factories import ANNA, at

READ = "GET /v2/bookings/{uid}"
CANCEL = "POST /v2/bookings/{uid}/cancel"
IMPOSSIBLE = {
    "ends before it begins": (at(14), at(13)),
    "ends as it begins": (at(14), at(14)),
    "four years": (at(14), at(14) + timedelta(days=4 * 365)),
    "in thirty years": (at(14) + timedelta(days=30 * 365), at(15) + timedelta(days=30 * 365)),
    "beyond the calendar": ("9999-12-31T23:00:00Z", "9999-12-31T23:59:00Z"),
}
TIMES = pytest.mark.parametrize("times", IMPOSSIBLE.values(), ids=IMPOSSIBLE)


@pytest.fixture
def hooks(calcom, simulator, salon) -> Hooks:
    """The salon's webhooks, in the hands of the test."""
    handed_out()
    return Hooks(simulator, salon.account)


def message(trigger: str = "BOOKING_CREATED", *, told_ago: float = 0.0, **payload: object) -> bytes:
    """Write a message about a booking that Cal.com does not know; the payload says what is unusual about it."""
    told = {
        "uid": "made-up",
        "startTime": at(14).isoformat(),
        "endTime": at(15).isoformat(),
        "eventTypeId": 2,
        "organizer": {"id": 102},
        "attendees": [{"email": "x@example.com", "name": "X"}],
        **payload,
    }
    created_at = (timezone.now() - timedelta(seconds=told_ago)).isoformat()
    return orjson.dumps({**orjson.loads(body_of(trigger, **told)), "createdAt": created_at})


def spelled(times: tuple[object, object]) -> dict[str, str]:
    """Return the times as a message has them."""
    return dict(zip(("startTime", "endTime"), (str(time).replace(" ", "T") for time in times), strict=True))


def priorities(simulator_log: str) -> set[str]:
    """Return the priorities of the look-ups in a log."""
    lines = [line for line in simulator_log.splitlines() if "'get_booking'" in line or '"get_booking"' in line]
    return {priority.value for priority in Priority for line in lines if f"'{priority.value}'" in line}


# --- what can never be -------------------------------------------------------------------------------------------


@TIMES
@pytest.mark.parametrize(
    "trigger", ["BOOKING_CREATED", "BOOKING_CANCELLED", "BOOKING_RESCHEDULED", "BOOKING_REQUESTED"]
)
def test_message_with_impossible_times_is_ignored_at_once(salon, hooks, simulator, times, trigger):
    """One attempt, no request, no row."""
    hooks.bring([message(trigger, **spelled(times))])

    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.attempts) in {("ignored", 0), ("done", 0)}  # done: over before it was known
    assert simulator.count(READ) == 0
    assert not Appointment.objects.exists()
    assert not EventType.objects.filter(account=salon.account, calcom_id=2).exclude(length_minutes=60).exists()


@TIMES
def test_impossible_times_of_our_own_booking_are_looked_up_once(salon, hooks, calcom, times, caplog):
    """The message names us, so the booking is read: once, behind callers' requests."""
    case = begin(write_down(intent(salon.colour, at(14), ANNA)), calcom)
    answer = case.execute()

    hooks.bring([message(uid=answer.uid, metadata={METADATA_KEY: case.appointment.public_id}, **spelled(times))])

    assert Appointment.objects.get().state == "confirmed"
    assert (hooks.simulator.count(READ), priorities(caplog.text)) == (1, {"background"})


def test_cancellation_with_impossible_times_cancels_what_is_known(salon, hooks, calcom, simulator):
    """What has ended has ended, at whatever time it should have been."""
    mine = book(intent(salon.colour, at(14), ANNA), calcom).appointment
    simulator.cancel_elsewhere(mine.remote_uid)

    hooks.bring([message("BOOKING_CANCELLED", uid=mine.remote_uid, **spelled((at(14), at(13))))])

    mine.refresh_from_db()
    assert (mine.state, claims_of(mine)) == ("cancelled", {})


def test_cancellation_with_impossible_times_settles_ours(salon, hooks, calcom, simulator):
    """The answer to our own cancellation was lost; the message says that it is done."""
    mine = book(intent(salon.colour, at(14), ANNA), calcom).appointment
    simulator.fail(CANCEL, "reset_after")
    operation = cancel(mine, calcom).operation

    hooks.bring([message("BOOKING_CANCELLED", uid=mine.remote_uid, **spelled((at(14), at(13))))])

    operation.refresh_from_db()
    assert operation.state == "done"


@TIMES
def test_booking_read_with_impossible_times_is_ignored(salon, calcom, times):
    """A list may show what no appointment can be; it is no reason to read it again."""
    start, end = times if not isinstance(times[0], str) else (at(14), at(13))
    remote = RemoteBooking("made-up", RemoteState.ACCEPTED, start, end, 2, [102], "x@example.com", None)

    with pytest.raises(Ignored):
        events.dispatch(salon.account, BookingSnapshot(remote))

    assert not Claim.objects.exists()


@pytest.mark.parametrize(
    "unusual",
    [{"eventTypeId": 2**63}, {"organizer": {"id": 2**63}}, {"uid": "x" * 101}],
    ids=lambda unusual: next(iter(unusual)),
)
def test_values_that_cannot_be_stored_are_ignored_at_once(salon, hooks, unusual):
    """They are the same at the next attempt."""
    hooks.bring([message(**unusual)])

    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.attempts) == ("ignored", 0)


# --- what is not there -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trigger", ["BOOKING_CREATED", "BOOKING_RESCHEDULED"])
def test_unknown_uid_is_looked_up_once_and_behind_callers(salon, hooks, simulator, caplog, trigger):
    """A message from an hour ago is checked; that Cal.com does not know the booking is an answer."""
    hooks.bring([message(trigger, told_ago=3600)])

    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.attempts, delivery.note) == ("ignored", 0, "not to be found at Cal.com")
    assert (simulator.count(READ), priorities(caplog.text)) == (1, {"background"})


def test_look_up_without_a_permit_is_no_attempt(salon, hooks, simulator):
    """Background work pauses: the message waits as long as that takes, and is then understood."""
    booked = simulator.book_elsewhere(2, at(14))
    [told] = hooks.said()
    last_week = f"{timezone.now() - timedelta(days=7):%Y-%m-%dT%H:%M:%S.000Z}"
    limiter_for(salon.account.api_key, salon.account.requests_per_minute).pause_background(300)
    hooks.bring([orjson.dumps({**orjson.loads(told), "createdAt": last_week})])
    for _ in range(10):
        WebhookDelivery.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))
        hooks.work_off()
    assert (WebhookDelivery.objects.get().state, WebhookDelivery.objects.get().attempts) == ("failed", 0)

    limiter_for(salon.account.api_key, salon.account.requests_per_minute).pause_background(0)
    WebhookDelivery.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    hooks.work_off()

    assert Appointment.objects.get().remote_uid == booked["uid"]
    assert WebhookDelivery.objects.get().state == "done"


def test_trail_of_a_message_is_read_behind_callers(salon, hooks, calcom, simulator, caplog):
    """Each step of it, also when the booking was rescheduled twice."""
    mine = book(intent(salon.colour, at(10), ANNA), calcom).appointment
    second = simulator.reschedule_elsewhere(mine.remote_uid, at(12))
    simulator.reschedule_elsewhere(second["uid"], at(14))

    hooks.bring(hooks.said()[2:])

    mine.refresh_from_db()
    assert (mine.start, priorities(caplog.text)) == (at(14), {"background"})
