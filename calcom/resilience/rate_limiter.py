"""
The rate limiter of a credential, shared by all processes.

A permit is taken just before a request is sent and counts until 60 s after its call has ended, so that no window of
Cal.com's holds more than the limit, whenever it begins (docs/adr/0004). Limit, external usage and pauses follow the
headers of Cal.com's responses.
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
from calcom.fields import credential_hash
from calcom.resilience.refusals import StoredPause
from calcom.types import Priority
from monitoring import metrics

log = structlog.get_logger(__name__)

WINDOW_S = 60.0
# The longest time-out of a call: after it and a window, requests from before a loss of Redis's data count no more.
LONGEST_CALL_S = 20.0
# A limit whose window ends later than this is not per minute: only its exhaustion matters.
MINUTE_BUCKET_S = WINDOW_S + 1
# The longest pause, whatever `Reset` says.
LONGEST_PAUSE_S = 3600.0
# How much of the limit is used, by the thresholds of lua/limiter/common.lua.
LEVELS = ("ok", "warning", "critical")

Take = Callable[[Sequence[str], Sequence[Argument]], Any]
"""Runs `limiter/take` with these keys and arguments and returns its result."""


class Throttled(Unavailable):
    """The limit does not permit the request in time. Nothing was sent; repeat after `retry_after` seconds."""

    outcome = "throttled"

    def __init__(self, why: str, *, retry_after: float) -> None:
        super().__init__(f"No request to Cal.com is allowed now ({why}).", retry_after=retry_after)
        self.why = why
        """budget, paused (429 or 0 remaining), recovering (Redis lost data) or outage (of Redis)."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """One limit as a response reports it; None if the response does not say."""

    limit: int | None
    remaining: int | None
    reset_s: float
    """Seconds until its window or block ends."""

    @property
    def complete(self) -> bool:
        """Whether it describes a limit per minute completely."""
        return self.limit is not None and self.remaining is not None and self.reset_s <= MINUTE_BUCKET_S


_HEADER = re.compile(r"x-ratelimit-(limit|remaining|reset)(?:-(.+))?", re.IGNORECASE)
_NUMBER = re.compile(r"\d{1,15}(\.\d{1,6})?", re.ASCII)


def buckets(headers: Mapping[str, str]) -> list[Bucket]:
    """Return the limits in the `X-RateLimit-*` headers; their suffix names the limit, and there may be several."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for name, value in headers.items():
        match = _HEADER.fullmatch(name)
        if match and _NUMBER.fullmatch(value.strip()):
            found[(match[2] or "").lower()][match[1].lower()] = float(value)
    return [
        Bucket(
            limit=int(values["limit"]) if values.get("limit") else None,
            remaining=int(values["remaining"]) if "remaining" in values else None,
            reset_s=_seconds_to_go(values.get("reset", WINDOW_S), headers),
        )
        for values in found.values()
    ]


def _seconds_to_go(reset: float, headers: Mapping[str, str]) -> float:
    """Return the seconds of `Reset`: seconds (recorded 2026-11-21), or a Unix time, relative to `Date`."""
    if reset > 1e9:
        reset -= _date(headers).timestamp()
    return min(max(reset, 0.0), LONGEST_PAUSE_S)


def _date(headers: Mapping[str, str]) -> datetime:
    text = next((value for name, value in headers.items() if name.lower() == "date"), "")
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        return datetime.now(UTC)


def _pause_after(status: int, reported: list[Bucket]) -> float:
    """Return the seconds for which no request may be sent after such a response."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return max((bucket.reset_s for bucket in reported if not bucket.remaining), default=WINDOW_S) + 1
    return max(
        (bucket.reset_s + 1 for bucket in reported if bucket.remaining == 0 and not bucket.complete), default=0.0
    )


@dataclass(frozen=True, slots=True)
class LimiterState:
    """The state of the limiter of a credential, for the admin."""

    at: datetime
    """Redis's time, to which all instants here refer."""
    limit: int
    spent: int
    """Requests that must be assumed used in the last 60 s, expected external ones included."""
    in_flight: int
    external: int
    """Requests a minute that are reserved for other users of the key."""
    used: Mapping[Priority, int]
    """Our permits that count now."""
    priority_caps: Mapping[Priority, int]
    """`spent` from which on the priority waits."""
    remaining: int | None
    """As the last response reported, until `resets_at`; None after it."""
    resets_at: datetime | None
    reported_at: datetime | None
    paused_until: datetime | None
    background_paused_until: datetime | None
    """Until when refresh and background work pause, after a 429 or by staff."""
    recovering_until: datetime | None
    """Until when permits may be missing, so that only Cal.com's count is used."""
    level: str
    """ok, warning (above 100 of 120) or critical (above 115: only writes are permitted)."""
    warnings: int
    """How often the level rose to a warning since Redis has data."""
    criticals: int


class Permit:
    """Permission to send one request. Without `ended` it counts as a call that timed out."""

    def __init__(self, ended: Callable[[Mapping[str, str], int], None]) -> None:
        self._ended = ended

    def ended(self, headers: Mapping[str, str], status: int) -> None:
        """Record Cal.com's response. Not called if there was none."""
        self._ended(headers, status)


@dataclass
class _WithoutRedis:
    """
    The limiter of one process while Redis is unavailable.

    During the first window only writes are permitted, from what live reads leave to them. Then earlier permits count no
    more, and half of the limit is divided among the processes.
    """

    limit: int
    processes: int
    monotonic: Callable[[], float]
    spare: int = 0
    """Requests that all processes together may still send, as Redis last reported."""
    _since: float | None = None
    _counting: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, priority: Priority, longest_call_s: float) -> float:
        """Return 0 and count one request, or the seconds to wait for one."""
        with self._lock:
            now = self.monotonic()
            self._since = now if self._since is None else self._since
            self._drop_past(now)
            long_gone = now - self._since >= WINDOW_S
            share = max(1, self.limit // 2 // self.processes) if long_gone else self.spare // self.processes
            allowed = priority is Priority.WRITE or (long_gone and priority is Priority.LIVE)
            if allowed and len(self._counting) < share:
                self._counting.append(now + longest_call_s + WINDOW_S)
                return 0.0
            return WINDOW_S if long_gone else self._since + WINDOW_S - now

    def end(self, *, gap_reported: bool) -> None:
        """Redis is available again; with `gap_reported` it knows that permits are missing."""
        with self._lock:
            self._since = None
            if gap_reported:
                self._counting.clear()

    @property
    def is_beginning(self) -> bool:
        """Whether nothing was requested since Redis became unavailable."""
        return self._since is None

    @property
    def left_a_gap(self) -> bool:
        """Whether requests without a permit in Redis may still count at Cal.com."""
        with self._lock:
            self._drop_past(self.monotonic())
            return bool(self._counting)

    def _drop_past(self, now: float) -> None:
        self._counting = [until for until in self._counting if until > now]


class Limiter:
    """The limiter of one credential in one process."""

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
        Make a limiter; it stores only a hash of the credential.

        Args:
            credential: the API key.
            requests_per_minute: the limit until a response reports it.
            processes: how many processes share the limit while Redis is unavailable.
            in_flight: how many calls all of them together can have in flight; reserved while recovering.
            scripts: the Lua scripts.
            stored_pause: the pause in the database, which outlives Redis and this process.
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
        Return a permit to send one request now; wait for it if that is possible in time.

        Args:
            priority: decides how much of the limit the request may use.
            tenant: whose request it is, if several share the credential; each has a reserved quota.
            longest_call_s: the time-out of the call itself.
            deadline_left_s: how long to wait at most; 0 for background work, which returns to its queue.
            poll_of: the account that polls; one poll a minute of each account is always permitted.
            take: runs `limiter/take` together with other scripts; its exceptions are raised.

        Raises:
            Throttled: the wait would be longer; raised without waiting.
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
        """Return the state, None while Redis is unavailable."""
        try:
            answer = self._scripts.run("limiter/state", keys=self._keys, args=[self._limit, self._in_flight])
        except RedisError:
            return None
        now, limit, spent, in_flight, external, used, caps, remaining, resets, *more = answer
        reported, paused, background_paused, recovering, level, warnings, criticals = more
        return LimiterState(
            at=datetime.fromtimestamp(now / 1000, UTC),
            limit=limit,
            spent=spent,
            in_flight=in_flight,
            external=external,
            used=dict(zip(Priority, used, strict=True)),
            priority_caps=dict(zip(Priority, caps, strict=True)),
            remaining=remaining if resets > now else None,
            resets_at=_moment(resets, now),
            reported_at=_moment(reported),
            paused_until=_moment(paused, now),
            background_paused_until=_moment(background_paused, now),
            recovering_until=_moment(recovering, now),
            level=LEVELS[level],
            warnings=warnings,
            criticals=criticals,
        )

    def pause_background(self, seconds: float) -> None:
        """
        Pause refresh and background work; 0 ends the pause.

        Raises:
            RedisError: Redis is unavailable; nothing was changed.
        """
        self._scripts.run("limiter/pause_background", keys=self._keys, args=[_ms(seconds)])

    def _take(self, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        return self._scripts.run("limiter/take", keys=keys, args=args)

    def _ask(
        self, take: Take, priority: Priority, tenant: str, longest_call_s: float, poll_of: str
    ) -> Permit | Throttled:
        # Without Redis the reserve of polling is unknown: a poll counts as a live read.
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
                self._load_stored_pause()
                answer = take(self._keys, [*args, _ms(self._pause_left_s), self._external, poll_of, 1])
        except DatabaseError:
            return Throttled("recovering", retry_after=1.0)
        granted, at_or_wait, level, spent, external, rest = answer
        self._without_redis.end(gap_reported=gap)
        self._report(level, spent)
        if not granted:
            return Throttled(rest.decode(), retry_after=at_or_wait / 1000)
        self._external, self._without_redis.spare = external, rest
        return Permit(lambda headers, status: self._end(token, at_or_wait, headers, status))

    def _report(self, level: int, spent: int) -> None:
        """Log a rise of the level, which Redis reports to one process only."""
        if level:
            write = log.error if LEVELS[level] == "critical" else log.warning
            write("calcom.rate_level_raised", alert=LEVELS[level], requests=spent)

    def _take_without_redis(self, priority: Priority, longest_call_s: float) -> Permit | Throttled:
        if self._without_redis.is_beginning:
            try:
                self._load_stored_pause()
            except DatabaseError:
                return Throttled("outage", retry_after=1.0)
        pause = self._pause_left_s
        wait = pause or self._without_redis.take(priority, longest_call_s)
        if wait:
            return Throttled("paused" if pause else "outage", retry_after=wait)
        return Permit(self._end_without_redis)

    def _end(self, token: str, taken: int, headers: Mapping[str, str], status: int) -> None:
        reported = buckets(headers)
        pause = self._note_pause(status, reported)
        per_minute = (bucket for bucket in reported if bucket.complete)
        tightest = min(per_minute, key=lambda bucket: bucket.limit or 0, default=None)
        window = (tightest.limit or 0, tightest.remaining or 0, tightest.reset_s) if tightest else ("", "", "")
        blocked = int(status == HTTPStatus.TOO_MANY_REQUESTS)
        args: list[Argument] = [token, taken, *window, _ms(pause), blocked, self._limit, _ms(WINDOW_S + LONGEST_CALL_S)]
        try:
            paused = self._scripts.run("limiter/ended", keys=self._keys, args=args)
        except RedisError:
            return  # the permit counts as a call that timed out, and the next response reports the same
        self._pause(paused / 1000)

    def _end_without_redis(self, headers: Mapping[str, str], status: int) -> None:
        self._note_pause(status, buckets(headers))

    def _note_pause(self, status: int, reported: list[Bucket]) -> float:
        """Keep the pause in this process and the database, because Redis may lose it; return its seconds."""
        pause = _pause_after(status, reported)
        self._pause(pause)
        if pause and self._stored_pause:
            self._stored_pause.note(pause)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            metrics.CALCOM_RATE_LIMITED.inc()
            log.error("calcom.rate_limited", retry_after=pause)
        return pause

    def _load_stored_pause(self) -> None:
        """Adopt the pause in the database. Raises `DatabaseError`."""
        if self._stored_pause:
            self._pause(self._stored_pause.left_s())

    @property
    def _pause_left_s(self) -> float:
        return max(0.0, self._paused_until - self._monotonic())

    def _pause(self, seconds: float) -> None:
        if seconds > 0:
            self._paused_until = max(self._paused_until, self._monotonic() + seconds)


def key_prefix(credential: str) -> str:
    """Return the prefix of a credential's Redis keys; its hash tag keeps them on one node."""
    return f"sl2:{{{credential_hash(credential)}}}"


def limiter_keys(credential: str) -> list[str]:
    """Return KEYS[1] to KEYS[5] of lua/limiter/common.lua."""
    return [f"{key_prefix(credential)}:{name}" for name in ("permits", "state", "external", "tenants", "polls")]


@lru_cache(maxsize=1024)
def limiter_for(credential: str, requests_per_minute: int) -> Limiter:
    """Return the process's limiter of the credential; it keeps what Redis may lose."""
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
    """Return the instant, or None if it is unknown or past."""
    return datetime.fromtimestamp(ms / 1000, UTC) if ms > now else None
