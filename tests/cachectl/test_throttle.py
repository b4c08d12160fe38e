"""Throttles count over all processes, each subject for itself, and in bounded memory while Redis is away."""

import pytest

from cachectl.infra import throttle
from cachectl.infra.throttle import Throttle
from tests.monitoring import samples


@pytest.fixture(params=["redis", "memory"])
def two_a_day(request: pytest.FixtureRequest, settings) -> Throttle:
    """A throttle while Redis answers, and while it is away."""
    if request.param == "memory":
        settings.REDIS_URL = "redis://127.0.0.1:1/0"
    return Throttle("test", "2/day")


def test_throttle_counts_hits_of_a_subject(two_a_day: Throttle) -> None:
    """The third of two is above the rate."""
    assert [two_a_day.hit("anna") for _ in range(3)] == [1, 2, 3]


def test_throttle_waits_for_the_window_of_a_subject_above_the_rate(two_a_day: Throttle) -> None:
    """Asking counts nothing."""
    waits = []
    for _ in range(3):
        waits.append(two_a_day.wait("anna"))
        two_a_day.hit("anna")

    assert waits[:2] == [0, 0]
    assert 86_000 < waits[2] <= 86_400


def test_throttle_counts_subjects_apart(two_a_day: Throttle) -> None:
    """One busy subject is no reason to refuse another."""
    for _ in range(3):
        two_a_day.hit("anna")

    assert two_a_day.wait("anna") > 0
    assert two_a_day.wait("ben") == 0
    assert two_a_day.hit("ben") == 1


def test_throttle_is_shared_by_all_processes() -> None:
    """What one counted, the next one knows."""
    Throttle("test", "2/day").hit("anna")
    throttle.reset_memory()

    assert Throttle("test", "2/day").hit("anna") == 2


def test_throttle_memory_is_bounded_while_redis_is_away(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests from everywhere fill no memory."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(throttle, "MAX_SUBJECTS", 10)
    limit = Throttle("test", "2/day")

    counts = [limit.hit(f"192.0.2.{number % 11}") for number in range(100)]

    assert max(counts) == 1  # of eleven subjects in a row, memory of ten never holds the one that comes again


def test_answers_within_a_process_share_are_counted_while_redis_is_away(settings) -> None:
    """An alert stands on it (docs/adr/0024)."""
    Throttle("test", "2/day").hit("anna")
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    with samples.growth() as grown:
        Throttle("test", "2/day").hit("anna")

    assert grown['slotline_redis_fallbacks_total{feature="throttle"}'] == 1


def test_throttle_refuses_a_rate_that_is_none() -> None:
    """The notation is that of `limits`."""
    with pytest.raises(ValueError, match="fortnight"):
        Throttle("test", "2/fortnight")
