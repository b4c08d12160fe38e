"""A server that did not answer is left alone for a moment: the first to notice pays, the others do not."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger(__name__)

# Seconds for which a process leaves a server alone that did not answer.
SECONDS = 1.0


class Rest:
    """Until when a process leaves one server alone, on the monotonic clock."""

    def __init__(
        self, server: str, *, failures: tuple[type[Exception], ...], refusal: Callable[[str], Exception]
    ) -> None:
        """
        Watch over one server.

        Args:
            server: its name, for the logs.
            failures: what is raised where it does not answer. Whatever else is raised is an answer.
            refusal: makes what is raised instead of asking it.
        """
        self._server = server
        self._failures = failures
        self._refusal = refusal
        self.until = 0.0

    @contextmanager
    def kept(self, longest: float) -> Iterator[None]:
        """Refuse while it lasts; after it let one find out, for `longest` seconds, while others go without."""
        now = time.monotonic()
        if now < self.until:
            raise self._refusal("It did not answer a moment ago, and was not asked again.")
        if self.until:
            self.until = now + longest
        try:
            yield
        except self._failures as exc:
            self.until = time.monotonic() + SECONDS
            log.warning("left alone", kind=self._server, error_type=type(exc).__name__)
            raise
        except Exception:
            self.until = 0.0  # a no is an answer
            raise
        self.until = 0.0
