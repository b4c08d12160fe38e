"""`manage.py rotate_agent_key`: issue a successor of an agent key; both are valid for a while."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from bookings.models import AgentKey


class Command(BaseCommand):
    """Replace a key without a gap."""

    help = "Issue a key with the rights of the one that begins with PREFIX, and write it, this once. The old one ends."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Describe the arguments."""
        parser.add_argument("prefix", help="the first characters of the key, as the admin shows them")
        parser.add_argument("--hours", type=int, default=24, help="for how long the old one is valid; default 24")

    def handle(self, *_args: Any, prefix: str, hours: int, **_options: Any) -> None:
        """Write the new key to standard output, and what became of the old one to standard error."""
        if not 0 <= hours <= 24 * 30:
            raise CommandError("--hours must lie between 0 and 720.")
        keys = list(AgentKey.objects.filter(prefix=prefix[:8], revoked_at__isnull=True).select_related("company")[:2])
        if len(keys) != 1:
            found = "More than one key begins" if keys else "No key that is valid and has no successor begins"
            raise CommandError(f"{found} with {prefix[:8]}.")
        _, text = AgentKey.objects.replace(keys[0], overlap=timedelta(hours=hours))
        self.stdout.write(text)
        self.stderr.write(f"{keys[0].name} of {keys[0].company}: the old key is valid for {hours} h more.")
