"""`manage.py preflight`: each line tells what was found, or what is wrong and what to do."""

import json
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from bookings.models import AgentKey
from calcom.models import Account
from monitoring import collectors
from monitoring.models import Alert, JobRun
from tests.factories import Salon

pytestmark = pytest.mark.django_db(transaction=True)


def lines(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    collectors.PROBES.clear_cache()
    with pytest.raises(SystemExit):  # something is always missing in a test: no worker runs
        call_command("preflight", "--json")
    return {item["name"]: item for item in json.loads(capsys.readouterr().out)}


def test_empty_deployment_names_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    found = lines(capsys)

    assert found["database"]["ok"]
    assert "onboard" in found["Cal.com accounts"]["detail"]
    assert "onboard" in found["companies"]["detail"]
    assert not found["processes"]["ok"]


def test_company_that_can_be_booked_is_in_order(salon: Salon, capsys: pytest.CaptureFixture[str]) -> None:
    Account.objects.update(synced_at=timezone.now(), webhook_secret="s")

    found = lines(capsys)

    assert found["companies"]["ok"]
    assert found["Cal.com accounts"]["ok"]


def test_company_without_a_valid_key_is_named(salon: Salon, capsys: pytest.CaptureFixture[str]) -> None:
    AgentKey.objects.update(revoked_at=timezone.now())

    assert "salon" in lines(capsys)["companies"]["detail"]


def test_account_without_webhooks_is_named(salon: Salon, capsys: pytest.CaptureFixture[str]) -> None:
    Account.objects.update(synced_at=timezone.now(), webhook_secret="")

    assert "subscribe_webhooks" in lines(capsys)["Cal.com accounts"]["detail"]


def test_firing_alert_and_job_that_never_ran_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    Alert.objects.create(name="drift", severity="warning", message="x")
    JobRun.objects.create(job="sync", account_id=7)

    found = lines(capsys)

    assert "drift" in found["alerts"]["detail"]
    assert "sync of account 7" in found["nightly jobs"]["detail"]


def test_words_end_with_how_much_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        call_command("preflight")

    assert stopped.value.code == 1
    assert capsys.readouterr().out.strip().endswith("not in order.")
