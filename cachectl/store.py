"""
The scripts, each with its one typed caller. Instants are milliseconds on Redis' clock, never on a worker's.

Every function may raise `redis.RedisError`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson

from cachectl import conf, keys
from cachectl.conf import lifetimes
from cachectl.freshness import Day, assess
from cachectl.infra.deadline import Deadline
from cachectl.infra.lua import scripts_in
from cachectl.infra.redis import blocking_redis_client, redis_client
from cachectl.loaders import LoadError


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Some days as stored at one moment."""

    now: int
    refresh_queued: bool
    loading: bool
    """Whether a load of the event type was running."""
    days: list[Day]


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease on loading an event type."""

    holder: str
    """Empty if no lease is granted for a moment: see Note [A lease that was lost]."""
    began: int | None
    """When our load begins; None while another process loads."""
    left: float
    """Seconds until the lease expires."""


def read(account_id: int, event_type_id: int, dates: Sequence[date], *, asked: bool = True) -> Snapshot:
    """Return the stored days in one round trip. `asked` counts the read as demand."""
    lasting = lifetimes()
    reply = _call(
        "read",
        [
            keys.generation(account_id),
            keys.refresh(account_id, event_type_id),
            keys.demand(account_id),
            keys.lease(account_id, event_type_id),
            *keys.days(account_id, event_type_id, dates),
            *keys.changes(account_id, event_type_id, dates),
        ],
        [event_type_id if asked else "", lasting.memory, conf.DEMAND_KEPT],
    )
    now, generation, queued, loading, entries, changes = orjson.loads(reply)
    days = [
        assess(day, entry, change, now=now, generation=generation, lifetimes=lasting)
        for day, entry, change in zip(dates, entries, changes, strict=True)
    ]
    return Snapshot(now, bool(queued), bool(loading), days)


def lease(account_id: int, event_type_id: int, dates: Sequence[date], token: str) -> Lease:
    """
    Take the lease on loading the days, or return its holder.

    Raises:
        LoadError: a load just failed.
    """
    lasting = lifetimes()
    outcome, *rest = _call(
        "lease",
        [
            keys.generation(account_id),
            keys.lease(account_id, event_type_id),
            keys.failed(account_id, event_type_id),
            *keys.changes(account_id, event_type_id, dates),
        ],
        [token, int(conf.lease() * 1000), lasting.consistency_lag, lasting.memory, int(conf.NO_LEASE * 1000)],
    )
    if outcome == b"failed":
        reason, retry_after = orjson.loads(rest[0])
        raise LoadError(reason, retry_after)
    if outcome == b"ours":
        return Lease(token, int(rest[0]), conf.lease())
    return Lease(rest[0].decode(), None, rest[1] / 1000)


def keep_lease(account_id: int, event_type_id: int, token: str, left: float) -> bool:
    """Restore a lease for the `left` seconds of its lifetime if Redis lost it; return whether it had."""
    if left <= 0:
        return False
    ours = [keys.lease(account_id, event_type_id), keys.done(account_id, token)]
    return bool(_call("keep", ours, [token, max(1, int(left * 1000))]))


def store_if_current(account_id: int, event_type_id: int, days: Mapping[date, Sequence[int]], *, began: int) -> int:
    """Store a load that began at `began`; return the number of its days that count."""
    lasting = lifetimes()
    return int(
        _call(
            "store_if_current",
            [
                keys.generation(account_id),
                *keys.days(account_id, event_type_id, days),
                *keys.changes(account_id, event_type_id, days),
            ],
            [began, lasting.consistency_lag, lasting.entry, lasting.memory, *map(orjson.dumps, days.values())],
        )
    )


def release(account_id: int, event_type_id: int, token: str, *, failure: LoadError | None = None) -> bool:
    """Release the lease and wake the waiters, with a failure if there was one; return whether it was still ours."""
    note = orjson.dumps([failure.reason, failure.retry_after]) if failure else b""
    return bool(
        _call(
            "release",
            [
                keys.lease(account_id, event_type_id),
                keys.failed(account_id, event_type_id),
                keys.done(account_id, token),
            ],
            [token, note, int(conf.FAILURE_NOTE * 1000), int(conf.lease() * 1000)],
        )
    )


def wait(account_id: int, token: str, seconds: float) -> bool:
    """Wait until the load of `token` has ended; return False after `seconds`."""
    done, until = keys.done(account_id, token), Deadline.after(seconds)
    client = blocking_redis_client(conf.WAITS_AT_ONCE)
    while True:
        # Moving the one element of the list onto itself wakes the next waiter. Never 0: that means for ever.
        slice_ = min(max(until.left, 0.01), conf.WAITS_AT_ONCE)
        if client.blmove(done, done, slice_, "LEFT", "RIGHT") is not None:  # type: ignore[arg-type]  # redis takes 0.5
            return True
        if until.passed:
            return False


def invalidate(
    account_id: int,
    event_type_ids: Collection[int],
    dates: Sequence[date],
    *,
    own: bool,
    mark: str,
    freed: bool = False,
    known_there: bool = False,
) -> int:
    """Record that the days changed just now, once for each `mark`; return their number."""
    how = "freed" if freed else "own" if own else "known_there" if known_there else "other"
    lasting = lifetimes()
    return int(
        _call(
            "invalidate",
            [
                keys.generation(account_id),
                keys.invalidated(account_id, mark),
                *(key for event_type_id in event_type_ids for key in keys.changes(account_id, event_type_id, dates)),
            ],
            [how, lasting.consistency_lag, lasting.memory],
        )
    )


def ensure_generation(account_id: int) -> int:
    """Record the generation if Redis is empty; return it in ms."""
    return int(_call("ensure_generation", [keys.generation(account_id)], [lifetimes().memory]))


def mark_refresh(account_id: int, event_type_id: int, seconds: float) -> bool:
    """Mark a refresh as queued for `seconds`; return False if it was."""
    key = keys.refresh(account_id, event_type_id)
    return bool(redis_client().set(key, b"1", nx=True, px=int(seconds * 1000)))


def unmark_refresh(account_id: int, event_type_id: int, after: float = 0.0) -> None:
    """Allow the next refresh, now or after some seconds."""
    redis_client().pexpire(keys.refresh(account_id, event_type_id), int(after * 1000))


def mark_reload(account_id: int, event_type_id: int, seconds: float) -> bool:
    """Take the one forced reload that an event type has in so many seconds; return False if it was taken."""
    return bool(redis_client().set(keys.reload(account_id, event_type_id), b"1", nx=True, px=int(seconds * 1000)))


def mark_prefetched(account_id: int, event_type_ids: Sequence[int]) -> list[int]:
    """Mark event types as prefetched for a while; return those that were not."""
    marks = [keys.prefetched(account_id, event_type_id) for event_type_id in event_type_ids]
    return [event_type_ids[place] for place in _call("mark_prefetched", marks, [int(conf.PREFETCHED * 1000)])]


def lease_warming(account_id: int, token: str) -> bool:
    """Take or renew the lease on warming the account; return False while another run holds it."""
    return bool(_call("warming", [keys.warming(account_id)], [token, int(conf.WARMING_LEASE * 1000)]))


def release_warming(account_id: int, token: str) -> None:
    """Release the lease on warming the account."""
    _call("warming", [keys.warming(account_id)], [token, 0])


def demand(account_id: int, hours: int) -> dict[int, int]:
    """Return the number of searches per event type in the last hours, the current one included."""
    each_hour = [keys.demand(account_id, hours_ago) for hours_ago in range(hours)]
    counts: Any = redis_client().zunion(each_hour, withscores=True)
    return {int(event_type_id): int(count) for event_type_id, count in counts}


def _call(name: str, script_keys: Sequence[str], args: Sequence[Any]) -> Any:
    return scripts_in("cachectl/lua").run(name, keys=script_keys, args=args)
