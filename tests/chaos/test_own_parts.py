"""Our own parts fail while callers ask and book: workers, their broker, Redis, PostgreSQL."""

import pytest

from tests.chaos.conftest import Run

pytestmark = pytest.mark.campaign


def test_workers_die_stop_and_lose_their_broker(experiment: Run) -> None:
    """Experiments 1 and 2: everything owed is worked off, and nobody waits for a broker."""
    experiment("workers")


def test_redis_goes_away_and_falls_silent(experiment: Run) -> None:
    """Experiments 5 and 6: bookings go on, answers degrade, no deadline is missed."""
    experiment("redis_away")


def test_redis_is_full_emptied_and_lost(experiment: Run) -> None:
    """Experiments 7 to 9: rows restore what tasks forgot, nothing from before is believed, and no 429."""
    experiment("redis_lost")


def test_postgresql_restarts_is_full_and_is_locked(experiment: Run) -> None:
    """Experiment 23: 503 with Retry-After within two seconds, nothing accepted is lost, and it heals by itself."""
    experiment("database")
