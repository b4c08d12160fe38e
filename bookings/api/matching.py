"""Which services or people are meant: words against names and aliases. Pure; never a default."""

import unicodedata
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import TypeVar

from bookings.models import Service, Staff

T = TypeVar("T", Service, Staff)

WEAKEST = 0.6
"""Below this score it is another word, not another spelling."""


def ranked(services: Iterable[Service], words: str) -> list[tuple[Service, float]]:
    """Return the services whose name or alias resembles `words`, the best first, each with its score up to 1."""
    scored = ((service, score(service, words)) for service in services)
    return sorted(
        ((service, value) for service, value in scored if value >= WEAKEST),
        key=lambda pair: (-pair[1], pair[0].name),
    )


def named(those: Iterable[T], words: str) -> Sequence[T]:
    """Return those who are called exactly so, but for case and accents."""
    asked = _plain(words)
    return [one for one in those if asked and asked in _names(one)]


def score(service: Service, words: str) -> float:
    """Return how well `words` match the best of a service's names: 1 is the name itself, 0 is nothing alike."""
    asked = _plain(words)
    return max((_alike(asked, name) for name in _names(service)), default=0.0)


def _names(one: Service | Staff) -> list[str]:
    return [_plain(name) for name in (one.name, *one.aliases)]


def _alike(asked: str, name: str) -> float:
    if not asked or not name:
        return 0.0
    if asked == name:
        return 1.0
    if set(asked.split()) <= set(name.split()):
        return 0.9
    return round(min(0.95, SequenceMatcher(None, asked, name, autojunk=False).ratio()), 2)


def _plain(words: str) -> str:
    """Return words without case, accents and punctuation, an umlaut spelled out as telephone transcripts do."""
    folded = words.casefold().translate(_UMLAUTS)
    letters = unicodedata.normalize("NFKD", folded)
    return " ".join("".join(char if char.isalnum() else " " for char in letters if not _is_accent(char)).split())


def _is_accent(char: str) -> bool:
    return unicodedata.combining(char) != 0


_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
