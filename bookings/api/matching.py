"""Which services are meant: words against names and aliases. Pure; never a default."""

import unicodedata
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

from bookings.models import Service

WEAKEST = 0.6
"""Below this score it is another word, not another spelling."""


def ranked(services: Iterable[Service], words: str) -> list[tuple[Service, float]]:
    """Return the services whose name or alias resembles `words`, the best first, each with its score up to 1."""
    scored = ((service, score(service, words)) for service in services)
    return sorted(
        ((service, value) for service, value in scored if value >= WEAKEST),
        key=lambda pair: (-pair[1], pair[0].name),
    )


def named(services: Iterable[Service], words: str) -> Sequence[Service]:
    """Return the services that are called exactly so, but for case and accents."""
    return [service for service in services if score(service, words) == 1.0]


def score(service: Service, words: str) -> float:
    """Return how well `words` match the best of a service's names: 1 is the name itself, 0 is nothing alike."""
    asked = _plain(words)
    return max((_alike(asked, _plain(name)) for name in (service.name, *service.aliases)), default=0.0)


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
