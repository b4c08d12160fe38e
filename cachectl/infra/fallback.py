"""The one policy while Redis is away: each process answers by what it knows itself (docs/adr/0024)."""

from collections.abc import Callable
from typing import TypeVar

from redis import RedisError

from monitoring import metrics

T = TypeVar("T")


def shared_or_own(feature: str, shared: Callable[[], T], own: Callable[[], T]) -> T:
    """
    Return what Redis knows of all processes, or, while Redis is away, what this process knows by itself.

    Each answer of the second kind is counted.

    Args:
        feature: what is answered, for the metric.
        shared: asks Redis.
        own: answers by what this process has counted, within its fixed share.
    """
    try:
        return shared()
    except RedisError:
        metrics.REDIS_FALLBACKS.labels(feature).inc()
        return own()
