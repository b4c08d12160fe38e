"""
The failpoints of our processes: between two steps of an operation, each of which is committed before the next begins.

Cal.com's own part, between arrival and effect and between effect and response, is held by the simulator.
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

from tests.chaos.failpoints.points import FOLDER, Role, Step, file_name

_current = threading.local()


class FailpointsConfig(AppConfig):
    """Halts this process at armed failpoints; changes nothing where no folder is named."""

    name = "tests.chaos.failpoints"

    def ready(self) -> None:
        """Wrap the functions before and after which an operation may be halted."""
        if FOLDER not in os.environ:
            return
        from bookings.scheduling import handlers  # noqa: PLC0415  models, which are loaded by now
        from bookings.scheduling.settling import OperationHandler  # noqa: PLC0415
        from calcom.service import CalcomService  # noqa: PLC0415

        role = Role.WORKER if Path(sys.argv[0]).parent.name == "celery" else Role.WEB
        folder = Path(os.environ[FOLDER])
        operations = {
            handlers.CreateHandler: "create",
            handlers.RescheduleHandler: "reschedule",
            handlers.CancelHandler: "cancel",
        }

        def enter(handler: Any) -> None:
            _current.handler = handler
            halt(Step.ENTERED)

        def halt(step: Step) -> None:
            handler = getattr(_current, "handler", None)
            if handler is not None:
                halt_while_armed(folder / file_name(role, operations[type(handler)], step, handler.start))

        OperationHandler.begin = _wrapped(OperationHandler.begin, before=enter)  # type: ignore[method-assign]
        for kind in operations:
            kind.execute = _wrapped(  # type: ignore[method-assign]
                kind.execute, before=lambda _handler: halt(Step.BEGUN), after=lambda: halt(Step.ANSWERED)
            )
        CalcomService.availability_changed = _wrapped(  # type: ignore[method-assign]
            CalcomService.availability_changed, before=lambda *_: halt(Step.COMMITTED)
        )


def _wrapped(
    work: Callable[..., Any], *, before: Callable[..., None], after: Callable[[], None] = lambda: None
) -> Callable[..., Any]:
    @wraps(work)
    def run(*args: Any) -> Any:
        before(*args)
        result = work(*args)
        after()
        return result

    return run


def halt_while_armed(file: Path) -> None:
    """Mark the failpoint as reached, and wait until it is disarmed; return at once if it is not armed."""
    if not file.exists():
        return
    file.with_suffix(".here").touch()
    while file.exists():
        time.sleep(0.01)
