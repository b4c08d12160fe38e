"""
How fresh a stored day is: the one rule against every race. Pure.

Note [A load that began too early]
    Beside each day stands when it last changed, by an appointment of ours and otherwise. A load that began less than
    CACHE_CONSISTENCY_LAG after the last *other* change may have been overtaken by it, so it never counts; the same
    holds for the generation, the moment this Redis was first seen empty. Own changes are different: we know what they
    took and subtract it, so a load from before one needs a refresh and is not wrong. The newest load is stored even
    if it does not count: it is the best answer there is, marked unverified, and spares others the same load.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from cachectl.conf import Lifetimes


class Freshness(StrEnum):
    """How fresh a day is, as in stale-while-revalidate and stale-if-error (RFC 5861)."""

    FRESH = "fresh"  # answer
    STALE = "stale"  # answer, and refresh in the background
    EXPIRED = "expired"  # load first; answer unverified when that fails
    MISSING = "missing"  # load first; nothing to answer otherwise

    @property
    def verified(self) -> bool:
        """Whether the day may be told without reserve."""
        return self is Freshness.FRESH or self is Freshness.STALE


WORST_FIRST = (Freshness.MISSING, Freshness.EXPIRED, Freshness.STALE, Freshness.FRESH)


@dataclass(frozen=True, slots=True)
class Day:
    """The free slots of an event type on one UTC date."""

    date: date
    starts: Sequence[int]
    """Epoch minutes, ascending."""
    loaded_at: float | None
    """When the load began: seconds on Redis' clock. None: missing, or loaded while Redis was away."""
    freshness: Freshness
    needs_refresh: bool = False
    """Whether an appointment of ours changed the day since the load: subtract it."""
    reload_helps: bool = False
    """Whether a load that began now would make the day fresher."""
    freed: bool = False
    """Whether an appointment of ours freed time since the load: the list may lack it."""
    consistent_at: float = field(default=0.0, repr=False)
    """From when on a load includes every change: seconds on Redis' clock."""


def missing(day: date) -> Day:
    """Return a day without an entry."""
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
    Return a stored day with its freshness now. All instants in milliseconds on Redis' clock.

    Args:
        entry: when the load began, 1 if it is suspiciously empty, the slot starts.
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
