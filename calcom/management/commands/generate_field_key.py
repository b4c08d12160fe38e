"""`manage.py generate_field_key`: a key for FIELD_KEYS."""

from typing import Any

from cryptography.fernet import Fernet
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Print a new key."""

    help = (
        "Print a new key for FIELD_KEYS. To rotate, put it before the old ones (the first encrypts, all decrypt), "
        "start every process anew, and run rotate_field_keys."
    )
    requires_system_checks = ()

    def handle(self, *_args: Any, **_options: Any) -> None:
        self.stdout.write(Fernet.generate_key().decode())
