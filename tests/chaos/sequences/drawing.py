"""Random sequences: drawn from a seed, executed, and shrunk where they fail."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from traceback import format_exc

from tests.chaos.sequences import agents, events, invariants
from tests.chaos.sequences.run import Run
from tests.chaos.sequences.sandbox import Sandbox

Action = Callable[[Run, Random], None]

_BY_AGENTS: dict[Action, int] = {
    agents.search: 7,
    agents.hold: 7,
    agents.release: 1,
    agents.book: 16,
    agents.repeat: 11,
    agents.reuse_key: 1,
    agents.poll_operation: 2,
    agents.reschedule: 10,
    agents.cancel: 6,
}
_EVENTS: dict[Action, int] = {
    events.book_at_calcom: 4,
    events.reschedule_at_calcom: 7,
    events.cancel_at_calcom: 4,
    events.deliver: 12,
    events.inject_fault: 16,
    events.clear_faults: 2,
    events.kill: 8,
    events.empty_redis: 1,
    events.wait: 6,
    events.run_worker: 4,
    events.run_beat: 10,
    events.poll: 5,
    events.reconcile_account: 2,
}
ACTIONS = _BY_AGENTS | _EVENTS
_LONGEST_PAUSE = 4.0  # seconds between two actions


@dataclass(frozen=True)
class Step:
    """An action and the seed of its choices."""

    action: Action
    seed: int

    def __str__(self) -> str:
        return f"{self.action.__name__}({self.seed})"


def draw(seed: int) -> list[Step]:
    """Return the sequence of a seed: eight to fifteen steps."""
    chance = Random(seed)
    actions = chance.choices(list(ACTIONS), weights=list(ACTIONS.values()), k=chance.randint(8, 15))
    return [Step(action, chance.getrandbits(32)) for action in actions]


def execute(sandbox: Sandbox, steps: Sequence[Step], *, seed: int) -> Run:
    """Execute the steps on a fresh sandbox, settle, and check the invariants."""
    sandbox.begin()
    run = Run(sandbox)
    try:
        for step in steps:
            chance = Random(step.seed)
            step.action(run, chance)
            events.advance(run, chance.random() * _LONGEST_PAUSE)
            if run.problems:
                return run
        chance = Random(seed)
        invariants.settle(run, chance)
        invariants.check(run, chance)
    except Exception:  # noqa: BLE001  a failure of this sequence; the next one goes on
        run.fail(format_exc())
        events.clear_faults(run, Random(seed))
    return run


def shrink(sandbox: Sandbox, steps: Sequence[Step], *, seed: int) -> list[Step]:
    """Return steps that still fail, of which none can be left out alone."""
    kept = list(steps)
    for number in reversed(range(len(kept))):
        fewer = kept[:number] + kept[number + 1 :]
        if execute(sandbox, fewer, seed=seed).problems:
            kept = fewer
    return kept
