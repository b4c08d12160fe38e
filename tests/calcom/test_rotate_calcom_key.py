"""`manage.py rotate_calcom_key`: a key of the same user is stored, any other changes nothing."""

import io

import pytest
from django.core.management import CommandError, call_command

from calcom.models import Account
from calcom.simulator import Simulator
from tests.factories import PRACTICE_CREDENTIAL, SALON_CREDENTIAL, Salon

pytestmark = pytest.mark.django_db(transaction=True)


def rotate(account: Account, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{key}\n"))
    call_command("rotate_calcom_key", str(account.pk))


def test_key_of_the_same_user_is_stored(simulator: Simulator, salon: Salon, monkeypatch: pytest.MonkeyPatch) -> None:
    simulator.issue_key("salon", "cal_new_key")

    rotate(salon.account, "cal_new_key", monkeypatch)

    salon.account.refresh_from_db()
    assert salon.account.api_key == "cal_new_key"
    assert salon.account.owner_calcom_id == 101


def test_key_of_another_user_changes_nothing(
    simulator: Simulator, salon: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotate(salon.account, SALON_CREDENTIAL, monkeypatch)

    with pytest.raises(CommandError, match="Nothing was changed"):
        rotate(salon.account, PRACTICE_CREDENTIAL, monkeypatch)

    assert Account.objects.get(pk=salon.account.pk).api_key == SALON_CREDENTIAL


def test_key_that_calcom_refuses_changes_nothing(
    simulator: Simulator, salon: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator.issue_key("salon", "cal_revoked")
    simulator.revoke_key("cal_revoked")

    with pytest.raises(CommandError, match="Nothing was changed"):
        rotate(salon.account, "cal_revoked", monkeypatch)

    assert Account.objects.get(pk=salon.account.pk).api_key == SALON_CREDENTIAL
