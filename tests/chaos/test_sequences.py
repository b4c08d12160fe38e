"""
Random sequences of requests, faults and time, after each of which our rows and Cal.com agree.

`pytest tests/chaos/test_sequences.py --sequences 1000 --seed 1` runs a thousand; one that fails is shrunk and printed
with its number: `--sequences 1 --seed NUMBER` runs it again.
"""

import time

from tests.chaos.sequences.drawing import draw, execute, shrink

# Shrinking one sequence takes as long as running a dozen.
MOST_SHRUNK = 5


def test_random_sequences_leave_rows_and_calcom_consistent(sandbox, request):
    """FM-04, FM-08, FM-10, FM-15, FM-18, FM-71 to FM-74."""
    count, first = request.config.getoption("sequences"), request.config.getoption("seed")
    began, failed = time.monotonic(), []
    for number in range(first, first + count):
        steps = draw(number)
        if execute(sandbox, steps, seed=number).problems:
            failed.append(number)
            if len(failed) <= MOST_SHRUNK:
                short = shrink(sandbox, steps, seed=number)
                log = execute(sandbox, short, seed=number).log_lines
                print(f"--- sequence {number}: {', '.join(map(str, short))}", *log, sep="\n")

    duration = time.monotonic() - began
    print(f"{count} sequences from {first} on, {len(failed)} mismatches {failed or ''}, {duration:.1f} s")
    assert not failed
