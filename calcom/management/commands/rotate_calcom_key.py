"""`manage.py rotate_calcom_key`: give an account another API key of the same Cal.com user."""

import getpass
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from calcom import accounts
from calcom.errors import CalcomError
from calcom.models import Account


class Command(BaseCommand):
    """Replace an API key."""

    help = (
        "Read a new API key from standard input, or ask for it, and store it for ACCOUNT once Cal.com has told whose it"
        " is. A key of another user is refused, and nothing is changed. Every process uses the new one at once."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Describe the arguments."""
        parser.add_argument("account", type=int, help="primary key of the account, as the admin shows it")

    def handle(self, *_args: Any, account: int, **_options: Any) -> None:
        """Verify and store."""
        found = Account.objects.filter(pk=account).first()
        if found is None:
            raise CommandError(f"There is no account {account}.")
        key = (getpass.getpass("New API key: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()
        if not key:
            raise CommandError("Give the key on standard input.")
        try:
            accounts.replace_key(found, key)
        except CalcomError as exc:
            raise CommandError(f"Nothing was changed: {exc}") from exc
        self.stdout.write(f"{found.name} has the new key. Revoke the old one at Cal.com.")
