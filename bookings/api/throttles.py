"""How much one agent key may ask of one web process."""

import time
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

if TYPE_CHECKING:  # DRF imports this module while it makes its views
    from rest_framework.views import APIView

_SECONDS = {"sec": 1, "min": 60, "hour": 3600}


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in so many seconds, and never more than that many at once."""

    requests: int
    seconds: int

    @classmethod
    @lru_cache(maxsize=8)
    def parse(cls, text: str, setting: str = "BOOKINGS_THROTTLE_RATE") -> "Rate":
        """Return what a setting says, such as 6000/min."""
        number, _, unit = text.partition("/")
        if not number.isdigit() or int(number) < 1 or unit not in _SECONDS:
            raise ImproperlyConfigured(f"{setting} must look like 6000/min (or /sec, /hour).")
        return cls(int(number), _SECONDS[unit])


@dataclass(frozen=True, slots=True)
class Standing:
    """What is left to a key, for the headers of its answer."""

    rate: Rate
    remaining: int
    full_in: float
    """Seconds until everything may be asked again."""
    wait: float
    """Seconds until the next request is admitted, 0 where this one was."""

    @property
    def headers(self) -> dict[str, str]:
        """Return them as the IETF's draft on rate-limit headers spells them."""
        return {
            "RateLimit-Policy": f'"agent-key";q={self.rate.requests};w={self.rate.seconds}',
            "RateLimit": f'"agent-key";r={self.remaining};t={-int(-self.full_in // 1)}',
        }


class Buckets:
    """A bucket of permits for each key, refilled steadily; in memory, because a shared count would cost a trip."""

    def __init__(self) -> None:
        self._buckets: dict[int, tuple[float, float]] = {}  # key: (permits, when)
        self._lock = Lock()

    def take(self, key: int, rate: Rate) -> Standing:
        """Take a permit if there is one."""
        per_second = rate.requests / rate.seconds
        with self._lock:
            now = time.monotonic()
            permits, since = self._buckets.get(key, (float(rate.requests), now))
            permits = min(rate.requests, permits + (now - since) * per_second)
            admitted = permits >= 1
            permits -= admitted
            self._buckets[key] = permits, now
        wait = 0.0 if admitted else (1 - permits) / per_second
        return Standing(rate, int(permits), (rate.requests - permits) / per_second, wait)

    def forget(self) -> None:
        """Fill every bucket."""
        self._buckets.clear()


buckets = Buckets()


class AgentKeyThrottle(BaseThrottle):
    """Refuses what is above BOOKINGS_THROTTLE_RATE, and leaves the key's standing on the view."""

    standing: Standing | None = None

    def allow_request(self, request: Request, view: "APIView") -> bool:
        """Return whether the request is admitted. Who showed no key has been refused already."""
        self.standing = buckets.take(request.auth.pk, Rate.parse(settings.BOOKINGS_THROTTLE_RATE))
        view.standing = self.standing  # type: ignore[attr-defined]
        return self.standing.wait == 0

    def wait(self) -> float | None:
        """Return how long to wait, s."""
        return self.standing.wait if self.standing else None
