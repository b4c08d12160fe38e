"""Warming among callers, and what it is worth to them, with real processes before a Cal.com that counts."""

import pytest

from tests.chaos.conftest import Run

pytestmark = pytest.mark.campaign


def test_callers_do_not_notice_that_a_thousand_days_are_warmed(experiment: Run) -> None:
    """Experiment 16, FM-44: neither in their answers' time, nor in what the budget holds back for them."""
    experiment("warming")


def test_callers_of_a_morning_wait_less_often(experiment: Run) -> None:
    """FM-29: measured, with and without, and what it costs in requests."""
    experiment("warming_worth")
