"""Failpoints: a process halts where one is armed until it is disarmed, and nowhere else."""

from datetime import UTC, datetime
from threading import Thread

from tests.chaos.failpoints.apps import halt_while_armed
from tests.chaos.failpoints.points import Failpoints, Role, Step, file_name

NINE = datetime(2026, 11, 26, 9, tzinfo=UTC)


def test_armed_failpoint_halts_until_it_is_disarmed(tmp_path):
    failpoints = Failpoints(tmp_path)
    failpoints.arm(Role.WEB, "create", Step.BEGUN, NINE)
    failpoints.arm(Role.WEB, "reschedule", Step.BEGUN, NINE)
    halted = Thread(target=halt_while_armed, args=(tmp_path / file_name("web", "create", "begun", NINE),))
    halted.start()

    while len(failpoints.missing) > 1:
        halted.join(0.01)
    assert failpoints.missing == ["web-reschedule-begun-20261126T0900"]
    assert halted.is_alive()

    failpoints.resume()
    halted.join(60)
    assert not halted.is_alive()
    assert failpoints.missing == []


def test_other_failpoints_do_not_halt(tmp_path):
    """Another step, another process, another operation."""
    failpoints = Failpoints(tmp_path)
    failpoints.arm(Role.WEB, "create", Step.BEGUN, NINE)

    for other in (("worker", "create", "begun"), ("web", "cancel", "begun"), ("web", "create", "answered")):
        halt_while_armed(tmp_path / file_name(*other, NINE))
    assert len(failpoints.missing) == 1
