"""The services and staff an agent may name, by id or by words, kept a few seconds: a cached answer needs no query."""

import re
import time
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Generic, TypeVar

from django.db.models import QuerySet

from bookings.api.problems import ServiceAmbiguous, ServiceNotOffered
from bookings.availability.calendar_view import Calendar
from bookings.availability.people import look_up_people
from bookings.models import AgentKey, Company, Service, Staff

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
T = TypeVar("T", Service, Staff)

MIN_SCORE = 0.6
"""Below this score words are another name, not another spelling."""
_ID = re.compile(r"(?:sv_)?([0-9]{1,18})")
_STAFF_ID = re.compile(r"(?:st_)?([0-9]{1,18})")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_SAID_AROUND = (
    "ein eine einen einem einer den dem der die das bitte gern gerne fuer zum zur bei beim mit von nur einfach ich "
    "moechte haette will wuerde brauche buchen termin so also aeh aehm ja danke lieber am liebsten "
    "a an the please for with by just i i'd d like want need would to book get have um uh well yes thanks my some "
    "appointment ideally preferably"
)
"""What callers say around the name of a service or a person."""
_AROUND = frozenset(_SAID_AROUND.split())
TTL_S = 4.0
"""A revoked key must be refused within 5 s."""


class TTLCache(Generic[K, V]):
    """
    A look-up whose results are kept for `TTL_S` in this process, up to `max_entries` of them.

    None is not kept: what does not exist yet is found as soon as it does, and made-up keys fill nothing.
    """

    def __init__(self, look_up: Callable[[K], V], *, max_entries: int = 1_000) -> None:
        self._look_up = look_up
        self._max_entries = max_entries
        self._entries: dict[K, tuple[V, float]] = {}

    def __call__(self, key: K) -> V:
        """Return the result of `look_up`, at most `TTL_S` old."""
        entry = self._entries.get(key)
        if entry is not None and time.monotonic() < entry[1]:
            return entry[0]
        began = time.monotonic()
        value = self._look_up(key)
        if value is None:
            self._entries.pop(key, None)
            return value
        if len(self._entries) >= self._max_entries:
            self._entries.clear()
        self._entries[key] = value, began + TTL_S
        return value

    def has_seen(self, key: K) -> bool:
        """Return whether the last look-up of `key` found something, however long ago."""
        return key in self._entries

    def clear(self) -> None:
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


def _active_services(company: Company | int) -> "QuerySet[Service]":
    relations = "branch__company", "event_type__account"
    return Service.objects.of(company).filter(active=True).select_related(*relations)


_of_company: TTLCache[Company, Sequence[Service]] = TTLCache(
    lambda company: list(_active_services(company).order_by("branch__name", "name"))
)
# A company may have thousands of services: a look-up by id does not load them all.
_by_id: TTLCache[tuple[int, int], Service | None] = TTLCache(
    lambda which: _active_services(which[0]).filter(pk=which[1]).first(), max_entries=10_000
)


_people = TTLCache(look_up_people)


def services_of(key: AgentKey) -> Sequence[Service]:
    """Return the active services of the key's company, or of its branch where it has one."""
    services = _of_company(key.company)
    return [service for service in services if key.branch_id in {None, service.branch_id}]


def service_of(key: AgentKey, asked: str) -> Service:
    """
    Return the service with this id, or the only one with this name.

    Raises:
        ServiceNotOffered: there is none; carries those with a similar name.
        ServiceAmbiguous: several have the name, for instance in several branches.
    """
    if number := _ID.fullmatch(asked):
        service = _by_id((key.company_id, int(number[1])))
        if service is not None and key.branch_id in {None, service.branch_id}:
            return service
    offered = services_of(key)
    found = [] if number else named(offered, asked)
    if len(found) == 1:
        return found[0]
    if found:
        raise ServiceAmbiguous("Several services have this name: use the id.", services=found)
    near = [service for service, _ in ranked(offered, asked)]
    raise ServiceNotOffered("No service has this id or name.", services=near or offered)


def people_of(service: Service) -> Mapping[Staff, Calendar | None]:
    """Return the active staff of the service's branch, each with the calendar that books them or None."""
    return _people(service)


def people_called(service: Service, asked: str) -> Sequence[Staff]:
    """Return those at the service's branch with this id or name."""
    people = people_of(service)
    number = _STAFF_ID.fullmatch(asked)
    return [one for one in people if one.pk == int(number[1])] if number else named(people, asked)


def clear() -> None:
    """Drop all cached look-ups."""
    _of_company.clear()
    _by_id.clear()
    _people.clear()


# --- Words against names and aliases -------------------------------------------------------------------------------


def ranked(services: Iterable[Service], words: str) -> list[tuple[Service, float]]:
    """Return the services whose name or alias resembles `words`, the best first, each with its score up to 1."""
    scored = ((service, score(service, words)) for service in services)
    return sorted(
        ((service, value) for service, value in scored if value >= MIN_SCORE),
        key=lambda pair: (-pair[1], pair[0].name),
    )


def named(those: Iterable[T], words: str) -> Sequence[T]:
    """Return those with exactly this name or alias, ignoring case, accents and, around it, words such as please."""
    names = [(each, _names(each)) for each in those]
    for name in (_plain(words), _bare(words)):
        if name and (found := [each for each, own in names if name in own]):
            return found
    return []


def score(service: Service, words: str) -> float:
    """Return how well `words` match the best of a service's names: 1 is the name itself, 0 is nothing alike."""
    queries = {_plain(words), _bare(words)}
    return max((_alike(query, name) for name in _names(service) for query in queries), default=0.0)


def _bare(words: str) -> str:
    """Return words, plain, without what callers say around a name; as they are where nothing else is left."""
    said = _plain(words).split()
    first = next((n for n, word in enumerate(said) if word not in _AROUND), 0)
    last = next((n for n, word in enumerate(reversed(said)) if word not in _AROUND), 0)
    return " ".join(said[first : len(said) - last])


def _names(each: Service | Staff) -> list[str]:
    return [_plain(name) for name in (each.name, *each.aliases)]


def _alike(query: str, name: str) -> float:
    if not query or not name:
        return 0.0
    if query == name:
        return 1.0
    if set(query.split()) <= set(name.split()):
        return 0.9
    return round(min(0.95, SequenceMatcher(None, query, name, autojunk=False).ratio()), 2)


def _plain(words: str) -> str:
    """Return words without case, accents and punctuation, an umlaut spelled out as telephone transcripts do."""
    folded = words.casefold().translate(_UMLAUTS)
    letters = unicodedata.normalize("NFKD", folded)
    return " ".join(
        "".join(char if char.isalnum() else " " for char in letters if not unicodedata.combining(char)).split()
    )
