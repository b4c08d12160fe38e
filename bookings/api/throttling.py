"""How many requests one agent key may send."""

import math
import time
from typing import TYPE_CHECKING

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from cachectl.infra.throttle import Throttle, throttle

if TYPE_CHECKING:  # DRF imports this module while it makes its views
    from rest_framework.views import APIView


# A process counts so many hundredths of the rate by itself before it adds them to what all have counted: a trip to
# Redis for each request would take a quarter of the processor time of a cached answer (measured 2026-11).
OWN_PERCENT = 1

counts: dict[int, tuple[float, int, int]] = {}
"""By agent key: the window, requests that all processes had counted, and those of this process since."""


class AgentKeyThrottle(BaseThrottle):
    """
    Refuses what exceeds BOOKINGS_THROTTLE_RATE, over all processes, and sets the view's `rate_limit_headers`.

    Windows are aligned with the clock, so that their end is known without another trip to Redis.
    """

    def __init__(self) -> None:
        """Know of no request yet."""
        self._reset_s = 0

    def allow_request(self, request: Request, view: "APIView") -> bool:
        """Return whether the request is admitted. A request without a valid key was refused before."""
        rate = throttle("agent-key", settings.BOOKINGS_THROTTLE_RATE)
        window, elapsed = divmod(time.time(), rate.seconds)
        used = _count(rate, request.auth.pk, window)
        self._reset_s = math.ceil(rate.seconds - elapsed)
        # As in the IETF's draft on RateLimit header fields.
        view.rate_limit_headers = {  # type: ignore[attr-defined]
            "RateLimit-Policy": f'"agent-key";q={rate.amount};w={rate.seconds}',
            "RateLimit": f'"agent-key";r={max(0, rate.amount - used)};t={self._reset_s}',
        }
        return used <= rate.amount

    def wait(self) -> float:
        """Return the seconds until the window ends."""
        return self._reset_s


def _count(rate: Throttle, key: int, window: float) -> int:
    """Count a request and return how many the key has sent in this window. Threads may rarely miss one of another."""
    counted_in, total, own = counts.get(key, (window, 0, 0))
    if counted_in != window:
        total = own = 0
    own += 1
    if not total or own >= rate.amount * OWN_PERCENT // 100:
        total, own = rate.hit(f"{key}:{window:.0f}", own), 0
    counts[key] = window, total, own
    return total + own
