"""Secrets at rest."""

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection

from calcom.crypto import decrypt, encrypt
from calcom.models import Account

SECRET = "cal_live_4242"


@pytest.mark.django_db
def test_the_database_never_sees_a_key():
    """L-83: what PostgreSQL stores tells nobody the key, and we read it back."""
    account = Account.objects.create(name="Salon", api_key=SECRET)

    with connection.cursor() as cursor:
        cursor.execute("SELECT api_key, webhook_secret FROM calcom_account")
        stored, empty = cursor.fetchone()

    assert SECRET not in stored
    assert empty == ""
    assert Account.objects.get(id=account.id).api_key == SECRET


def test_keys_can_be_rotated(settings):
    """L-83: the first key encrypts, all decrypt, and one that is gone is named as the reason."""
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
    """L-83: without a key nothing is stored in the clear; it fails, by name."""
    settings.FIELD_KEYS = keys

    with pytest.raises(ImproperlyConfigured, match=complaint):
        encrypt(SECRET)


def test_the_command_makes_a_key_that_works(settings, capsys):
    """A key from `generate_field_key` goes into FIELD_KEYS as it is."""
    call_command("generate_field_key")
    settings.FIELD_KEYS = [capsys.readouterr().out.strip()]

    token = encrypt(SECRET)

    assert decrypt(token) == SECRET
