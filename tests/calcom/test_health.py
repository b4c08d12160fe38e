"""What `/health` tells of Cal.com."""

import pytest
from django.test import Client

from calcom.resilience import circuit_breaker
from calcom.resilience.circuit_breaker import Kind, outcome_of
from monitoring import collectors
from tests.factories import Salon

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
