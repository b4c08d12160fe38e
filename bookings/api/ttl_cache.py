"""What a process goes on believing for a few seconds, so that a cached answer needs no query for it."""

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

SECONDS = 4.0
"""A revoked key must be refused within 5 s."""


class Remembered(Generic[K, V]):
    """
    A look-up whose answers hold for `SECONDS` in this process.

    None is not remembered: what does not exist yet is found as soon as it does, and made-up keys fill nothing.
    """

    def __init__(self, look_up: Callable[[K], V], *, most: int = 1_000) -> None:
        self._look_up = look_up
        self._most = most
        self._known: dict[K, tuple[V, float]] = {}

    def __call__(self, key: K) -> V:
        """Return what `look_up` said about `key`, at most `SECONDS` ago."""
        known = self._known.get(key)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        began = time.monotonic()
        answer = self._look_up(key)
        if answer is None:
            self._known.pop(key, None)
        else:
            self._keep(key, answer, began + SECONDS)
        return answer

    def knew(self, key: K) -> bool:
        """Return whether there was an answer when it was last looked up, however long ago."""
        return key in self._known

    def _keep(self, key: K, answer: V, until: float) -> None:
        if len(self._known) >= self._most:
            self._known.clear()
        self._known[key] = answer, until

    def forget(self) -> None:
        """Look everything up again."""
        self._known.clear()
