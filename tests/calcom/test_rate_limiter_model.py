"""The limiter against Cal.com as it counts: a fixed window from the first request, a block at the 121st (FM-41)."""

import heapq
import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calcom.resilience.rate_limiter import Limiter, Throttled
from calcom.simulator.traffic import Throttle
from calcom.types import Priority
from tests.calcom.stopwatch import Stopwatch

MIXED = [Priority.WRITE, *[Priority.LIVE] * 4, *[Priority.REFRESH] * 3, *[Priority.BACKGROUND] * 2]


@dataclass
class Pause:
    """A stored pause in simulated time."""

    clock: Stopwatch
    until: float = 0.0

    def note(self, seconds: float) -> None:
        self.until = max(self.until, self.clock.now + seconds)

    def left_s(self) -> float:
        return max(0.0, self.until - self.clock.now)


@dataclass
class Simulation:
    """Our processes, external users of the key, and Cal.com, in simulated time."""

    random: Random
    call_s: tuple[float, float] = (0.1, 0.8)
    delivery_s: tuple[float, float] = (0.0, 0.4)
    processes: int = 4
    tenants: tuple[str | None, ...] = (None,)
    unanswered: float = 0.0
    """Share of the requests without a response."""
    clock: Stopwatch = field(default_factory=Stopwatch)
    arrivals: list[float] = field(default_factory=list)
    breaches: list[float] = field(default_factory=list)
    refused: list[tuple[float, Priority]] = field(default_factory=list)
    admitted: list[tuple[float, Priority]] = field(default_factory=list)
    external: list[int] = field(default_factory=list)
    """Requests a minute that are reserved for other users of the key, after each answer."""

    def __post_init__(self) -> None:
        self.calcom = Throttle(clock=self.clock.monotonic)
        self.pause = Pause(self.clock)
        self.limiters = [self.limiter() for _ in range(self.processes)]
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def limiter(self) -> Limiter:
        """Start a process."""
        return Limiter(
            "cal_key",
            120,
            processes=self.processes,
            scripts=self.clock.scripts(),
            stored_pause=self.pause,  # type: ignore[arg-type]
            sleep=self.clock.advance,
            monotonic=self.clock.monotonic,
        )

    def at(self, seconds: float, event: Callable[[], None]) -> None:
        """Schedule an event `seconds` after the start."""
        heapq.heappush(self._events, (self.clock.start + seconds, next(self._order), event))

    def later(self, seconds: float, event: Callable[[], None]) -> None:
        self.at(self.clock.now - self.clock.start + seconds, event)

    def ask(self, priority: Priority) -> None:
        """Send a request, if the limiter of some process permits it."""
        limiter = self.random.choice(self.limiters)
        longest = 20.0 if priority is Priority.WRITE else 8.0
        try:
            permit = limiter.permit(
                priority, tenant=self.random.choice(self.tenants), longest_call_s=longest, deadline_left_s=0
            )
        except Throttled:
            self.refused.append((self.clock.now, priority))
            return
        self.admitted.append((self.clock.now, priority))

        def arrive() -> None:
            headers, status = self.hit()
            if not self.unanswered or self.random.random() >= self.unanswered:
                self.later(self.random.uniform(*self.call_s), lambda: answer(headers, status))

        def answer(headers: dict[str, str], status: int) -> None:
            permit.ended(headers, status)
            state = limiter.state()
            assert state is not None
            self.external.append(state.external)

        self.later(self.random.uniform(*self.delivery_s), arrive)

    def hit(self) -> tuple[dict[str, str], int]:
        """A request, ours or external, arrives at Cal.com."""
        self.arrivals.append(self.clock.now)
        result = self.calcom.hit("key")
        if not result.allowed:
            self.breaches.append(self.clock.now - self.clock.start)
        return result.headers(), 200 if result.allowed else 429

    def run(self, until: float) -> None:
        """Run the scheduled events in order."""
        while self._events and self._events[0][0] <= self.clock.start + until:
            at, _, event = heapq.heappop(self._events)
            self.clock.set(max(at, self.clock.now))
            event()

    def demand(self, per_minute: float, seconds: float, priorities: list[Priority]) -> None:
        """Schedule requests at random moments."""
        for moment in _moments(self.random, per_minute, seconds):
            self.at(moment, partial(self.ask, self.random.choice(priorities)))


def most_in_60_s(moments: list[float]) -> int:
    """Return the largest number of requests in any 60 s."""
    most, first = 0, 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - 60:
            first += 1
        most = max(most, last - first + 1)
    return most


def _moments(random: Random, per_minute: float, seconds: float) -> Iterator[float]:
    moment = random.expovariate(per_minute / 60)
    while moment < seconds:
        yield moment
        moment += random.expovariate(per_minute / 60)


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    window_began=st.floats(0, 60),
    bursts=st.lists(st.tuples(st.floats(0, 150), st.integers(1, 200)), min_size=1, max_size=5),
    delivery=st.floats(0, 8),
    call=st.floats(0, 5),
)
def test_no_window_of_60_s_holds_more_than_the_limit(
    seed: int, window_began: float, bursts: list[tuple[float, int]], delivery: float, call: float
) -> None:
    """FM-41: whenever Cal.com's window began, however late requests arrive, in bursts and steadily."""
    simulation = Simulation(
        Random(seed), delivery_s=(0.0, delivery), call_s=(0.0, call), tenants=(None, "loud", "loud", "quiet")
    )
    simulation.clock.flush_redis()
    simulation.at(window_began, simulation.hit)
    for moment, size in bursts:
        for _ in range(size):
            simulation.at(moment, lambda: simulation.ask(simulation.random.choice(MIXED)))
    simulation.demand(200, 150, MIXED)

    simulation.run(until=240)

    assert simulation.breaches == []
    assert most_in_60_s(simulation.arrivals) <= 120


@pytest.mark.parametrize(("call", "per_minute"), [((0.1, 0.8), 114), ((4.5, 5.0), 107)])
def test_nearly_the_whole_limit_can_be_used(call: tuple[float, float], per_minute: float) -> None:
    """95 % of the limit with short calls, and what docs/adr/0004 states with slow ones."""
    simulation = Simulation(Random(1), call_s=call, delivery_s=(0.02, 0.1))
    simulation.demand(600, 751, [Priority.WRITE])

    simulation.run(until=751)

    settled = [at for at, _ in simulation.admitted if at >= simulation.clock.start + 100]
    assert simulation.breaches == []
    assert len(settled) / 651 * 60 >= per_minute


def test_writes_are_permitted_under_excess_demand_of_others() -> None:
    """FM-44: with ten times the demand no booking write is refused while background work is admitted."""
    simulation = Simulation(Random(2))
    simulation.demand(600, 300, [Priority.LIVE, Priority.REFRESH, Priority.BACKGROUND])
    simulation.demand(12, 300, [Priority.WRITE])

    simulation.run(until=300)

    assert simulation.breaches == []
    assert [at for at, priority in simulation.refused if priority is Priority.WRITE] == []
    assert most_in_60_s([at for at, priority in simulation.admitted if priority is Priority.BACKGROUND]) <= 48


@pytest.mark.parametrize("per_minute", [10, 40, 80])
def test_steady_external_usage_is_detected_and_reserved(per_minute: int) -> None:
    """At most one block when it begins, then none."""
    simulation = Simulation(Random(3))
    for i in range(600 * per_minute // 60):
        simulation.at(1 + i * 60 / per_minute, simulation.hit)
    simulation.demand(600, 600, MIXED)

    simulation.run(until=600)

    assert [moment for moment in simulation.breaches if moment > 120] == []
    late = [at for at, _ in simulation.admitted if at > simulation.clock.start + 180]
    assert len(late) / 7 > (110 - per_minute) * 0.4


@pytest.mark.parametrize("per_minute", [4, 20, 110])
@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 20))])
def test_own_requests_are_never_taken_for_external_usage(seed: int, per_minute: int) -> None:
    """
    Parallel calls whose answers come out of order, late or never, and restarts of Redis and of processes.

    Slow calls are answered when the window that counted them has ended; in calm traffic no newer window is known then.
    """
    simulation = Simulation(Random(seed), call_s=(0.0, 8.0), delivery_s=(0.0, 4.0), unanswered=0.1)
    simulation.demand(per_minute, 600, [Priority.WRITE, Priority.LIVE])

    def restart_redis() -> None:
        simulation.clock.flush_redis()

    def restart_processes() -> None:
        simulation.limiters = [simulation.limiter() for _ in simulation.limiters]

    simulation.at(200, restart_processes)
    simulation.at(simulation.random.uniform(240, 300), restart_redis)

    simulation.run(until=620)

    assert max(simulation.external) == 0
    assert simulation.breaches == []
    assert len(simulation.external) > 15


@pytest.mark.parametrize("per_minute", [5, 30, 60])
def test_external_usage_is_found_as_far_as_an_answer_proves_it(per_minute: int) -> None:
    """What Cal.com has counted beyond our own permits; parallel calls hide some of it, never all."""
    simulation = Simulation(Random(4), call_s=(0.1, 3.0), delivery_s=(0.0, 1.0))
    for i in range(600 * per_minute // 60):
        simulation.at(1 + i * 60 / per_minute, simulation.hit)
    simulation.demand(20, 600, [Priority.LIVE])

    simulation.run(until=600)

    found = simulation.external[len(simulation.external) // 3 :]
    assert min(found) >= per_minute * 0.6
    assert max(found) <= per_minute * 1.2 + 8  # projected to a whole window, and a little more


@pytest.mark.slow
@pytest.mark.parametrize("per_minute", [60, 80])
def test_external_usage_survives_a_loss_of_redis(per_minute: int) -> None:
    """Processes restore it in a Redis that has lost its data; no second block."""
    simulation = Simulation(Random(5))
    for i in range(400 * per_minute // 60):
        simulation.at(1 + i * 60 / per_minute, simulation.hit)
    simulation.demand(600, 400, MIXED)

    def lose() -> None:
        simulation.clock.flush_redis()
        simulation.limiters[0] = simulation.limiter()

    simulation.at(205, lose)
    simulation.at(310, lose)

    simulation.run(until=400)

    assert [moment for moment in simulation.breaches if moment > 120] == []
    assert [at for at, _ in simulation.admitted if at > simulation.clock.start + 320]


@pytest.mark.parametrize("seed", [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))])
def test_losing_redis_and_processes_again_and_again_breaks_no_limit(seed: int) -> None:
    """Flushed at peak, processes restarted: only Cal.com's count is used then."""
    simulation = Simulation(Random(seed))
    simulation.demand(600, 300, MIXED)

    def lose() -> None:
        simulation.clock.flush_redis()
        simulation.limiters[seed % 4] = simulation.limiter()

    for _ in range(8):
        simulation.at(simulation.random.uniform(5, 280), lose)

    simulation.run(until=330)

    assert simulation.breaches == []
    assert len(simulation.admitted) > 100


@pytest.mark.parametrize("seed", [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))])
def test_a_429_is_followed_by_no_other_whatever_is_lost(seed: int) -> None:
    """Others exhaust the key; then Redis is emptied again and again, and all processes are killed."""
    simulation = Simulation(Random(seed), call_s=(0.1, 5.0))
    simulation.demand(600, 300, MIXED)

    def block() -> None:
        simulation.calcom.block("key")

    def lose() -> None:
        simulation.clock.flush_redis()
        simulation.limiters = [simulation.limiter() for _ in simulation.limiters]

    simulation.at(100, block)
    first = 105.5  # by then every call that was under way has been answered
    for _ in range(12):
        simulation.at(simulation.random.uniform(first, 160), lose)

    simulation.run(until=330)

    refused = [moment for moment in simulation.breaches if moment > first]
    assert refused == []
    assert any(moment < first for moment in simulation.breaches)
    assert [at for at, _ in simulation.admitted if at > simulation.clock.start + 170]


def test_crashed_callers_count_as_long_as_their_call_could_have_lasted() -> None:
    """FM-41: a request whose process died is counted, although its end is not reported."""
    simulation = Simulation(Random(7))

    def die() -> None:
        with (
            suppress(Throttled),
            simulation.limiters[0].permit(Priority.WRITE, tenant=None, longest_call_s=20, deadline_left_s=0),
        ):
            simulation.later(19.9, simulation.hit)

    for _ in range(100):
        simulation.at(100, die)
    simulation.demand(600, 240, [Priority.WRITE])

    simulation.run(until=300)

    assert simulation.breaches == []
