"""Secrets at rest: a text field that PostgreSQL stores encrypted, and the hash that stands for a credential."""

from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Expression


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    if not keys:
        raise ImproperlyConfigured("Set FIELD_KEYS (or FIELD_KEYS_FILE): `manage.py generate_field_key` makes one.")
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError as exc:
        raise ImproperlyConfigured("FIELD_KEYS must be Fernet keys, 32 bytes in URL-safe base64 each.") from exc


def encrypt(text: str) -> str:
    """Return `text` encrypted under the first of FIELD_KEYS."""
    return _fernet(tuple(settings.FIELD_KEYS)).encrypt(text.encode()).decode()


def decrypt(token: str) -> str:
    """
    Return the text of which `encrypt` returned this token.

    Raises:
        ImproperlyConfigured: none of FIELD_KEYS fits; put the old key back behind the new one.
    """
    try:
        return _fernet(tuple(settings.FIELD_KEYS)).decrypt(token.encode()).decode()
    except InvalidToken as exc:
        raise ImproperlyConfigured("A stored secret needs a key that FIELD_KEYS no longer holds.") from exc


def credential_hash(credential: str) -> str:
    """Return what identifies a credential in Redis keys, rows and logs: 16 hexadecimal digits."""
    return sha256(credential.encode()).hexdigest()[:16]


if TYPE_CHECKING:
    _Text = models.TextField[str, str]
else:
    _Text = models.TextField


def rotated(token: str) -> str:
    """
    Return the secret encrypted under the first of FIELD_KEYS: the token itself if it is so already.

    Raises:
        ImproperlyConfigured: none of FIELD_KEYS fits.
    """
    with suppress(InvalidToken):
        _fernet(tuple(settings.FIELD_KEYS[:1])).decrypt(token.encode())
        return token
    return encrypt(decrypt(token))


class EncryptedTextField(_Text):
    """Text that is stored encrypted (Fernet). It cannot be searched or compared in the database."""

    def get_prep_value(self, value: Any) -> Any:
        text = super().get_prep_value(value)
        return encrypt(text) if text else text

    def from_db_value(self, value: str | None, _expression: Expression, _: BaseDatabaseWrapper) -> str | None:
        return decrypt(value) if value else value
