"""Whether a time that was refused was really somebody's. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from tests.load.call_log import Refused
from tests.load.evidence import EventType, Remote, Rows, Wish, instant

HEARD_WITHIN = 1.0
"""Seconds after the end of a booking or hold in which we may still believe in it."""
WRITTEN_WITHIN = 0.5
"""Seconds from an appointment to its wish where it was booked without a hold."""
A_DAY = 86_400.0
GRIDS = (60, 30, 20, 15, 10, 5, 1)
"""Minutes: the largest that divides the step between starts is what Cal.com aligns the first start of a stretch to."""
DOUBTED = 6.0
"""Seconds after a booking in which no list can know of it (`offers.BLIND_S`), and to ask and to answer."""


@dataclass(frozen=True)
class Block:
    """Time that somebody had, and for how long they had it."""

    hosts: frozenset[str]
    start: float
    end: float
    since: float
    until: float
    held: bool = False
    """Somebody was promised it, and Cal.com does not know."""


def unexplained(
    refused: Sequence[Refused], *, event_types: Mapping[str, EventType], rows: Rows, remote: Sequence[Remote]
) -> list[Refused]:
    """
    Return the refusals of a time for which a host was free all the while, from question to answer.

    A host is taken by what stands at Cal.com, and by holds and writes of ours: these keep every host who may be
    chosen, because nobody knows whom Cal.com will choose (`docs/adr/0005`). For the same reason nothing is booked
    that could be given a host whose time is held for somebody else, and a hold, which is a promise, is refused where
    one of several hosts was taken so lately that no list can know of it: a list proves one host, and it may have been
    that one. What Cal.com refused in the end explains nothing, nor does a hold that is gone before its time.
    """
    by_slug = {each.slug: each for each in event_types.values()}
    blocks = [*_there(remote, by_slug, rows.wishes), *_ours(rows, remote, by_slug)]
    return [each for each in refused if not _is_explained(each, event_types[each.service], blocks)]


def _is_explained(refused: Refused, kind: EventType, blocks: Sequence[Block]) -> bool:
    if refused.code == "hold_expired":
        return False
    start = instant(refused.start)
    end = start + 60 * (kind.minutes + kind.after_minutes)
    asked, answered = refused.at, refused.at + refused.took
    if refused.code == "slot_not_offered" and _starts_move(kind):
        before = [each for each in blocks if each.end <= start < each.start + A_DAY and not each.held]
        if any(each.since <= answered and not each.hosts.isdisjoint(kind.hosts) for each in before):
            return True
    there = [each for each in blocks if each.start < end and start < each.end]
    there = [each for each in there if each.since <= answered and asked <= each.until + HEARD_WITHIN]
    promised = _hosts(each for each in there if each.held)
    if _hosts(there).issuperset(kind.hosts) or not promised.isdisjoint(kind.hosts):
        return True
    lately = _hosts(each for each in there if asked - DOUBTED <= each.since)
    return refused.wish == "hold" and not lately.isdisjoint(kind.hosts)


def _starts_move(kind: EventType) -> bool:
    """Return whether a free stretch that begins elsewhere has other starts; the step is the length of the slot."""
    return kind.minutes != next(grid for grid in GRIDS if kind.minutes % grid == 0)


def _hosts(blocks: Iterable[Block]) -> set[str]:
    return {host for block in blocks for host in block.hosts}


def _there(remote: Iterable[Remote], kinds: Mapping[str, EventType], wishes: Sequence[Wish]) -> Iterator[Block]:
    for each in remote:
        until = inf if each.stands else max([each.updated_at, *_heard(each, wishes)])
        after = 60 * kinds[each.slug].after_minutes
        yield Block(frozenset({each.host}), each.start, each.end + after, each.created_at, until)


def _heard(gone: Remote, wishes: Sequence[Wish]) -> Iterator[float]:
    """Yield when we heard that it is gone, where we asked for that: until then its time is not given to anybody."""
    for wish in wishes:
        if wish.booking == gone.booking and wish.finished_at and wish.asked_at <= gone.updated_at:
            yield wish.finished_at


def _ours(rows: Rows, remote: Iterable[Remote], kinds: Mapping[str, EventType]) -> Iterator[Block]:
    first: dict[str, Remote] = {}
    for booking in sorted(remote, key=lambda each: each.created_at):
        if booking.booking:
            first.setdefault(booking.booking, booking)
    made = {each.booking: each for each in rows.wishes if each.operation == "create"}
    own = {each.booking: each for each in rows.own}
    for each in (each for each in own.values() if each.state != "rejected"):
        # A moved appointment stands elsewhere by now; Cal.com still has where it was at first.
        start = first[each.booking].start if each.booking in first else each.start
        wish = made.get(each.booking)
        over = wish.finished_at if wish else each.changed_at if each.state == "expired" else None
        yield _of_all(kinds[each.slug], start, each.created_at, over)
        held_until = wish.asked_at if wish else over
        if held_until is None or held_until > each.created_at + WRITTEN_WITHIN:
            yield _of_all(kinds[each.slug], start, each.created_at, held_until, held=True)
    for change in rows.wishes:
        if change.new_start is not None and change.state != "refused" and change.booking in own:
            kind = kinds[own[change.booking].slug]
            yield _of_all(kind, change.new_start, change.asked_at, change.finished_at)


def _of_all(kind: EventType, start: float, since: float, until: float | None, *, held: bool = False) -> Block:
    end = start + 60 * (kind.minutes + kind.after_minutes)
    return Block(frozenset(kind.hosts), start, end, since, inf if until is None else until, held)
