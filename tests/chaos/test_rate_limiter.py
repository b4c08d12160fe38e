"""The limit, with real processes before a Cal.com that counts."""

import pytest

from tests.chaos.conftest import Run

pytestmark = pytest.mark.campaign


def test_whatever_is_wanted_nobody_sees_a_429(experiment: Run) -> None:
    """Experiments 13 to 15 and 17, FM-40 to FM-45: bursts, others on the key, chaos, a forced 429, a greedy tenant."""
    experiment("rate_limiter")
