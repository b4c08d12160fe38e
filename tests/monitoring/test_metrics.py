"""What is counted after real actions."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models.functions import Now
from django.test import Client
from redis import RedisError

from bookings.models import Operation
from bookings.scheduling import settling
from cachectl import invalidation, tasks
from cachectl.models import CacheInvalidation
from calcom.errors import CalcomError
from calcom.resilience.circuit_breaker import POLICY
from calcom.service import CalcomService
from calcom.simulator import Kind, Simulator
from monitoring import metrics, multiprocess
from monitoring.collectors import Gauge
from script.lib.servers import free_port
from tests.agent import Agent
from tests.bookings.helpers import book, cancel, intent, let_jobs_finish, pass_time, settle, write_down
from tests.factories import KARL, TUESDAY, Salon, at
from tests.monitoring import samples

LIST = "GET /v2/slots"
BOOK = "POST /v2/bookings"


def answers(grown: dict[str, float]) -> dict[str, float]:
    """Return how many answers for free slots there were, by source."""
    prefix = 'slotline_availability_answers_total{source="'
    return {line.removeprefix(prefix)[:-2]: count for line, count in grown.items() if line.startswith(prefix)}


class TestAvailability:
    """Answers to questions for free slots."""

    def test_the_first_question_costs_a_request_and_the_second_does_not(self, agent: Agent, salon: Salon) -> None:
        """The hit rate is counted where it arises."""
        with samples.growth() as grown:
            agent.availability(salon.cut, TUESDAY)
            agent.availability(salon.cut, TUESDAY)

        assert answers(grown) == {"loaded": 1, "fresh": 1}
        assert grown['slotline_calcom_requests_total{operation="open_slots",outcome="ok",priority="live"}'] == 1
        assert grown['slotline_calcom_request_seconds_count{operation="open_slots"}'] == 1
        assert grown["slotline_availability_age_seconds_count"] == 2
        assert grown['slotline_request_seconds_count{method="GET",route="v1/availability",status="200"}'] == 2

    def test_a_search_counts_once_however_often_it_looks(self, agent: Agent, salon: Salon) -> None:
        """Note [One request, however far]: to look at what is known first is no answer."""
        body = {"service": f"sv_{salon.cut.pk}", "when": {"date": TUESDAY.isoformat()}}

        with samples.growth() as grown:
            assert agent.post("availability/search", body).status_code == 200

        assert answers(grown) == {"loaded": 1}

    def test_an_answer_that_knows_nothing_is_one(self, agent: Agent, salon: Salon, simulator: Simulator) -> None:
        """An error is an answer, too: a hit rate without it would flatter us."""
        simulator.fail(LIST, Kind.ERROR_BEFORE, times=None)

        with samples.growth() as grown:
            assert agent.availability(salon.cut, TUESDAY).status_code == 503

        assert answers(grown) == {"missing": 1}
        assert grown['slotline_degraded_answers_total{reason="unavailable",what="availability"}'] == 1

    def test_where_rules_decide_nothing_was_looked_up(self, agent: Agent, salon: Salon) -> None:
        """Neither hit nor miss: a service that callers must book a month ahead has nothing on Tuesday."""
        salon.cut.notice_minutes = 60 * 24 * 30
        salon.cut.save()

        with samples.growth() as grown:
            agent.availability(salon.cut, TUESDAY)

        assert answers(grown) == {"rules": 1}


class TestChanges:
    """Bookings, moves and cancellations."""

    def test_a_booking_is_counted_with_its_times(self, agent: Agent, salon: Salon) -> None:
        """Cal.com's time, the time to the end, and what we added."""
        agent.availability(salon.cut, TUESDAY)

        with samples.growth() as grown:
            assert agent.book(salon.cut, at(10)).status_code == 201
            let_jobs_finish()

        assert grown['slotline_operations_total{operation="create",outcome="done"}'] == 1
        for name in ("operation_seconds", "operation_calcom_seconds", "operation_own_seconds"):
            assert grown[f'slotline_{name}_count{{operation="create"}}'] == 1
            assert 0 < grown[f'slotline_{name}_sum{{operation="create"}}'] < 5
        assert grown["slotline_cache_invalidation_days_count"] == 1
        # Emma and Ben share haircuts, and the chosen host has event types of his own.
        assert grown["slotline_cache_invalidation_days_sum"] == CacheInvalidation.objects.get().days
        assert grown['slotline_calcom_requests_total{operation="create_booking",outcome="ok",priority="write"}'] == 1

    def test_a_refusal_is_counted_by_its_reason(self, agent: Agent, salon: Salon, simulator: Simulator) -> None:
        """In Cal.com's own words, as far as we know them."""
        agent.availability(salon.beard, TUESDAY)
        simulator.busy("ben", at(10), at(11))

        with samples.growth() as grown:
            assert agent.book(salon.beard, at(10)).status_code == 409
            let_jobs_finish()

        assert grown['slotline_operations_total{operation="create",outcome="not_available"}'] == 1
        assert 'slotline_operation_calcom_seconds_count{operation="create"}' not in grown

    def test_an_answer_that_could_not_wait_is_degraded(self, agent: Agent, salon: Salon, simulator: Simulator) -> None:
        """It says pending; the end is counted when it comes."""
        agent.availability(salon.cut, TUESDAY)

        with samples.growth() as later:
            with simulator.holding(BOOK), samples.growth() as grown:
                assert agent.book(salon.cut, at(10), prefer="wait=0.5").status_code == 202
            let_jobs_finish()

        assert grown['slotline_degraded_answers_total{reason="pending",what="create"}'] == 1
        assert not [line for line in grown if line.startswith("slotline_operations_total")]
        assert later['slotline_operations_total{operation="create",outcome="done"}'] == 1

    def test_one_that_another_process_settles_has_its_whole_time(self, calcom: CalcomService, salon: Salon) -> None:
        """Who wrote it down died; the database's clock knows when that was."""
        operation = write_down(intent(salon.cut, at(10)))
        pass_time(40)

        with samples.growth() as grown:
            assert settle(operation, calcom).state == Operation.State.DONE

        assert 40 <= grown['slotline_operation_seconds_sum{operation="create"}'] < 45

    def test_a_cancellation_before_anything_left_ends_two_changes(self, calcom: CalcomService, salon: Salon) -> None:
        """The booking was withdrawn, and the wish to cancel it is fulfilled."""
        operation = write_down(intent(salon.cut, at(10)))

        with samples.growth() as grown:
            cancel(operation.appointment, calcom)

        assert grown['slotline_operations_total{operation="create",outcome="withdrawn"}'] == 1
        assert grown['slotline_operations_total{operation="cancel",outcome="done"}'] == 1

    def test_what_is_rolled_back_was_not(self, calcom: CalcomService, salon: Salon) -> None:
        """Counted after the commit: a step that fails is taken again."""
        booked = book(intent(salon.cut, at(10)), calcom)
        Operation.objects.filter(pk=booked.operation.pk).update(state=Operation.State.SENDING)

        with samples.growth() as grown, transaction.atomic():
            assert settling.close(booked.operation, to=Operation.State.DONE)
            transaction.set_rollback(True)

        assert not [line for line in grown if line.startswith("slotline_operations_total")]


class TestInvalidation:
    """Counters of invalidated days."""

    def test_days_are_counted_by_cause_and_once(self, salon: Salon) -> None:
        """However often the same invalidation is processed."""
        enqueue(salon)

        with samples.growth() as grown:
            for _ in range(2):
                tasks.invalidate_range()

        assert {line: count for line, count in grown.items() if "cache_invalidations" in line} == {
            'slotline_cache_invalidations_total{cause="command"}': 4
        }

    def test_the_third_failure_in_a_row_can_be_told_from_the_first(self, salon: Salon, settings) -> None:
        """The alert asks for the third."""
        enqueue(salon)
        settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"

        with samples.growth() as grown:
            for _ in range(5):
                CacheInvalidation.objects.update(next_attempt_at=Now())
                with pytest.raises(RedisError):
                    invalidation.process()

        failures = {line: count for line, count in grown.items() if "cache_invalidation_failures" in line}
        assert failures == {
            f'slotline_cache_invalidation_failures_total{{attempt="{attempt}"}}': count
            for attempt, count in {"1": 1, "2": 1, "3": 1, "more": 2}.items()
        }


def enqueue(salon: Salon) -> CacheInvalidation:
    """Enqueue an invalidation of two days of two event types."""
    return invalidation.enqueue(
        account_id=salon.account.pk,
        event_type_ids=[salon.cut.event_type_id, salon.colour.event_type_id],
        first=TUESDAY,
        last=TUESDAY + timedelta(days=1),
        cause=CacheInvalidation.Cause.COMMAND,
    )


class TestGovernor:
    """Requests that were not sent, and why."""

    def test_a_429_and_what_it_silences(self, calcom: CalcomService, simulator: Simulator) -> None:
        """FM-43: one answer of 429, and then refusals of our own."""
        simulator.fail("GET *", Kind.TOO_MANY)

        with samples.growth() as grown:
            for _ in range(2):
                with pytest.raises(CalcomError):
                    calcom.get_booking(uid="unknown")

        assert grown["slotline_calcom_rate_limited_total"] == 1
        assert grown['slotline_rate_limiter_refusals_total{priority="write",reason="paused"}'] == 1
        assert (
            grown['slotline_calcom_requests_total{operation="get_booking",outcome="throttled",priority="write"}'] == 1
        )
        assert grown['slotline_calcom_request_seconds_count{operation="get_booking"}'] == 1

    def test_an_open_breaker_turns_requests_away(self, calcom: CalcomService, simulator: Simulator) -> None:
        """FM-45: opened once, and each request that was spared is counted."""
        simulator.fail("GET *", Kind.ERROR_BEFORE, times=None)

        with samples.growth() as grown:
            for _ in range(POLICY.failures + 2):
                with pytest.raises(CalcomError):
                    calcom.get_booking(uid="unknown")

        assert grown['slotline_breaker_opened_total{kind="reads"}'] == 1
        assert grown['slotline_breaker_refusals_total{kind="reads"}'] == 2
        not_sent = 'slotline_calcom_requests_total{operation="get_booking",outcome="circuit_open",priority="write"}'
        assert grown[not_sent] == 2


class TestLabels:
    """No label may hold what comes from outside."""

    def test_nothing_of_a_caller_is_in_the_figures(
        self, agent: Agent, salon: Salon, simulator: Simulator, client: Client
    ) -> None:
        """FM-83: no name, number, address, id, uid, key or hash, whatever was asked and refused."""
        booked = agent.book(salon.cut, at(11), KARL)
        agent.booking(booked.json()["booking"]["id"])
        agent.cancel(booked.json()["booking"]["id"], reason="Karl Weber is ill")
        client.generic("BREW", "/v1/bookings/bk_KARLWEBER0000000")
        client.get("/nowhere/+4915187654321")
        let_jobs_finish()

        said = "\n".join(samples.now())

        uids = [booking["uid"] for booking in simulator.bookings()]
        secret = [KARL.name, KARL.phone[1:], "BREW", "nowhere", "bk_", "op_", salon.key, salon.account.api_key, *uids]
        assert uids
        assert [word for word in secret if word in said] == []

    def test_labels_are_few(self) -> None:
        """Every declared label is listed here: a new one needs a thought about its values."""
        counters = multiprocess.COUNTED._names_to_collectors.values()
        gauges = [each for each in vars(metrics).values() if isinstance(each, Gauge)]

        of_counters = {label for each in counters for label in each._labelnames}
        of_gauges = {label for each in gauges for label in each.labels}
        first = "account attempt cause feature kind method operation outcome priority"
        assert " ".join(sorted(of_counters)) == f"{first} reason route source status step told what"
        assert (
            " ".join(sorted(of_gauges))
            == "account acknowledged company disk job kind outbox part priority queue severity version"
        )
