"""
The fault campaign: what must hold while something is broken. One module per experiment.

A module has `PROMISES` (name → `Promise`) and `measure(*, full, seed)`, which returns what was found (name → `Found`)
and prints its ledger: what was done, what Cal.com, our rows and our metrics say of it. Each runs in a process of its
own, in a short form (`script/faults`; `.ci/run` says which CI plays) and in full on demand (`script/faults --full`,
`script/bench --full`).
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from script.lib.measurements import Found, Promise


class Experiment(Protocol):
    """What a module of this package offers."""

    PROMISES: Mapping[str, Promise]

    def measure(self, *, full: bool, seed: int) -> Mapping[str, Found]:
        """Break something, and return what was found; `seed` makes chances repeatable."""
        ...


def names() -> list[str]:
    """Return the experiments there are."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def named(name: str) -> Experiment:
    """Return an experiment."""
    return cast("Experiment", import_module(f"{__name__}.{name}"))
