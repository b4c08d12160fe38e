"""Breaker and rate limiter in one trip: what each of them says still decides."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from redis.crc import key_slot

from cachectl.infra.circuit_breaker import CircuitOpen
from calcom.resilience.admission import admit
from calcom.resilience.circuit_breaker import Kind, breaker_keys, make_breaker
from calcom.resilience.rate_limiter import Limiter, Throttled, limiter_keys
from calcom.types import Priority
from tests.calcom.stopwatch import Outage, Stopwatch


@dataclass
class Process:
    """One process of ours that sends nothing but writes, in simulated time."""

    clock: Stopwatch
    scripts: Outage = field(default_factory=Outage)
    limit: int = 120

    def __post_init__(self) -> None:
        monotonic = self.clock.monotonic
        self.breaker = make_breaker("cal_secret", 7, Kind.WRITES, scripts=self.scripts, monotonic=monotonic)
        self.limiter = Limiter(
            "cal_secret",
            self.limit,
            processes=1,
            scripts=self.scripts,
            sleep=self.clock.advance,
            monotonic=monotonic,
        )

    def call(self, status: int = 200, *, wait: float = 0, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Have a call answered with `status`."""
        with admit(
            self.breaker, self.limiter, Priority.WRITE, tenant=None, longest_call_s=20, deadline_left_s=wait
        ) as admission:
            meanwhile()
            admission.answered({}, status)

    def opens(self) -> None:
        """Meet an outage of Cal.com."""
        for _ in range(3):
            self.call(503)

    @property
    def spent(self) -> int:
        """Return how many permits count now."""
        state = self.limiter.state()
        assert state
        return state.used[Priority.WRITE]


@pytest.fixture
def process(clock: Stopwatch) -> Process:
    """Return a process whose memory has no gap any more."""
    started = Process(clock)
    started.call()
    clock.advance(200)
    return started


def test_one_node_has_the_keys_of_both() -> None:
    """A script on Redis Cluster may touch one node only."""
    keys = [*limiter_keys("cal_secret"), *breaker_keys("cal_secret", 7, Kind.READS)]

    assert len({key_slot(key.encode()) for key in keys}) == 1
    assert not any("cal_secret" in key for key in keys)


def test_admission_of_an_answered_call_costs_two_trips(process: Process) -> None:
    """`governor_overhead_ms`: one before the call, one after it."""
    process.call()
    before = process.scripts.runs

    process.call()

    assert process.scripts.runs == before + 2


@pytest.mark.parametrize("loss", ["none", "away", "flushed"])
def test_open_circuit_spends_no_permit(clock: Stopwatch, process: Process, loss: str) -> None:
    """Not where another process opened it, nor where only this one remembers that."""
    other = Process(clock)
    (other if loss == "none" else process).opens()
    if loss == "flushed":
        clock.flush_redis()
    process.scripts.away = loss == "away"
    spent = other.spent

    for _ in range(5):
        with pytest.raises(CircuitOpen):
            process.call()

    assert other.spent == spent
    assert not process.limiter._without_redis.left_a_gap


def test_call_that_waits_for_its_permit_is_stopped_when_the_circuit_opens(clock: Stopwatch) -> None:
    """What was closed when the wait began is looked at again after it."""
    limited, other = Process(clock, limit=3), Process(clock, limit=1000)
    limited.call()
    clock.advance(200)
    limited.call()
    sleep = limited.limiter._sleep

    def sleep_while_it_opens(seconds: float) -> None:
        for _ in range(3):
            other.breaker.storage.increment_counter()
        other.breaker.open()
        sleep(5)
        assert seconds > 5

    limited.limiter._sleep = sleep_while_it_opens

    with pytest.raises(CircuitOpen):
        limited.call(wait=100)


def test_probe_needs_a_permit(clock: Stopwatch, process: Process) -> None:
    """Leave to probe is no leave to exceed the limit; a probe that was not sent hands its lease on."""
    process.opens()
    used_up = []
    while not used_up:
        try:
            process.limiter.permit(Priority.WRITE, tenant=None, longest_call_s=20, deadline_left_s=0)
        except Throttled as exc:
            used_up.append(exc)
    clock.advance(10)

    with pytest.raises(Throttled):
        process.call()

    clock.advance(75)
    process.call()
    assert process.breaker.current_state == "closed"


def test_admission_goes_on_while_redis_is_away(clock: Stopwatch, process: Process) -> None:
    """Writes go from the reserve, and three failures open the circuit of the process."""
    process.scripts.away = True

    process.opens()

    with pytest.raises(CircuitOpen) as refusal:
        process.call()
    assert refusal.value.retry_after == pytest.approx(10)
