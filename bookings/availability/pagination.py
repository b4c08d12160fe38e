"""
Where a search left off, under a token that goes on from there.

Kept in Redis for as long as what was offered can be booked. It may get lost: then the search is asked anew.
"""

import secrets
from dataclasses import dataclass
from typing import Any, Self

from django.core.cache import cache

from bookings.availability.criteria import PartOfDay, Wanted, Window
from bookings.errors import SearchForgotten
from bookings.models import ID_ALPHABET, Company

KEPT = 30 * 60  # seconds


@dataclass(frozen=True, slots=True)
class Search:
    """A search, and what it has offered so far."""

    service_id: int
    staff_id: int | None
    wanted: Wanted
    offered: frozenset[int]
    """Epoch minutes."""

    @classmethod
    def read(cls, written: dict[str, Any]) -> Self:
        """Return what `written` says."""
        part, windows = written["part"], tuple(Window(*window) for window in written["windows"])
        wanted = Wanted(windows, written["start"], PartOfDay(part) if part else None)
        return cls(written["service"], written["staff"], wanted, frozenset(written["offered"]))

    @property
    def written(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "service": self.service_id,
            "staff": self.staff_id,
            "windows": self.wanted.windows,
            "start": self.wanted.start,
            "part": self.wanted.part,
            "offered": sorted(self.offered),
        }


def remember(search: Search, *, company: Company) -> str | None:
    """Return a token under which `recall` finds the search again; None while Redis does not answer."""
    token = "mt_" + "".join(secrets.choice(ID_ALPHABET) for _ in range(10))
    return token if cache.add(_key(company, token), search.written, timeout=KEPT) else None


def recall(token: str, *, company: Company) -> Search:
    """
    Return the search that one of the company's agents was given `token` for.

    Raises:
        SearchForgotten: none, or it is too long ago.
    """
    written = cache.get(_key(company, token))
    if written is None:
        raise SearchForgotten("No search goes on under this more_token.")
    return Search.read(written)


def _key(company: Company, token: str) -> str:
    return f"search:{company.pk}:{token}"
