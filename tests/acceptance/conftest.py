"""A server on loopback, and the environment in which the clients are installed."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_django.live_server_helper import LiveServer

from bookings.models import AgentKey
from tests.bookings.voice.platforms import open_voice
from tests.bookings.voice.said import DAY
from tests.factories import ANNA, Salon

ENVIRONMENT = Path(".local/acceptance")
CLIENTS = Path(__file__).parent / "clients"
SECRET = "secret_of_platforms"

Program = Callable[..., dict[str, Any]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.acceptance)


@pytest.fixture
def voice_key(salon: Salon) -> AgentKey:
    """A key of the salon that may do everything, with a secret of each platform."""
    return open_voice(salon.agent_key, SECRET)


@pytest.fixture
def run_client() -> Program:
    """Return what runs a client program and returns the JSON of its last line."""
    python = (ENVIRONMENT / "bin" / "python").absolute()

    def run(program: str, module: str, **given: Any) -> dict[str, Any]:
        if not list(ENVIRONMENT.glob(f"lib/python3*/site-packages/{module.replace('.', '/')}")):
            pytest.skip(f"{module} is NOT INSTALLED: script/test --acceptance [--full] installs it")
        done = subprocess.run(
            [python, CLIENTS / program, json.dumps(given)],
            check=False, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4_000:]
        answered: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return answered

    return run


@pytest.fixture
def call(live_server: LiveServer, salon: Salon, voice_key: AgentKey) -> dict[str, Any]:
    """What a client is given: address, key, headers of a call, and what is said in it."""
    headers = {"Authorization": f"Bearer {salon.key}", "X-Call-Id": "call-1", "X-Caller-Id": str(ANNA.phone)}
    return {
        "url": f"{live_server.url}/mcp",
        "key": salon.key,
        "headers": headers,
        "service": "Haarschnitt bitte",
        "day": f"am {DAY} vormittags",
        "when": f"am {DAY} um zehn Uhr",
        "later": f"am {DAY} um elf Uhr",
        "name": ANNA.name,
    }
