"""Fixtures of the tests of Cal.com."""

from collections.abc import Iterator

import pytest
from django.conf import LazySettings

from calcom.webhooks import events
from tests.calcom.stopwatch import Stopwatch
from tests.calcom.webhooks import RecordingHandler


@pytest.fixture(autouse=True)
def _patient_redis(settings: LazySettings) -> None:
    """
    Wait for Redis as long as it takes.

    Where time is simulated, a time-out of 0.2 s on a busy machine would be an outage of minutes: the circuit breaker of
    Redis goes by the real clock, and meanwhile the limiter admits what it may without Redis.
    """
    settings.REDIS_TIMEOUT = 30.0


@pytest.fixture
def clock() -> Stopwatch:
    """Simulated time."""
    return Stopwatch()


@pytest.fixture
def handler() -> Iterator[RecordingHandler]:
    """The handler of all events."""
    recording = RecordingHandler()
    before = events.register(recording)
    yield recording
    events.register(before)
