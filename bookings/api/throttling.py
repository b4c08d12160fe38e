"""How many requests one agent key may send."""

import math
import time
from typing import TYPE_CHECKING

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from cachectl.infra.throttle import throttle

if TYPE_CHECKING:  # DRF imports this module while it makes its views
    from rest_framework.views import APIView


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
        used = rate.hit(f"{request.auth.pk}:{window:.0f}")
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
