"""Whatever is sent, by whomever, with whichever key."""

import pytest


@pytest.mark.campaign
def test_nothing_breaks_nobody_sees_what_is_anothers_and_no_key_is_guessed(experiment):
    """Experiment 24, FM-59, FM-83: fuzzing by the API's own description, foreign ids, a thousand guesses a second."""
    experiment("fuzzing")
