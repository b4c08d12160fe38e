"""The log of every request, from which all figures about traffic are counted."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from time import time

from calcom.simulator.world import Json

WINDOW_S = 60.0


@dataclass(slots=True)
class Entry:
    """
    One request; `arrived_at` and `answered_at` are seconds since 1970 by the real clock.

    `key` is the beginning of the hash of the API key, never the key. `status` 0 means that there was no answer.
    `counted` is whether it cost something of the rate limit. `connection` is the client's port: requests on one
    connection share it.
    """

    key: str
    operation: str
    path: str
    arrived_at: float
    answered_at: float | None = None
    status: int = 0
    fault: str | None = None
    counted: bool = False
    connection: int = 0

    def to_json(self) -> Json:
        """Describe the request for the control endpoint."""
        return {name: getattr(self, name) for name in self.__slots__}


class Journal:
    """The requests in order of arrival."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def arrive(self, key: str, operation: str, path: str, connection: int = 0) -> Entry:
        """Write a request down as it arrives."""
        entry = Entry(key, operation, path, arrived_at=time(), connection=connection)
        self.entries.append(entry)
        return entry

    def forget(self) -> None:
        """Start an empty log."""
        self.entries = []

    def summary(self) -> Json:
        """Count what the log holds."""
        arrivals: defaultdict[str, list[float]] = defaultdict(list)
        for entry in self.entries:
            if entry.counted:
                arrivals[entry.key].append(entry.arrived_at)
        busiest = {key: _most_within_window(times) for key, times in arrivals.items()}
        return {
            "counts": Counter(entry.operation for entry in self.entries),
            "in_flight": Counter(entry.operation for entry in self.entries if entry.answered_at is None),
            "statuses": Counter(str(entry.status) for entry in self.entries),
            "max_in_60_s": max(busiest.values(), default=0),
            "max_in_60_s_by_key": busiest,
            "too_many": sum(entry.status == 429 for entry in self.entries),
        }


def _most_within_window(arrivals: Iterable[float]) -> int:
    """Return the largest number of arrivals in any 60 s, wherever they begin."""
    times = sorted(arrivals)
    most = first = 0
    for last, arrived_at in enumerate(times):
        while arrived_at - times[first] >= WINDOW_S:
            first += 1
        most = max(most, last - first + 1)
    return most
