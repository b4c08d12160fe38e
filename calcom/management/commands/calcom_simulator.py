"""Run the Cal.com simulator in the foreground."""

import asyncio
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """`manage.py calcom_simulator`: Cal.com on loopback, for the demo and for load tests."""

    help = "Simulate Cal.com on a loopback address until interrupted."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on")
        parser.add_argument("--port", type=int, default=4010)
        parser.add_argument("--latency", type=float, default=1.0, help="1 is as slow as Cal.com, 0 responds at once")
        parser.add_argument("--limit", type=int, default=120, help="requests per minute and API key")
        parser.add_argument("--seed", type=int, default=0, help="makes latency, uids and probabilities repeatable")
        parser.add_argument("--dataset", default="demo", help="`demo`, or a JSON file with users and event types")

    def handle(self, **options: Any) -> None:
        """Serve until interrupted; explain why that is impossible in a production image."""
        try:
            from calcom.simulator import App, Dataset, demo, serving  # noqa: PLC0415  the image contains none
        except ModuleNotFoundError as error:
            raise CommandError("The production image contains no simulator. Run this command in a checkout.") from error

        async def serve() -> None:
            async with serving(app, options["host"], options["port"]) as base_url:
                self.stdout.write(f"Cal.com is simulated at {base_url}; interrupt to stop.")
                self.stdout.flush()
                await asyncio.Event().wait()

        name = options["dataset"]
        try:
            dataset = demo() if name == "demo" else Dataset.from_json(orjson.loads(Path(name).read_bytes()))
        except (OSError, TypeError, ValueError, KeyError) as error:
            raise CommandError(f"No dataset in {name}: {error}") from error
        app = App(dataset, latency=options["latency"], seed=options["seed"], limit=options["limit"])
        try:
            asyncio.run(serve())
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")
        except (ValueError, OSError) as error:
            raise CommandError(str(error)) from error
