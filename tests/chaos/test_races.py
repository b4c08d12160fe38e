"""Callers who want the same at once, against real processes."""

import pytest


@pytest.mark.campaign
def test_what_many_want_at_once_is_sold_once(experiment):
    """FM-13, FM-81, experiment 20: one winner each, and losers who hear of other times before they can wonder."""
    experiment("races")
