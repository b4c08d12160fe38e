"""What can go wrong on demand: which requests it hits, and what becomes of their answers."""

import asyncio
import socket
import struct
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from itertools import count
from random import Random

from aiohttp import web

from calcom.simulator.world import Json

HUGE_BYTES = 50_000_000
WRONG_ZONE = "Pacific/Auckland"

_POLL_S = 0.2


class Kind(StrEnum):
    """
    The faults. `…_BEFORE` leaves no trace in the state, `…_AFTER` has had its full effect.

    HANG waits between the check and the effect (of a read: between the look and the answer), for `seconds` or until
    the fault is cleared, and then goes on: with it a test decides the order of a race. A time-out is accepted and
    never answered. DRIP sends a byte each `seconds`. WRONG_BOOKING answers a new booking with somebody else's
    existing one. WRONG_ZONE answers with the days and clocks of the other side of the world, as if asked for them.
    OTHER_START books, or moves to, a quarter of an hour later than asked for. CLOSING closes the connection in order,
    as is done to one that was idle for long: a request that arrives at that moment has no effect and no answer (that
    it is so was seen; no recording has it). REFUSED says no with `status` and `message`, and nothing happens. ALTERED
    answers with `members` instead of the booking's own and without those named in `without`. These two express what no
    recording shows (unreplayed).
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
    One fault in waiting.

    `operation` is a name such as `POST /v2/bookings/{uid}/cancel`, or a pattern of method and path such as
    `* /v2/bookings*`. `owner` is the username of whose API key the request carries. `times` is how often it strikes,
    `None` until it is cleared. `seconds` belongs to HANG and DRIP, `status` to the errors, `message` to REFUSED,
    `members` and `without` to ALTERED.
    """

    operation: str
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
    struck: int = 0
    cleared: asyncio.Event = field(default_factory=asyncio.Event)

    def to_json(self) -> Json:
        """Describe the fault for the control endpoint."""
        return {"id": self.id, "operation": self.operation, "kind": str(self.kind), "struck": self.struck}


@dataclass(frozen=True)
class Target:
    """What a fault can recognise a request by."""

    operation: str
    request: str
    attendees: Collection[str] = ()
    event_type_id: int | None = None
    owner: str | None = None

    def is_meant_by(self, fault: Fault) -> bool:
        """Tell whether the fault is for this request, chance and number aside."""
        return (
            (fault.operation == self.operation or fnmatchcase(self.request, fault.operation))
            and fault.attendee in {None, *self.attendees}
            and fault.event_type_id in {None, self.event_type_id}
            and fault.owner in {None, self.owner}
        )


class Faults:
    """The faults in waiting, oldest first."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._waiting: list[Fault] = []
        self._ids = count(1)

    def add(self, fault: Fault) -> Fault:
        """Let a fault wait for its requests."""
        fault.id = next(self._ids)
        self._waiting.append(fault)
        return fault

    def clear(self, fault_id: int | None = None) -> None:
        """Take back one fault or all, and let go of the requests they hold."""
        for fault in [fault for fault in self._waiting if fault_id in {None, fault.id}]:
            fault.cleared.set()
            self._waiting.remove(fault)

    def waiting(self) -> list[Json]:
        """List the faults that have been added and not cleared, spent ones too."""
        return [fault.to_json() for fault in self._waiting]

    def strike(self, target: Target) -> Fault | None:
        """Choose the fault that hits this request, if any."""
        for fault in self._waiting:
            spent = fault.times is not None and fault.struck >= fault.times
            if not spent and target.is_meant_by(fault) and self._random.random() < fault.probability:
                fault.struck += 1
                return fault
        return None


async def hold(fault: Fault, request: web.BaseRequest) -> None:
    """Keep a request waiting until the fault is cleared or its seconds are over, or the client has gone."""
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
    """Close the connection without an answer, as in order."""
    if request.transport is not None:
        request.transport.close()


async def drip(fault: Fault, request: web.BaseRequest, response: web.StreamResponse, body: bytes) -> None:
    """Send the body a byte at a time; after the fault is cleared the rest comes at once."""
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
    """Return the body that goes out instead."""
    if kind is Kind.INVALID_JSON:
        return body[: len(body) // 2]
    if kind is Kind.HUGE:
        return b'{"status":"success","data":"' + b"x" * HUGE_BYTES + b'"}'
    return body


def alter(fault: Fault, body: Json) -> Json:
    """Return the answer with other members in its booking, or in each booking of its list."""
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
