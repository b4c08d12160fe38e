"""
Which event types are worth a request before anybody asks for them. Pure.

A request costs the same for one day as for a month of days, so what is compared is an event type's whole window: how
often it is wanted, times how much of the window a request would make better.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cachectl.freshness import Day, Freshness


@dataclass(frozen=True, slots=True)
class Candidate:
    """An event type that might be warmed."""

    event_type_id: int
    wanted: float
    """How often it is asked for or booked in an hour."""
    aged: int
    """Days of its window that a request would make better."""
    gain: float
    """How much of its life a request would give back to the window: 0 (all is fresh) to 1 (nothing can be told)."""

    @property
    def worth(self) -> float:
        """Return what a request for it is worth, to be compared with others."""
        return self.wanted * self.gain


def wanted(
    *, asked: Mapping[int, int], asked_hours: float, booked: Mapping[int, int], booked_hours: float
) -> dict[int, float]:
    """
    Return how often each event type of `booked` is wanted in an hour; what nobody wants is left out.

    A booking counts like a question. It is remembered for weeks, questions for two days at most, and not at all after a
    loss of Redis: so bookings decide where little is asked, and questions where much is.
    """
    each = {one: asked.get(one, 0) / asked_hours + count / booked_hours for one, count in booked.items()}
    return {one: rate for one, rate in each.items() if rate > 0}


def candidate(event_type_id: int, rate: float, days: Sequence[Day], *, now: float, answerable: float) -> Candidate:
    """
    Return what a request for the days would be good for.

    Args:
        rate: how often the event type is wanted in an hour.
        now: seconds on Redis' clock.
        answerable: seconds for which a load answers without anybody waiting.
    """
    lost = [share for day in days if (share := _lost(day, now, answerable))]
    return Candidate(event_type_id, rate, len(lost), sum(lost) / len(days))


def choose(candidates: Iterable[Candidate], top: int) -> list[Candidate]:
    """Return the `top` that are worth most, those first; none that is worth nothing."""
    worthy = [each for each in candidates if each.worth > 0]
    return sorted(worthy, key=lambda each: (-each.worth, each.event_type_id))[:top]


def _lost(day: Day, now: float, answerable: float) -> float:
    """Return how much of its life a day has lost that a request would give back."""
    if day.reload_helps:
        return 1.0
    if day.freshness is Freshness.STALE and day.loaded_at is not None:
        return min(1.0, (now - day.loaded_at) / answerable)
    return 0.0  # fresh, or changed so recently that no load could be believed
