"""The parts that together are the running simulator."""

from datetime import UTC, datetime, timedelta
from random import Random

from calcom.simulator.faults import Faults
from calcom.simulator.journal import Journal
from calcom.simulator.latency import Latency
from calcom.simulator.limits import LIMIT, WINDOW_S, Throttle
from calcom.simulator.state import Now, State
from calcom.simulator.webhooks import Messenger
from calcom.simulator.world import World

# What is announced of idle connections, and when they are closed (seen 2026-11-30; not among the recordings).
KEEP_ALIVE_S = 5
IDLE_CLOSE_S = 6.0


def utc_now() -> datetime:
    """Return the real time."""
    return datetime.now(UTC)


class Program:
    """State, limit, faults, log and webhooks of one simulated Cal.com."""

    def __init__(
        self,
        world: World,
        *,
        latency: float = 0.0,
        seed: int = 0,
        limit: int = LIMIT,
        window_s: float = WINDOW_S,
        now: Now = utc_now,
        idle_close_s: float = IDLE_CLOSE_S,
    ) -> None:
        self.idle_close_s = idle_close_s
        self.keep_alive_s = KEEP_ALIVE_S
        self.world = world
        self.seed = seed
        self.latency = Latency(latency, seed)
        self.throttle = Throttle(limit, window_s)
        self.faults = Faults(Random(seed))
        self.journal = Journal()
        self._clock = now
        self._shift = timedelta()
        self.state = State(world, seed, self.now)
        self.messenger = Messenger(self.state, Random(seed))

    def now(self) -> datetime:
        """Return the moment that the booking rules go by."""
        return self._clock() + self._shift

    def set_now(self, moment: datetime) -> None:
        """Let the clock go on from `moment`."""
        self._shift = moment - self._clock()

    def start_over(self) -> None:
        """Return to the world of the beginning; latency, limit and clock stay as they are set."""
        self.forget_traffic()
        self.faults.clear()
        self.state = State(self.world, self.seed, self.now)
        self.messenger.start_over(self.state)

    def forget_traffic(self) -> None:
        """Empty the log and start all windows of the limit afresh."""
        self.journal.forget()
        self.throttle.forget()
