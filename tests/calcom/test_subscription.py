"""One account for each user of Cal.com, and one webhook for each account."""

import io

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from calcom.accounts import connect
from calcom.errors import CalcomError, KeyRefused, Unavailable
from calcom.models import Account
from calcom.service import CalcomService
from calcom.simulator import Simulator
from calcom.webhooks.messages import TRIGGERS
from calcom.webhooks.subscription import Subscription
from tests.factories import SALON_CREDENTIAL, Salon

PUBLIC = "http://127.0.0.1:8000"
CREATE = "POST /v2/webhooks"


@pytest.fixture
def account(salon: Salon, calcom: CalcomService) -> Account:
    return salon.account


def test_webhook_is_subscribed_with_a_fresh_secret_and_all_that_is_understood(
    account: Account, calcom: CalcomService, simulator: Simulator
) -> None:
    assert calcom.webhook_flaw() == "Cal.com has no webhook that leads here."

    done = calcom.subscribe_webhooks(public_url=f"{PUBLIC}/")

    [webhook] = calcom._client.webhooks()
    account.refresh_from_db()
    assert done is Subscription.CREATED
    assert webhook.url == f"{PUBLIC}/webhooks/calcom/{account.pk}"
    assert webhook.triggers == set(TRIGGERS)
    assert len(webhook.secret) > 40
    assert webhook.secret == account.webhook_secret
    assert calcom.webhook_flaw() == ""


def test_webhook_in_order_is_left_alone(calcom: CalcomService, simulator: Simulator) -> None:
    calcom.subscribe_webhooks(public_url=PUBLIC)
    before = calcom._account.webhook_secret

    assert calcom.subscribe_webhooks(public_url=PUBLIC) is Subscription.UNCHANGED
    assert calcom._account.webhook_secret == before
    assert simulator.count(CREATE) == 1


def test_webhook_with_another_secret_gets_a_fresh_one_and_no_second_is_made(
    calcom: CalcomService, simulator: Simulator
) -> None:
    calcom.subscribe_webhooks(public_url=PUBLIC)
    Account.objects.update(webhook_secret="of another time")
    calcom._account.refresh_from_db()
    assert calcom.webhook_flaw() == "The webhook has another secret than the account."

    assert calcom.subscribe_webhooks(public_url=PUBLIC) is Subscription.CHANGED

    [webhook] = calcom._client.webhooks()
    assert webhook.secret == Account.objects.get(pk=calcom.account_id).webhook_secret != "of another time"
    assert simulator.count(CREATE) == 1


def test_secret_is_kept_where_cal_com_did_not_take_the_new_one(calcom: CalcomService, simulator: Simulator) -> None:
    calcom.subscribe_webhooks(public_url=PUBLIC)
    before = calcom._account.webhook_secret
    simulator.fail("PATCH *", "error_before", times=1)

    with pytest.raises(CalcomError):
        calcom.subscribe_webhooks(public_url=PUBLIC, renew=True)

    assert Account.objects.get(pk=calcom.account_id).webhook_secret == before
    assert calcom.webhook_flaw() == ""


def test_command_subscribes_all_accounts_and_says_so(account: Account) -> None:
    out = io.StringIO()

    call_command("subscribe_webhooks", PUBLIC, stdout=out)
    call_command("subscribe_webhooks", PUBLIC, "--account", account.pk, stdout=out)

    address = f"{PUBLIC}/webhooks/calcom/{account.pk}"
    assert out.getvalue() == f"Salon: webhook to {address} created.\nSalon: webhook to {address} unchanged.\n"


def test_command_names_the_account_that_was_not_subscribed(account: Account, simulator: Simulator) -> None:
    simulator.fail("GET *", "error_before", times=1)

    with pytest.raises(CommandError, match=r"Salon: .* Repeat the command"):
        call_command("subscribe_webhooks", PUBLIC)


@pytest.mark.django_db
class TestConnect:
    def test_account_of_a_new_key_is_named_after_its_owner(self, simulator: Simulator) -> None:
        connected = connect(base_url=f"{simulator.base_url}/v2/", api_key=SALON_CREDENTIAL)

        assert connected.is_new
        assert (connected.account.name, connected.account.base_url) == (connected.owner.name, simulator.base_url)
        assert connected.account.owner_calcom_id == connected.owner.id

    def test_same_key_has_the_same_account(self, simulator: Simulator) -> None:
        first = connect(base_url=simulator.base_url, api_key=SALON_CREDENTIAL)

        again = connect(base_url=simulator.base_url, api_key=SALON_CREDENTIAL)

        assert (again.account, again.is_new) == (first.account, False)
        assert Account.objects.count() == 1

    def test_new_key_of_the_same_user_becomes_that_of_the_account(self, simulator: Simulator) -> None:
        first = connect(base_url=simulator.base_url, api_key=SALON_CREDENTIAL)
        Account.objects.update(api_key="cal_of_before")

        again = connect(base_url=simulator.base_url, api_key=SALON_CREDENTIAL)

        assert (again.account, again.is_new) == (first.account, False)
        assert Account.objects.get().api_key == SALON_CREDENTIAL

    def test_refused_key_leaves_no_account(self, simulator: Simulator) -> None:
        with pytest.raises(KeyRefused):
            connect(base_url=simulator.base_url, api_key="cal_wrong")

        assert not Account.objects.exists()

    def test_calcom_that_does_not_answer_leaves_no_account(self, simulator: Simulator) -> None:
        simulator.fail("GET *", "error_before", times=1)

        with pytest.raises(Unavailable):
            connect(base_url=simulator.base_url, api_key=SALON_CREDENTIAL)

        assert not Account.objects.exists()

    def test_key_is_sent_to_no_address_that_is_not_allowed(self) -> None:
        with pytest.raises(ValidationError, match="CALCOM_LOOPBACK_ONLY"):
            connect(base_url="https://calcom.example", api_key=SALON_CREDENTIAL)
