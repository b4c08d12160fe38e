"""Fixtures of the adapters' tests: platforms that speak for the salon."""

import pytest

from bookings.api import throttling
from bookings.models import AgentKey
from bookings.voice import envelope
from tests.bookings.voice.platforms import Mcp, Retell
from tests.factories import Salon

RETELL_SECRET = "key_of_retell"


@pytest.fixture(autouse=True)
def _nothing_counted() -> None:
    throttling.counts.clear()
    envelope.clear_keys()


@pytest.fixture
def voice_key(salon: Salon) -> AgentKey:
    """A key of the salon that may do everything, with a secret of each platform."""
    key = salon.agent_key
    key.scopes = list(AgentKey.Scope)
    for platform in ("retell", "elevenlabs", "bland", "vapi"):
        key.add_secret(platform, secret=RETELL_SECRET)
    key.save()
    return key


@pytest.fixture
def retell(voice_key: AgentKey) -> Retell:
    """Retell, which signs what it sends."""
    return Retell(voice_key.company.slug, RETELL_SECRET)


@pytest.fixture
def mcp(salon: Salon, voice_key: AgentKey) -> Mcp:
    """A client of the newest version of MCP, in a call of its own."""
    return Mcp(salon.key)
