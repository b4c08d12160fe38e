"""
What a stored day is still worth: the one rule against every race, pure.

Note [A load that began too early]
    Beside each day stands when it last changed, by an appointment of ours and otherwise. A load that began less than
    the settle time after the last *other* change may have been overtaken by it, so it is never believed, however it
    came here; the same holds for the epoch, the moment this Redis was first seen empty. Own changes are different:
    we know what they took and subtract it, so a load from before one is *due*, not wrong. The newest load is stored
    even when it cannot be believed: it is the best answer there is, marked unverified, and it keeps a thousand
    callers from loading the same again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from cachectl.conf import Lifetimes


class Freshness(StrEnum):
    """How good the knowledge of a day is."""

    FRESH = "fresh"  # answer
    STALE = "stale"  # answer, and refresh in the background
    EXPIRED = "expired"  # load first; answer unverified when that fails
    MISSING = "missing"  # load first; nothing to answer otherwise

    @property
    def verified(self) -> bool:
        """Return whether a caller may be told so without reserve."""
        return self is Freshness.FRESH or self is Freshness.STALE


WORST_FIRST = (Freshness.MISSING, Freshness.EXPIRED, Freshness.STALE, Freshness.FRESH)


@dataclass(frozen=True, slots=True)
class Day:
    """The free slots of an event type on one UTC date, as far as we know."""

    date: date
    starts: Sequence[int]
    """Epoch minutes, ascending."""
    loaded_at: float | None
    """When the load began: seconds on Redis' clock. None: missing, or loaded while Redis was away."""
    freshness: Freshness
    needs_refresh: bool = False
    """Whether an appointment of ours changed the day since: subtract it."""
    reload_helps: bool = False
    """Whether a load that began at the time of judgement could make the day better."""
    freed: bool = False
    """Whether an appointment of ours gave time back since: the list may not have it yet."""
    consistent_at: float = field(default=0.0, repr=False)
    """From when on a load can know of every change: seconds on Redis' clock."""


def missing(day: date) -> Day:
    """Return the day of which nothing is known."""
    return Day(day, (), None, Freshness.MISSING, reload_helps=True)


def assess(
    day: date,
    entry: tuple[int, int, list[int]] | None,
    change: Sequence[int] | None,
    *,
    now: int,
    generation: int,
    lifetimes: Lifetimes,
) -> Day:
    """
    Return what a stored day is worth now. All instants in milliseconds on Redis' clock.

    Args:
        entry: when the load began, 1 if its emptiness is suspect, the slot starts.
        change: the last change by an appointment of ours, the last other one, and, once there was one, the last that
            gave time back. An entry without one is missing.
    """
    if entry is None or change is None:
        return missing(day)
    began, suspect, starts = entry
    own, other, *freed = change
    # Note [A load that began too early]
    consistent_from = max(other, generation) + lifetimes.consistency_lag
    age = now - began
    if age > lifetimes.stale_if_error:
        return missing(day)
    if suspect or began < consistent_from or age > lifetimes.stale_while_revalidate:
        freshness = Freshness.EXPIRED
    else:
        freshness = Freshness.STALE if age > lifetimes.max_age else Freshness.FRESH
    return Day(
        day,
        starts,
        began / 1000,
        freshness,
        began < own + lifetimes.consistency_lag,
        freshness is Freshness.EXPIRED and now >= consistent_from,
        bool(freed) and began < freed[0] + lifetimes.consistency_lag,
        max(consistent_from, own + lifetimes.consistency_lag) / 1000,
    )
