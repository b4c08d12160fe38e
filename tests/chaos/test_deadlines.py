"""Whatever Cal.com does, a caller waits no longer than they said, and hears nothing that is not known."""

import pytest


@pytest.mark.campaign
def test_cal_com_in_every_trouble(experiment):
    """Experiment 18, FM-46: slow, hanging, refused, failing, dripping, flooding, garbled, in the wrong zone."""
    experiment("deadlines")
