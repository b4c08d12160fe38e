"""Children of a script: started, waited for until they are ready, watched, and stopped in order whatever happens."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn, Self

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None

# Seconds a child has to stop by itself. A celery worker may finish what it does (CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT).
PATIENCE = 8.0


class StageError(Exception):
    """Something did not come up, or went down; the message is for a person and says what to do."""


@dataclass(frozen=True)
class Child:
    """A running program and where it writes."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    """On top of this process's own."""
    process: "subprocess.Popen[bytes]"
    log: Path
    stop_with: signal.Signals
    serves: bool
    """Whether the others need it until their end."""

    @property
    def alive(self) -> bool:
        """
        Return whether it still runs.

        While it does, Popen is not asked: Ctrl-C in the midst of `poll` would leave its lock taken, and whoever waits
        for the child then would wait for ever.
        """
        with suppress(ChildProcessError):  # it was waited for already
            if os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return True
        return self.process.poll() is None

    def last_words(self, lines: int = 12) -> str:
        """Return the end of its log, indented."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])

    def ask_to_stop(self) -> None:
        """Send it the signal on which it finishes what it does."""
        if self.alive:
            self.process.send_signal(self.stop_with)
            self.resume()  # who is paused hears nothing

    def pause(self) -> None:
        """Let it and its group hang: its connections stay open, and nobody answers on them."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on where it was paused."""
        os.killpg(self.process.pid, signal.SIGCONT)

    def finish(self) -> None:
        """Wait until it has stopped, but not for ever; nothing of its group stays."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE)
        self.kill()

    def kill(self) -> None:
        """End it and its group with kill -9: whatever it was doing stays undone."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # it leads its group; gunicorn's workers are in it
        self.process.wait()


class Stage:
    """
    A context in which programs run. Leaving it, on whatever way, stops all of them, the servers last.

    Ctrl-C reaches only this process, so that it decides who stops when. TERM and HUP are treated like Ctrl-C.
    """

    def __init__(self, logs: Path) -> None:
        """Write logs to the directory `logs`, one file per child."""
        self._logs = logs
        self._children: list[Child] = []
        self._endings: list[Callable[[], object]] = []

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        self._handlers = {number: signal.getsignal(number) for number in ENDINGS}
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _leave)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in ENDINGS:
            signal.signal(number, signal.SIG_IGN)  # whoever is impatient now would leave something running
        self.stop()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def stop(self) -> None:
        """Stop everybody, and call the endings."""
        for wave in (False, True):
            leaving = [child for child in self._children if child.serves is wave]
            for child in leaving:
                child.ask_to_stop()
            for child in leaving:
                child.finish()
        self._children.clear()
        while self._endings:
            self._endings.pop()()

    def start(
        self,
        name: str,
        command: Sequence[str],
        environ: Mapping[str, str] | None = None,
        *,
        stop_with: signal.Signals = signal.SIGTERM,
        serves: bool = False,
    ) -> Child:
        """Start a program; `environ` comes on top of this process's environment. Those that serve are stopped last."""
        log = self._logs / f"{name}.log"
        log.write_bytes(b"")
        environ = environ or {}
        child = Child(name, command, environ, _launch(command, environ, log), log, stop_with, serves)
        self._children.append(child)
        return child

    def kill(self, child: Child) -> None:
        """End a child with kill -9; from now on nobody expects it to live."""
        self._children.remove(child)
        child.kill()

    def end(self, child: Child) -> float:
        """Ask one child to stop, wait until it has, and return the seconds that took; nobody misses it from now on."""
        self._children.remove(child)
        began = time.monotonic()
        child.ask_to_stop()
        child.finish()
        return time.monotonic() - began

    def start_again(self, child: Child) -> Child:
        """
        Start a child that is gone as it was started before; its log goes on.

        Call it in the thread in which the stage lives: on Linux children end with the thread that started them.
        """
        again = replace(child, process=_launch(child.command, child.environ, child.log))
        self._children.append(again)
        return again

    def bring_back(self, child: Child, ready: Callable[[], bool], *, within: float) -> Child:
        """
        Start a child that was killed once more, and wait until it is ready.

        One that dies at once is started again: what the dead one held, memory for instance, is let go in a moment.

        Raises:
            StageError: it was not ready `within` seconds.
        """
        until = time.monotonic() + within
        again = self.start_again(child)
        while not (again.alive and ready()):
            if time.monotonic() > until:
                said = again.last_words()
                raise StageError(f"“{child.name}” was not back within {within:.0f} s. The end of {child.log}:\n{said}")
            time.sleep(0.05)
            if not again.alive:
                self._children.remove(again)
                again = self.start_again(again)
        return again

    def child(self, name: str) -> Child:
        """Return the child of this name."""
        return next(child for child in self._children if child.name == name)

    @property
    def running(self) -> list[str]:
        """Return the names of the children that run."""
        return [child.name for child in self._children if child.alive]

    def finally_call(self, ending: Callable[[], object]) -> None:
        """Have `ending` called when all children have stopped."""
        self._endings.append(ending)

    def check(self) -> None:
        """
        See whether everybody is alive.

        Raises:
            StageError: a child has died; the message carries its last words.
        """
        for child in self._children:
            if not child.alive:
                status = child.process.returncode
                raise StageError(
                    f"“{child.name}” has died (status {status}). The end of {child.log}:\n{child.last_words()}"
                )

    def wait_until(self, ready: Callable[[], bool], *, what: str, within: float) -> None:
        """
        Wait until `ready()`, while all children live.

        Raises:
            StageError: a child died, or `within` seconds have passed.
        """
        until = time.monotonic() + within
        while not ready():
            self.check()
            if time.monotonic() > until:
                raise StageError(f"{what} within {within:.0f} s. The logs are in {self._logs}.")
            time.sleep(0.05)

    def watch(self) -> NoReturn:
        """Stay until Ctrl-C, or until a child dies (`StageError`)."""
        while True:
            self.check()
            time.sleep(0.5)


def answers(port: int) -> bool:
    """Return whether somebody on this machine accepts connections on `port`."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a loopback port that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def claim_port(port: int, *, option: str) -> int:
    """
    Return `port` if nobody uses it; 0 stands for any free one.

    A look beforehand is needed because of --reuse-port: a second server would silently share the port of the first.

    Raises:
        StageError: it is in use.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what lingers from the last run is no one
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as exc:
            reason = getattr(exc, "strerror", exc)
            raise StageError(
                f"Port {port} cannot be used ({reason}). Stop what uses it, or choose another: {option} PORT."
            ) from exc
        return int(probe.getsockname()[1])


def _launch(command: Sequence[str], environ: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as out:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environ},
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  nothing runs in a thread while children are started
        )


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _die_with_parent() -> None:
    """Ask Linux to end this child when its parent is killed in a way that no parent can answer."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
