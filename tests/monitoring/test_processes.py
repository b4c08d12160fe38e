"""Several real processes count together in one directory, and nothing that was counted is lost or counted twice."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.multiprocess import MultiProcessCollector

from monitoring import processes

ROOT = Path(__file__).resolve().parents[2]
# A process that counts `n` for each line it reads, and says so. "fork" has a child of its own count the same.
PROGRAM = """
import os, sys
from pathlib import Path
from monitoring import processes
processes.count_in(Path(sys.argv[1]))
from prometheus_client import Counter, Histogram
calls = Counter("calls_total", "Calls.", ["kind"], registry=processes.COUNTED)
took = Histogram("took_seconds", "Time.", buckets=(1, 2), registry=processes.COUNTED)
print("ready", flush=True)
for line in sys.stdin:
    word, _, n = line.strip().partition(" ")
    child = os.fork() if word == "fork" else 0
    if child:
        os.waitpid(child, 0)
    else:
        calls.labels("a").inc(int(n))
        took.observe(int(n))
        if word == "fork":
            os._exit(0)
    if word == "read":
        print({s.name + s.labels.get("le", ""): s.value for m in processes.collected() for s in m.samples}, flush=True)
    else:
        print("done", flush=True)
"""


class Counting:
    """One such process."""

    def __init__(self, directory: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(directory)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._hear("ready")

    def count(self, n: int, *, forked: bool = False) -> None:
        """Count, in a child of its own if `forked`."""
        self._say(f"{'fork' if forked else 'count'} {n}")
        self._hear("done")

    def kill(self) -> None:
        """End it with kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.end()

    def end(self) -> None:
        """Let it come to its end."""
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()

    def _say(self, line: str) -> None:
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def _hear(self, expected: str) -> None:
        assert self.process.stdout.readline().strip() == expected


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Counting]]:
    """Start a process that counts in a directory of the test."""
    started: list[Counting] = []

    def one() -> Counting:
        started.append(Counting(tmp_path))
        return started[-1]

    yield one
    for each in started:
        if each.process.poll() is None:
            each.kill()


def total(directory: Path) -> dict[str, float]:
    """Return what is told of the directory, by name and edge."""
    with processes._locked(directory, processes.fcntl.LOCK_SH):
        families = list(MultiProcessCollector(None, str(directory)).collect())
    return {each.name + each.labels.get("le", ""): each.value for family in families for each in family.samples}


def test_two_processes_are_added_up(start: Callable[[], Counting], tmp_path: Path) -> None:
    """Whoever is asked tells of all: counters, and histograms by their edges."""
    web, worker = start(), start()

    web.count(1)
    worker.count(2)

    assert total(tmp_path) == {
        "calls_total": 3, "took_seconds_sum": 3, "took_seconds_count": 2,
        "took_seconds_bucket1.0": 1, "took_seconds_bucket2.0": 2, "took_seconds_bucket+Inf": 2,
    }  # fmt: skip


@pytest.mark.slow
def test_what_a_killed_process_counted_stays(start: Callable[[], Counting], tmp_path: Path) -> None:
    """A total that falls is an increase to Prometheus: it takes it for a restart from nothing."""
    web, worker = start(), start()
    web.count(1)
    worker.count(2)

    worker.kill()
    assert total(tmp_path)["calls_total"] == 3

    processes.tidy(tmp_path)  # as gunicorn's master does
    assert total(tmp_path)["calls_total"] == 3
    web.count(1)
    assert total(tmp_path)["calls_total"] == 4


@pytest.mark.slow
def test_the_dead_leave_no_files(start: Callable[[], Counting], tmp_path: Path) -> None:
    """Cron starts a command every few minutes, for months: whoever starts next tidies up after it."""
    living = start()
    living.count(1)
    for _ in range(3):
        command = start()
        command.count(1)
        command.end()
    start()

    names = sorted(path.name.partition("_")[0] for path in tmp_path.glob("*.db"))
    assert names == ["counter"] * 3 + ["histogram"] * 3  # of the past, and of two that live
    assert len(list(tmp_path.glob("*.alive"))) == 2
    assert total(tmp_path)["calls_total"] == 4
    assert total(tmp_path)["took_seconds_count"] == 4


def test_a_forked_child_counts_beside_its_parent(start: Callable[[], Counting], tmp_path: Path) -> None:
    """It inherits the parent's files and must not write into them: what it counted stays when it is gone."""
    parent = start()
    parent.count(1)

    parent.count(10, forked=True)
    parent.count(100)

    assert total(tmp_path)["calls_total"] == 111
    processes.tidy(tmp_path)
    assert total(tmp_path)["calls_total"] == 111
    assert len(list(tmp_path.glob("*.alive"))) == 1


def test_names_repeat_for_nobody(start: Callable[[], Counting], tmp_path: Path) -> None:
    """In containers that share the directory process ids repeat, so the id alone is no name."""
    first = start()

    marks = {path.stem for path in tmp_path.glob("*.alive")}

    (mark,) = marks
    assert mark.startswith(f"{first.process.pid}-")
    assert len(mark) == len(f"{first.process.pid}-") + 8


@pytest.mark.slow
def test_a_file_that_was_torn_costs_only_itself(start: Callable[[], Counting], tmp_path: Path) -> None:
    """A machine that lost power leaves anything."""
    web, torn = start(), start()
    web.count(1)
    torn.count(1)
    torn.kill()
    (path,) = tmp_path.glob(f"counter_{torn.process.pid}-*.db")
    with path.open("r+b") as file:
        file.seek(8)
        file.write(b"\xff" * 8)

    processes.tidy(tmp_path)

    assert not path.exists()
    assert total(tmp_path)["calls_total"] == 1


@pytest.mark.slow
def test_without_a_directory_each_counts_for_itself(tmp_path: Path) -> None:
    """A wrong right in the file system must not keep the booking line from starting."""
    locked = tmp_path / "file"
    locked.write_text("not a directory")

    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(locked)],
        cwd=ROOT, input="count 1\nread 2\n", capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip

    assert "metrics of this process only" in process.stdout + process.stderr
    assert "'calls_total': 3.0" in process.stdout


def test_room_is_taken_beforehand(start: Callable[[], Counting], tmp_path: Path) -> None:
    """A file that grew on a full disk would kill its process in the middle of a booking."""
    start().count(1)

    sizes = {path.stat() for path in tmp_path.glob("*.db")}

    assert all(stat.S_ISREG(each.st_mode) and each.st_blocks * 512 >= processes.ROOM for each in sizes)


def test_this_process_counts_with_others() -> None:
    """The tests themselves run as production does: in a directory, under a name of their own."""
    assert processes._Me.directory == Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    assert processes._Me.name.startswith(f"{os.getpid()}-")
