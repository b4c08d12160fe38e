"""The breaker as several processes have it, in simulated time (L-45, experiment 18)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from queue import Queue
from threading import Barrier

import pytest

from cachectl.infra.redis import redis_client
from calcom import breaker, breaker_state
from calcom.breaker import Attempt, Breaker, Kind, make_breaker
from calcom.errors import Reason, Refused, Unavailable
from calcom.limiter import Throttled
from calcom.transport import NoAnswer, NotSent
from tests.calcom.stopwatch import Outage, Stopwatch

Call = Callable[[Breaker], None]


@pytest.fixture
def clock() -> Stopwatch:
    """Simulated time."""
    return Stopwatch()


def process(clock: Stopwatch, kind: Kind = Kind.READS) -> Breaker:
    """Return the breaker as one more process has it."""
    return make_breaker("cal_secret", 7, kind, scripts=clock.scripts(), monotonic=clock.monotonic)


def guarded(guarding: Breaker) -> AbstractContextManager[Attempt]:
    """Look, and do what follows from it."""
    return breaker.guarded(guarding, is_open=is_open(guarding))


def answers(status: int) -> Call:
    def call(guarding: Breaker) -> None:
        with guarded(guarding) as attempt:
            attempt.answered(status)

    return call


def raises(error: Exception) -> Call:
    def call(guarding: Breaker) -> None:
        with pytest.raises(type(error)), guarded(guarding):
            raise error

    return call


works, fails = answers(200), answers(503)


def is_open(guarding: Breaker) -> bool:
    """Ask without a call that would count."""
    return guarding.current_state == "open"


def opened(clock: Stopwatch, *processes: Breaker) -> Breaker:
    """Let it open."""
    first = processes[0] if processes else process(clock)
    for _ in range(3):
        fails(first)
    return first


@pytest.mark.parametrize("failure", [fails, answers(500), raises(NotSent("x")), raises(NoAnswer("x"))])
def test_three_failures_in_a_row_open_it_for_every_process(clock: Stopwatch, failure: Call) -> None:
    """L-45: no connection, no answer in time, a 5xx; whoever met them."""
    processes = [process(clock) for _ in range(3)]
    for each in processes:
        assert not is_open(each)
        failure(each)

    for each in processes:
        with pytest.raises(Unavailable) as refusal:
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
def test_a_no_neither_counts_nor_ends_a_row(clock: Stopwatch, neither: Call) -> None:
    """L-45: slot taken, 429, refused before it was sent, and errors of our own say nothing about Cal.com's health."""
    guarding = process(clock)
    for _ in range(30):
        neither(guarding)
    assert not is_open(guarding)

    for call in (fails, neither, fails, neither, fails):
        call(guarding)

    assert is_open(guarding)


def test_a_success_anywhere_ends_a_row(clock: Stopwatch) -> None:
    """Failures in a row are counted over all processes, and so are the successes between them."""
    one, other = process(clock), process(clock)

    for _ in range(5):
        fails(one)
        fails(one)
        works(other)

    assert not is_open(one)


def test_half_of_twenty_calls_in_30_s_open_it(clock: Stopwatch) -> None:
    """An upstream that fails every other time never fails three times in a row."""
    one, other = process(clock), process(clock)
    for _ in range(9):
        works(one)
        fails(other)
        clock.pass_(1)
    assert not is_open(one)

    works(one)
    fails(other)

    assert is_open(one)


def test_failures_of_long_ago_are_no_share(clock: Stopwatch) -> None:
    """Only the last 30 s are judged."""
    guarding = process(clock)
    for _ in range(40):
        works(guarding)
        fails(guarding)
        clock.pass_(4)

    assert not is_open(guarding)


def test_a_few_failures_among_many_calls_leave_it_closed(clock: Stopwatch) -> None:
    """A third is not half."""
    guarding = process(clock)
    for _ in range(30):
        works(guarding)
        works(guarding)
        fails(guarding)

    assert not is_open(guarding)


def test_one_probe_over_all_processes_and_threads(clock: Stopwatch) -> None:
    """L-45: half open lets one call through, not one per thread (measured: 32 of 32)."""
    processes = [process(clock) for _ in range(4)]
    opened(clock, *processes)
    clock.pass_(10)
    sent: list[int] = []
    turned_away: Queue[int] = Queue()

    def call(i: int) -> None:
        try:
            with guarded(processes[i % 4]) as attempt:
                sent.append(i)
                for _ in range(31):  # the probe lasts until everybody else was turned away
                    turned_away.get(timeout=5)
                attempt.answered(200)
        except Unavailable:
            turned_away.put(i)

    with ThreadPoolExecutor(32) as threads:
        list(threads.map(call, range(32)))

    assert len(sent) == 1
    assert not any(is_open(each) for each in processes)


def test_it_reopens_longer_each_time_up_to_30_s(clock: Stopwatch) -> None:
    """10, 20, 30, 30 s; after a success it begins at 10 again."""
    guarding = opened(clock)
    waits = []

    for _ in range(5):
        with pytest.raises(Unavailable) as refusal:
            works(guarding)
        waits.append(refusal.value.retry_after)
        clock.pass_(waits[-1])
        fails(guarding)
    clock.pass_(30)
    works(guarding)
    opened(clock, guarding)

    assert waits == [10, 20, 30, 30, 30]
    with pytest.raises(Unavailable) as refusal:
        works(guarding)
    assert refusal.value.retry_after == 10


def test_calls_under_way_when_it_opens_change_nothing_any_more(clock: Stopwatch) -> None:
    """Eight threads that time out together are one outage, not six."""
    guarding, together = process(clock), Barrier(8)

    def call(_: int) -> None:
        with guarded(guarding) as attempt:
            together.wait()  # all are inside: the breaker holds no lock while a call runs
            attempt.answered(503)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(call, range(8)))

    with pytest.raises(Unavailable) as refusal:
        works(guarding)
    assert refusal.value.retry_after == 10


def test_a_probe_that_tells_nothing_hands_on_its_lease(clock: Stopwatch) -> None:
    """L-45: a 429 neither closes nor reopens; the next call probes."""
    one, other = process(clock), process(clock)
    opened(clock, one)
    clock.pass_(10)

    answers(429)(one)
    assert is_open(one)
    works(other)

    assert not is_open(one)


def test_a_probe_that_never_reports_gives_way(clock: Stopwatch) -> None:
    """A process killed while probing must not keep the breaker open for ever."""
    one, other = process(clock), process(clock)
    opened(clock, one)
    clock.pass_(10)
    lost = guarded(one)
    lost.__enter__()

    with pytest.raises(Unavailable):
        works(other)
    clock.pass_(breaker_state.LEASE_S)
    works(other)

    assert not is_open(other)


def test_reads_and_writes_and_accounts_are_apart(clock: Stopwatch) -> None:
    """A slow booking says nothing about lists of slots."""
    opened(clock)

    works(process(clock, Kind.WRITES))
    works(make_breaker("cal_secret", 8, Kind.READS, scripts=clock.scripts()))


def test_without_redis_each_process_decides_for_itself(clock: Stopwatch) -> None:
    """Experiment 5: never an error of Redis; the same rules, the process's own clock."""
    scripts = Outage()
    guarding = make_breaker("cal_secret", 7, Kind.READS, scripts=scripts, monotonic=clock.monotonic)
    scripts.away = True

    works(guarding)
    opened(clock, guarding)
    waits = []
    for _ in range(3):
        with pytest.raises(Unavailable) as refusal:
            works(guarding)
        waits.append(refusal.value.retry_after)
        clock.pass_(waits[-1])
        fails(guarding)
    clock.pass_(30)
    answers(429)(guarding)
    works(guarding)

    assert waits == [10, 20, 30]
    assert not is_open(guarding)


def test_made_while_redis_is_away_it_works(clock: Stopwatch) -> None:
    """pybreaker's own storage raises in its constructor."""
    scripts = Outage()
    scripts.away = True

    works(make_breaker("cal_secret", 7, Kind.READS, scripts=scripts, monotonic=clock.monotonic))


@pytest.mark.parametrize("loss", ["away", "flushed"])
def test_an_open_breaker_is_not_forgotten_with_redis(clock: Stopwatch, loss: str) -> None:
    """Lost state means silently closed in pybreaker; whoever saw it open remembers."""
    scripts = Outage()
    guarding = make_breaker("cal_secret", 7, Kind.READS, scripts=scripts, monotonic=clock.monotonic)
    opened(clock, guarding)

    if loss == "away":
        scripts.away = True
    else:
        clock.flush_redis()

    with pytest.raises(Unavailable):
        works(guarding)
    clock.pass_(10)
    works(guarding)
    assert not is_open(guarding)


def test_share_of_failures_counts_without_redis_too(clock: Stopwatch) -> None:
    """The same rules."""
    scripts = Outage()
    guarding = make_breaker("cal_secret", 7, Kind.READS, scripts=scripts, monotonic=clock.monotonic)
    scripts.away = True

    for _ in range(10):
        works(guarding)
        fails(guarding)

    assert is_open(guarding)


def test_every_key_runs_out(clock: Stopwatch) -> None:
    """pybreaker's keys stay for ever."""
    guarding = opened(clock)
    clock.pass_(10)
    works(guarding)
    fails(guarding)

    assert all(redis_client().ttl(key) > 0 for key in redis_client().scan_iter() if key != b"tests:clock")


def test_staff_see_its_state_and_history_and_may_probe_at_once() -> None:
    """Issue 4, 6; on Redis's own clock."""
    mine = "cal_secret", 9, Kind.WRITES
    for _ in range(3):
        fails(breaker.breaker_for(*mine))
    open_state = breaker.state(*mine)

    assert breaker.probe_now(*mine)
    half_open = breaker.state(*mine)
    works(breaker.breaker_for(*mine))
    closed = breaker.state(*mine)

    assert open_state
    assert half_open
    assert closed
    assert (open_state.state, half_open.state, closed.state) == ("open", "half-open", "closed")
    assert 9 < open_state.wait_s <= 10
    assert [state for _, state in closed.history] == ["closed", "half-open", "open"]
    assert not breaker.probe_now(*mine)
