"""Events besides requests: changes at Cal.com, webhooks, faults, kills, time, workers and beat."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from random import Random
from typing import Any

from celery import current_app

from bookings import tasks as bookings_tasks
from bookings.sync.reconcile import reconcile
from cachectl import cache
from cachectl import tasks as cache_tasks
from cachectl.infra.redis import redis_client
from calcom import tasks as calcom_tasks
from calcom.errors import CalcomError
from calcom.models import Account
from calcom.simulator import Fault, Kind
from calcom.simulator.slots import free_hosts
from calcom.simulator.webhooks import Delivery
from tests.calcom.webhooks import post
from tests.chaos.clock import Clock
from tests.chaos.sequences import agents
from tests.chaos.sequences.run import Run
from tests.chaos.sequences.sandbox import Tenant

BOOK, RESCHEDULE, CANCEL = "POST /v2/bookings", "POST /v2/bookings/{uid}/reschedule", "POST /v2/bookings/{uid}/cancel"
LIST, READ, SLOTS = "GET /v2/bookings", "GET /v2/bookings/{uid}", "GET /v2/slots"

_UNANSWERED = (
    Kind.TIMEOUT_BEFORE,
    Kind.TIMEOUT_AFTER,
    Kind.ERROR_BEFORE,
    Kind.ERROR_AFTER,
    Kind.RESET_BEFORE,
    Kind.RESET_AFTER,
)
_WRONG = (Kind.INVALID_JSON, Kind.EMPTY, Kind.TOO_MANY)
_OF_READS = (Kind.ERROR_BEFORE, Kind.RESET_BEFORE, Kind.TIMEOUT_BEFORE, *_WRONG)
_OF_WRITES = (*_UNANSWERED, *_WRONG, Kind.HANG, Kind.HANG)
_FAULTS = {
    BOOK: (*_OF_WRITES, Kind.WRONG_BOOKING, Kind.OTHER_START),
    RESCHEDULE: (*_OF_WRITES, Kind.OTHER_START),
    CANCEL: _OF_WRITES,
    LIST: _OF_READS,
    READ: _OF_READS,
    SLOTS: _OF_READS,
}
# Seconds that Cal.com holds a write at most: our time-out is 20, as long as the longest one (recorded 2026-11-21).
_LONGEST_WRITE = 19.0
_FOREVER = 1e6
_PAUSES = (1, 4, 6, 12, 31, 31, 46, 61, 125, 700, 2 * 3600)


# --- people at Cal.com -------------------------------------------------------------------------------------------


def book_at_calcom(run: Run, chance: Random) -> None:
    """Book at Cal.com where time is free; sometimes where it is not, as its owner can."""
    tenant = _any_tenant(run, chance)
    name = chance.choice(list(tenant.services))
    start, remote = chance.choice(tenant.starts[name]), _remote_event_type(run, tenant, name)
    length = tenant.services[name].event_type.length_minutes
    begin = int(start.timestamp())
    free = free_hosts(run.sandbox.simulator.app.state, remote, begin, begin + 60 * length)
    if start <= run.sandbox.clock.now() or (not free and chance.random() < 0.8):
        return
    host = chance.choice(free).username if free else None
    made = run.sandbox.simulator.book_elsewhere(
        remote.id, start, host=host, minutes=length, email="walk-in@example.com"
    )
    _change(run, f"book {name} {start}", made["uid"])


def reschedule_at_calcom(run: Run, chance: Random) -> None:
    """Reschedule a booking at Cal.com."""
    tenant = _any_tenant(run, chance)
    remote_bookings = _upcoming(run, tenant)
    if remote_bookings:
        booking = chance.choice(remote_bookings)
        starts = [start for starts in tenant.starts.values() for start in starts if start > run.sandbox.clock.now()]
        state, ignored = run.sandbox.simulator.app.state, {booking.uid}
        start = chance.choice(starts or [run.sandbox.clock.now() + timedelta(hours=1)])
        begin = int(start.timestamp())
        length = booking.end - booking.start
        free = free_hosts(state, booking.event_type, begin, begin + length, ignored)
        if booking.host in free or chance.random() < 0.2:
            moved = run.sandbox.simulator.reschedule_elsewhere(booking.uid, start)
            _change(run, f"move {booking.uid[:4]} to {start}", booking.uid, moved["uid"])


def cancel_at_calcom(run: Run, chance: Random) -> None:
    """Cancel a booking at Cal.com."""
    remote_bookings = _upcoming(run, _any_tenant(run, chance))
    if remote_bookings:
        uid = chance.choice(remote_bookings).uid
        run.sandbox.simulator.cancel_elsewhere(uid, reason="closed")
        _change(run, f"cancel {uid[:4]}", uid)


def _change(run: Run, action: str, *uids: str) -> None:
    run.is_undisturbed = False
    run.changed_at_calcom.update(uids)
    run.log(f"people {action}")


def _upcoming(run: Run, tenant: Tenant) -> list[Any]:
    now = run.sandbox.clock.now().timestamp()
    return [booking for booking in run.remote_bookings(tenant) if booking.start > now]


def _remote_event_type(run: Run, tenant: Tenant, name: str) -> Any:
    return run.sandbox.simulator.app.state.event_types[tenant.services[name].event_type.calcom_id]


# --- what Cal.com tells ------------------------------------------------------------------------------------------


def deliver(run: Run, chance: Random) -> None:
    """Deliver a webhook: the next one, a late one, or one again."""
    messages = list(run.sandbox.simulator.app.messenger.deliveries)
    new = [each for each in messages if each.id not in run.delivered]
    chosen = chance.choice([new[:1], new, new, messages])
    if chosen:
        deliver_message(run, chance.choice(chosen))
        if chance.random() < 0.7:
            run_worker(run, chance)


def deliver_message(run: Run, message: Delivery) -> None:
    """Deliver a webhook."""
    account_id = int(message.url.rpartition("/")[2])
    answer = run.sandbox.process.run(lambda: post(account_id, message.body))
    if answer is not None and answer.status_code != 202:
        run.fail(f"a webhook was answered {answer.status_code}")
    run.delivered.add(message.id)
    run.log(f"webhook {message.id} {message.trigger} {message.uid[:4]} -> {answer and answer.status_code}")


# --- what goes wrong ---------------------------------------------------------------------------------------------


def inject_fault(run: Run, chance: Random) -> None:
    """Inject a fault for the next request of a kind, and mostly cause that request."""
    operation = chance.choice(list(_FAULTS))
    kind = chance.choice(_FAULTS[operation])
    # A hanging write is waited for until its time-out, or until the caller's deadline.
    seconds = _FOREVER if kind is Kind.HANG and chance.random() < 0.5 else None
    run.is_undisturbed = False
    run.sandbox.simulator.app.faults.add(Fault(operation, kind, seconds=seconds))
    run.sandbox.process.a_write_may_hang |= kind is Kind.HANG and seconds is None
    run.log(f"fault {kind} {'without end ' if seconds else ''}for {operation}")
    if chance.random() < 0.8:
        chance.choice(_TRIGGERS[operation])(run, chance)


def kill(run: Run, chance: Random) -> None:
    """Have our process killed within its next steps, and mostly cause some."""
    run.is_undisturbed = False
    steps = chance.choice((chance.randint(1, 15), chance.randint(1, 60)))
    run.sandbox.process.kill_after(steps)
    run.log(f"dies in {steps} steps")
    if chance.random() < 0.8:
        chance.choice(_KILLABLE)(run, chance)


def clear_faults(run: Run, _dice: Random) -> None:
    """Clear all faults, and have Cal.com process what it holds."""
    run.sandbox.simulator.clear_faults()
    run.sandbox.process.await_hanging()
    run.sandbox.simulator.await_in_flight(0)
    run.sandbox.process.a_write_may_hang = False
    run.hanging_since = None
    run.log("faults are over")


def empty_redis(run: Run, _dice: Random) -> None:
    """Empty Redis."""
    run.is_undisturbed = False
    redis_client().flushdb()
    run.sandbox.clock.advance(1)
    run.log("redis lost its memory")


# --- time --------------------------------------------------------------------------------------------------------


def wait(run: Run, chance: Random) -> None:
    """Advance the clock."""
    advance(run, chance.choice(_PAUSES))


def advance(run: Run, seconds: float) -> None:
    """Advance the clock; a request hangs no longer than `_LONGEST_WRITE`."""
    if run.sandbox.is_holding:
        run.hanging_since = run.hanging_since or run.sandbox.clock.now()
        held_for = (run.sandbox.clock.now() - run.hanging_since).total_seconds() + run.sandbox.process.slept + seconds
        if held_for >= _LONGEST_WRITE:
            clear_faults(run, Random(0))
    run.sandbox.advance(seconds)
    if seconds > 3:
        run.log(f"{seconds} s pass")


# --- what workers and beat do ------------------------------------------------------------------------------------

BEAT = {
    "relay": cache_tasks.relay_outbox,
    "generation": cache_tasks.ensure_generation,
    "holds": bookings_tasks.expire_holds,
    "overlaps": bookings_tasks.detect_overlaps,
}


def run_worker(run: Run, chance: Random) -> None:
    """Process the queued messages, of which some are lost."""
    queued = run.sandbox.process.queued
    while queued:
        name, arguments = queued.popleft()
        if chance.random() < 0.1:
            run.log(f"lost {name}")
        elif name == "cachectl.refresh":
            days = {name: date.fromisoformat(arguments[name]) for name in ("first", "last")}
            run.sandbox.process.work(cache.refresh, **{**arguments, **days})
        else:
            run.sandbox.process.work(current_app.tasks[name].run, **arguments)


def run_beat(run: Run, chance: Random) -> None:
    """Run one of beat's tasks or all, often after a pause in which something became due."""
    advance(run, chance.choice((0, 6, 31, 31, 61)))
    names = [chance.choice(list(BEAT))] if chance.random() < 0.5 else list(BEAT)
    for name in names:
        run.sandbox.process.work(BEAT[name].run)
    run_worker(run, chance)
    run.log(f"sweep {', '.join(names)}")


def poll(run: Run, chance: Random) -> None:
    """Poll an account for changes."""
    account = chance.choice(run.sandbox.accounts)
    run.sandbox.process.work(calcom_tasks.poll_account.run, account_id=account.pk)
    run.log(f"poll {account}")


def reconcile_account(run: Run, chance: Random) -> None:
    """Reconcile an account."""
    account = chance.choice(run.sandbox.accounts)
    run.sandbox.process.work(lambda: differences(account, run.sandbox.clock, repair=True))
    run.log(f"reconcile {account}")


def differences(account: Account, clock: Clock, *, repair: bool) -> list[Any]:
    """Return the differences between our rows and Cal.com, yesterday to next week."""
    now = clock.now()
    first, last = now - timedelta(days=1), now + timedelta(days=7)
    try:
        return list(reconcile(account=account, first=first, last=last, repair=repair, progress=lambda _: None))
    except CalcomError as exc:
        return [exc]


_TRIGGERS: dict[str, Sequence[Callable[[Run, Random], None]]] = {
    BOOK: (agents.book,),
    RESCHEDULE: (agents.reschedule,),
    CANCEL: (agents.cancel,),
    LIST: (poll, run_beat),
    READ: (run_beat, agents.reschedule, deliver),
    SLOTS: (agents.search, agents.reschedule),
}
_KILLABLE = (agents.book, agents.book, agents.reschedule, agents.cancel, agents.hold, deliver, run_beat, poll)


def _any_tenant(run: Run, chance: Random) -> Tenant:
    return run.sandbox.tenants[chance.random() < 0.25]
