"""Gauges of budgets, breakers, queues and outboxes, and what is reported if they cannot be read."""

import threading
from datetime import timedelta

import pytest
from celery import current_app
from django.db import connection
from django.utils import timezone

from bookings.models import Operation
from cachectl.models import CacheInvalidation
from calcom.models import Account, WebhookDelivery
from calcom.resilience import circuit_breaker
from calcom.resilience.rate_limiter import limiter_for
from calcom.types import Priority
from monitoring import collectors, probes
from script.lib.servers import free_port
from tests.factories import Salon
from tests.monitoring import samples

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _own_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers of a test are its own."""
    monkeypatch.setattr(collectors.COLLECTORS, "functions", dict(collectors.COLLECTORS.functions))


def take(account: Account, priority: Priority, times: int = 1) -> None:
    """Take permits as requests do."""
    limiter = limiter_for(account.api_key, account.requests_per_minute)
    for _ in range(times):
        limiter.permit(priority, tenant=None, longest_call_s=8, deadline_left_s=0)


class TestBudget:
    """Where the budget of an account stands, by its id."""

    def test_use_ceilings_and_what_is_free(self, salon: Salon) -> None:
        """Alerts at 100 and 115 a minute read `slotline_rate_spent`."""
        take(salon.account, Priority.WRITE, 3)
        take(salon.account, Priority.REFRESH)

        seen = samples.now()

        account = f'account="{salon.account.pk}"'
        assert seen[f"slotline_rate_limit{{{account}}}"] == 120
        assert seen[f"slotline_rate_spent{{{account}}}"] == 4
        assert seen[f"slotline_rate_in_flight{{{account}}}"] == 4
        assert seen[f'slotline_rate_used{{{account},priority="write"}}'] == 3
        assert seen[f'slotline_rate_priority_cap{{{account},priority="live"}}'] == 102
        assert seen[f'slotline_rate_free{{{account},priority="background"}}'] == 44
        assert seen[f"slotline_pause_seconds{{{account}}}"] == 0
        assert f"slotline_rate_reported_remaining{{{account}}}" not in seen

    def test_pauses_are_seconds_by_rediss_clock(self, salon: Salon) -> None:
        """A host whose clock is wrong shows no wrong pause."""
        limiter = limiter_for(salon.account.api_key, 120)
        limiter.permit(Priority.LIVE, tenant=None, longest_call_s=8, deadline_left_s=0).ended({}, 429)
        limiter.pause_background(600)

        seen = samples.now()

        account = f'account="{salon.account.pk}"'
        assert 58 < seen[f"slotline_pause_seconds{{{account}}}"] <= 61
        assert 598 < seen[f"slotline_background_paused_seconds{{{account}}}"] <= 600

    def test_breakers_by_kind(self, salon: Salon) -> None:
        """0 closed, 1 open."""
        reads = circuit_breaker.breaker_for(salon.account.api_key, salon.account.pk, circuit_breaker.Kind.READS)
        reads.open()

        seen = samples.now()

        assert seen[f'slotline_breaker_state{{account="{salon.account.pk}",kind="reads"}}'] == 1
        assert seen[f'slotline_breaker_state{{account="{salon.account.pk}",kind="writes"}}'] == 0

    def test_breaker_is_shown_open_until_a_call_has_succeeded(self, salon: Salon) -> None:
        """Also when a probe is due, and while it is under way: an alert on it lasts as long as the outage."""
        mine = salon.account.api_key, salon.account.pk, circuit_breaker.Kind.READS
        shown = f'slotline_breaker_state{{account="{salon.account.pk}",kind="reads"}}'
        reads = circuit_breaker.breaker_for(*mine)
        reads.open()
        circuit_breaker.probe_now(*mine)

        assert samples.now()[shown] == 1
        with reads.guard():
            assert samples.now()[shown] == 1
        assert samples.now()[shown] == 0

    def test_an_account_that_is_not_in_use_is_not_read(self, salon: Salon) -> None:
        """Accounts come and go; their series go with them."""
        Account.objects.update(active=False)

        assert not [line for line in samples.now() if f'account="{salon.account.pk}"' in line]


class TestOwed:
    """What waits to be worked off."""

    def test_rows_that_are_owed_and_since_when(self, salon: Salon) -> None:
        """The size, and how long the first one is overdue by the database's clock."""
        ago = timezone.now() - timedelta(seconds=90)
        days = {"event_type_ids": [1], "first": ago.date(), "last": ago.date(), "cause": "own", "account_id": 1}
        CacheInvalidation.objects.create(**days, next_attempt_at=ago)
        CacheInvalidation.objects.create(**days)
        CacheInvalidation.objects.create(**days, done_at=ago, next_attempt_at=ago - timedelta(hours=1))
        WebhookDelivery.objects.create(account=salon.account, trigger="X", identity="1", body={}, state="dead")

        seen = samples.now()

        assert seen['slotline_outbox_size{outbox="invalidations"}'] == 2
        assert 90 <= seen['slotline_outbox_overdue_seconds{outbox="invalidations"}'] < 95
        assert seen['slotline_outbox_size{outbox="webhooks"}'] == 0
        assert seen['slotline_outbox_overdue_seconds{outbox="operations"}'] == 0

    @pytest.mark.parametrize(
        ("rows", "index"),
        [
            (Operation.objects.open(), "operation_open_by_time"),
            (CacheInvalidation.objects.pending(), "cache_invalidation_pending"),
            (WebhookDelivery.objects.filter(state__in=["received", "failed"]), "webhook_delivery_pending"),
        ],
    )
    def test_counting_them_is_one_scan_of_their_index(self, rows, index: str) -> None:
        """Scraping does not load the database: the partial index holds pending rows only."""
        with connection.cursor() as cursor:
            cursor.execute("SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off")
        try:
            plan = rows.order_by("next_attempt_at").values("next_attempt_at")[: probes.MOST_COUNTED].explain()
        finally:
            connection.close()

        assert f"using {index}" in plan

    def test_queues_are_counted(self) -> None:
        """The alert at 50 reads the queue `cache`; an empty one has depth 0."""
        with current_app.connection_for_write() as broker:
            for _ in range(3):
                current_app.send_task("cachectl.invalidate_range", kwargs={"invalidation_id": 0}, connection=broker)

        seen = samples.now()

        assert seen['slotline_queue_depth{queue="cache"}'] == 3
        assert {line for line in seen if "queue_depth" in line} == {
            f'slotline_queue_depth{{queue="{queue}"}}'
            for queue in ("cache", "refresh", "bookings", "webhooks", "default")
        }


class TestUnreadable:
    """What cannot be read is missing and said to be so; the rest is there, in time."""

    def test_without_redis_counters_and_outboxes_are_there(self, salon: Salon, settings) -> None:
        """Without Redis its gauges are missing and said to be so; all others are there."""
        settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"

        seen = samples.now()

        assert seen['slotline_readable{part="rate_limiter"}'] == 0
        assert seen['slotline_readable{part="operations"}'] == 1
        assert "slotline_calcom_rate_limited_total" in seen
        assert not [line for line in seen if line.startswith(("slotline_rate_spent", "slotline_rate_used"))]

    def test_what_hangs_is_not_waited_for_and_not_asked_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A database that hangs takes one thread, not one for every scrape."""
        released, asked = threading.Event(), []

        def hang() -> list[collectors.Reading]:
            asked.append(1)
            released.wait(10)
            return []

        collectors.register_collector("operations", hang)
        monkeypatch.setattr(collectors, "TIMEOUT_S", 0.05)
        try:
            for _ in range(3):
                seen = samples.now()
        finally:
            released.set()

        assert seen['slotline_readable{part="operations"}'] == 0
        assert len(asked) == 1

    def test_a_second_look_within_a_second_asks_nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """However many scrape."""
        monkeypatch.setattr(collectors, "CACHED_S", 600)  # the second is as long as this test takes
        asked: list[int] = []
        collectors.register_collector("operations", lambda: asked.append(1) or [])
        samples.now()

        for _ in range(5):
            collectors.COLLECTORS.answers()

        assert len(asked) == 1
