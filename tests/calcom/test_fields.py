"""Secrets at rest."""

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from bookings.models import AgentKey
from calcom.fields import decrypt, encrypt
from calcom.management.commands.rotate_field_keys import encrypted_fields
from calcom.models import Account
from monitoring import collectors
from tests.factories import Salon

SECRET = "cal_live_4242"


@pytest.mark.django_db
def test_database_stores_no_key_in_plain_text():
    """FM-83: PostgreSQL stores the key encrypted, and it is read back."""
    account = Account.objects.create(name="Salon", api_key=SECRET)

    with connection.cursor() as cursor:
        cursor.execute("SELECT api_key, webhook_secret FROM calcom_account")
        stored, empty = cursor.fetchone()

    assert SECRET not in stored
    assert empty == ""
    assert Account.objects.get(id=account.id).api_key == SECRET


def test_keys_can_be_rotated(settings):
    """FM-83: the first key encrypts, all decrypt, and one that is gone is named as the reason."""
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    settings.FIELD_KEYS = [old]
    token = encrypt(SECRET)

    settings.FIELD_KEYS = [new, old]
    read_after_rotation = decrypt(token)
    settings.FIELD_KEYS = [new]

    assert read_after_rotation == SECRET
    with pytest.raises(ImproperlyConfigured, match="no longer holds"):
        decrypt(token)


@pytest.mark.parametrize(("keys", "complaint"), [([], "Set FIELD_KEYS"), (["short"], "must be Fernet keys")])
def test_a_missing_or_broken_key_is_named(settings, keys, complaint):
    """FM-83: without a key nothing is stored in the clear; it fails, by name."""
    settings.FIELD_KEYS = keys

    with pytest.raises(ImproperlyConfigured, match=complaint):
        encrypt(SECRET)


def test_the_command_makes_a_key_that_works(settings, capsys):
    """A key from `generate_field_key` goes into FIELD_KEYS as it is."""
    call_command("generate_field_key")
    settings.FIELD_KEYS = [capsys.readouterr().out.strip()]

    token = encrypt(SECRET)

    assert decrypt(token) == SECRET


# --- rotation ----------------------------------------------------------------------------------------------------


@pytest.fixture
def rotate(settings, capsys):
    """Put another key before the present ones and run the command; return what it said."""

    def run(*, again: bool = False) -> str:
        if not again:
            settings.FIELD_KEYS = [Fernet.generate_key().decode(), *settings.FIELD_KEYS]
        call_command("rotate_field_keys", batch_size=2)
        return capsys.readouterr().out

    return run


def test_rotation_encrypts_every_secret_under_the_first_key(settings, salon: Salon, rotate):
    """Over several batches and all models; afterwards the old key is needed no more."""
    for number in range(5):
        Account.objects.create(name=f"{number}", api_key=f"cal_{number}", webhook_secret=f"secret {number}")
    AgentKey.objects.filter(pk=salon.agent_key.pk).update(platform_secrets='{"retell": "r"}')

    said = rotate()
    settings.FIELD_KEYS = settings.FIELD_KEYS[:1]

    assert "calcom.Account.api_key: 6 of 6 encrypted anew." in said
    assert "calcom.Account.webhook_secret: 5 of 5 encrypted anew." in said
    assert "bookings.AgentKey.platform_secrets: 1 of 1 encrypted anew." in said
    assert set(Account.objects.exclude(pk=salon.account.pk).values_list("api_key", "webhook_secret")) == {
        (f"cal_{number}", f"secret {number}") for number in range(5)
    }
    assert AgentKey.objects.get(pk=salon.agent_key.pk).platform_secrets == '{"retell": "r"}'


def test_rotation_knows_every_encrypted_field(db):
    """A new one is found without being listed."""
    assert {str(field) for field in encrypted_fields()} == {
        "calcom.Account.api_key",
        "calcom.Account.webhook_secret",
        "bookings.AgentKey.platform_secrets",
    }


def test_rotation_changes_nothing_the_second_time(salon: Salon, rotate):
    """Safe to run again."""
    rotate()
    stored = raw_key(salon.account)

    assert "calcom.Account.api_key: 0 of 1 encrypted anew." in rotate(again=True)
    assert raw_key(salon.account) == stored


def test_rotation_names_what_no_key_fits_and_goes_on(settings, salon: Salon, rotate):
    """One lost secret hides no other."""
    present = settings.FIELD_KEYS
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]
    lost = Account.objects.create(name="Lost", api_key=SECRET)
    settings.FIELD_KEYS = present

    with pytest.raises(CommandError, match=rf"fits: calcom.Account.api_key of row {lost.pk}$"):
        rotate()
    settings.FIELD_KEYS = settings.FIELD_KEYS[:1]

    assert Account.objects.get(pk=salon.account.pk).api_key == salon.account.api_key


def raw_key(account: Account) -> str:
    """Return the key as it is stored."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT api_key FROM calcom_account WHERE id = %s", [account.pk])
        (stored,) = cursor.fetchone()
    return str(stored)


# --- health ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_health_is_down_with_the_wrong_field_keys(settings, salon: Salon):
    """No agent key can be read, so no caller is to be sent here: a deploy with them stops."""
    collectors.PROBES.clear_cache()
    assert Client().get("/health").json()["probes"]["field_keys"]["ok"]
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]
    collectors.PROBES.clear_cache()

    health, ready = Client().get("/health"), Client().get("/health/ready")

    assert (health.status_code, health.json()["status"]) == (503, "down")
    assert health.json()["probes"]["field_keys"]["detail"] == "FIELD_KEYS do not fit the stored secrets"
    assert ready.json()["missing"] == ["field_keys"]
    collectors.PROBES.clear_cache()
