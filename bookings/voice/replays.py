"""A signed request that arrives again gets the answer of the first one, and one still under way is waited for."""

import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from django.core.cache import cache

_UNDER_WAY_S = 10
"""How long an answer that never came is waited for by others; after that a repeat is answered anew."""
_WAIT_S, _PAUSE_S = 3.5, 0.05


def answer_once(signature: str, *, window_s: int, produce: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """
    Return what `produce` returns, once for each signature within `window_s`.

    Without Redis each request is answered anew: what a tool does is safe to repeat by itself.
    """
    name = f"voice-answer:{sha256(signature.encode()).hexdigest()}"
    if not cache.add(name, {}, _UNDER_WAY_S):
        found = _wait_for(name)
        if found:
            return found
    produced = produce()
    cache.set(name, dict(produced), window_s)
    return produced


def _wait_for(name: str) -> Mapping[str, Any] | None:
    """Return the answer of the first request; None where there is none, and none is on its way."""
    until = time.monotonic() + _WAIT_S
    while (found := cache.get(name)) == {} and time.monotonic() < until:
        time.sleep(_PAUSE_S)
    return found or None
