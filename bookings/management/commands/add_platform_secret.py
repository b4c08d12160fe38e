"""`manage.py add_platform_secret`: accept what a voice platform signs its requests with."""

import getpass
import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from bookings.models import AgentKey

PLATFORMS = ("retell", "vapi", "elevenlabs", "bland")


class Command(BaseCommand):
    """Add a secret beside the one in use, so that a platform can change over without a gap."""

    help = (
        "Accept a further secret of PLATFORM for the agent key with PREFIX. The secret is read from standard input, or"
        " asked for: a command line can be read by others. The last two of a platform are valid."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Describe the arguments."""
        parser.add_argument("platform", choices=PLATFORMS)
        parser.add_argument("prefix", help="the first characters of the agent key, as the admin shows them")
        parser.add_argument(
            "--plan", default="{}", help='how Vapi signs, as JSON: {"algorithm": "sha256", "encoding": "hex", …}'
        )

    def handle(self, *_args: Any, platform: str, prefix: str, plan: str, **_options: Any) -> None:
        """Store it encrypted."""
        keys = list(AgentKey.objects.unrevoked().filter(prefix=prefix[:8])[:2])
        if len(keys) != 1:
            raise CommandError(f"{'No' if not keys else 'More than one'} valid agent key begins with {prefix[:8]}.")
        secret = (getpass.getpass("Secret: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()
        if not secret:
            raise CommandError("Give the secret on standard input.")
        try:
            settings = dict(json.loads(plan))
        except (ValueError, TypeError) as exc:
            raise CommandError("--plan must be a JSON object.") from exc
        keys[0].add_secret(platform, secret=secret, **settings)
        keys[0].save(update_fields=["platform_secrets"])
        count = len(keys[0].secrets_of(platform))
        self.stdout.write(f"{count} secret{'s' if count > 1 else ''} of {platform} valid for {keys[0].name}.")
