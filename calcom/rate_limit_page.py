"""The page of rate limits and circuit breakers: what it shows, in words, and its actions."""

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

# Entries of a breaker's history that are shown.
HISTORY = 8
PRIORITIES = {
    Priority.WRITE: "Bookings and their look-ups",
    Priority.LIVE: "Callers on the line",
    Priority.REFRESH: "Refreshing stale days",
    Priority.BACKGROUND: "Warming, sync, polling",
}
BACKGROUND_PAUSED = frozenset({Priority.REFRESH, Priority.BACKGROUND})
KINDS = {Kind.READS: "Reads", Kind.WRITES: "Writes"}
STEPS = {"open": "opened", "closed": "closed", "half-open": "let one call try"}
LEVELS = {"ok": "in order", "warning": "much used", "critical": "bookings only"}


@dataclass(frozen=True, slots=True)
class Share:
    """The use of the limit by one priority."""

    priority: Priority
    name: str
    used: int
    priority_cap: int
    free: int
    """Requests that it can send now without waiting."""
    part: float
    """`used`, in percent of the limit, for the bar."""
    mark: float
    """`priority_cap`, in percent of the limit."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The state of an account's rate limit."""

    state: LimiterState
    shares: Sequence[Share]

    @property
    def external(self) -> int:
        """Requests that must be assumed used by other users of the key, or without a permit."""
        return max(0, self.state.spent - sum(share.used for share in self.shares))

    @property
    def external_part(self) -> float:
        """`external` in percent of the limit."""
        return _percent(self.external, self.state.limit)

    @property
    def level(self) -> str:
        """ok, warning, critical or paused."""
        return "paused" if self.state.paused_until else self.state.level

    @property
    def level_words(self) -> str:
        return "paused" if self.state.paused_until else LEVELS[self.state.level]

    @property
    def pause(self) -> str:
        """How long all requests pause; empty without a pause."""
        return self._left(self.state.paused_until)

    @property
    def background_paused(self) -> str:
        """How long background work pauses; empty without a pause."""
        return self._left(self.state.background_paused_until)

    @property
    def recovering(self) -> str:
        """How long only Cal.com's count is used; empty if Redis lost nothing."""
        return self._left(self.state.recovering_until)

    @property
    def reported(self) -> str:
        """What Cal.com's headers reported last, and when."""
        state = self.state
        if state.reported_at is None:
            return "No response has reported the limit yet."
        when = f"{span(state.at - state.reported_at)} ago"
        if state.remaining is None:
            return f"{state.limit} a minute, {when}; that window has ended."
        return f"{state.remaining} of {state.limit} remain, {when}; its window ends in {self._left(state.resets_at)}."

    def _left(self, until: datetime | None) -> str:
        return span(until - self.state.at) if until else ""


@dataclass(frozen=True, slots=True)
class Guard:
    """The state of one circuit breaker."""

    kind: Kind
    name: str
    state: CircuitState
    now: datetime

    @property
    def words(self) -> str:
        """The state in a sentence."""
        if not self.state.is_open:
            in_a_row = self.state.failures
            return f"Closed; {_times(in_a_row, 'failure')} in a row." if in_a_row else "Closed: requests are sent."
        if self.state.probing:
            return "Open: one call is trying whether Cal.com answers."
        if not self.state.wait_s:
            return "Open: the next call tries whether Cal.com answers."
        return f"Open: nothing is sent; Cal.com is tried again in {span(timedelta(seconds=self.state.wait_s))}."

    @property
    def history(self) -> list[str]:
        """The last changes in words, newest first."""
        return [f"{span(self.now - at)} ago: {STEPS.get(step, step)}" for at, step in self.state.history[:HISTORY]]


@dataclass(frozen=True, slots=True)
class Panel:
    """One account. Without Redis it has only its name, and whether its key is refused."""

    account: Account
    budget: Budget | None
    guards: Sequence[Guard]
    key_refusals: Sequence[str]
    """For what Cal.com refuses its API key, in words."""

    @property
    def badge(self) -> tuple[str, str]:
        """How bad it is and in which words, the worst first: an outage before how much of the limit is used."""
        if self.key_refusals:
            return "critical", "key refused"
        if self.budget is None:
            return "unknown", "unknown"
        if any(guard.state.is_open for guard in self.guards):
            return "critical", "Cal.com does not answer"
        return self.budget.level, self.budget.level_words


def panel_of(account: Account) -> Panel:
    """Return the account's present state."""
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
    """Return a duration in words, in one unit."""
    seconds = max(0.0, time.total_seconds())
    for unit, length, until in (("second", 1, 90), ("minute", 60, 90 * 60), ("hour", 3600, 36 * 3600)):
        if seconds < until:
            return _times(round(seconds / length), unit)
    return _times(round(seconds / 86_400), "day")


def _times(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


# The actions: each returns a sentence for staff, and raises RedisError, without a change, if Redis is unavailable.


def pause(account: Account, minutes: int) -> str:
    """Pause refresh and background work."""
    limiter_for(account.api_key, account.requests_per_minute).pause_background(minutes * 60)
    until = timezone.now() + timedelta(minutes=minutes)
    return f"Background work pauses for {_times(minutes, 'minute')}, until {until:%H:%M} UTC."


def resume(account: Account) -> str:
    """End the pause of background work, also one after a 429."""
    limiter_for(account.api_key, account.requests_per_minute).pause_background(0)
    return "Background work continues."


def probe(account: Account, kind: Kind) -> str:
    """Make the next request the probe of an open breaker."""
    if circuit_breaker.probe_now(account.api_key, account.pk, kind):
        return f"{KINDS[kind]}: the next call tries whether Cal.com answers."
    return f"{KINDS[kind]}: the breaker is not open, so requests are sent anyway."
