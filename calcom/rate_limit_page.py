"""What staff sees of budget and breakers, in words, and what staff may do about them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from calcom.models import Account
from calcom.resilience import circuit_breaker
from calcom.resilience.circuit_breaker import CircuitState, Kind
from calcom.resilience.rate_limiter import LimiterState, limiter_for
from calcom.types import Priority

# How many steps of a breaker's history are shown.
HISTORY = 8
PRIORITIES = {
    Priority.WRITE: "Bookings and their look-ups",
    Priority.LIVE: "Callers on the line",
    Priority.REFRESH: "Refreshing what grows old",
    Priority.BACKGROUND: "Warming, sync, polling",
}
BACKGROUND_PAUSED = frozenset({Priority.REFRESH, Priority.BACKGROUND})
KINDS = {Kind.READS: "Reads", Kind.WRITES: "Writes"}
STEPS = {"open": "opened", "closed": "closed", "half-open": "let one call try"}
LEVELS = {"ok": "in order", "warning": "much used", "critical": "bookings only"}

# --- what is seen ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Share:
    """What one priority uses of the budget."""

    priority: Priority
    name: str
    used: int
    priority_cap: int
    free: int
    """Requests that it may send now before it waits."""
    part: float
    """`used`, in percent of the limit, for the bar."""
    mark: float
    """The same of `ceiling`."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Where the budget of an account stands."""

    state: LimiterState
    shares: Sequence[Share]

    @property
    def others(self) -> int:
        """Return how much must be taken for spent by others, or by requests of which our log does not know."""
        return max(0, self.state.spent - sum(share.used for share in self.shares))

    @property
    def others_part(self) -> float:
        """Return that in percent of the limit."""
        return _percent(self.others, self.state.limit)

    @property
    def level(self) -> str:
        """Return one word for the colour: ok, warning, critical, paused."""
        return "paused" if self.state.paused_until else self.state.level

    @property
    def level_words(self) -> str:
        """Return that in words."""
        return "paused" if self.state.paused_until else LEVELS[self.state.level]

    @property
    def pause(self) -> str:
        """Return for how long nobody may send, empty without a pause."""
        return self._left(self.state.paused_until)

    @property
    def background_paused(self) -> str:
        """Return for how long background work pauses, empty where it goes on."""
        return self._left(self.state.background_paused_until)

    @property
    def recovering(self) -> str:
        """Return for how long the log may have a gap, empty where it is complete."""
        return self._left(self.state.recovering_until)

    @property
    def told(self) -> str:
        """Return what Cal.com's headers said last, and when."""
        state = self.state
        if state.reported_at is None:
            return "Its answers have not said anything about the limit yet."
        when = f"{span(state.at - state.reported_at)} ago"
        if state.remaining is None:
            return f"{state.limit} a minute, {when}; the window that it spoke of is over."
        return f"{state.remaining} of {state.limit} remain, {when}; its window ends in {self._left(state.resets_at)}."

    def _left(self, until: datetime | None) -> str:
        return span(until - self.state.at) if until else ""


@dataclass(frozen=True, slots=True)
class Guard:
    """Where one breaker stands."""

    kind: Kind
    name: str
    state: CircuitState
    now: datetime

    @property
    def words(self) -> str:
        """Return the state in a sentence."""
        if not self.state.is_open:
            in_a_row = self.state.failures
            return f"Closed; {_times(in_a_row, 'failure')} in a row." if in_a_row else "Closed: calls go through."
        if self.state.probing:
            return "Open: one call is trying whether Cal.com answers."
        if not self.state.wait_s:
            return "Open: the next call tries whether Cal.com answers."
        return f"Open: nothing is sent; Cal.com is tried again in {span(timedelta(seconds=self.state.wait_s))}."

    @property
    def history(self) -> list[str]:
        """Return what happened last, newest first."""
        return [f"{span(self.now - at)} ago: {STEPS.get(step, step)}" for at, step in self.state.history[:HISTORY]]


@dataclass(frozen=True, slots=True)
class Panel:
    """One account. Without Redis there is nothing but its name, and whether its key is refused."""

    account: Account
    budget: Budget | None
    guards: Sequence[Guard]
    key_refusals: Sequence[str]
    """For what Cal.com refuses its API key, in sentences."""


def look(account: Account) -> Panel:
    """Return how it is now."""
    refusals = _key_refusals(account)
    state = limiter_for(account.api_key, account.requests_per_minute).state()
    found = [(kind, circuit_breaker.state(account.api_key, account.pk, kind)) for kind in Kind] if state else []
    if state is None or any(each is None for _, each in found):
        return Panel(account, None, (), refusals)
    guards = [Guard(kind, KINDS[kind], each, state.at) for kind, each in found if each]
    return Panel(account, Budget(state, [_share(priority, state) for priority in Priority]), guards, refusals)


def _key_refusals(account: Account) -> list[str]:
    rows = account.key_refusals.annotate(lasting=Now() - F("refused_at")).order_by("kind")
    return [f"{row.get_kind_display()} for {span(row.lasting)}" for row in rows if row.is_current]


def _share(priority: Priority, state: LimiterState) -> Share:
    used, priority_cap = state.used[priority], state.priority_caps[priority]
    pauses = state.paused_until or (priority in BACKGROUND_PAUSED and state.background_paused_until)
    return Share(
        priority=priority,
        name=PRIORITIES[priority],
        used=used,
        priority_cap=priority_cap,
        free=0 if pauses else max(0, priority_cap - state.spent),
        part=_percent(used, state.limit),
        mark=_percent(priority_cap, state.limit),
    )


def _percent(part: int, whole: int) -> float:
    return round(min(100.0, 100 * part / whole), 2) if whole else 0.0


def span(time: timedelta) -> str:
    """Return a span of time in words, as precise as people want it."""
    seconds = max(0.0, time.total_seconds())
    for unit, length, until in (("second", 1, 90), ("minute", 60, 90 * 60), ("hour", 3600, 36 * 3600)):
        if seconds < until:
            return _times(round(seconds / length), unit)
    return _times(round(seconds / 86_400), "day")


def _times(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


# --- what is done ------------------------------------------------------------------------------------------------
# Each says in one sentence what it did, and raises RedisError where Redis is away: then nothing was changed.


def pause(account: Account, minutes: int) -> str:
    """Stop background work for a while."""
    limiter_for(account.api_key, account.requests_per_minute).pause_background(minutes * 60)
    until = timezone.now() + timedelta(minutes=minutes)
    return f"Background work pauses for {_times(minutes, 'minute')}, until {until:%H:%M} UTC."


def resume(account: Account) -> str:
    """Let background work go on, also where a 429 has stopped it."""
    limiter_for(account.api_key, account.requests_per_minute).pause_background(0)
    return "Background work goes on."


def probe(account: Account, kind: Kind) -> str:
    """Let the next call through an open breaker."""
    if circuit_breaker.probe_now(account.api_key, account.pk, kind):
        return f"{KINDS[kind]}: the next call tries whether Cal.com answers."
    return f"{KINDS[kind]}: the breaker is not open, so calls go through anyway."
