"""
The places: between two steps of a change, each of which is committed before the next one begins.

Cal.com's own part of the way, between arrival and effect and between effect and answer, is held at the simulator.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from django.apps import AppConfig

from tests.chaos.failpoints.files import HALTS, Role, Step, name_of

PAUSE = 0.01
_taken_up = threading.local()


class Halting(AppConfig):
    """Halts this process where a file says so; without the folder of these files it changes nothing."""

    name = "tests.chaos.failpoints"

    def ready(self) -> None:
        """Put a place to halt before and after each step that is a function."""
        if HALTS not in os.environ:
            return
        from bookings.scheduling import handlers, settling  # noqa: PLC0415  models, which are there only now
        from calcom.service import CalcomService  # noqa: PLC0415

        role = Role.WORKER if Path(sys.argv[0]).parent.name == "celery" else Role.WEB
        place = Path(os.environ[HALTS])

        def halt(step: Step) -> None:
            handler = getattr(_taken_up, "case", None)
            if handler is not None:
                _wait_while_there(place / name_of(role, handler.change.operation, step, handler.start))

        settling.begin = _halting(settling.begin, before=lambda handler: halt(_take_up(handler)))
        for kind in (handlers.CreateHandler, handlers.RescheduleHandler, handlers.CancelHandler):
            kind.ask = _halting(  # type: ignore[method-assign]
                kind.ask, before=lambda _case: halt(Step.BEGUN), after=lambda: halt(Step.ANSWERED)
            )
        CalcomService.availability_changed = _halting(  # type: ignore[method-assign]
            CalcomService.availability_changed, before=lambda *_: halt(Step.COMMITTED)
        )


def _take_up(handler: Any) -> Step:
    """Remember whose steps this thread goes from now on."""
    _taken_up.handler = handler
    return Step.ENTERED


def _halting(
    work: Callable[..., Any], *, before: Callable[..., None], after: Callable[[], None] = lambda: None
) -> Callable[..., Any]:
    @wraps(work)
    def halting(*args: Any) -> Any:
        before(*args)
        result = work(*args)
        after()
        return result

    return halting


def _wait_while_there(file: Path) -> None:
    if not file.exists():
        return
    file.with_suffix(".here").touch()
    while file.exists():
        time.sleep(PAUSE)
