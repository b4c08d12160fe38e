"""
Whatever happens, in whatever order: in the end our rows are what Cal.com has, and what callers were told is so.

`pytest tests/chaos/test_sequences.py --sequences 1000 --seed 1` plays a thousand sequences; what fails is made as
short as it can be, and told with its number: `--sequences 1 --seed NUMBER` plays it again.
"""

import os
import time
from random import SystemRandom

import pytest

from tests.chaos.sequences.run import drawn, play, shortened

# Of the sequences that fail, these are made short: it takes as long as playing a dozen.
MOST_SHORTENED = 5


def test_whatever_happens_our_rows_are_what_cal_com_has(stage, request):
    """Invariants 2 and 3, FM-04, FM-08, FM-10, FM-15, FM-18, FM-71 to FM-74."""
    count, first = request.config.getoption("sequences"), request.config.getoption("seed")
    began, failed = time.monotonic(), []
    for number in range(first, first + count):
        steps = drawn(number)
        if play(stage, steps, seed=number).problems:
            failed.append(number)
            if len(failed) <= MOST_SHORTENED:
                _show(stage, steps, number)

    took = time.monotonic() - began
    print(f"{count} sequences from {first} on, {len(failed)} mismatches {failed or ''}, {took:.1f} s")
    assert not failed


def _show(stage, steps, number):
    short = shortened(stage, steps, seed=number)
    print(f"--- sequence {number}: {', '.join(map(str, short))}", *play(stage, short, seed=number).lines, sep="\n")


@pytest.mark.campaign
def test_hundreds_of_sequences(experiment):
    """
    300 from a number that is drawn anew each time, in full a thousand; SEQUENCES_SEED plays those of a run again.

    The number stands in the first line of what is printed, and each that failed in the last.
    """
    experiment("sequences", seed=int(os.environ.get("SEQUENCES_SEED") or SystemRandom().randrange(2**31)))
