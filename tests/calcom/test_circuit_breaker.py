"""The circuit breaker in front of Cal.com as several processes have it, in simulated time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from threading import Barrier

import pytest

from cachectl.infra.circuit_breaker import CircuitOpen
from cachectl.infra.redis import redis_client
from calcom.errors import Reason, Refused
from calcom.http.transport import NoAnswer, NotSent
from calcom.resilience import circuit_breaker
from calcom.resilience.circuit_breaker import AccountBreaker, Kind, make_breaker, outcome_of
from calcom.resilience.rate_limiter import Throttled
from tests.calcom.stopwatch import Outage, Stopwatch

Call = Callable[[AccountBreaker], None]


def process(clock: Stopwatch, kind: Kind = Kind.READS) -> AccountBreaker:
    """Return the breaker as one more process has it."""
    return make_breaker("cal_secret", 7, kind, scripts=clock.scripts(), monotonic=clock.monotonic)


def answers(status: int) -> Call:
    def call(guarding: AccountBreaker) -> None:
        with guarding.guard() as call:
            call.outcome = outcome_of(status)

    return call


def raises(error: Exception) -> Call:
    def call(guarding: AccountBreaker) -> None:
        with pytest.raises(type(error)), guarding.guard():
            raise error

    return call


works, fails = answers(200), answers(503)


def is_open(guarding: AccountBreaker) -> bool:
    """Ask without a call that would count."""
    return guarding.current_state == "open"


def opened(clock: Stopwatch, *processes: AccountBreaker) -> AccountBreaker:
    """Let it open."""
    first = processes[0] if processes else process(clock)
    for _ in range(3):
        fails(first)
    return first


@pytest.mark.parametrize("failure", [fails, answers(500), raises(NotSent("x")), raises(NoAnswer("x"))])
def test_circuit_opens_for_every_process_after_three_failures_in_a_row(clock: Stopwatch, failure: Call) -> None:
    """No connection, no answer in time, a 5xx: whichever process met them."""
    processes = [process(clock) for _ in range(3)]
    for each in processes:
        assert not is_open(each)
        failure(each)

    for each in processes:
        with pytest.raises(CircuitOpen) as refusal:
            works(each)
        assert refusal.value.retry_after == pytest.approx(10)


@pytest.mark.parametrize(
    "neither",
    [
        answers(409),
        answers(429),
        answers(404),
        raises(Throttled("budget", retry_after=1)),
        raises(Refused(Reason.NOT_AVAILABLE, "taken")),
        raises(ValueError("ours")),
    ],
)
def test_refusal_neither_counts_nor_ends_a_row_of_failures(clock: Stopwatch, neither: Call) -> None:
    """FM-45: slot taken, 429, refused before it was sent, and errors of our own say nothing about Cal.com's health."""
    guarding = process(clock)
    for _ in range(30):
        neither(guarding)
    assert not is_open(guarding)

    for call in (fails, neither, fails, neither, fails):
        call(guarding)

    assert is_open(guarding)


def test_success_of_any_process_ends_a_row_of_failures(clock: Stopwatch) -> None:
    """Failures in a row are counted over all processes, and so are the successes between them."""
    one, other = process(clock), process(clock)

    for _ in range(5):
        fails(one)
        fails(one)
        works(other)

    assert not is_open(one)


def test_circuit_opens_when_half_of_twenty_calls_fail_within_30_s(clock: Stopwatch) -> None:
    """An upstream that fails every other time never fails three times in a row."""
    one, other = process(clock), process(clock)
    for _ in range(9):
        works(one)
        fails(other)
        clock.advance(1)
    assert not is_open(one)

    works(one)
    fails(other)

    assert is_open(one)


def test_failures_older_than_30_s_do_not_open_the_circuit(clock: Stopwatch) -> None:
    """Only the last 30 s count."""
    guarding = process(clock)
    for _ in range(40):
        works(guarding)
        fails(guarding)
        clock.advance(4)

    assert not is_open(guarding)


def test_circuit_stays_closed_when_a_third_of_calls_fail(clock: Stopwatch) -> None:
    """A third is not half."""
    guarding = process(clock)
    for _ in range(30):
        works(guarding)
        works(guarding)
        fails(guarding)

    assert not is_open(guarding)


def test_half_open_circuit_lets_one_probe_through_over_all_processes_and_threads(clock: Stopwatch) -> None:
    """pybreaker lets one through per thread (measured: 32 of 32)."""
    processes = [process(clock) for _ in range(4)]
    opened(clock, *processes)
    clock.advance(10)
    sent: list[int] = []
    turned_away: Queue[int] = Queue()

    def call(i: int) -> None:
        try:
            with processes[i % 4].guard() as call:
                sent.append(i)
                for _ in range(31):  # the probe lasts until all others were turned away
                    turned_away.get(timeout=5)
                call.outcome = outcome_of(200)
        except CircuitOpen:
            turned_away.put(i)

    with ThreadPoolExecutor(32) as threads:
        list(threads.map(call, range(32)))

    assert len(sent) == 1
    assert not any(is_open(each) for each in processes)


def test_circuit_reopens_longer_after_each_failed_probe(clock: Stopwatch) -> None:
    """10, 20, 30, 30 s; after a success it begins at 10 again."""
    guarding = opened(clock)
    waits = []

    for _ in range(5):
        with pytest.raises(CircuitOpen) as refusal:
            works(guarding)
        waits.append(refusal.value.retry_after)
        clock.advance(waits[-1])
        fails(guarding)
    clock.advance(30)
    works(guarding)
    opened(clock, guarding)

    assert waits == [10, 20, 30, 30, 30]
    with pytest.raises(CircuitOpen) as refusal:
        works(guarding)
    assert refusal.value.retry_after == 10


def test_calls_under_way_change_nothing_when_the_circuit_opens(clock: Stopwatch) -> None:
    """Eight threads that time out together are one outage, not six."""
    guarding, together = process(clock), Barrier(8)

    def call(_: int) -> None:
        with guarding.guard() as call:
            together.wait()  # all are inside: the breaker holds no lock while a call runs
            call.outcome = outcome_of(503)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(call, range(8)))

    with pytest.raises(CircuitOpen) as refusal:
        works(guarding)
    assert refusal.value.retry_after == 10


def test_failures_of_calls_under_way_do_not_reopen_a_circuit_that_is_due_for_a_probe(clock: Stopwatch) -> None:
    """A write may hang for longer than the circuit is open."""
    guarding, other = process(clock), process(clock)
    late = [guarding.guard() for _ in range(4)]
    under_way = [each.__enter__() for each in late]
    opened(clock, other)
    clock.advance(10)

    for each, call in zip(late, under_way, strict=True):
        call.outcome = outcome_of(503)
        each.__exit__(None, None, None)
    works(other)

    assert not is_open(guarding)


def test_probe_hands_on_its_lease_when_it_says_nothing(clock: Stopwatch) -> None:
    """A 429 neither closes nor reopens; the next call probes."""
    one, other = process(clock), process(clock)
    opened(clock, one)
    clock.advance(10)

    answers(429)(one)
    assert is_open(one)
    works(other)

    assert not is_open(one)


def test_probe_that_never_reports_is_given_up(clock: Stopwatch) -> None:
    """A process killed while probing must not keep the breaker open for ever."""
    one, other = process(clock), process(clock)
    opened(clock, one)
    clock.advance(10)
    lost = one.guard()
    lost.__enter__()

    with pytest.raises(CircuitOpen):
        works(other)
    clock.advance(circuit_breaker.POLICY.probe_s)
    works(other)

    assert not is_open(other)


def test_circuits_of_reads_and_writes_and_accounts_are_apart(clock: Stopwatch) -> None:
    """A slow booking says nothing about lists of slots."""
    opened(clock)

    works(process(clock, Kind.WRITES))
    works(make_breaker("cal_secret", 8, Kind.READS, scripts=clock.scripts()))


def test_process_goes_by_its_own_circuit_while_redis_is_away(clock: Stopwatch) -> None:
    """Never an error of Redis; the same rules, the process's own clock."""
    scripts = Outage()
    guarding = make_breaker("cal_secret", 7, Kind.READS, scripts=scripts, monotonic=clock.monotonic)
    scripts.away = True

    works(guarding)
    opened(clock, guarding)
    waits = []
    for _ in range(3):
        with pytest.raises(CircuitOpen) as refusal:
            works(guarding)
        waits.append(refusal.value.retry_after)
        clock.advance(waits[-1])
        fails(guarding)
    clock.advance(30)
    answers(429)(guarding)
    works(guarding)

    assert waits == [10, 20, 30]
    assert not is_open(guarding)


def test_breaker_works_when_made_while_redis_is_away(clock: Stopwatch) -> None:
    """pybreaker's own storage raises in its constructor."""
    scripts = Outage()
    scripts.away = True

    works(make_breaker("cal_secret", 7, Kind.READS, scripts=scripts, monotonic=clock.monotonic))


@pytest.mark.parametrize("loss", ["away", "flushed"])
def test_open_circuit_is_remembered_when_redis_is_lost(clock: Stopwatch, loss: str) -> None:
    """Lost state means silently closed in pybreaker; a process that saw it open remembers."""
    scripts = Outage()
    guarding = make_breaker("cal_secret", 7, Kind.READS, scripts=scripts, monotonic=clock.monotonic)
    opened(clock, guarding)

    if loss == "away":
        scripts.away = True
    else:
        clock.flush_redis()

    with pytest.raises(CircuitOpen):
        works(guarding)
    clock.advance(10)
    works(guarding)
    assert not is_open(guarding)


def test_circuit_opens_by_the_share_of_failures_while_redis_is_away(clock: Stopwatch) -> None:
    """The same rules."""
    scripts = Outage()
    guarding = make_breaker("cal_secret", 7, Kind.READS, scripts=scripts, monotonic=clock.monotonic)
    scripts.away = True

    for _ in range(10):
        works(guarding)
        fails(guarding)

    assert is_open(guarding)


def test_every_key_of_the_circuit_expires(clock: Stopwatch) -> None:
    """pybreaker's keys stay for ever."""
    guarding = opened(clock)
    clock.advance(10)
    works(guarding)
    fails(guarding)

    assert all(redis_client().ttl(key) > 0 for key in redis_client().scan_iter() if key != b"tests:clock")


def test_state_is_open_until_a_call_has_succeeded() -> None:
    """On Redis's own clock. Open, also when a probe is due; closed once a call has succeeded."""
    mine = "cal_secret", 9, Kind.WRITES
    for _ in range(3):
        fails(circuit_breaker.breaker_for(*mine))
    open_state = circuit_breaker.state(*mine)

    assert circuit_breaker.probe_now(*mine)
    due = circuit_breaker.state(*mine)
    works(circuit_breaker.breaker_for(*mine))
    closed = circuit_breaker.state(*mine)

    assert open_state
    assert due
    assert closed
    assert (open_state.is_open, due.is_open, closed.is_open) == (True, True, False)
    assert 9 < open_state.wait_s <= 10
    assert due.wait_s == 0
    assert [state for _, state in closed.history] == ["closed", "half-open", "open"]
    assert not circuit_breaker.probe_now(*mine)
