"""The circuit breaker of a service that one process watches for itself."""

import time

import pytest

from cachectl.infra.circuit_breaker import CircuitBreaker, CircuitOpen, Policy, ProcessStorage, process_breaker


class Clock:
    """A monotonic clock that moves when told."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Simulated time."""
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    """Return a breaker that one failure opens for a second."""
    policy = Policy(failures=1, open_s=(1.0,), probe_s=0.5)
    storage = ProcessStorage("redis", policy, monotonic=clock)
    return CircuitBreaker(storage, policy, failures=(OSError,), not_failures=(InterruptedError,), answers=(KeyError,))


def call(breaker: CircuitBreaker, error: Exception | None = None) -> None:
    """Call the service, which raises `error`."""
    if error is None:
        with breaker.guard():
            return
    with pytest.raises(type(error)), breaker.guard():
        raise error


def test_circuit_refuses_calls_for_a_second_after_a_failure(breaker: CircuitBreaker, clock: Clock) -> None:
    """Only the first call waits for a silent server."""
    call(breaker, OSError())
    clock.now += 0.9

    with pytest.raises(CircuitOpen) as refusal, breaker.guard():
        pytest.fail("sent")

    assert refusal.value.retry_after == pytest.approx(0.1)


def test_circuit_is_open_until_a_call_has_succeeded(breaker: CircuitBreaker, clock: Clock) -> None:
    """Also while the probe is under way."""
    call(breaker, OSError())
    clock.now += 1

    assert breaker.current_state == "open"
    with breaker.guard():
        assert breaker.current_state == "open"
        with pytest.raises(CircuitOpen), breaker.guard():
            pytest.fail("a second probe")

    assert breaker.current_state == "closed"


def test_circuit_opens_again_when_the_probe_fails(breaker: CircuitBreaker, clock: Clock) -> None:
    """For its whole time."""
    call(breaker, OSError())
    clock.now += 1
    call(breaker, OSError())

    with pytest.raises(CircuitOpen) as refusal, breaker.guard():
        pytest.fail("sent")

    assert refusal.value.retry_after == pytest.approx(1)


@pytest.mark.parametrize("error", [ValueError(), InterruptedError()])
def test_ignored_exception_neither_opens_nor_closes_the_circuit(
    breaker: CircuitBreaker, clock: Clock, error: Exception
) -> None:
    """A probe that says nothing of the service gives its lease back, and the next call probes."""
    call(breaker, error)
    assert breaker.current_state == "closed"
    call(breaker, OSError())
    clock.now += 1

    call(breaker, error)
    assert breaker.current_state == "open"

    call(breaker)
    assert breaker.current_state == "closed"


def test_answer_that_is_raised_closes_the_circuit(breaker: CircuitBreaker, clock: Clock) -> None:
    """A no is an answer."""
    call(breaker, OSError())
    clock.now += 1

    call(breaker, KeyError())

    assert breaker.current_state == "closed"


def test_probe_that_never_reports_is_given_up(breaker: CircuitBreaker, clock: Clock) -> None:
    """A thread that died with the lease does not keep the circuit open."""
    call(breaker, OSError())
    clock.now += 1
    lost = breaker.guard()
    lost.__enter__()

    clock.now += 0.5
    call(breaker)

    assert breaker.current_state == "closed"


def test_circuit_writes_a_line_for_each_opening_and_closing(caplog: pytest.LogCaptureFixture) -> None:
    """Failures of calls that were under way when it opened add none."""
    breaker = process_breaker("redis", failures=(OSError,), probe_s=0.5)

    def fail_together() -> None:
        with breaker.guard():
            call(breaker, OSError("second"))
            raise OSError("first")

    with pytest.raises(OSError, match="first"):
        fail_together()
    breaker.close()
    breaker.close()

    lines = [record.msg for record in caplog.records]
    assert [(line["event"], line["kind"], line["state"]) for line in lines] == [
        ("circuit_breaker.changed", "redis", "open"),
        ("circuit_breaker.changed", "redis", "closed"),
    ]
