"""The languages that are spoken: each a module, which knows how times and days are said, and a set of phrases."""

from collections.abc import Mapping, Sequence
from datetime import time
from typing import Protocol

from bookings.language import english, german
from bookings.language.dates import Day
from bookings.language.phrases import ENGLISH, GERMAN, Phrases


class Tongue(Protocol):
    """How times and days are said in a language."""

    OR: str
    AND: str

    def clock(self, at: time) -> str:
        """Return a time of day."""

    def at_clocks(self, times: Sequence[time], conjunction: str) -> str:
        """Return times of one day."""

    def on(self, day: Day) -> str:
        """Return on which day."""

    def up_to(self, day: Day) -> str:
        """Return until which day."""

    def alone(self, day: Day) -> str:
        """Return a day by itself."""


LANGUAGES: Mapping[str, tuple[Tongue, Phrases]] = {"de": (german, GERMAN), "en": (english, ENGLISH)}
