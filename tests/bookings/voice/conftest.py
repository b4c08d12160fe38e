"""Fixtures of the adapters' tests: platforms that speak for the salon."""

import pytest

from bookings.models import AgentKey
from tests.bookings.voice.platforms import Mcp, Retell, open_voice
from tests.factories import Salon

RETELL_SECRET = "key_of_retell"


@pytest.fixture
def voice_key(salon: Salon) -> AgentKey:
    """A key of the salon that may do everything, with a secret of each platform."""
    return open_voice(salon.agent_key, RETELL_SECRET)


@pytest.fixture
def retell(voice_key: AgentKey) -> Retell:
    """Retell, which signs what it sends."""
    return Retell(voice_key.company.slug, RETELL_SECRET)


@pytest.fixture
def mcp(salon: Salon, voice_key: AgentKey) -> Mcp:
    """A client of the newest version of MCP, in a call of its own."""
    return Mcp(salon.key)
