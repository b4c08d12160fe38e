"""Whether the outcomes that callers know are true, here and at Cal.com. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tests.load.call_log import Contested, Outcome
from tests.load.evidence import OPEN, EventType, Own, Remote, Rows, instant


def wrong_outcomes(*, outcomes: Sequence[Outcome], rows: Rows, remote: Sequence[Remote]) -> dict[str, str]:
    """Return what is wrong, by the id of the booking: no outcome, an untrue one, or a difference to Cal.com."""
    own = {each.booking: each for each in rows.own}
    accepted: defaultdict[str, list[Remote]] = defaultdict(list)
    for each in remote:
        if each.is_accepted and each.booking:
            accepted[each.booking].append(each)
    wrong = dict(_differences(own, accepted))
    for booking, expected in _expected(outcomes).items():
        if not _is_true(expected, own.get(booking), accepted[booking]):
            wrong[booking] = f"told {'booked' if expected else 'cancelled'} and not so"
    wrong |= {each.booking: "without outcome" for each in rows.operations if each.state in OPEN}
    return wrong


def winners(
    slot: Contested,
    *,
    outcomes: Sequence[Outcome],
    rows: Rows,
    remote: Sequence[Remote],
    event_types: Mapping[str, EventType],
) -> tuple[int, int, int]:
    """Return how many callers were told that they have the slot, and its bookings at Cal.com and here."""
    slug, start = event_types[slot.service].slug, instant(slot.start)
    return (
        sum(each.state == "done" and (each.service, each.start) == (slot.service, slot.start) for each in outcomes),
        sum(each.is_accepted and (each.slug, each.start) == (slug, start) for each in remote),
        sum(each.state == "confirmed" and (each.slug, each.start) == (slug, start) for each in rows.own),
    )


def _differences(own: Mapping[str, Own], accepted: Mapping[str, Sequence[Remote]]) -> Iterator[tuple[str, str]]:
    confirmed = {booking for booking, each in own.items() if each.state == "confirmed"}
    for booking in confirmed | set(accepted):
        there = Counter(each.start for each in accepted.get(booking, ()))
        here = Counter([own[booking].start] if booking in confirmed else [])
        if here != there:
            yield booking, "differ here and at Cal.com"


def _expected(outcomes: Iterable[Outcome]) -> dict[str, float | None]:
    """Return when each booking is by its last known outcome; None if it was cancelled."""
    expected: dict[str, float | None] = {}
    pending: set[str] = set()
    for each in sorted(outcomes, key=lambda each: each.at):
        if each.state == "pending":
            pending.add(each.booking)
        elif each.state == "done":
            expected[each.booking] = None if each.operation == "cancel" else instant(each.start)
    # For these either outcome is right, as long as Cal.com agrees with our rows.
    return {booking: start for booking, start in expected.items() if booking not in pending}


def _is_true(expected: float | None, here: Own | None, there: Sequence[Remote]) -> bool:
    if expected is None:
        return here is not None and here.state == "cancelled" and not there
    is_here = here is not None and here.state == "confirmed" and here.start == expected
    return is_here and [each.start for each in there] == [expected]
