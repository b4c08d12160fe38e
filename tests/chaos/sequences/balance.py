"""The end of a sequence: everything is let settle, and then what we say and what is so at Cal.com must be the same."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random

from bookings.availability.occupancy import with_buffers
from bookings.availability.rules import Rules
from bookings.models import Appointment, AppointmentState, Claim, Operation
from bookings.sync.classify import Drift
from cachectl.models import CacheInvalidation
from calcom import tasks as calcom_tasks
from calcom.day_ranges import EPOCH, MINUTE, minute_from
from calcom.http.parsing import METADATA_KEY
from calcom.models import DeferredBooking, WebhookDelivery
from calcom.simulator.slots import open_starts
from calcom.simulator.state import Booking
from tests.chaos.sequences import elsewhere
from tests.chaos.sequences.play import Play, Told
from tests.chaos.sequences.stage import Line

State = AppointmentState

_ROUND = 125.0  # seconds: whatever is due is due by then, and what was held is not held any more
_MOST_ROUNDS = 30
_SEEN = 10.0  # seconds after which a list of slots knows of every change
_LOST = 0.3  # share of the webhooks that never come
_KEPT = {Told.DONE, Told.PENDING, Told.NOTHING, Told.UNDER_WAY}


def settle(play: Play, dice: Random) -> None:
    """Let nothing go wrong any more, and everything that is left be dealt with."""
    elsewhere.let_go(play, dice)
    play.stage.process.die_in(None)
    for message in list(play.stage.simulator.app.messenger.deliveries):
        if message.id not in play.delivered and dice.random() >= _LOST:
            elsewhere.bring(play, message)
    for _ in range(_MOST_ROUNDS):
        elsewhere.pass_by(play, _ROUND)
        _work_everything(play)
        if not _left_to_do():
            elsewhere.pass_by(play, _SEEN)
            play.stage.process.work(elsewhere.BEAT["overlaps"].run)  # what was in the way may have gone since
            return
    play.object(f"never at rest: {_left_to_do()}")


def _work_everything(play: Play) -> None:
    nothing_is_lost = Random()
    nothing_is_lost.random = lambda: 1.0  # type: ignore[method-assign]
    for task in elsewhere.BEAT.values():
        play.stage.process.work(task.run)
    elsewhere.work(play, nothing_is_lost)
    for account in play.stage.accounts:
        play.stage.process.work(calcom_tasks.poll_account.run, account_id=account.pk)


def _left_to_do() -> str:
    """Return what is not settled; empty when all is."""
    changes = list(Operation.objects.open().values_list("kind", "state"))
    told = list(WebhookDelivery.objects.pending().values_list("trigger", "last_error"))
    invalidations = CacheInvalidation.objects.filter(done_at=None).count()
    holds = Appointment.objects.held().count()
    deferred = list(DeferredBooking.objects.values_list("state", "last_error"))
    if not (changes or told or invalidations or holds or deferred):
        return ""
    return f"{changes} {told} {deferred} {invalidations} invalidations, {holds} holds"


def check(play: Play, dice: Random) -> None:
    """Write down whatever does not balance; what costs requests is looked at where chance has it."""
    for line in play.stage.lines:
        _compare_rows(play, line)
        _compare_claims(play, line)
        _compare_slots(play, line, dice.choice(list(line.services)))
    _compare_shared(play)
    for difference in elsewhere.differences(dice.choice(play.stage.accounts), play.stage.clock, repair=False):
        # That an appointment has become over since it was last read is time that passed, and no mismatch.
        if getattr(difference, "drift", None) is not Drift.ENDED:
            play.object(f"differs: {difference}")
    _compare_words(play)
    dead = WebhookDelivery.objects.exclude(state__in=["done", "ignored"]).values_list("trigger", "state", "last_error")
    if dead:
        play.object(f"webhooks without an end: {list(dead)}")


def _compare_rows(play: Play, line: Line) -> None:
    now = play.stage.clock.now()
    there = play.standing(line)
    ours = Appointment.objects.filter(event_type__account=line.account).select_related("host")
    here = ours.filter(state=State.CONFIRMED, end__gt=now)
    rows = {(row.remote_uid, row.start, row.end, row.host and row.host.calcom_id) for row in here}
    bookings = {
        (each.uid, _at(each.start), _at(each.end), each.host.id) for each in there if each.end > now.timestamp()
    }
    if rows != bookings:
        play.object(f"{line.company}: only here {rows - bookings}, only there {bookings - rows}")
    lasting = {row.public_id: row for row in ours.filter(state__in=[State.CONFIRMED, State.COMPLETED, State.NO_SHOW])}
    for booking in there:
        public_id = booking.metadata.get(METADATA_KEY)
        if public_id and (public_id not in lasting or lasting[public_id].remote_uid != booking.uid):
            play.object(f"{booking.uid[:4]} at {_at(booking.start)} carries the id of {public_id}, which is not it")
    for first, second in _overlaps(there):
        if not {first.uid, second.uid} & play.by_people:
            play.object(f"{first.uid[:4]} and {second.uid[:4]} overlap at {first.host.username}'s")


def _compare_claims(play: Play, line: Line) -> None:
    standing = Appointment.objects.filter(event_type__account=line.account, state=State.CONFIRMED)
    due = {(row.pk, row.host_id, *with_buffers(row.event_type, row.start, row.end)) for row in standing}
    found = Claim.objects.filter(appointment__event_type__account=line.account)
    taken = Counter((claim.appointment_id, claim.host_id, claim.start, claim.end) for claim in found)
    if taken != Counter(due):
        play.object(f"{line.company}: claims too many {set(taken) - due}, too few {due - set(taken)}")
    if kinds := set(found.exclude(kind=Claim.Kind.CONFIRMED).values_list("kind", flat=True)):
        play.object(f"claims that are {kinds}")
    if not play.by_people and found.filter(conflicting=True).exists():
        play.object("a conflict, although nobody booked at Cal.com")


def _compare_shared(play: Play) -> None:
    """Of the salon's bookings the rival knows which of its host's time they take, and nobody who comes."""
    now, rival = play.stage.clock.now(), play.stage.rival
    there = [each for each in play.standing(play.stage.lines[0]) if each.host.id == rival.host.calcom_id]
    due = Counter((_at(each.start), _at(each.end)) for each in there if each.end > now.timestamp())
    found = Counter(
        (claim.start, claim.end) for claim in Claim.objects.filter(host=rival.host, end__gt=now).order_by("start")
    )
    if found != due:
        play.object(f"the rival's host: claims too many {found - due}, too few {due - found}")
    theirs = Appointment.objects.filter(company=rival.company)
    if theirs.exclude(attendee_name="", attendee_email="", attendee_phone=None, customer=None).exists():
        play.object("the rival knows who comes to the salon")
    agents = Appointment.objects.filter(origin="agent").exclude(remote_uid="").values("remote_uid")
    if theirs.filter(state=State.CONFIRMED, remote_uid__in=agents).exists():
        play.object("the rival has an appointment that the salon's caller asked for")


def _compare_words(play: Play) -> None:
    """What agents were told is what became of it."""
    rows = {row.pk: row for row in Appointment.objects.filter(origin="agent")}
    lasting = {pk for pk, row in rows.items() if row.is_live or row.state in {State.COMPLETED, State.NO_SHOW}}
    by_id = {row.public_id: row for row in rows.values()}
    asks = [ask for ask in play.asks if ask.operation == "book"]
    for wish in {ask.wish for ask in asks}:
        made = {pk for ask in asks if ask.wish == wish for pk in ask.made}
        if len(made & lasting) > 1:
            play.object(f"several appointments for one wish: {[str(rows[pk]) for pk in made]}")
    for ask in asks:
        if ask.made & lasting and not _KEPT & set(ask.told):
            play.object(f"refused, and has an appointment: {[str(rows[pk]) for pk in ask.made]}")
        for row in (by_id[public_id] for public_id in ask.promised):
            if row.pk not in lasting and not _was_ended(play, row):
                play.object(f"told confirmed, and has none: {row}")


def _was_ended(play: Play, row: Appointment) -> bool:
    """Return whether somebody wanted it to end: an agent, or people at Cal.com, also after a move we never heard of."""
    by_agents = Operation.objects.filter(appointment=row, kind="cancel").exists()
    uids = {row.remote_uid, *row.earlier_remote_uids}
    booking = play.stage.simulator.app.state.bookings.get(row.remote_uid)
    while booking is not None:
        uids.add(booking.uid)
        booking = booking.rescheduled_to
    return by_agents or bool(uids & play.by_people)


def _compare_slots(play: Play, line: Line, name: str) -> None:
    """What is offered is what Cal.com offers minus what rules forbid: at most that at once, exactly that when asked."""
    first = play.stage.clock.now()
    last = first + timedelta(days=2)
    query = {"service": f"sv_{line.services[name].pk}", "from": first.isoformat(), "to": last.isoformat()}
    known = _offered(play, line, query)
    loaded = _offered(play, line, query, cache_control="no-cache")
    true = _truth(play, line, name, first, last)
    if known - true:
        play.object(f"{name} is offered at {sorted(known - true)}")
    if loaded != true:
        play.object(f"{name} is offered at {sorted(loaded - true)}, and not at {sorted(true - loaded)}")


def _offered(play: Play, line: Line, query: dict[str, object], **headers: str) -> set[datetime]:
    answer = play.stage.process.run(lambda: line.agent.get("availability", query, **headers))
    assert answer is not None
    if answer.status_code != 200:
        play.object(f"availability was answered {answer.content}")
        return set()
    return {datetime.fromisoformat(slot["start"]) for slot in answer.json()["slots"]}


def _truth(play: Play, line: Line, name: str, first: datetime, last: datetime) -> set[datetime]:
    service, state = line.services[name], play.stage.simulator.app.state
    remote, minutes = state.event_types[service.event_type.calcom_id], service.event_type.length_minutes
    until = int(last.timestamp()) + 60 * minutes
    starts = open_starts(state, remote, int(first.timestamp()), until, minutes=minutes)
    listed = [minute_from(_at(start)) for start in starts if _at(start) < last]
    service.refresh_from_db()
    rules = Rules.of(service, first)
    return {
        EPOCH + minute * MINUTE
        for minute in rules.allowed(listed, first, last)
        if EPOCH + minute * MINUTE >= rules.earliest
    }


def _overlaps(bookings: list[Booking]) -> list[tuple[Booking, Booking]]:
    """Return the pairs of which one takes time, buffers included, that the other takes from the same host."""
    pairs = [(one, other) for number, one in enumerate(bookings) for other in bookings[:number]]
    return [
        (one, other)
        for one, other in pairs
        if one.host == other.host and one.span().start < other.span().end and other.span().start < one.span().end
    ]


def _at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
