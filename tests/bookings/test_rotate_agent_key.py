"""`manage.py rotate_agent_key`: the new key and the old one work side by side, and the old one ends by itself."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from bookings.api import auth
from bookings.models import AgentKey
from tests.agent import Agent
from tests.factories import Salon

pytestmark = pytest.mark.django_db(transaction=True)


def rotated(salon: Salon, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    call_command("rotate_agent_key", salon.agent_key.prefix, *options)
    return capsys.readouterr().out.strip()


def is_admitted(key: str) -> bool:
    auth.key_named.clear()
    return Agent(key).get("services").status_code == 200


def test_both_keys_work_for_a_day_and_then_the_new_one(salon: Salon, capsys: pytest.CaptureFixture[str]) -> None:
    salon.agent_key.add_secret("retell", secret="kept")
    salon.agent_key.save()

    new = rotated(salon, capsys)
    at_first = is_admitted(salon.key), is_admitted(new)
    old = AgentKey.objects.get(pk=salon.agent_key.pk)
    AgentKey.objects.filter(pk=old.pk).update(revoked_at=timezone.now() - timedelta(seconds=1))

    assert at_first == (True, True)
    assert (is_admitted(salon.key), is_admitted(new)) == (False, True)
    assert timedelta(hours=23) < old.revoked_at - timezone.now() < timedelta(hours=24)
    successor = AgentKey.objects.exclude(pk=old.pk).get()
    assert successor.scopes == old.scopes
    assert successor.secrets_of("retell") == [{"secret": "kept"}]


def test_key_that_has_a_successor_is_not_replaced_again(salon: Salon, capsys: pytest.CaptureFixture[str]) -> None:
    AgentKey.objects.filter(pk=salon.agent_key.pk).update(prefix="sl_other")
    salon.agent_key.refresh_from_db()
    rotated(salon, capsys)

    with pytest.raises(CommandError, match="has no successor"):
        rotated(salon, capsys)


def test_unknown_prefix_changes_nothing(salon: Salon) -> None:
    with pytest.raises(CommandError, match="No key"):
        call_command("rotate_agent_key", "sl_none")

    assert AgentKey.objects.count() == 1
