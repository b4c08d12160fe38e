"""kill -9 of real processes, in the middle of what they do."""

import pytest


@pytest.mark.campaign
def test_whoever_is_killed_nothing_is_lost_and_nothing_doubled(experiment):
    """Experiments 3 and 4, FM-04, FM-08: whatever was accepted comes to one end, and the callers hear of it."""
    experiment("kills")
