"""The availability checker: what callers would be offered, compared with what Cal.com lists at that moment."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from bookings import tasks
from bookings.availability import checker
from bookings.availability.calendar_view import Calendar
from bookings.availability.checker import Cause, Difference, Outcome, Sample
from bookings.models import Conversation
from bookings.scheduling import holds
from cachectl import store
from cachectl.infra.deadline import Deadline
from calcom.models import Account, EventType, WebhookDelivery
from calcom.service import CalcomService
from calcom.simulator import Kind
from tests import redis_time
from tests.bookings.helpers import PATIENCE, book, intent, let_lists_know, starts_of
from tests.factories import TUESDAY, at
from tests.monitoring import samples

LIST = "GET /v2/slots"
SIX_WEEKS = timedelta(days=42)


@pytest.fixture
def known(salon, calcom, simulator):
    """A caller has asked for a colour, so that six weeks are known."""
    starts_of(salon.colour, calcom)
    simulator.reset(log_only=True)


def sample_of(service):
    """Return the sample of a service with any host."""
    return Sample.of(service, Calendar(service.event_type), timezone.now())


def check(service, calcom):
    """Compare a service with Cal.com."""
    return checker.check(sample_of(service), calcom)


def found(checked):
    """Return the differences as instants, outcomes and causes."""
    return [(datetime.fromtimestamp(each.start * 60, UTC), each.outcome, each.cause) for each in checked.differences]


class MeanwhileService(CalcomService):
    """Cal.com, where something happens while it makes its list."""

    def __init__(self, account, happens):
        super().__init__(account)
        self._happens = happens

    def list_slots(self, **asked):
        """Return the list from before it happened."""
        listed = super().list_slots(**asked)
        self._happens()
        return listed


# --- what is true ----------------------------------------------------------------------------------------------------


def test_check_finds_every_slot_true_after_a_load(salon, calcom, simulator, known):
    shown = starts_of(salon.colour, calcom, timezone.now() + timedelta(minutes=3), timezone.now() + SIX_WEEKS)

    checked = check(salon.colour, calcom)

    assert (checked.agreed, checked.undecided, checked.differences) == (len(shown), 0, [])
    assert checked.agreed > 100
    assert simulator.count(LIST) == 1


def test_check_counts_no_demand_and_queues_no_refresh(salon, calcom, known):
    redis_time.let_all_pass(200)  # stale: a caller's question would queue a refresh
    before = store.demand(salon.account.pk, 2)

    check(salon.colour, calcom)

    days = [TUESDAY]
    assert store.demand(salon.account.pk, 2) == before
    assert store.read(salon.account.pk, salon.colour.event_type_id, days, asked=False).refresh_queued is False


def test_own_booking_leaves_the_list_true(salon, calcom, simulator, known):
    """Subtracted here and gone there; once a list of Cal.com's includes it for certain, that is decided."""
    book(intent(salon.colour, at(14)), calcom)
    let_lists_know()

    checked = check(salon.colour, calcom)

    assert checked.differences == []
    assert checked.undecided == 0


def test_held_time_is_rightly_withheld(salon, calcom, known):
    """Cal.com knows nothing of our holds, and lists the slot."""
    call = Conversation.objects.create(company=salon.company, platform="test", call_id="1")
    (offer,) = holds.issue_tokens(
        company=salon.company, conversation=call, service=salon.colour, starts=[at(14)], now=timezone.now()
    )
    before = check(salon.colour, calcom)
    holds.hold(offer=offer, calcom=calcom, deadline=Deadline.after(PATIENCE), now=timezone.now())

    checked = check(salon.colour, calcom)

    assert (checked.differences, checked.agreed) == ([], before.agreed)


# --- what differs ----------------------------------------------------------------------------------------------------


def test_slot_that_was_taken_at_calcom_is_offered_but_taken(salon, calcom, simulator, known):
    """Its age is that of the list. The day is loaded again before a caller is offered it."""
    simulator.book_elsewhere(2, at(14), webhook=False)
    redis_time.let_all_pass(60)

    checked = check(salon.colour, calcom)

    assert (at(14), Outcome.OFFERED_BUT_TAKEN, Cause.NOT_TOLD) in found(checked)
    assert {each.outcome for each in checked.differences} == {Outcome.OFFERED_BUT_TAKEN}
    assert all(60 <= each.age < 120 for each in checked.differences)
    let_lists_know()
    assert at(14) not in starts_of(salon.colour, calcom)


def test_difference_expires_other_services_of_the_host(salon, calcom, simulator, known):
    starts_of(salon.cut, calcom)
    simulator.book_elsewhere(2, at(14), webhook=False)

    check(salon.colour, calcom)

    (day,) = calcom.peek_slots(event_type=salon.cut.event_type, first=at(9), last=at(17)).days.values()
    assert day.freshness == "expired"


def test_slot_that_was_freed_at_calcom_is_withheld(salon, calcom, simulator):
    booked = simulator.book_elsewhere(2, at(14), webhook=False)
    starts_of(salon.colour, calcom)
    simulator.cancel_elsewhere(booked["uid"], reason="ill", webhook=False)

    checked = check(salon.colour, calcom)

    assert (at(14), Outcome.WITHHELD, Cause.NOT_TOLD) in found(checked)
    assert {each.outcome for each in checked.differences} == {Outcome.WITHHELD}


def test_appointment_that_calcom_has_no_more_withholds_its_time(salon, calcom, simulator, known):
    appointment = book(intent(salon.colour, at(14)), calcom).appointment
    simulator.cancel_elsewhere(appointment.remote_uid, reason="ill", webhook=False)
    let_lists_know()

    checked = check(salon.colour, calcom)

    assert (at(14), Outcome.WITHHELD, Cause.APPOINTMENT) in found(checked)


def test_list_that_is_stale_is_named_as_the_cause(salon, calcom, simulator, known):
    simulator.book_elsewhere(2, at(14), webhook=False)
    redis_time.let_all_pass(200)

    assert {cause for _, _, cause in found(check(salon.colour, calcom))} == {Cause.STALE}


def test_webhook_that_waits_is_named_as_the_cause(salon, calcom, simulator, known):
    simulator.book_elsewhere(2, at(14), webhook=False)
    WebhookDelivery.objects.create(account=salon.account, trigger="BOOKING_CREATED", identity="1", body={})

    assert {cause for _, _, cause in found(check(salon.colour, calcom))} == {Cause.WEBHOOK_WAITING}


def test_longer_notice_at_calcom_is_out_of_bounds_and_synced(salon, calcom, simulator, known):
    simulator.change_event_type("colour", notice_minutes=10 * 24 * 60)

    checked = check(salon.colour, calcom)

    assert {(outcome, cause) for _, outcome, cause in found(checked)} == {(Outcome.OUT_OF_BOUNDS, Cause.NOTICE)}
    assert EventType.objects.get(pk=salon.colour.event_type_id).notice_minutes == 10 * 24 * 60


# --- what is undecided -----------------------------------------------------------------------------------------------


def test_day_that_changes_while_calcom_is_asked_is_undecided(salon, calcom, simulator, known):
    busy = MeanwhileService(salon.account, lambda: book(intent(salon.colour, at(14)), calcom))
    whole = check(salon.colour, calcom)

    checked = check(salon.colour, busy)

    assert checked.differences == []
    assert checked.undecided == len(starts_of(salon.colour, calcom)) + 3  # the colours at 13, 14 and 15 o'clock
    assert checked.agreed == whole.agreed - checked.undecided


def test_day_that_changed_a_moment_ago_is_undecided(salon, calcom, simulator, known):
    """Cal.com's list need not include it yet."""
    book(intent(salon.colour, at(14)), calcom)

    checked = check(salon.colour, calcom)

    assert checked.differences == []
    assert checked.undecided > 0


def test_slot_that_one_of_several_hosts_may_have_is_undecided(salon, calcom, simulator):
    """Before it is called taken Cal.com is asked, so nothing untrue is said."""
    starts_of(salon.cut, calcom)
    book(intent(salon.cut, at(14)), calcom)
    let_lists_know()

    checked = check(salon.cut, calcom)

    assert checked.differences == []
    assert checked.undecided > 0


# --- rounds ----------------------------------------------------------------------------------------------------------


def test_round_without_anything_known_asks_nothing(salon, calcom, simulator):
    with samples.growth() as grown:
        tasks.check_account(account_id=salon.account.pk)

    assert simulator.count() == 0
    ours = {line: count for line, count in grown.items() if line.startswith("slotline_availability")}
    assert ours == {'slotline_availability_checks_total{outcome="nothing_known"}': 1}


def test_round_counts_what_it_found(salon, calcom, simulator, known):
    """One request; the labels are words of ours and the account's number."""
    simulator.book_elsewhere(2, at(14), webhook=False)
    account = salon.account.pk

    with samples.growth() as grown:
        tasks.check_account(account_id=account, newer_argument=1)

    assert simulator.count(LIST) == 1
    taken = grown[f'slotline_checked_slots_total{{account="{account}",outcome="offered_but_taken"}}']
    assert taken == 3
    assert grown[f'slotline_checked_slots_total{{account="{account}",outcome="true"}}'] > 100
    line = 'slotline_slot_differences_total{cause="not_told",outcome="offered_but_taken"}'
    assert grown[line] == taken
    assert grown['slotline_slot_difference_age_seconds_count{outcome="offered_but_taken"}'] == taken
    assert grown['slotline_availability_checks_total{outcome="compared"}'] == 1


def test_round_ends_quietly_without_budget(salon, calcom, simulator, known, caplog):
    """Callers leave nothing: nothing is sent, and no line complains."""
    Account.objects.update(requests_per_minute=2)

    with samples.growth() as grown:
        tasks.check_account(account_id=salon.account.pk)

    assert simulator.count(LIST) == 0
    assert grown['slotline_availability_checks_total{outcome="throttled"}'] == 1
    assert "not_checked" not in caplog.text


def test_round_that_calcom_does_not_answer_counts_no_slot(salon, calcom, simulator, known):
    simulator.fail(LIST, Kind.ERROR_BEFORE)

    with samples.growth() as grown:
        tasks.check_account(account_id=salon.account.pk)

    assert grown['slotline_availability_checks_total{outcome="unavailable"}'] == 1
    assert not [line for line in grown if "checked_slots" in line]


def test_rounds_are_sent_to_the_refresh_queue_unless_switched_off(salon, calcom, settings, monkeypatch):
    sent = []
    monkeypatch.setattr(tasks.check_account, "apply_async", lambda **options: sent.append(options["kwargs"]))

    tasks.check_availability()
    settings.BOOKINGS_CHECKS_A_MINUTE = 0
    tasks.check_availability()

    assert sent == [{"account_id": salon.account.pk}]
    assert settings.CELERY_TASK_ROUTES["bookings.check_account"] == {"queue": "refresh"}


def test_differences_are_decided(salon):
    difference = Difference(1, Outcome.WITHHELD, Cause.STALE, 5.0)

    assert checker.Checked(agreed=3, undecided=7, differences=[difference]).decided == 4


def test_service_beyond_its_horizon_has_no_sample(salon):
    salon.colour.horizon_days = 0

    assert sample_of(salon.colour) is None
