"""Sequences by number: what happens in them, how they are played, and what is left of one when it is made short."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from traceback import format_exc

from tests.chaos.sequences import balance, calls, elsewhere
from tests.chaos.sequences.play import Play
from tests.chaos.sequences.stage import Stage

Deed = Callable[[Play, Random], None]

_CALLS: dict[Deed, int] = {
    calls.search: 7,
    calls.hold: 7,
    calls.release: 1,
    calls.book: 16,
    calls.repeat: 11,
    calls.use_key_again: 1,
    calls.follow: 2,
    calls.move: 10,
    calls.cancel: 6,
}
_ELSEWHERE: dict[Deed, int] = {
    elsewhere.book_there: 4,
    elsewhere.move_there: 7,
    elsewhere.cancel_there: 4,
    elsewhere.deliver: 12,
    elsewhere.fail: 16,
    elsewhere.let_go: 2,
    elsewhere.die: 8,
    elsewhere.lose_redis: 1,
    elsewhere.wait: 6,
    elsewhere.work: 4,
    elsewhere.sweep: 10,
    elsewhere.poll: 5,
    elsewhere.compare: 2,
}
DEEDS = _CALLS | _ELSEWHERE
_LONGEST_TALK = 4.0  # seconds between two deeds


@dataclass(frozen=True)
class Step:
    """Something that happens, and the chances in it."""

    deed: Deed
    seed: int

    def __str__(self) -> str:
        return f"{self.deed.__name__}({self.seed})"


def drawn(seed: int) -> list[Step]:
    """Return the sequence of this number: eight to fifteen steps."""
    dice = Random(seed)
    deeds = dice.choices(list(DEEDS), weights=list(DEEDS.values()), k=dice.randint(8, 15))
    return [Step(deed, dice.getrandbits(32)) for deed in deeds]


def play(stage: Stage, steps: Sequence[Step], *, seed: int) -> Play:
    """Play the steps from the beginning, let everything settle, and return what came of it."""
    stage.begin()
    play = Play(stage)
    try:
        for step in steps:
            dice = Random(step.seed)
            step.deed(play, dice)
            elsewhere.pass_by(play, dice.random() * _LONGEST_TALK)
            if play.problems:
                return play
        dice = Random(seed)
        balance.settle(play, dice)
        balance.check(play, dice)
    except Exception:  # noqa: BLE001  whatever it is, it is this sequence's failure, and the next one goes on
        play.object(format_exc())
        elsewhere.let_go(play, Random(seed))
    return play


def shortened(stage: Stage, steps: Sequence[Step], *, seed: int) -> list[Step]:
    """Return as few of the steps as still go wrong; none of those that are left can be left out alone."""
    kept = list(steps)
    for number in reversed(range(len(kept))):
        fewer = kept[:number] + kept[number + 1 :]
        if play(stage, fewer, seed=seed).problems:
            kept = fewer
    return kept
