"""`manage.py subscribe_webhooks`: have Cal.com tell Slotline of changes at once."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from calcom.errors import CalcomError
from calcom.models import Account
from calcom.service import CalcomService
from calcom.webhooks import subscription


class Command(BaseCommand):
    """Subscribe one account or all."""

    help = "Have Cal.com send the webhooks of the accounts here. Safe to repeat: one that is in order is left alone."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("public_url", help="Slotline's public address, such as https://slotline.example")
        parser.add_argument("--account", type=int, metavar="ID", help="only this account; by default all active ones")
        parser.add_argument("--renew", action="store_true", help="give each a fresh secret, though it is in order")

    def handle(self, *_args: Any, public_url: str, account: int | None, renew: bool, **_options: Any) -> None:
        """Subscribe each; raise `CommandError` at the end if one failed."""
        accounts = Account.objects.filter(active=True) if account is None else Account.objects.filter(pk=account)
        if not accounts:
            raise CommandError("There is no such account." if account else "There is no account.")
        failures = []
        for each in accounts.order_by("pk"):
            try:
                done = CalcomService(each).subscribe_webhooks(public_url=public_url, renew=renew)
            except CalcomError as exc:
                failures.append(f"{each}: {exc} Repeat the command.")
            else:
                self.stdout.write(f"{each}: webhook to {subscription.address(each, public_url)} {done}.")
        if failures:
            raise CommandError("\n".join(failures))
