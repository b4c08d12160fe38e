"""The process supervisor: children that die, hang or cannot start are named, and none outlives it."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from script.lib.processes import STOP_SIGNALS, HarnessError, Supervisor, choose_port, free_port

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_dead_child_is_named_with_the_end_of_its_log(tmp_path):
    """It ends a wait for others at once."""
    with Supervisor(tmp_path) as supervisor:
        supervisor.start("web", [sys.executable, "-c", "print('no such module'); raise SystemExit(3)"])

        with pytest.raises(HarnessError, match=r"“web” has died \(status 3\)") as caught:
            supervisor.wait_until(lambda: False, what="web did not answer", within=60)

    assert "no such module" in str(caught.value)


def test_wait_ends_when_its_time_is_up(tmp_path):
    with Supervisor(tmp_path) as supervisor:
        supervisor.start("web", SLEEPER)

        with pytest.raises(HarnessError, match="web did not answer within 0 s"):
            supervisor.wait_until(lambda: False, what="web did not answer", within=0.1)


def test_leaving_stops_all_children_after_an_error(tmp_path):
    supervisor = Supervisor(tmp_path)
    order = []

    def fail() -> None:
        with supervisor:
            supervisor.add_cleanup(lambda: order.append("database"))
            supervisor.start("web", SLEEPER)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert not supervisor.running
    assert order == ["database"]


def test_signal_handlers_are_restored(tmp_path):
    before = [signal.getsignal(number) for number in STOP_SIGNALS]

    with Supervisor(tmp_path):
        pass

    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


def test_child_that_ignores_term_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("script.lib.processes.STOP_TIMEOUT", 0.1)
    with Supervisor(tmp_path) as supervisor:
        child = supervisor.start("deaf", STUBBORN)
        supervisor.wait_until(lambda: "deaf" in child.log_tail(), what="no output", within=60)

    assert child.process.returncode == -signal.SIGKILL


def test_killed_child_is_restarted_as_it_was(tmp_path):
    """It is not expected to live meanwhile."""
    lives = [sys.executable, "-c", "import os, time; print('hello', os.environ['WHOM'], flush=True); time.sleep(60)"]
    with Supervisor(tmp_path) as supervisor:
        child = supervisor.start("greeter", lives, {"WHOM": "world"})
        supervisor.wait_until(lambda: "hello" in child.log_tail(), what="no output", within=60)

        supervisor.kill(child)
        supervisor.check()
        again = supervisor.restart(child)

        supervisor.wait_until(lambda: again.log_tail().count("hello world") == 2, what="no output", within=60)
        assert child.process.returncode == -signal.SIGKILL
        assert supervisor.child("greeter") is again

    assert not again.alive


def test_stopped_child_is_restarted(tmp_path):
    """Others go on meanwhile."""
    with Supervisor(tmp_path) as supervisor:
        other, child = supervisor.start("other", SLEEPER), supervisor.start("sleeper", SLEEPER)

        duration = supervisor.stop_child(child)
        supervisor.check()

        assert child.process.returncode == -signal.SIGTERM
        assert duration < 60
        assert other.alive
        assert supervisor.restart(child).alive


def test_paused_child_resumes_or_is_stopped(tmp_path):
    ticking = [sys.executable, "-c", "import time\nwhile True: print('tick', flush=True); time.sleep(0.01)"]
    with Supervisor(tmp_path) as supervisor:
        child = supervisor.start("clock", ticking)
        supervisor.wait_until(lambda: "tick" in child.log_tail(), what="no output", within=60)

        child.pause()
        said = state(child.process.pid), child.log.stat().st_size
        assert said[0] == "T"
        assert child.log.stat().st_size == said[1]

        child.resume()
        supervisor.wait_until(lambda: child.log.stat().st_size > said[1], what="no more output", within=60)
        child.pause()

    assert child.process.returncode == -signal.SIGTERM


def state(pid: int) -> str:
    """Return the state of a process by the letter that ps has for it, once it is no longer running."""
    until = time.monotonic() + 60
    while (letter := subprocess.check_output(["ps", "-o", "state=", "-p", str(pid)], text=True).strip()) in "RSD":
        assert time.monotonic() < until
    return letter


def test_child_that_dies_at_once_is_restarted_again(tmp_path):
    """What the dead one held is freed in a moment: PostgreSQL's shared memory, for instance."""
    stumbles = f"""
        import pathlib, time
        lives = pathlib.Path({str(tmp_path)!r}, "lives")
        lives.open("a").write("x")
        if lives.read_text() == "xx":
            raise SystemExit("still in use")
        print("up", flush=True)
        time.sleep(60)
    """
    with Supervisor(tmp_path) as supervisor:
        child = supervisor.start("server", [sys.executable, "-c", textwrap.dedent(stumbles)])
        supervisor.wait_until(lambda: "up" in child.log_tail(), what="no output", within=60)
        supervisor.kill(child)

        again = supervisor.restart_until_ready(child, lambda: child.log_tail().count("up") == 2, within=60)

        assert again.alive
        assert "still in use" in again.log_tail()
        supervisor.check()


def test_child_that_does_not_become_ready_is_named(tmp_path):
    with Supervisor(tmp_path) as supervisor:
        child = supervisor.start("server", SLEEPER)
        supervisor.kill(child)

        with pytest.raises(HarnessError, match="“server” was not ready within 0 s"):
            supervisor.restart_until_ready(child, lambda: False, within=0.1)


def test_port_in_use_is_reported(tmp_path):
    port = choose_port(0, option="--port")
    with Supervisor(tmp_path) as supervisor:
        supervisor.start("other", [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)])
        supervisor.wait_until(lambda: _is_taken(port), what="the other server did not start", within=60)

        with pytest.raises(HarnessError, match=rf"Port {port} cannot be used .* --port PORT"):
            choose_port(port, option="--port")


def _is_taken(port: int) -> bool:
    try:
        choose_port(port, option="--port")
    except HarnessError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_children_end_with_the_script(number, tmp_path):
    """Ctrl-C, TERM, a closed terminal, and even kill -9 of the script leave nothing running."""
    if number == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux tells children that their parent was killed")
    # A pytest that runs in the background of a shell ignores SIGINT, and so would the script.
    script = textwrap.dedent(f"""
        import signal
        from pathlib import Path
        from script.lib.processes import Supervisor
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with Supervisor(Path({str(tmp_path)!r})) as supervisor:
            print(supervisor.start("child", {SLEEPER!r}).process.pid, flush=True)
            supervisor.watch()
    """)
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=Path.cwd())
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())

    parent.send_signal(number)
    parent.wait(120)

    until = time.monotonic() + 60
    while is_running(pid) and time.monotonic() < until:
        os.sched_yield()
    assert not is_running(pid)
    parent.stdout.close()


def test_free_port_is_free():
    port = free_port()

    assert choose_port(port, option="--port") == port
