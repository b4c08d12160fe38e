"""
Every Redis key of the cache, spelled once.

The version comes first, so that a new form of value never meets old code; the account is the hash tag, so that the keys
of one script lie on one node of a cluster.
"""

import time
from collections.abc import Iterable
from datetime import date

PROBE = "sl2:probe"
"""Written to see whether Redis takes anything."""
WAKE_UPS = "sl2:wake-ups"
"""The channel that says which topics have ended: see `cachectl.infra.wakeups`."""


def _key(account_id: int, rest: str) -> str:
    return f"sl2:{{{account_id}}}:{rest}"


def days(account_id: int, event_type_id: int, dates: Iterable[date]) -> list[str]:
    """Return the keys of the entries: JSON [when the load began in ms, suspect 0|1, [slot starts in epoch minutes]]."""
    prefix = _key(account_id, f"day:{event_type_id}:")
    return [f"{prefix}{day}" for day in dates]


def changes(account_id: int, event_type_id: int, dates: Iterable[date]) -> list[str]:
    """
    Return the keys of the last changes: JSON [by an appointment of ours, otherwise], both in ms.

    A third instant says when an appointment of ours last gave time back, once one did.
    """
    prefix = _key(account_id, f"changes:{event_type_id}:")
    return [f"{prefix}{day}" for day in dates]


def generation(account_id: int) -> str:
    """Return the key of the moment at which this Redis was first seen empty, in ms."""
    return _key(account_id, "generation")


def lease(account_id: int, event_type_id: int) -> str:
    """Return the key of the lease: the token of the process that loads."""
    return _key(account_id, f"lease:{event_type_id}")


def failed(account_id: int, event_type_id: int) -> str:
    """Return the key of the note of a failed load."""
    return _key(account_id, f"failed:{event_type_id}")


def done(account_id: int, token: str) -> str:
    """Return the key of the list that wakes the waiters of the load of `token`."""
    return _key(account_id, f"done:{token}")


def invalidated(account_id: int, cache_invalidation: int | str) -> str:
    """Return the key of the mark that an invalidation was done: how many days it affected."""
    return _key(account_id, f"invalidated:{cache_invalidation}")


def refresh(account_id: int, event_type_id: int) -> str:
    """Return the key of the mark that a refresh is queued."""
    return _key(account_id, f"refresh:{event_type_id}")


def reload(account_id: int, event_type_id: int) -> str:
    """Return the key of the mark that young days were reloaded by force a moment ago."""
    return _key(account_id, f"reload:{event_type_id}")


def prefetched(account_id: int, event_type_id: int) -> str:
    """Return the key of the mark that the next days were prefetched a moment ago."""
    return _key(account_id, f"prefetched:{event_type_id}")


def warming(account_id: int) -> str:
    """Return the key of the lease of the run that warms the account."""
    return _key(account_id, "warming")


def demand(account_id: int, hours_ago: int = 0) -> str:
    """Return the key of an hour's demand: event types by how often they were asked for."""
    return _key(account_id, time.strftime("demand:%Y%m%d%H", time.gmtime(time.time() - hours_ago * 3600)))
