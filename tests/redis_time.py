"""Time that passes on Redis' clock, by setting back every instant that is written there. Lifetimes stay as they are."""

from collections.abc import Iterable
from typing import cast

import orjson

from cachectl.infra.redis import redis_client


def let_pass(keys: Iterable[str | bytes], seconds: float) -> None:
    """Let seconds pass for days, last changes and epochs, by their keys; where nothing is written nothing happens."""
    client, those = redis_client(), list(keys)
    values = cast("list[bytes | None]", client.mget(those) if those else [])
    pipeline = client.pipeline(transaction=False)
    for key, value in zip(those, values, strict=True):
        if value is not None:
            pipeline.set(key, _earlier(value, round(seconds * 1000)), keepttl=True)
    pipeline.execute()


def let_all_pass(seconds: float) -> None:
    """Let seconds pass for everything that is known of days, whosever they are."""
    everything = redis_client().scan_iter("sl[12]:*")
    let_pass(
        (key for key in everything if b":day:" in key or b":changes:" in key or key.endswith(b":generation")), seconds
    )


def _earlier(value: bytes, ms: int) -> bytes:
    parsed = orjson.loads(value)
    if isinstance(parsed, int):
        return b"%d" % max(0, parsed - ms)
    instants = 1 if isinstance(parsed[-1], list) else len(parsed)  # a day has one, and its slots last
    return orjson.dumps([max(0, part - ms) for part in parsed[:instants]] + parsed[instants:])
