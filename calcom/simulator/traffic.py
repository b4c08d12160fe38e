"""What happens to a request whatever its route: request log, rate limit, latency and faults."""

import asyncio
import math
import socket
import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from itertools import count
from random import Random
from time import monotonic, time
from typing import Literal

from aiohttp import web

from calcom.simulator.dataset import Json

# Cal.com allows 120 requests in 60 s per API key and per address, 500 per access token (recorded 2026-11-21).
LIMIT = 120
TOKEN_LIMIT = 500
WINDOW_S = 60.0


@dataclass(slots=True)
class Entry:
    """
    One request; `arrived_at` and `answered_at` are seconds since 1970 by the real clock.

    `key` is the beginning of the hash of the API key, never the key. `status` 0 means no response.
    `counted` is whether it counted against the rate limit. `connection` is the client's port: requests on one
    connection share it.
    """

    key: str
    route: str
    path: str
    arrived_at: float
    answered_at: float | None = None
    status: int = 0
    fault: str | None = None
    counted: bool = False
    connection: int = 0

    def to_json(self) -> Json:
        """Return the entry as `GET /_simulator/requests` lists it."""
        return {name: getattr(self, name) for name in self.__slots__}


class RequestLog:
    """The requests in order of arrival."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, key: str, route: str, path: str, connection: int = 0) -> Entry:
        """Add a request that arrives now."""
        entry = Entry(key, route, path, arrived_at=time(), connection=connection)
        self.entries.append(entry)
        return entry

    def reset(self) -> None:
        self.entries = []

    def summary(self) -> Json:
        """Return counts as `SimulatorClient.summary` describes them."""
        arrivals: defaultdict[str, list[float]] = defaultdict(list)
        for entry in self.entries:
            if entry.counted:
                arrivals[entry.key].append(entry.arrived_at)
        busiest = {key: _most_within_window(times) for key, times in arrivals.items()}
        return {
            "counts": Counter(entry.route for entry in self.entries),
            "in_flight": Counter(entry.route for entry in self.entries if entry.answered_at is None),
            "statuses": Counter(str(entry.status) for entry in self.entries),
            "max_in_60_s": max(busiest.values(), default=0),
            "max_in_60_s_by_key": busiest,
            "too_many": sum(entry.status == 429 for entry in self.entries),
        }


def _most_within_window(arrivals: Iterable[float]) -> int:
    """Return the largest number of arrivals in any 60 s."""
    times = sorted(arrivals)
    most = first = 0
    for last, arrived_at in enumerate(times):
        while arrived_at - times[first] >= WINDOW_S:
            first += 1
        most = max(most, last - first + 1)
    return most


@dataclass(frozen=True)
class LimitResult:
    """Whether a request is allowed, and the values of the rate limit headers."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        """Return the three headers; `Reset` is in seconds from now, there is no `Retry-After` (recorded 2026-11-21)."""
        return {
            "X-RateLimit-Limit-Default": str(self.limit),
            "X-RateLimit-Remaining-Default": str(self.remaining),
            "X-RateLimit-Reset-Default": str(self.reset_s),
        }


@dataclass
class _Window:
    began: float
    used: int = 0
    blocked_until: float = 0.0


class Throttle:
    """
    Cal.com's rate limit: a fixed window per client that starts with its first request.

    The first request above the limit blocks the client for one window; requests while blocked do not extend the block,
    and a new window follows it (recorded 2026-11-21).
    """

    def __init__(self, limit: int = LIMIT, window_s: float = WINDOW_S, clock: Callable[[], float] = monotonic) -> None:
        self.limit = limit
        self.window_s = window_s
        self.breaches = 0
        self.clock = clock
        self._windows: dict[str, _Window] = {}

    def hit(self, client: str, limit: int | None = None) -> LimitResult:
        """Count one request of the client."""
        now = self.clock()
        limit = limit or self.limit
        window = self._windows.get(client)
        if window is None or self._is_over(window, now):
            window = self._windows[client] = _Window(began=now)
        if now < window.blocked_until:
            return LimitResult(False, limit, 0, math.ceil(window.blocked_until - now))
        window.used += 1
        if window.used > limit:
            self.breaches += 1
            return self._block(window, limit)
        return LimitResult(True, limit, limit - window.used, math.ceil(window.began + self.window_s - now))

    def block(self, client: str) -> LimitResult:
        """Block the client for one window, whatever its count."""
        return self._block(self._windows.setdefault(client, _Window(began=self.clock())), self.limit)

    def reset(self) -> None:
        self.breaches = 0
        self._windows.clear()

    def _block(self, window: _Window, limit: int) -> LimitResult:
        window.blocked_until = self.clock() + self.window_s
        return LimitResult(False, limit, 0, math.ceil(self.window_s))

    def _is_over(self, window: _Window, now: float) -> bool:
        return now >= (window.blocked_until or window.began + self.window_s)


Pace = Literal["slots", "bookings", "others"]

# What hosted Cal.com takes, in seconds: shortest, longest. Skewed so that the median booking takes 2.5 s.
_SPANS: dict[Pace, tuple[float, float]] = {"slots": (0.3, 0.8), "bookings": (1.5, 5.0), "others": (0.05, 0.15)}
_SKEW = 1.8


class Latency:
    """Draws the latency of requests; `scale` 1 is that of hosted Cal.com, 0 is none."""

    def __init__(self, scale: float, seed: int) -> None:
        self.scale = scale
        self._random = Random(seed)

    def draw(self, pace: Pace) -> float:
        """Return the seconds that the next request of this pace takes."""
        shortest, longest = _SPANS[pace]
        share: float = self._random.random() ** _SKEW
        return self.scale * (shortest + (longest - shortest) * share)

    async def pass_for(self, pace: Pace) -> None:
        """Sleep for the latency of one request; with scale 0 no other task runs meanwhile."""
        if self.scale:
            await asyncio.sleep(self.draw(pace))


HUGE_BYTES = 50_000_000
WRONG_ZONE = "Pacific/Auckland"

_POLL_S = 0.2


class Kind(StrEnum):
    """
    The faults. `…_BEFORE` strikes before the effect of the request, `…_AFTER` after it.

    HANG waits between check and effect (of a read: between reading and responding), for `seconds` or until it is
    cleared, and then continues, so that a test can order a race. TIMEOUT never responds. DRIP sends one byte each
    `seconds`. WRONG_BOOKING responds to a new booking with an existing one of another attendee. WRONG_ZONE responds in
    the time zone Pacific/Auckland. OTHER_START books or reschedules to a quarter of an hour later than requested.
    CLOSING closes the connection, as Cal.com does to idle ones: no effect, no response (seen, not recorded). REFUSED
    refuses with `status` and `message` and has no effect. ALTERED responds with `members` in place of the booking's own
    and without those named in `without`. The last two express what no recording shows (unreplayed).
    """

    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"
    ERROR_BEFORE = "error_before"
    ERROR_AFTER = "error_after"
    RESET_BEFORE = "reset_before"
    RESET_AFTER = "reset_after"
    HANG = "hang"
    DRIP = "drip"
    HUGE = "huge"
    INVALID_JSON = "invalid_json"
    EMPTY = "empty"
    WRONG_BOOKING = "wrong_booking"
    WRONG_ZONE = "wrong_zone"
    OTHER_START = "other_start"
    TOO_MANY = "too_many"
    CLOSING = "closing"
    REFUSED = "refused"
    ALTERED = "altered"


@dataclass
class Fault:
    """
    A fault and the requests it is for.

    `route` is a name such as `POST /v2/bookings/{uid}/cancel`, or a pattern of method and path such as
    `* /v2/bookings*`. `owner` is the username of the owner of the API key. `times` is how often it strikes;
    `None` means until it is cleared. `seconds` belongs to HANG and DRIP, `status` to the errors, `message` to REFUSED,
    `members` and `without` to ALTERED.
    """

    route: str
    kind: Kind
    times: int | None = 1
    probability: float = 1.0
    attendee: str | None = None
    event_type_id: int | None = None
    owner: str | None = None
    seconds: float | None = None
    status: int = 500
    message: str = ""
    members: Json = field(default_factory=dict)
    without: Sequence[str] = ()
    id: int = 0
    hits: int = 0
    cleared: asyncio.Event = field(default_factory=asyncio.Event)

    def to_json(self) -> Json:
        """Return the fault as `GET /_simulator/faults` lists it."""
        return {"id": self.id, "route": self.route, "kind": str(self.kind), "hits": self.hits}


@dataclass(frozen=True)
class Target:
    """The properties of a request that a fault can match."""

    route: str
    method_and_path: str
    attendees: Collection[str] = ()
    event_type_id: int | None = None
    owner: str | None = None

    def matches(self, fault: Fault) -> bool:
        """Return whether the fault is for this request, leaving probability and number of hits aside."""
        return (
            (fault.route == self.route or fnmatchcase(self.method_and_path, fault.route))
            and fault.attendee in {None, *self.attendees}
            and fault.event_type_id in {None, self.event_type_id}
            and fault.owner in {None, self.owner}
        )


class Faults:
    """The faults that were added and not cleared, oldest first; used up ones included."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.waiting: list[Fault] = []
        self._ids = count(1)

    def add(self, fault: Fault) -> Fault:
        """Add a fault and give it its id."""
        fault.id = next(self._ids)
        self.waiting.append(fault)
        return fault

    def clear(self, fault_id: int | None = None) -> None:
        """Remove one fault or all; requests that they hold continue."""
        for fault in [fault for fault in self.waiting if fault_id in {None, fault.id}]:
            fault.cleared.set()
            self.waiting.remove(fault)

    def select(self, target: Target) -> Fault | None:
        """Return the fault that hits this request and count the hit, or `None`."""
        for fault in self.waiting:
            used_up = fault.times is not None and fault.hits >= fault.times
            if not used_up and target.matches(fault) and self._random.random() < fault.probability:
                fault.hits += 1
                return fault
        return None


async def hold(fault: Fault, request: web.BaseRequest) -> None:
    """Wait until the fault is cleared, its seconds are over, or (except for HANG) the client has gone."""
    deadline = asyncio.get_running_loop().time() + (fault.seconds or float("inf"))
    while not fault.cleared.is_set() and asyncio.get_running_loop().time() < deadline:
        if fault.kind is not Kind.HANG and _is_gone(request):
            return
        await _cleared_within(fault, min(_POLL_S, deadline - asyncio.get_running_loop().time()))


def reset(request: web.BaseRequest) -> None:
    """Reset the connection instead of closing it."""
    if (transport := request.transport) is None:
        return
    if connection := transport.get_extra_info("socket"):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def close(request: web.BaseRequest) -> None:
    """Close the connection regularly, without a response."""
    if request.transport is not None:
        request.transport.close()


async def drip(fault: Fault, request: web.BaseRequest, response: web.StreamResponse, body: bytes) -> None:
    """Send the body a byte at a time; once the fault is cleared, send the rest at once."""
    response.content_length = len(body)
    await response.prepare(request)
    for at in range(len(body)):
        if _is_gone(request):
            return
        if fault.cleared.is_set():
            await response.write(body[at:])
            break
        await response.write(body[at : at + 1])
        await _cleared_within(fault, 1.0 if fault.seconds is None else fault.seconds)
    await response.write_eof()


def spoil(kind: Kind, body: bytes) -> bytes:
    """Return the body as the fault changes it."""
    if kind is Kind.INVALID_JSON:
        return body[: len(body) // 2]
    if kind is Kind.HUGE:
        return b'{"status":"success","data":"' + b"x" * HUGE_BYTES + b'"}'
    return body


def alter(fault: Fault, body: Json) -> Json:
    """Return the response with changed members in its booking, or in each booking of its list."""
    data = body.get("data")
    if isinstance(data, list):
        return body | {"data": [_altered(fault, each) for each in data]}
    return body | {"data": _altered(fault, data)} if isinstance(data, dict) else body


def _altered(fault: Fault, booking: Json) -> Json:
    return {name: value for name, value in (booking | fault.members).items() if name not in fault.without}


async def _cleared_within(fault: Fault, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(fault.cleared.wait(), seconds)


def _is_gone(request: web.BaseRequest) -> bool:
    return request.transport is None or request.transport.is_closing()
