"""The supervisor of the scripts: children that die, hang or cannot start are named, and nothing outlives it."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from script.lib.processes import ENDINGS, Stage, StageError, claim_port, free_port

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


def test_dead_child_is_named_with_its_last_words(tmp_path):
    """A child that dies while others are waited for ends the wait at once, and says what it said."""
    with Stage(tmp_path) as stage:
        stage.start("web", [sys.executable, "-c", "print('no such module'); raise SystemExit(3)"])

        with pytest.raises(StageError, match=r"“web” has died \(status 3\)") as caught:
            stage.wait_until(lambda: False, what="web did not answer", within=20)

    assert "no such module" in str(caught.value)


def test_wait_ends_when_its_time_is_up(tmp_path):
    """A child that lives but never gets ready does not hang the script."""
    with Stage(tmp_path) as stage:
        stage.start("web", SLEEPER)

        with pytest.raises(StageError, match="web did not answer within 0 s"):
            stage.wait_until(lambda: False, what="web did not answer", within=0.1)


def test_leaving_stops_everybody_whatever_happened(tmp_path):
    """Also when the script itself fails: the error goes on, the children do not."""
    stage = Stage(tmp_path)
    order = []

    def fail_on_stage() -> None:
        with stage:
            stage.finally_call(lambda: order.append("database"))
            stage.start("web", SLEEPER)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_on_stage()

    assert not stage.running
    assert order == ["database"]


def test_signals_mean_afterwards_what_they_meant_before(tmp_path):
    """A stage that has been left does not keep Ctrl-C from whatever the process does next."""
    before = [signal.getsignal(number) for number in ENDINGS]

    with Stage(tmp_path):
        pass

    assert [signal.getsignal(number) for number in ENDINGS] == before


def test_child_that_ignores_term_is_killed(tmp_path, monkeypatch):
    """A child that does not listen may not keep the script from ending."""
    monkeypatch.setattr("script.lib.processes.PATIENCE", 0.1)
    with Stage(tmp_path) as stage:
        child = stage.start("deaf", STUBBORN)
        stage.wait_until(lambda: "deaf" in child.last_words(), what="the child said nothing", within=20)

    assert child.process.returncode == -signal.SIGKILL


def test_child_that_was_killed_starts_again_as_it_was(tmp_path):
    """kill -9 ends a child and its group, nobody misses it, and what starts again is the same program."""
    lives = [sys.executable, "-c", "import os, time; print('hello', os.environ['WHOM'], flush=True); time.sleep(60)"]
    with Stage(tmp_path) as stage:
        child = stage.start("greeter", lives, {"WHOM": "world"})
        stage.wait_until(lambda: "hello" in child.last_words(), what="the child said nothing", within=20)

        stage.kill(child)
        stage.check()
        again = stage.start_again(child)

        stage.wait_until(lambda: again.last_words().count("hello world") == 2, what="it said nothing", within=20)
        assert child.process.returncode == -signal.SIGKILL
        assert stage.child("greeter") is again

    assert not again.alive


def test_child_that_was_asked_to_stop_starts_again(tmp_path):
    """One child ends in its own way while the others go on, and nobody misses it."""
    with Stage(tmp_path) as stage:
        other, child = stage.start("other", SLEEPER), stage.start("sleeper", SLEEPER)

        took = stage.end(child)
        stage.check()

        assert child.process.returncode == -signal.SIGTERM
        assert took < 5
        assert other.alive
        assert stage.start_again(child).alive


def test_paused_child_goes_on_or_is_stopped_all_the_same(tmp_path):
    """A program that hangs is neither dead nor answers; and it may not keep the script from ending."""
    ticking = [sys.executable, "-c", "import time\nwhile True: print('tick', flush=True); time.sleep(0.01)"]
    with Stage(tmp_path) as stage:
        child = stage.start("clock", ticking)
        stage.wait_until(lambda: "tick" in child.last_words(), what="it said nothing", within=20)

        child.pause()
        said = state(child.process.pid), child.log.stat().st_size
        assert said[0] == "T"
        assert child.log.stat().st_size == said[1]

        child.resume()
        stage.wait_until(lambda: child.log.stat().st_size > said[1], what="it said no more", within=20)
        child.pause()

    assert child.process.returncode == -signal.SIGTERM


def state(pid: int) -> str:
    """Return the state of a process by the letter that ps has for it, once it is no longer running."""
    until = time.monotonic() + 20
    while (letter := subprocess.check_output(["ps", "-o", "state=", "-p", str(pid)], text=True).strip()) in "RSD":
        assert time.monotonic() < until
    return letter


def test_child_that_cannot_come_back_at_once_comes_back_later(tmp_path):
    """What the dead one held is let go in a moment: PostgreSQL's shared memory, for instance."""
    stumbles = f"""
        import pathlib, time
        lives = pathlib.Path({str(tmp_path)!r}, "lives")
        lives.open("a").write("x")
        if lives.read_text() == "xx":
            raise SystemExit("still in use")
        print("up", flush=True)
        time.sleep(60)
    """
    with Stage(tmp_path) as stage:
        child = stage.start("server", [sys.executable, "-c", textwrap.dedent(stumbles)])
        stage.wait_until(lambda: "up" in child.last_words(), what="it said nothing", within=20)
        stage.kill(child)

        again = stage.bring_back(child, lambda: child.last_words().count("up") == 2, within=20)

        assert again.alive
        assert "still in use" in again.last_words()
        stage.check()


def test_child_that_does_not_come_back_is_named(tmp_path):
    """The wait for it ends, and says what it said."""
    with Stage(tmp_path) as stage:
        child = stage.start("server", SLEEPER)
        stage.kill(child)

        with pytest.raises(StageError, match="“server” was not back within 0 s"):
            stage.bring_back(child, lambda: False, within=0.1)


def test_port_in_use_is_said(tmp_path):
    """A second server may not share the port of the first without anybody noticing."""
    port = claim_port(0, option="--port")
    with Stage(tmp_path) as stage:
        stage.start("other", [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)])
        stage.wait_until(lambda: _is_taken(port), what="the other server did not start", within=20)

        with pytest.raises(StageError, match=rf"Port {port} cannot be used .* --port PORT"):
            claim_port(port, option="--port")


def _is_taken(port: int) -> bool:
    try:
        claim_port(port, option="--port")
    except StageError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_children_end_with_the_script(number, tmp_path):
    """Ctrl-C, TERM, a closed terminal, and even kill -9 of the script leave nothing running."""
    if number == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux tells children that their parent was killed")
    script = textwrap.dedent(f"""
        from pathlib import Path
        from script.lib.processes import Stage
        with Stage(Path({str(tmp_path)!r})) as stage:
            print(stage.start("child", {SLEEPER!r}).process.pid, flush=True)
            stage.watch()
    """)
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=Path.cwd())
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())

    parent.send_signal(number)
    parent.wait(20)

    until = time.monotonic() + 20
    while is_running(pid) and time.monotonic() < until:
        os.sched_yield()
    assert not is_running(pid)
    parent.stdout.close()


def test_free_port_is_free():
    """What is offered as free can be claimed."""
    port = free_port()

    assert claim_port(port, option="--port") == port
