"""What must hold once a sequence has settled: our rows and replies agree with Cal.com."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random

from bookings.availability.rules import Rules
from bookings.models import Appointment, AppointmentState, Claim, Operation, with_buffers
from bookings.sync.classify import Drift
from cachectl.models import CacheInvalidation
from calcom import tasks as calcom_tasks
from calcom.day_ranges import EPOCH, MINUTE, minute_from
from calcom.http.parsing import METADATA_KEY
from calcom.models import DeferredBooking, WebhookDelivery
from calcom.simulator.slots import open_starts
from calcom.simulator.state import Booking
from tests.chaos.sequences import events
from tests.chaos.sequences.run import Reply, Run
from tests.chaos.sequences.sandbox import Tenant

State = AppointmentState

_ROUND = 125.0  # seconds in which everything becomes due, and every hold expires
_MOST_ROUNDS = 30
_SEEN = 10.0  # seconds after which every change is in the list of slots
_LOST = 0.3  # share of the webhooks that are lost
_NOT_REFUSED = {Reply.DONE, Reply.PENDING, Reply.NONE, Reply.IN_PROGRESS}


def settle(run: Run, chance: Random) -> None:
    """Clear faults, deliver most webhooks, and run workers and beat until nothing is unsettled."""
    events.clear_faults(run, chance)
    run.sandbox.process.kill_after(None)
    for message in list(run.sandbox.simulator.app.messenger.deliveries):
        if message.id not in run.delivered and chance.random() >= _LOST:
            events.deliver_message(run, message)
    for _ in range(_MOST_ROUNDS):
        events.advance(run, _ROUND)
        _process_everything(run)
        if not _unsettled():
            events.advance(run, _SEEN)
            run.sandbox.process.work(events.BEAT["overlaps"].run)  # an overlap may have ended meanwhile
            return
    run.fail(f"never at rest: {_unsettled()}")


def _process_everything(run: Run) -> None:
    nothing_is_lost = Random()
    nothing_is_lost.random = lambda: 1.0  # type: ignore[method-assign]
    for task in events.BEAT.values():
        run.sandbox.process.work(task.run)
    events.run_worker(run, nothing_is_lost)
    for account in run.sandbox.accounts:
        run.sandbox.process.work(calcom_tasks.poll_account.run, account_id=account.pk)


def _unsettled() -> str:
    """Return what is unsettled; empty where nothing is."""
    changes = list(Operation.objects.open().values_list("kind", "state"))
    reply = list(WebhookDelivery.objects.pending().values_list("trigger", "last_error"))
    invalidations = CacheInvalidation.objects.filter(done_at=None).count()
    holds = Appointment.objects.held().count()
    deferred = list(DeferredBooking.objects.values_list("state", "last_error"))
    if not (changes or reply or invalidations or holds or deferred):
        return ""
    return f"{changes} {reply} {deferred} {invalidations} invalidations, {holds} holds"


def check(run: Run, chance: Random) -> None:
    """Check all invariants; those that cost requests for a random tenant."""
    for tenant in run.sandbox.tenants:
        _compare_rows(run, tenant)
        _compare_claims(run, tenant)
        _compare_slots(run, tenant, chance.choice(list(tenant.services)))
    _compare_shared(run)
    for difference in events.differences(chance.choice(run.sandbox.accounts), run.sandbox.clock, repair=False):
        # An appointment that ended since it was last read is no mismatch.
        if getattr(difference, "drift", None) is not Drift.ENDED:
            run.fail(f"differs: {difference}")
    _compare_replies(run)
    dead = WebhookDelivery.objects.exclude(state__in=["done", "ignored"]).values_list("trigger", "state", "last_error")
    if dead:
        run.fail(f"webhooks without an end: {list(dead)}")


def _compare_rows(run: Run, tenant: Tenant) -> None:
    now = run.sandbox.clock.now()
    there = run.remote_bookings(tenant)
    ours = Appointment.objects.filter(event_type__account=tenant.account).select_related("host")
    here = ours.filter(state=State.CONFIRMED, end__gt=now)
    rows = {(row.remote_uid, row.start, row.end, row.host and row.host.calcom_id) for row in here}
    bookings = {
        (each.uid, _at(each.start), _at(each.end), each.host.id) for each in there if each.end > now.timestamp()
    }
    if rows != bookings:
        run.fail(f"{tenant.company}: only here {rows - bookings}, only there {bookings - rows}")
    lasting = {row.public_id: row for row in ours.filter(state__in=[State.CONFIRMED, State.COMPLETED, State.NO_SHOW])}
    for booking in there:
        public_id = booking.metadata.get(METADATA_KEY)
        if public_id and (public_id not in lasting or lasting[public_id].remote_uid != booking.uid):
            run.fail(f"{booking.uid[:4]} at {_at(booking.start)} carries the id of {public_id}, which is not it")
    for first, second in _overlaps(there):
        if not {first.uid, second.uid} & run.changed_at_calcom:
            run.fail(f"{first.uid[:4]} and {second.uid[:4]} overlap at {first.host.username}'s")


def _compare_claims(run: Run, tenant: Tenant) -> None:
    remote_bookings = Appointment.objects.filter(event_type__account=tenant.account, state=State.CONFIRMED)
    due = {(row.pk, row.host_id, *with_buffers(row.event_type, row.start, row.end)) for row in remote_bookings}
    found = Claim.objects.filter(appointment__event_type__account=tenant.account)
    taken = Counter((claim.appointment_id, claim.host_id, claim.start, claim.end) for claim in found)
    if taken != Counter(due):
        run.fail(f"{tenant.company}: claims too many {set(taken) - due}, too few {due - set(taken)}")
    if kinds := set(found.exclude(kind=Claim.Kind.CONFIRMED).values_list("kind", flat=True)):
        run.fail(f"claims that are {kinds}")
    if not run.changed_at_calcom and found.filter(conflicting=True).exists():
        run.fail("a conflict, although no booking was made at Cal.com")


def _compare_shared(run: Run) -> None:
    """The rival knows the times of the salon's bookings with their common host, and no personal data."""
    now, rival = run.sandbox.clock.now(), run.sandbox.rival
    there = [each for each in run.remote_bookings(run.sandbox.tenants[0]) if each.host.id == rival.host.calcom_id]
    due = Counter((_at(each.start), _at(each.end)) for each in there if each.end > now.timestamp())
    found = Counter(
        (claim.start, claim.end) for claim in Claim.objects.filter(host=rival.host, end__gt=now).order_by("start")
    )
    if found != due:
        run.fail(f"the rival's host: claims too many {found - due}, too few {due - found}")
    theirs = Appointment.objects.filter(company=rival.company)
    if theirs.exclude(attendee_name="", attendee_email="", attendee_phone=None, customer=None).exists():
        run.fail("the rival knows who comes to the salon")
    agents = Appointment.objects.filter(origin="agent").exclude(remote_uid="").values("remote_uid")
    if theirs.filter(state=State.CONFIRMED, remote_uid__in=agents).exists():
        run.fail("the rival has an appointment that the salon's caller asked for")


def _compare_replies(run: Run) -> None:
    """Replies were true."""
    rows = {row.pk: row for row in Appointment.objects.filter(origin="agent")}
    lasting = {pk for pk, row in rows.items() if row.is_live or row.state in {State.COMPLETED, State.NO_SHOW}}
    by_id = {row.public_id: row for row in rows.values()}
    requests = [request for request in run.requests if request.operation == "book"]
    for intent in {request.intent for request in requests}:
        made = {pk for request in requests if request.intent == intent for pk in request.made}
        if len(made & lasting) > 1:
            run.fail(f"several appointments for one wish: {[str(rows[pk]) for pk in made]}")
    for request in requests:
        if request.made & lasting and not _NOT_REFUSED & set(request.replies):
            run.fail(f"refused, and has an appointment: {[str(rows[pk]) for pk in request.made]}")
        for row in (by_id[public_id] for public_id in request.promised):
            if row.pk not in lasting and not _was_cancelled(run, row):
                run.fail(f"told confirmed, and has none: {row}")


def _was_cancelled(run: Run, row: Appointment) -> bool:
    """Return whether it was cancelled by an agent or at Cal.com, also after a reschedule we do not know of."""
    by_agents = Operation.objects.filter(appointment=row, kind="cancel").exists()
    uids = {row.remote_uid, *row.earlier_remote_uids}
    booking = run.sandbox.simulator.app.state.bookings.get(row.remote_uid)
    while booking is not None:
        uids.add(booking.uid)
        booking = booking.rescheduled_to
    return by_agents or bool(uids & run.changed_at_calcom)


def _compare_slots(run: Run, tenant: Tenant, name: str) -> None:
    """Slots are Cal.com's minus those our rules forbid: at most these if cached, exactly these if reloaded."""
    first = run.sandbox.clock.now()
    last = first + timedelta(days=2)
    query = {"service": f"sv_{tenant.services[name].pk}", "from": first.isoformat(), "to": last.isoformat()}
    known = _offered(run, tenant, query)
    loaded = _offered(run, tenant, query, cache_control="no-cache")
    true = _truth(run, tenant, name, first, last)
    if known - true:
        run.fail(f"{name} is offered at {sorted(known - true)}")
    if loaded != true:
        run.fail(f"{name} is offered at {sorted(loaded - true)}, and not at {sorted(true - loaded)}")


def _offered(run: Run, tenant: Tenant, query: dict[str, object], **headers: str) -> set[datetime]:
    answer = run.sandbox.process.run(lambda: tenant.agent.get("availability", query, **headers))
    assert answer is not None
    if answer.status_code != 200:
        run.fail(f"availability was answered {answer.content}")
        return set()
    return {datetime.fromisoformat(slot["start"]) for slot in answer.json()["slots"]}


def _truth(run: Run, tenant: Tenant, name: str, first: datetime, last: datetime) -> set[datetime]:
    service, state = tenant.services[name], run.sandbox.simulator.app.state
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
    """Return the pairs that overlap at one host, buffers included."""
    pairs = [(one, other) for number, one in enumerate(bookings) for other in bookings[:number]]
    return [
        (one, other)
        for one, other in pairs
        if one.host == other.host and one.span().start < other.span().end and other.span().start < one.span().end
    ]


def _at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
