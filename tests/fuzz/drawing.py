"""Examples drawn by hypothesis, the same for the same seed; they are sent once and never shrunk."""

from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")


def draw(strategy: SearchStrategy[T], send: Callable[[T], None], *, number: int, most: int) -> None:
    """Call `send` with at most `most` examples of a strategy; `number` is the seed."""

    @seed(number)
    @settings(
        max_examples=most,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(example: T) -> None:
        send(example)

    run()
