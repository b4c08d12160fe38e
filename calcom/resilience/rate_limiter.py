"""
The budget of requests that Cal.com allows a credential, shared by all processes.

A permit is taken just before a request is sent and counts until 60 s after its call has ended, so that no window of
Cal.com's, however it lies, holds more than its limit (docs/adr/0004). What Cal.com's answers say is learned.
"""

import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from secrets import token_hex
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError
from redis import RedisError

from cachectl.infra.fallback import shared_or_own
from cachectl.infra.lua import Argument, Scripts, scripts_in
from calcom.errors import Unavailable
from calcom.resilience.keys import limiter_keys
from calcom.resilience.pauses import StoredPause
from calcom.types import Priority
from monitoring import metrics

log = structlog.get_logger(__name__)

WINDOW_S = 60.0
# The longest a call lasts (a write's time-out): a request from before a loss of memory has left any window after
# that and a window more.
LONGEST_CALL_S = 20.0
# A bucket whose window ends later than this is not counted by the minute; only its exhaustion concerns us.
MINUTE_BUCKET_S = WINDOW_S + 1
# However absurd a `Reset` is, nobody is silent for longer than this without asking again.
LONGEST_PAUSE_S = 3600.0
# How much of the limit is used; calcom/resilience/lua/limiter/common.lua says from which numbers on.
LEVELS = ("ok", "warning", "critical")


Take = Callable[[Sequence[str], Sequence[Argument]], Any]
"""Runs `limiter/take` with these keys and arguments, and returns what it said."""


class Throttled(Unavailable):
    """The budget does not allow the request in time. Nothing was sent; ask again after `retry_after` seconds."""

    outcome = "throttled"

    def __init__(self, why: str, *, retry_after: float) -> None:
        super().__init__(f"No request to Cal.com is allowed now ({why}).", retry_after=retry_after)
        self.why = why
        """budget, paused (Cal.com said 429 or 0 remaining), recovering (memory lost) or outage (of Redis)."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """One limit of Cal.com's, as an answer reports it; None where the answer is silent."""

    limit: int | None
    remaining: int | None
    reset_s: float
    """Seconds until its window, or its block, is over."""

    @property
    def complete(self) -> bool:
        """Return whether it tells the state of a limit per minute."""
        return self.limit is not None and self.remaining is not None and self.reset_s <= MINUTE_BUCKET_S


_HEADER = re.compile(r"x-ratelimit-(limit|remaining|reset)(?:-(.+))?", re.IGNORECASE)
_NUMBER = re.compile(r"\d{1,15}(\.\d{1,6})?", re.ASCII)


def buckets(headers: Mapping[str, str]) -> list[Bucket]:
    """Return what the `X-RateLimit-*` headers say; their suffix names the limit, and there may be several."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for name, value in headers.items():
        match = _HEADER.fullmatch(name)
        if match and _NUMBER.fullmatch(value.strip()):
            found[(match[2] or "").lower()][match[1].lower()] = float(value)
    return [
        Bucket(
            limit=int(said["limit"]) if said.get("limit") else None,
            remaining=int(said["remaining"]) if "remaining" in said else None,
            reset_s=_seconds_to_go(said.get("reset", WINDOW_S), headers),
        )
        for said in found.values()
    ]


def _seconds_to_go(reset: float, headers: Mapping[str, str]) -> float:
    """Read `Reset`: seconds (recorded 2026-11-21), or an epoch, then counted from the answer's own `Date`."""
    if reset > 1e9:
        reset -= _date(headers).timestamp()
    return min(max(reset, 0.0), LONGEST_PAUSE_S)


def _date(headers: Mapping[str, str]) -> datetime:
    said = next((value for name, value in headers.items() if name.lower() == "date"), "")
    try:
        return parsedate_to_datetime(said)
    except ValueError:
        return datetime.now(UTC)


def _silence(status: int, said: list[Bucket]) -> float:
    """Return for how many seconds nobody may send after such an answer."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return max((bucket.reset_s for bucket in said if not bucket.remaining), default=WINDOW_S) + 1
    return max((bucket.reset_s + 1 for bucket in said if bucket.remaining == 0 and not bucket.complete), default=0.0)


@dataclass(frozen=True, slots=True)
class LimiterState:
    """Where the budget of a credential stands, for people."""

    at: datetime
    """When that was, by Redis's clock, which all instants here go by."""
    limit: int
    spent: int
    """Requests that must be taken for spent in the last 60 s, others' expected ones included."""
    in_flight: int
    external: int
    """Requests a minute that are left to others who use the key."""
    used: Mapping[Priority, int]
    """Permits of ours that count now."""
    priority_caps: Mapping[Priority, int]
    """`spent` from which on a priority waits."""
    remaining: int | None
    """What Cal.com's last answer said, and until when it holds; None when that is over."""
    resets_at: datetime | None
    reported_at: datetime | None
    paused_until: datetime | None
    background_paused_until: datetime | None
    """Until when refresh and background work pause, by a 429 or by staff."""
    recovering_until: datetime | None
    """Until when the log may have a gap, so that Cal.com's own count decides."""
    level: str
    """ok, warning (above 100 of 120) or critical (above 115: only writes go)."""
    warnings: int
    """How often the level rose to a warning since Redis remembers."""
    criticals: int


class Permit:
    """Leave to send one request. It may be left unanswered: then it counts as a full time-out."""

    def __init__(self, ended: Callable[[Mapping[str, str], int], None]) -> None:
        self._ended = ended

    def ended(self, headers: Mapping[str, str], status: int) -> None:
        """Tell what Cal.com answered. Where no answer came there is nothing to tell."""
        self._ended(headers, status)


@dataclass
class _WithoutRedis:
    """
    What one process sends while Redis is away.

    During the first window only writes go, from what live reads left to them; after it the log of before is past, and
    half of the limit is divided among the processes.
    """

    limit: int
    processes: int
    monotonic: Callable[[], float]
    spare: int = 0
    """Requests that all processes together may still send, by Redis's last word."""
    _since: float | None = None
    _counting: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, priority: Priority, longest_call_s: float) -> float:
        """Return 0 and count one request, or the seconds to wait for one."""
        with self._lock:
            now = self.monotonic()
            self._since = now if self._since is None else self._since
            self._forget_past(now)
            long_gone = now - self._since >= WINDOW_S
            share = max(1, self.limit // 2 // self.processes) if long_gone else self.spare // self.processes
            allowed = priority is Priority.WRITE or (long_gone and priority is Priority.LIVE)
            if allowed and len(self._counting) < share:
                self._counting.append(now + longest_call_s + WINDOW_S)
                return 0.0
            return WINDOW_S if long_gone else self._since + WINDOW_S - now

    def redis_is_back(self, *, gap_told: bool) -> None:
        """Redis answers again; what was sent meanwhile it knows at least as a gap."""
        with self._lock:
            self._since = None
            if gap_told:
                self._counting.clear()

    @property
    def is_beginning(self) -> bool:
        """Return whether nothing was asked since Redis went away."""
        return self._since is None

    @property
    def left_a_gap(self) -> bool:
        """Return whether requests that the log does not know may still count at Cal.com."""
        with self._lock:
            self._forget_past(self.monotonic())
            return bool(self._counting)

    def _forget_past(self, now: float) -> None:
        self._counting = [until for until in self._counting if until > now]


class Limiter:
    """The budget of one credential, as one process sees it."""

    def __init__(
        self,
        credential: str,
        requests_per_minute: int,
        *,
        processes: int = 8,
        in_flight: int = 32,
        scripts: Scripts | None = None,
        stored_pause: StoredPause | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Only the hash of `credential` is kept.

        Args:
            credential: the API key.
            requests_per_minute: the limit until Cal.com's answers tell it.
            processes: how many processes may send: they share what little goes without Redis.
            in_flight: how many calls all of them together can have in flight; left free after a loss of memory.
            scripts: where the log is kept.
            stored_pause: where a pause outlives Redis and this process.
            sleep: how to wait.
            monotonic: the process's clock, for waits and for the time without Redis.
        """
        self._keys = limiter_keys(credential)
        self._limit = requests_per_minute
        self._in_flight = in_flight
        self._scripts = scripts or scripts_in("calcom/resilience/lua")
        self._stored_pause = stored_pause
        self._sleep = sleep
        self._monotonic = monotonic
        self._paused_until = 0.0
        self._external = 0
        self._without_redis = _WithoutRedis(requests_per_minute, processes, monotonic, spare=requests_per_minute // 8)

    def permit(
        self,
        priority: Priority,
        *,
        tenant: str | None,
        longest_call_s: float,
        deadline_left_s: float,
        poll_of: str = "",
        take: Take | None = None,
    ) -> Permit:
        """
        Return leave to send one request now, waiting for it if that is possible in time.

        Args:
            priority: who asks.
            tenant: whose request it is where several share the credential; each of them keeps a floor.
            longest_call_s: the time-out of the call itself.
            deadline_left_s: how long the caller can wait; background work, which returns to its queue, says 0.
            poll_of: the account that polls with it: one poll a minute always passes, also where others wait.
            take: how to run `limiter/take`, where more than that is asked in one trip. What it raises is raised.

        Raises:
            Throttled: it would take longer than that; nothing was waited for in vain.
        """
        until = self._monotonic() + deadline_left_s
        while True:
            granted = self._ask(take or self._take, priority, tenant or "", longest_call_s, poll_of)
            if isinstance(granted, Permit):
                return granted
            if self._monotonic() + (granted.retry_after or 0.0) > until:
                metrics.RATE_LIMITER_REFUSALS.labels(priority, granted.why).inc()
                raise granted
            self._sleep(granted.retry_after or 0.0)

    def state(self) -> LimiterState | None:
        """Return where the budget stands, None while Redis is away."""
        try:
            answer = self._scripts.run("limiter/state", keys=self._keys, args=[self._limit, self._in_flight])
        except RedisError:
            return None
        now, limit, spent, flying, external, used, caps, remaining, resets, *more = answer
        told, paused, background_paused, recovering, level, warnings, criticals = more
        return LimiterState(
            at=datetime.fromtimestamp(now / 1000, UTC),
            limit=limit,
            spent=spent,
            in_flight=flying,
            external=external,
            used=dict(zip(Priority, used, strict=True)),
            priority_caps=dict(zip(Priority, caps, strict=True)),
            remaining=remaining if resets > now else None,
            resets_at=_moment(resets, now),
            reported_at=_moment(told),
            paused_until=_moment(paused, now),
            background_paused_until=_moment(background_paused, now),
            recovering_until=_moment(recovering, now),
            level=LEVELS[level],
            warnings=warnings,
            criticals=criticals,
        )

    def pause_background(self, seconds: float) -> None:
        """
        Stop refresh and background work for a while; with 0 let it go on.

        Raises:
            RedisError: Redis is away; nothing was changed.
        """
        self._scripts.run("limiter/pause_background", keys=self._keys, args=[_ms(seconds)])

    def _take(self, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        return self._scripts.run("limiter/take", keys=keys, args=args)

    def _ask(
        self, take: Take, priority: Priority, tenant: str, longest_call_s: float, poll_of: str
    ) -> Permit | Throttled:
        # Without Redis no polls are known: one is as urgent as what a caller waits for.
        return shared_or_own(
            "rate_limiter",
            lambda: self._take_shared(take, priority, tenant, longest_call_s, poll_of),
            lambda: self._take_without_redis(Priority.LIVE if poll_of else priority, longest_call_s),
        )

    def _take_shared(
        self, take: Take, priority: Priority, tenant: str, longest_call_s: float, poll_of: str
    ) -> Permit | Throttled:
        token = f"{priority[0]}{token_hex(6)}{tenant}"
        gap = self._without_redis.left_a_gap
        args: list[Argument] = [priority, tenant, token, _ms(longest_call_s), self._limit, self._in_flight]
        args += [_ms(WINDOW_S + LONGEST_CALL_S), int(gap)]
        checked = int(self._stored_pause is None)
        try:
            answer = take(self._keys, [*args, _ms(self._pause_left_s), self._external, poll_of, checked])
            if answer[-1] == b"unchecked":
                self._learn_stored_pause()
                answer = take(self._keys, [*args, _ms(self._pause_left_s), self._external, poll_of, 1])
        except DatabaseError:
            return Throttled("recovering", retry_after=1.0)
        granted, at_or_wait, level, spent, external, rest = answer
        self._without_redis.redis_is_back(gap_told=gap)
        self._report(level, spent)
        if not granted:
            return Throttled(rest.decode(), retry_after=at_or_wait / 1000)
        self._external, self._without_redis.spare = external, rest
        return Permit(lambda headers, status: self._end(token, at_or_wait, headers, status))

    def _report(self, level: int, spent: int) -> None:
        """Write one line, of one process, for each time that the level rises."""
        if level:
            write = log.error if LEVELS[level] == "critical" else log.warning
            write("calcom_rate", alert=LEVELS[level], requests=spent)

    def _take_without_redis(self, priority: Priority, longest_call_s: float) -> Permit | Throttled:
        if self._without_redis.is_beginning:
            try:
                self._learn_stored_pause()
            except DatabaseError:
                return Throttled("outage", retry_after=1.0)
        pause = self._pause_left_s
        wait = pause or self._without_redis.take(priority, longest_call_s)
        if wait:
            return Throttled("paused" if pause else "outage", retry_after=wait)
        return Permit(self._end_without_redis)

    def _end(self, token: str, taken: int, headers: Mapping[str, str], status: int) -> None:
        said = buckets(headers)
        silence = self._heed(status, said)
        tightest = min(
            (bucket for bucket in said if bucket.complete), key=lambda bucket: bucket.limit or 0, default=None
        )
        told = (tightest.limit or 0, tightest.remaining or 0, tightest.reset_s) if tightest else ("", "", "")
        blocked = int(status == HTTPStatus.TOO_MANY_REQUESTS)
        args: list[Argument] = [token, taken, *told, _ms(silence), blocked, self._limit, _ms(WINDOW_S + LONGEST_CALL_S)]
        try:
            paused = self._scripts.run("limiter/ended", keys=self._keys, args=args)
        except RedisError:
            return  # the permit counts as a full time-out, and the next answer teaches the same
        self._pause(paused / 1000)

    def _end_without_redis(self, headers: Mapping[str, str], status: int) -> None:
        self._heed(status, buckets(headers))

    def _heed(self, status: int, said: list[Bucket]) -> float:
        """Remember in this process, too, for how long nobody may send: Redis may lose it."""
        silence = _silence(status, said)
        self._pause(silence)
        if silence and self._stored_pause:
            self._stored_pause.note(silence)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            metrics.CALCOM_RATE_LIMITED.inc()
            log.error("calcom_rate_limited", retry_after=silence)
        return silence

    def _learn_stored_pause(self) -> None:
        """Take over the pause that the database knows. Raises `DatabaseError`."""
        if self._stored_pause:
            self._pause(self._stored_pause.left_s())

    @property
    def _pause_left_s(self) -> float:
        return max(0.0, self._paused_until - self._monotonic())

    def _pause(self, seconds: float) -> None:
        if seconds > 0:
            self._paused_until = max(self._paused_until, self._monotonic() + seconds)


@lru_cache(maxsize=1024)
def limiter_for(credential: str, requests_per_minute: int) -> Limiter:
    """Return the process's one limiter of the credential: it remembers what Redis may lose."""
    return Limiter(
        credential,
        requests_per_minute,
        processes=settings.CALCOM_PROCESSES,
        in_flight=settings.CALCOM_IN_FLIGHT,
        stored_pause=StoredPause(credential),
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _moment(ms: int, now: int = 0) -> datetime | None:
    """Return the instant, or None where it is unknown or over."""
    return datetime.fromtimestamp(ms / 1000, UTC) if ms > now else None
