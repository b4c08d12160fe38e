"""Duels: fifty at once for one slot, and fifty for two that overlap."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from script.lib.agent import Agent, Answer
from script.lib.environment import Ground
from script.lib.measurements import Found, percentile
from script.lib.processes import StageError
from tests.chaos.experiments._crowd import at, at_once, book, spelled

RACERS = 50


@dataclass(frozen=True)
class Duel:
    """What those were told who asked at once."""

    answers: Sequence[Answer]

    @property
    def told(self) -> list[str]:
        """Return the bookings that somebody was told of."""
        return [each.body["booking"]["id"] for each in self.answers if each.status == 201]

    @property
    def losers(self) -> list[Answer]:
        """Return the answers that said no."""
        return [each for each in self.answers if each.status == 409]


def duel(here: Ground, url: str, number: int) -> Duel:
    """Have fifty book at once: one slot, and in every other duel two that overlap, of two event types."""
    day, minutes, overlapping = 1 + number % 8, 60 * (number // 8), number % 2 == 1

    def race(agent: Agent, racer: int) -> Answer:
        second = overlapping and racer % 2 == 1
        slug, start = ("colour", at(day, minutes + 15)) if second else ("cut", at(day, minutes))
        return book(here, agent, slug, start, f"duel-{number}-{racer}")

    return Duel(at_once(here, RACERS, race, url))


def judged(duels: Sequence[Duel]) -> dict[str, Found]:
    """Return who won, and how long the losers were kept. Raises `StageError` for any other answer than these two."""
    for each in duels:
        misled = [
            loser for loser in each.losers if loser.body["code"] != "slot_taken" or not loser.body["alternatives"]
        ]
        if misled or len(each.losers) + len(each.told) != RACERS:
            statuses = spelled(Counter(answer.status for answer in each.answers))
            raise StageError(f"A duel was answered {statuses}; {len(misled)} losers did not hear of other times.")
    winners = [len(each.told) for each in duels]
    odd = max(winners, key=lambda number: abs(number - 1))
    losers = [loser for each in duels for loser in each.losers]
    waited = percentile([loser.took * 1000 for loser in losers], 0.95)
    print(f"  duels: {len(duels)} of {RACERS} racers, {sum(winners)} winners, {len(losers)} losers with alternatives")
    remark = f"of {len(losers)} losers, in one of web's 8 threads; {waited:.0f} with the wait for a thread"
    return {
        "race_winners": Found(odd, f"of each of {len(duels)} duels"),
        "race_losers_p95_ms": Found(percentile([_in_web(loser) for loser in losers], 0.95), remark),
    }


def _in_web(answer: Answer) -> float:
    """Return how many milliseconds web had the request."""
    return float(answer.headers["Server-Timing"].partition("dur=")[2])
