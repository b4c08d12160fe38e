"""What our own figures are worth while processes die and servers are silent."""

import pytest

from tests.chaos.conftest import Run

pytestmark = pytest.mark.campaign


def test_all_processes_count_together_and_lose_nothing(experiment: Run) -> None:
    """FM-80: what is said of us was counted, by web and workers, also by those that were killed."""
    experiment("figures", within=120)
