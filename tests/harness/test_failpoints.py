"""Places to halt: who comes by stands still until it is let go, and nobody halts elsewhere."""

from datetime import UTC, datetime
from threading import Thread

import pytest

from tests.chaos.failpoints.apps import _wait_while_there
from tests.chaos.failpoints.files import Halts, Role, Step, name_of

NINE = datetime(2026, 11, 26, 9, tzinfo=UTC)


@pytest.fixture
def halts(tmp_path):
    """Halts in a folder of their own."""
    return Halts(tmp_path)


def test_who_comes_by_stands_still_until_it_is_let_go(halts, tmp_path):
    """The one who kills sees who stands, and who is missing."""
    halts.want(Role.WEB, "create", Step.BEGUN, NINE)
    halts.want(Role.WEB, "reschedule", Step.BEGUN, NINE)
    passer_by = Thread(target=_wait_while_there, args=(tmp_path / name_of("web", "create", "begun", NINE),))
    passer_by.start()

    while len(halts.missing) > 1:
        passer_by.join(0.01)
    assert halts.missing == ["web-reschedule-begun-20261126T0900"]
    assert passer_by.is_alive()

    halts.let_go()
    passer_by.join(10)
    assert not passer_by.is_alive()
    assert halts.missing == []


def test_nobody_halts_where_nobody_wants_it(halts, tmp_path):
    """Another step, another process, another time: they go on."""
    halts.want(Role.WEB, "create", Step.BEGUN, NINE)

    for other in (("worker", "create", "begun"), ("web", "cancel", "begun"), ("web", "create", "answered")):
        _wait_while_there(tmp_path / name_of(*other, NINE))
    assert len(halts.missing) == 1
