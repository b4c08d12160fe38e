"""The load scenarios, in their short form."""

import pytest


@pytest.mark.campaign
def test_callers_come_in_every_scenario(experiment):
    """FM-29, FM-80, FM-81: nobody waits, nobody is lost, nobody is booked twice, and Cal.com is asked rarely."""
    experiment("load", within=900, seed=1)
