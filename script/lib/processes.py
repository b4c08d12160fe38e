"""A process supervisor: starts children, waits until they are ready, and stops all of them whatever happens."""

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
from types import FrameType
from typing import NoReturn, Self

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None

# Seconds a child has to stop by itself. A celery worker may finish what it does (CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT).
STOP_TIMEOUT = 8.0


class HarnessError(Exception):
    """Something did not start, or failed in a way that no measurement covers; the message says what to do."""


@dataclass(frozen=True)
class Child:
    """A running program and its log."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    """On top of this process's own."""
    process: "subprocess.Popen[bytes]"
    log: Path
    stop_with: signal.Signals
    is_server: bool
    """Whether the others need it until their end."""

    @property
    def alive(self) -> bool:
        """
        Return whether it still runs.

        While it does, Popen is not asked: Ctrl-C in the midst of `poll` would leave its lock taken, and a later `wait`
        for the child would never return.
        """
        with suppress(ChildProcessError):  # it was waited for already
            if os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return True
        return self.process.poll() is None

    def log_tail(self, lines: int = 12) -> str:
        """Return the end of its log, indented."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])

    def terminate(self) -> None:
        """Send it the signal on which it finishes what it does."""
        if self.alive:
            self.process.send_signal(self.stop_with)
            self.resume()  # a paused process handles no signal

    def pause(self) -> None:
        """Stop it and its group: its connections stay open without an answer."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Continue after `pause`."""
        os.killpg(self.process.pid, signal.SIGCONT)

    def wait_or_kill(self) -> None:
        """Wait `STOP_TIMEOUT` seconds until it has stopped; nothing of its group stays."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_TIMEOUT)
        self.kill()

    def kill(self) -> None:
        """End it and its group with kill -9."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # it leads its group; gunicorn's workers are in it
        self.process.wait()


class Supervisor:
    """
    A context in which programs run. Leaving it, on whatever way, stops all of them, the servers last.

    Ctrl-C reaches only this process, so that it decides the order. TERM and HUP are treated like Ctrl-C.
    """

    def __init__(self, logs: Path) -> None:
        """Write logs to the directory `logs`, one file per child."""
        self._logs = logs
        self._children: list[Child] = []
        self._cleanups: list[Callable[[], object]] = []

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        self._handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _leave)
        return self

    def __exit__(self, *_error: object) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C would leave something running
        self.stop()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def stop(self) -> None:
        """Stop all children, and run the clean-ups."""
        for servers in (False, True):
            leaving = [child for child in self._children if child.is_server is servers]
            for child in leaving:
                child.terminate()
            for child in leaving:
                child.wait_or_kill()
        self._children.clear()
        while self._cleanups:
            self._cleanups.pop()()

    def start(
        self,
        name: str,
        command: Sequence[str],
        environ: Mapping[str, str] | None = None,
        *,
        stop_with: signal.Signals = signal.SIGTERM,
        is_server: bool = False,
    ) -> Child:
        """Start a program; `environ` comes on top of this process's environment. Servers are stopped last."""
        log = self._logs / f"{name}.log"
        log.write_bytes(b"")
        environ = environ or {}
        child = Child(name, command, environ, _launch(command, environ, log), log, stop_with, is_server)
        self._children.append(child)
        return child

    def kill(self, child: Child) -> None:
        """End a child with kill -9; `check` does not expect it any more."""
        self._children.remove(child)
        child.kill()

    def stop_child(self, child: Child) -> float:
        """Stop one child in its own way; return the seconds that took. `check` does not expect it any more."""
        self._children.remove(child)
        began = time.monotonic()
        child.terminate()
        child.wait_or_kill()
        return time.monotonic() - began

    def restart(self, child: Child) -> Child:
        """
        Start a child that is gone as it was started before; its log goes on.

        Call it in the thread in which the supervisor lives: on Linux children end with the thread that started them.
        """
        again = replace(child, process=_launch(child.command, child.environ, child.log))
        self._children.append(again)
        return again

    def restart_until_ready(self, child: Child, ready: Callable[[], bool], *, within: float) -> Child:
        """
        Start a child that was killed, and wait until it is ready.

        One that dies at once is started again: what the dead one held, memory for instance, is freed in a moment.

        Raises:
            HarnessError: it was not ready `within` seconds.
        """
        until = time.monotonic() + within
        again = self.restart(child)
        while not (again.alive and ready()):
            if time.monotonic() > until:
                raise HarnessError(f"“{child.name}” was not ready within {within:.0f} s. {_end_of_log(again)}")
            time.sleep(0.05)
            if not again.alive:
                self._children.remove(again)
                again = self.restart(again)
        return again

    def child(self, name: str) -> Child:
        """Return the child of this name."""
        return next(child for child in self._children if child.name == name)

    @property
    def running(self) -> list[str]:
        """Return the names of the children that run."""
        return [child.name for child in self._children if child.alive]

    def add_cleanup(self, cleanup: Callable[[], object]) -> None:
        """Have `cleanup` called when all children have stopped, the last one first."""
        self._cleanups.append(cleanup)

    def check(self) -> None:
        """
        Do nothing if all children live.

        Raises:
            HarnessError: a child has died; the message carries the end of its log.
        """
        for child in self._children:
            if not child.alive:
                status = child.process.returncode
                raise HarnessError(f"“{child.name}” has died (status {status}). {_end_of_log(child)}")

    def wait_until(self, ready: Callable[[], bool], *, what: str, within: float) -> None:
        """
        Wait until `ready()`, while all children live.

        Raises:
            HarnessError: a child died, or `within` seconds have passed.
        """
        until = time.monotonic() + within
        while not ready():
            self.check()
            if time.monotonic() > until:
                raise HarnessError(f"{what} within {within:.0f} s. The logs are in {self._logs}.")
            time.sleep(0.05)

    def watch(self) -> NoReturn:
        """Stay until Ctrl-C, or until a child dies (`HarnessError`)."""
        while True:
            self.check()
            time.sleep(0.5)


def is_listening(port: int) -> bool:
    """Return whether a process of this machine accepts connections on `port`."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a loopback port that is free right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def choose_port(port: int, *, option: str) -> int:
    """
    Return `port` if it is free; 0 stands for any.

    Because of --reuse-port a second server would silently share the port of the first.

    Raises:
        HarnessError: it is in use.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the last run may linger
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as exc:
            reason = getattr(exc, "strerror", exc)
            raise HarnessError(
                f"Port {port} cannot be used ({reason}). Stop what uses it, or choose another: {option} PORT."
            ) from exc
        return int(probe.getsockname()[1])


def _end_of_log(child: Child) -> str:
    return f"The end of {child.log}:\n{child.log_tail()}"


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
    """Ask Linux to end this child when its parent is killed with kill -9."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
