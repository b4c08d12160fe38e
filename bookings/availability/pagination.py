"""
Saved searches: a `more_token` continues one with the times that were not offered yet.

Kept in Redis for as long as an offer can be booked. It may be lost; then the agent searches again.
"""

import secrets
from dataclasses import dataclass
from typing import Any, Self

from django.core.cache import cache

from bookings.availability.criteria import PartOfDay, TimeCriteria, Window
from bookings.errors import SearchExpired
from bookings.models import ID_ALPHABET, Company

LIFETIME_S = 30 * 60


@dataclass(frozen=True, slots=True)
class SavedSearch:
    """A search, and what it has offered so far."""

    service_id: int
    staff_id: int | None
    criteria: TimeCriteria
    offered: frozenset[int]
    """Epoch minutes."""

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Self:
        part, windows = saved["part"], tuple(Window(*window) for window in saved["windows"])
        criteria = TimeCriteria(windows, saved["start"], PartOfDay(part) if part else None)
        return cls(saved["service"], saved["staff"], criteria, frozenset(saved["offered"]))

    def to_json(self) -> dict[str, Any]:
        return {
            "service": self.service_id,
            "staff": self.staff_id,
            "windows": self.criteria.windows,
            "start": self.criteria.start,
            "part": self.criteria.part,
            "offered": sorted(self.offered),
        }


def save(search: SavedSearch, *, company: Company) -> str | None:
    """Return a token for `load`; None while Redis does not answer."""
    token = "mt_" + "".join(secrets.choice(ID_ALPHABET) for _ in range(10))
    return token if cache.add(_key(company, token), search.to_json(), timeout=LIFETIME_S) else None


def load(token: str, *, company: Company) -> SavedSearch:
    """
    Return the search that was saved under `token` for an agent of the company.

    Raises:
        SearchExpired: there is none, or it was saved too long ago.
    """
    saved = cache.get(_key(company, token))
    if saved is None:
        raise SearchExpired("No search is saved under this more_token.")
    return SavedSearch.from_json(saved)


def _key(company: Company, token: str) -> str:
    return f"search:{company.pk}:{token}"
