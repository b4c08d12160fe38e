"""Run the Cal.com simulator in the foreground."""

import asyncio
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from calcom.simulator import World, demo, serving
from calcom.simulator.limits import LIMIT
from calcom.simulator.program import Program
from calcom.simulator.running import HOST


class Command(BaseCommand):
    """`manage.py calcom_simulator`: Cal.com on this machine, for the demo and for load tests."""

    help = "Simulate Cal.com on a loopback address until interrupted."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--host", default=HOST, help="loopback address to listen on")
        parser.add_argument("--port", type=int, default=4010)
        parser.add_argument("--latency", type=float, default=1.0, help="1 is as slow as Cal.com, 0 answers at once")
        parser.add_argument("--limit", type=int, default=LIMIT, help="requests per minute and API key")
        parser.add_argument("--seed", type=int, default=0, help="makes latency, uids and chances repeatable")
        parser.add_argument("--world", default="demo", help="`demo`, or a JSON file with users and event types")

    def handle(self, **options: Any) -> None:
        """Serve until interrupted."""
        program = Program(
            _world(options["world"]), latency=options["latency"], seed=options["seed"], limit=options["limit"]
        )
        try:
            asyncio.run(self._serve(program, options["host"], options["port"]))
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")
        except (ValueError, OSError) as error:
            raise CommandError(str(error)) from error

    async def _serve(self, program: Program, host: str, port: int) -> None:
        async with serving(program, host, port) as base_url:
            self.stdout.write(f"Cal.com is simulated at {base_url}; interrupt to stop.")
            self.stdout.flush()
            await asyncio.Event().wait()


def _world(name: str) -> World:
    if name == "demo":
        return demo()
    try:
        return World.from_json(orjson.loads(Path(name).read_bytes()))
    except (OSError, TypeError, ValueError, KeyError) as error:
        raise CommandError(f"No world in {name}: {error}") from error
