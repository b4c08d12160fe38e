"""How what is sent is made up: by hypothesis, the same for the same seed, and only sent, never made shorter."""

from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")


def drawn(strategy: SearchStrategy[T], send: Callable[[T], None], *, number: int, most: int) -> None:
    """Call `send` with at most `most` values of a strategy; `number` says with which."""

    @seed(number)
    @settings(
        max_examples=most,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(value: T) -> None:
        send(value)

    draw()
