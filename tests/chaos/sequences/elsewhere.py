"""What happens around the calls: at Cal.com, on the way there, to our processes, and in time."""

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
from tests.chaos.sequences import calls
from tests.chaos.sequences.play import Play
from tests.chaos.sequences.stage import Line

BOOK, MOVE, CANCEL = "POST /v2/bookings", "POST /v2/bookings/{uid}/reschedule", "POST /v2/bookings/{uid}/cancel"
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
    MOVE: (*_OF_WRITES, Kind.OTHER_START),
    CANCEL: _OF_WRITES,
    LIST: _OF_READS,
    READ: _OF_READS,
    SLOTS: _OF_READS,
}
# Seconds that Cal.com holds a write at most. It was seen to take 20 (recorded 2026-11-21), and so long we wait for it.
_LONGEST_WRITE = 19.0
_FOREVER = 1e6
_PASSES = (1, 4, 6, 12, 31, 31, 46, 61, 125, 700, 2 * 3600)


# --- people at Cal.com -------------------------------------------------------------------------------------------


def book_there(play: Play, dice: Random) -> None:
    """Somebody books on Cal.com's own page, where time is free; now and then where it is not, as only its owner can."""
    line = _line(play, dice)
    name = dice.choice(list(line.services))
    start, remote = dice.choice(line.starts[name]), _remote_type(play, line, name)
    length = line.services[name].event_type.length_minutes
    begin = int(start.timestamp())
    free = free_hosts(play.stage.simulator.app.state, remote, begin, begin + 60 * length)
    if start <= play.stage.clock.now() or (not free and dice.random() < 0.8):
        return
    host = dice.choice(free).username if free else None
    made = play.stage.simulator.book_elsewhere(remote.id, start, host=host, minutes=length, email="walk-in@example.com")
    _people(play, f"book {name} {start}", made["uid"])


def move_there(play: Play, dice: Random) -> None:
    """Somebody moves a booking at Cal.com."""
    line = _line(play, dice)
    standing = _to_come(play, line)
    if standing:
        booking = dice.choice(standing)
        starts = [start for starts in line.starts.values() for start in starts if start > play.stage.clock.now()]
        state, ignored = play.stage.simulator.app.state, {booking.uid}
        start = dice.choice(starts or [play.stage.clock.now() + timedelta(hours=1)])
        begin = int(start.timestamp())
        length = booking.end - booking.start
        free = free_hosts(state, booking.event_type, begin, begin + length, ignored)
        if booking.host in free or dice.random() < 0.2:
            moved = play.stage.simulator.reschedule_elsewhere(booking.uid, start)
            _people(play, f"move {booking.uid[:4]} to {start}", booking.uid, moved["uid"])


def cancel_there(play: Play, dice: Random) -> None:
    """Somebody cancels a booking at Cal.com."""
    standing = _to_come(play, _line(play, dice))
    if standing:
        uid = dice.choice(standing).uid
        play.stage.simulator.cancel_elsewhere(uid, reason="closed")
        _people(play, f"cancel {uid[:4]}", uid)


def _people(play: Play, deed: str, *uids: str) -> None:
    play.is_calm = False
    play.by_people.update(uids)
    play.say(f"people {deed}")


def _to_come(play: Play, line: Line) -> list[Any]:
    now = play.stage.clock.now().timestamp()
    return [booking for booking in play.standing(line) if booking.start > now]


def _remote_type(play: Play, line: Line, name: str) -> Any:
    return play.stage.simulator.app.state.event_types[line.services[name].event_type.calcom_id]


# --- what Cal.com tells ------------------------------------------------------------------------------------------


def deliver(play: Play, dice: Random) -> None:
    """Bring a webhook: the next one, any that is late, or one that has come before."""
    messages = list(play.stage.simulator.app.messenger.deliveries)
    new = [each for each in messages if each.id not in play.delivered]
    chosen = dice.choice([new[:1], new, new, messages])
    if chosen:
        bring(play, dice.choice(chosen))
        if dice.random() < 0.7:
            work(play, dice)


def bring(play: Play, message: Delivery) -> None:
    """Bring a webhook to our door."""
    account_id = int(message.url.rpartition("/")[2])
    answer = play.stage.process.run(lambda: post(account_id, message.body))
    if answer is not None and answer.status_code != 202:
        play.object(f"a webhook was answered {answer.status_code}")
    play.delivered.add(message.id)
    play.say(f"webhook {message.id} {message.trigger} {message.uid[:4]} -> {answer and answer.status_code}")


# --- what goes wrong ---------------------------------------------------------------------------------------------


def fail(play: Play, dice: Random) -> None:
    """Let something go wrong with the next request of a kind, and mostly make it."""
    operation = dice.choice(list(_FAULTS))
    kind = dice.choice(_FAULTS[operation])
    # A write that hangs is waited for until its time-out, or no longer than the caller's patience.
    seconds = _FOREVER if kind is Kind.HANG and dice.random() < 0.5 else None
    play.is_calm = False
    play.stage.simulator.app.faults.add(Fault(operation, kind, seconds=seconds))
    play.stage.process.a_write_may_hang |= kind is Kind.HANG and seconds is None
    play.say(f"fault {kind} {'without end ' if seconds else ''}for {operation}")
    if dice.random() < 0.8:
        dice.choice(_REQUESTS[operation])(play, dice)


def die(play: Play, dice: Random) -> None:
    """Let our process die within the next steps it takes, and mostly let it take some."""
    play.is_calm = False
    steps = dice.choice((dice.randint(1, 15), dice.randint(1, 60)))
    play.stage.process.die_in(steps)
    play.say(f"dies in {steps} steps")
    if dice.random() < 0.8:
        dice.choice(_MORTAL)(play, dice)


def let_go(play: Play, _dice: Random) -> None:
    """Let Cal.com go on with what it holds, and forget the faults that have not hits."""
    play.stage.simulator.clear_faults()
    play.stage.process.await_hanging()
    play.stage.simulator.await_in_flight(0)
    play.stage.process.a_write_may_hang = False
    play.hanging_since = None
    play.say("faults are over")


def lose_redis(play: Play, _dice: Random) -> None:
    """Redis is empty all of a sudden."""
    play.is_calm = False
    redis_client().flushdb()
    play.stage.clock.pass_by(1)
    play.say("redis lost its memory")


# --- time --------------------------------------------------------------------------------------------------------


def wait(play: Play, dice: Random) -> None:
    """Let time pass."""
    pass_by(play, dice.choice(_PASSES))


def pass_by(play: Play, seconds: float) -> None:
    """Let time pass; a request that hangs does so no longer than Cal.com was ever seen to take."""
    if play.stage.is_holding:
        play.hanging_since = play.hanging_since or play.stage.clock.now()
        held_for = (play.stage.clock.now() - play.hanging_since).total_seconds() + play.stage.process.slept + seconds
        if held_for >= _LONGEST_WRITE:
            let_go(play, Random(0))
    play.stage.pass_by(seconds)
    if seconds > 3:
        play.say(f"{seconds} s pass")


# --- what workers and beat do ------------------------------------------------------------------------------------

BEAT = {
    "relay": cache_tasks.relay_outbox,
    "generation": cache_tasks.ensure_generation,
    "holds": bookings_tasks.expire_holds,
    "overlaps": bookings_tasks.detect_overlaps,
}


def work(play: Play, dice: Random) -> None:
    """Do what is queued; some of it gets lost."""
    queued = play.stage.process.queued
    while queued:
        name, arguments = queued.popleft()
        if dice.random() < 0.1:
            play.say(f"lost {name}")
        elif name == "cachectl.refresh":
            days = {name: date.fromisoformat(arguments[name]) for name in ("first", "last")}
            play.stage.process.work(cache.refresh, **{**arguments, **days})
        else:
            play.stage.process.work(current_app.tasks[name].run, **arguments)


def sweep(play: Play, dice: Random) -> None:
    """Do what beat asks for, one thing or all, often when time enough has passed for something to be due."""
    pass_by(play, dice.choice((0, 6, 31, 31, 61)))
    names = [dice.choice(list(BEAT))] if dice.random() < 0.5 else list(BEAT)
    for name in names:
        play.stage.process.work(BEAT[name].run)
    work(play, dice)
    play.say(f"sweep {', '.join(names)}")


def poll(play: Play, dice: Random) -> None:
    """Read again what changed at an account."""
    account = dice.choice(play.stage.accounts)
    play.stage.process.work(calcom_tasks.poll_account.run, account_id=account.pk)
    play.say(f"poll {account}")


def compare(play: Play, dice: Random) -> None:
    """Compare everything with Cal.com, and put it right."""
    account = dice.choice(play.stage.accounts)
    play.stage.process.work(lambda: differences(account, play.stage.clock, repair=True))
    play.say(f"reconcile {account}")


def differences(account: Account, clock: Clock, *, repair: bool) -> list[Any]:
    """Return what differs between our rows and Cal.com, yesterday to next week."""
    now = clock.now()
    first, last = now - timedelta(days=1), now + timedelta(days=7)
    try:
        return list(reconcile(account=account, first=first, last=last, repair=repair, progress=lambda _: None))
    except CalcomError as exc:
        return [exc]


_REQUESTS: dict[str, Sequence[Callable[[Play, Random], None]]] = {
    BOOK: (calls.book,),
    MOVE: (calls.move,),
    CANCEL: (calls.cancel,),
    LIST: (poll, sweep),
    READ: (sweep, calls.move, deliver),
    SLOTS: (calls.search, calls.move),
}
_MORTAL = (calls.book, calls.book, calls.move, calls.cancel, calls.hold, deliver, sweep, poll)


def _line(play: Play, dice: Random) -> Line:
    return play.stage.lines[dice.random() < 0.25]
