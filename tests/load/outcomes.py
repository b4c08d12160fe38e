"""Whether what callers were told is so: here, and at Cal.com. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tests.load.call_log import Contested, Told
from tests.load.evidence import OPEN, EventType, Own, Remote, Rows, instant


def complaints(*, told: Sequence[Told], rows: Rows, remote: Sequence[Remote]) -> dict[str, str]:
    """
    Return what is wrong with a wish, by the id of its booking: no outcome, or another one than was told.

    Whatever stands at Cal.com with our id stands here, at the same time and once, and the other way round.
    """
    own = {each.booking: each for each in rows.own}
    standing: defaultdict[str, list[Remote]] = defaultdict(list)
    for each in remote:
        if each.stands and each.booking:
            standing[each.booking].append(each)
    found = dict(_differing(own, standing))
    for booking, expected in _expected(told).items():
        if not _is_so(expected, own.get(booking), standing[booking]):
            found[booking] = f"told {'booked' if expected else 'cancelled'} and not so"
    found |= {each.booking: "without outcome" for each in rows.wishes if each.state in OPEN}
    return found


def winners(
    slot: Contested,
    *,
    told: Sequence[Told],
    rows: Rows,
    remote: Sequence[Remote],
    event_types: Mapping[str, EventType],
) -> tuple[int, int, int]:
    """Return how many were told that they have the slot, how many bookings stand at Cal.com, and how many here."""
    slug, start = event_types[slot.service].slug, instant(slot.start)
    return (
        sum(each.state == "done" and (each.service, each.start) == (slot.service, slot.start) for each in told),
        sum(each.stands and (each.slug, each.start) == (slug, start) for each in remote),
        sum(each.state == "confirmed" and (each.slug, each.start) == (slug, start) for each in rows.own),
    )


def _differing(own: Mapping[str, Own], standing: Mapping[str, Sequence[Remote]]) -> Iterator[tuple[str, str]]:
    """Yield the bookings that are not the same here and there, unless they wait for their outcome."""
    confirmed = {booking for booking, each in own.items() if each.state == "confirmed"}
    for booking in confirmed | set(standing):
        there = Counter(each.start for each in standing.get(booking, ()))
        here = Counter([own[booking].start] if booking in confirmed else [])
        if here != there:
            yield booking, "differ here and at Cal.com"


def _expected(told: Iterable[Told]) -> dict[str, float | None]:
    """Return when each booking is, by what was last told for certain; None if it was cancelled."""
    expected: dict[str, float | None] = {}
    pending: set[str] = set()
    for each in sorted(told, key=lambda each: each.at):
        if each.state == "pending":
            pending.add(each.booking)
        elif each.state == "done":
            expected[each.booking] = None if each.operation == "cancel" else instant(each.start)
    # Nothing was said about how these ended: the rows decide, and Cal.com must agree with them.
    return {booking: start for booking, start in expected.items() if booking not in pending}


def _is_so(expected: float | None, here: Own | None, there: Sequence[Remote]) -> bool:
    if expected is None:
        return here is not None and here.state == "cancelled" and not there
    is_here = here is not None and here.state == "confirmed" and here.start == expected
    return is_here and [each.start for each in there] == [expected]
