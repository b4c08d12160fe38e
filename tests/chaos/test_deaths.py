"""Whoever dies at whatever step: what was wished for happens once, and who asks again is told what became of it."""

from random import Random

import pytest

from tests.chaos.sequences import balance
from tests.chaos.sequences.play import Ask, Play, Told
from tests.chaos.sequences.stage import Stage

MOST_STEPS = 200
CALLER = {"name": "Anna Schmidt", "phone": "+4915112345678", "email": None}


def search_and_hold(play: Play) -> str:
    """Return the confirm_token of a cut at ten."""
    line = play.stage.lines[0]
    start = line.starts["cut"][0]
    when = {"windows": [{"from": start.isoformat()}]}
    body = {"service": f"sv_{line.services['cut'].pk}", "when": when, "hold": "exact_match"}
    return str(line.agent.post("availability/search", body).json()["hold"]["confirm_token"])


def book(play: Play, name: str = "cut", key: str = "key") -> Ask:
    line = play.stage.lines[0]
    body = {"service": f"sv_{line.services[name].pk}", "start": line.starts[name][0].isoformat(), "caller": CALLER}
    return Ask(line, "book", "bookings", body, {"idempotency_key": key})


def book_what_is_held(play: Play) -> Ask:
    return Ask(play.stage.lines[0], "book", "bookings", {"confirm_token": search_and_hold(play), "caller": CALLER})


def move(play: Play) -> Ask:
    line, booking = play.stage.lines[0], booked(play)
    body = {"start": line.starts["cut"][1].isoformat()}
    return Ask(line, "move", f"bookings/{booking}/reschedule", body, {"idempotency_key": "another"})


def cancel(play: Play) -> Ask:
    return Ask(play.stage.lines[0], "cancel", f"bookings/{booked(play)}/cancel", {}, {"idempotency_key": "another"})


def booked(play: Play) -> str:
    _, said = play.ask(book(play))
    return str(said["booking"]["id"])


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [book, book_what_is_held, move, cancel])
def test_death_at_any_step_has_one_effect(stage, wanted):
    """Experiments 4 and 21: a repeat under the same key is told what the first request came to, and adds nothing."""
    for steps in range(1, MOST_STEPS):
        play, died = die_over(stage, wanted, steps)
        assert not play.problems, "\n".join(play.lines)
        if not died:
            break

    assert steps > 10, "so few steps can be no booking"
    print(f"{wanted.__name__}: died at each of {steps - 1} steps")
    assert steps < MOST_STEPS - 1


def die_over(stage: Stage, wanted, steps: int) -> tuple[Play, bool]:
    """Die before the step of that number of what is wanted, and ask again, at once and when all has settled."""
    stage.begin()
    play = Play(stage)
    ask = wanted(play)
    stage.process.die_in(steps)
    first, _ = play.ask(ask)
    stage.process.die_in(None)
    at_once, _ = play.ask(ask)
    balance.settle(play, Random(steps))
    later, said = play.ask(ask)
    balance.check(play, Random(steps))
    if later is not Told.DONE or not said["replayed"]:
        play.object(f"told {first}, then {at_once}, and in the end {later}, replayed: {said.get('replayed')}")
    return play, first is Told.NOTHING
