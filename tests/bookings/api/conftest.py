"""Fixtures of the API tests."""

import pytest

from tests.bookings.api.helpers import Agent
from tests.factories import Practice, Salon


@pytest.fixture
def agent(salon: Salon) -> Agent:
    """The salon's agent."""
    return Agent(salon.key)


@pytest.fixture
def stranger(practice: Practice) -> Agent:
    """The agent of another company."""
    return Agent(practice.key)
