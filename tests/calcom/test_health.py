"""What `/health` tells of Cal.com."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from calcom.models import Cursor, WebhookDelivery
from calcom.resilience import circuit_breaker
from calcom.resilience.circuit_breaker import Kind, outcome_of
from calcom.simulator import Simulator
from calcom.webhooks import polling
from monitoring import collectors
from tests.factories import Salon, at

pytestmark = pytest.mark.django_db(transaction=True)


def test_open_circuit_is_told_with_its_time_and_is_not_vital(salon: Salon) -> None:
    account = salon.account
    collectors.PROBES.clear_cache()
    for _ in range(3):
        with circuit_breaker.breaker_for(account.api_key, account.pk, Kind.WRITES).guard() as call:
            call.outcome = outcome_of(503)

    answer = Client().get("/health")

    health = answer.json()
    collectors.PROBES.clear_cache()
    assert (answer.status_code, health["status"]) == (200, "degraded")
    assert f"account {account.pk} (writes since " in health["probes"]["calcom"]["detail"]
    assert not health["ready_to_sell"]["ok"]
    assert health["ready_to_sell"]["reason"].startswith("calcom: ")


def webhooks_told() -> str:
    """Return what `/health` tells of webhooks now; empty where nothing is wrong."""
    collectors.PROBES.clear_cache()
    try:
        health = Client().get("/health").json()
    finally:
        collectors.PROBES.clear_cache()
    assert health["ready_to_sell"]["ok"]
    detail: str = health["probes"]["webhooks"]["detail"]
    return detail


@pytest.fixture
def polled(salon: Salon, calcom: object, handler: object, monkeypatch: pytest.MonkeyPatch) -> Cursor:
    """The salon's account, polled before; a webhook is missed at once."""
    monkeypatch.setattr(polling, "WEBHOOK_WITHIN", timedelta())
    salon.account.webhook_secret = "of the tests"
    salon.account.save()
    earlier = timezone.now() - timedelta(minutes=5)
    return Cursor.objects.create(account=salon.account, read_until=earlier, polled_at=earlier)


def deliver(cursor: Cursor, uid: str) -> None:
    event = {"trigger": "BOOKING_CREATED", "remote_uid": uid, "identity": uid, "body": {}}
    WebhookDelivery.objects.create(account_id=cursor.pk, **event)


def test_webhooks_that_are_silent_while_polling_finds_changes_are_told(polled: Cursor, simulator: Simulator) -> None:
    """From the third change in a row on: one lost webhook is no silence."""
    for hour in (10, 11):
        simulator.book_elsewhere(2, at(hour), webhook=False)
    polling.poll(polled.account)
    before = webhooks_told()
    simulator.book_elsewhere(2, at(12), webhook=False)
    polling.poll(polled.account)

    polled.refresh_from_db()

    assert before == ""
    assert polled.untold_changes == 3
    since = f"{polled.untold_since:%H:%M}"
    assert webhooks_told() == f"silent while polling finds changes: account {polled.pk} since {since} UTC, 3 changes"


def test_webhooks_are_in_order_again_as_soon_as_one_comes(polled: Cursor, simulator: Simulator) -> None:
    for hour in (10, 11, 12):
        simulator.book_elsewhere(2, at(hour), webhook=False)
    polling.poll(polled.account)
    assert webhooks_told() != ""

    deliver(polled, "of-another-booking")

    assert webhooks_told() == ""
    polling.poll(polled.account)
    polled.refresh_from_db()
    assert (polled.untold_changes, polled.untold_since) == (0, None)


def test_webhooks_that_tell_of_what_polling_finds_are_in_order(polled: Cursor, simulator: Simulator) -> None:
    for hour in (10, 11, 12):
        deliver(polled, simulator.book_elsewhere(2, at(hour), webhook=False)["uid"])

    polling.poll(polled.account)

    polled.refresh_from_db()
    assert (polled.untold_changes, webhooks_told()) == (0, "")
