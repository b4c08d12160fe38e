"""Whether a slot that was refused was really taken. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from tests.load.call_log import Refusal
from tests.load.evidence import EventType, Operation, Remote, Rows, instant

KNOWN_WITHIN = 1.0
"""Seconds after the end of a booking or hold in which it may still be known as taken."""
WRITTEN_WITHIN = 0.5
"""Seconds from an appointment to its operation where it was booked without a hold."""
A_DAY = 86_400.0
GRIDS = (60, 30, 20, 15, 10, 5, 1)
"""Minutes: Cal.com aligns the first start of a free stretch to the largest that divides the step between starts."""
UNCERTAIN = 6.0
"""Seconds after a booking in which no list can include it, and to ask and to answer."""


@dataclass(frozen=True)
class Block:
    """Time that was taken, and for how long it was."""

    hosts: frozenset[str]
    start: float
    end: float
    since: float
    until: float
    held: bool = False
    """Promised to a caller, and unknown to Cal.com."""


def unexplained(
    refusals: Sequence[Refusal], *, event_types: Mapping[str, EventType], rows: Rows, remote: Sequence[Remote]
) -> list[Refusal]:
    """
    Return the refusals of a slot for which a host was free all the while, from request to response.

    A host is taken by bookings at Cal.com, and by our holds and writes: these take every host who may be chosen, for
    Cal.com chooses (`docs/adr/0005`). For the same reason nothing is booked that could be given a host whose time is
    held, and a hold is refused where one of several hosts was taken so lately that no list includes it. What Cal.com
    refused in the end explains nothing, nor does a hold that expired before its time.
    """
    by_slug = {each.slug: each for each in event_types.values()}
    blocks = [*_at_calcom(remote, by_slug, rows.operations), *_ours(rows, remote, by_slug)]
    return [each for each in refusals if not _is_explained(each, event_types[each.service], blocks)]


def _is_explained(refusal: Refusal, kind: EventType, blocks: Sequence[Block]) -> bool:
    if refusal.code == "hold_expired":
        return False
    start = instant(refusal.start)
    end = start + 60 * (kind.minutes + kind.after_minutes)
    asked, answered = refusal.at, refusal.at + refusal.duration
    if refusal.code == "slot_not_offered" and _starts_shift(kind):
        before = [each for each in blocks if each.end <= start < each.start + A_DAY and not each.held]
        if any(each.since <= answered and not each.hosts.isdisjoint(kind.hosts) for each in before):
            return True
    there = [each for each in blocks if each.start < end and start < each.end]
    there = [each for each in there if each.since <= answered and asked <= each.until + KNOWN_WITHIN]
    held = _hosts(each for each in there if each.held)
    if _hosts(there).issuperset(kind.hosts) or not held.isdisjoint(kind.hosts):
        return True
    lately = _hosts(each for each in there if asked - UNCERTAIN <= each.since)
    return refusal.operation == "hold" and not lately.isdisjoint(kind.hosts)


def _starts_shift(kind: EventType) -> bool:
    """Return whether a free stretch that begins later has other starts; the step is the length of the slot."""
    return kind.minutes != next(grid for grid in GRIDS if kind.minutes % grid == 0)


def _hosts(blocks: Iterable[Block]) -> set[str]:
    return {host for block in blocks for host in block.hosts}


def _at_calcom(
    remote: Iterable[Remote], kinds: Mapping[str, EventType], operations: Sequence[Operation]
) -> Iterator[Block]:
    for each in remote:
        until = inf if each.is_accepted else max([each.updated_at, *_known_at(each, operations)])
        after = 60 * kinds[each.slug].after_minutes
        yield Block(frozenset({each.host}), each.start, each.end + after, each.created_at, until)


def _known_at(cancelled: Remote, operations: Sequence[Operation]) -> Iterator[float]:
    """Yield when an operation of ours that cancelled it was answered: until then its time is not given away."""
    for each in operations:
        if each.booking == cancelled.booking and each.finished_at and each.requested_at <= cancelled.updated_at:
            yield each.finished_at


def _ours(rows: Rows, remote: Iterable[Remote], kinds: Mapping[str, EventType]) -> Iterator[Block]:
    first: dict[str, Remote] = {}
    for booking in sorted(remote, key=lambda each: each.created_at):
        if booking.booking:
            first.setdefault(booking.booking, booking)
    created = {each.booking: each for each in rows.operations if each.kind == "create"}
    own = {each.booking: each for each in rows.own}
    for each in (each for each in own.values() if each.state != "rejected"):
        # A rescheduled appointment has another time by now; Cal.com still has the first one.
        start = first[each.booking].start if each.booking in first else each.start
        create = created.get(each.booking)
        over = create.finished_at if create else each.changed_at if each.state == "expired" else None
        yield _of_all(kinds[each.slug], start, each.created_at, over)
        held_until = create.requested_at if create else over
        if held_until is None or held_until > each.created_at + WRITTEN_WITHIN:
            yield _of_all(kinds[each.slug], start, each.created_at, held_until, held=True)
    for operation in rows.operations:
        if operation.new_start is not None and operation.state != "refused" and operation.booking in own:
            kind = kinds[own[operation.booking].slug]
            yield _of_all(kind, operation.new_start, operation.requested_at, operation.finished_at)


def _of_all(kind: EventType, start: float, since: float, until: float | None, *, held: bool = False) -> Block:
    end = start + 60 * (kind.minutes + kind.after_minutes)
    return Block(frozenset(kind.hosts), start, end, since, inf if until is None else until, held)
