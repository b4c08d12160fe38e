"""`manage.py test_alerts`: send a message to every channel of ALERT_URLS."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from monitoring import notifications


class Command(BaseCommand):
    """Try all channels."""

    help = "Send a message to each channel of ALERT_URLS, and say which kinds did not take it."

    def handle(self, *_args: Any, **_options: Any) -> None:
        taken = notifications.try_channels()
        if not taken:
            raise CommandError("ALERT_URLS names no channel: no message about an alert is sent.")
        failed = [kind for kind, was_taken in taken if not was_taken]
        if failed:
            raise CommandError(f"{len(failed)} of {len(taken)} channels did not take it: {', '.join(failed)}.")
        self.stdout.write(f"All channels took it: {', '.join(kind for kind, _ in taken)}.")
