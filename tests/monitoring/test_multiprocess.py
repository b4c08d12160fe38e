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

from monitoring import multiprocess

ROOT = Path(__file__).resolve().parents[2]
# A process that counts `n` for each line it reads, and says so. "fork" has a child of its own count the same.
PROGRAM = """
import os, sys
from pathlib import Path
from monitoring import multiprocess
multiprocess.count_in(Path(sys.argv[1]))
from prometheus_client import Counter, Histogram
calls = Counter("calls_total", "Calls.", ["kind"], registry=multiprocess.COUNTED)
took = Histogram("took_seconds", "Time.", buckets=(1, 2), registry=multiprocess.COUNTED)
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
        samples = [sample for metric in multiprocess.collected() for sample in metric.samples]
        print({each.name + each.labels.get("le", ""): each.value for each in samples}, flush=True)
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
        assert any(line.strip() == expected for line in self.process.stdout)


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
    families = MultiProcessCollector(None, str(directory)).collect()
    return {each.name + each.labels.get("le", ""): each.value for family in families for each in family.samples}


def test_two_processes_are_added_up(start: Callable[[], Counting], tmp_path: Path) -> None:
    """Any process reports the sum: counters, and histograms by their edges."""
    web, worker = start(), start()

    web.count(1)
    worker.count(2)

    assert total(tmp_path) == {
        "calls_total": 3, "took_seconds_sum": 3, "took_seconds_count": 2,
        "took_seconds_bucket1.0": 1, "took_seconds_bucket2.0": 2, "took_seconds_bucket+Inf": 2,
    }  # fmt: skip


@pytest.mark.slow
def test_counts_of_a_killed_process_stay(start: Callable[[], Counting], tmp_path: Path) -> None:
    """A total that falls is an increase to Prometheus: it takes it for a restart from nothing."""
    web, worker = start(), start()
    web.count(1)
    worker.count(2)

    worker.kill()
    assert total(tmp_path)["calls_total"] == 3

    start().count(4)
    assert total(tmp_path)["calls_total"] == 7
    web.count(1)
    assert total(tmp_path)["calls_total"] == 8
    assert total(tmp_path)["took_seconds_count"] == 4


@pytest.mark.slow
def test_next_process_takes_the_slot_of_a_dead_one(start: Callable[[], Counting], tmp_path: Path) -> None:
    """Cron starts a command every few minutes, for months: files do not pile up."""
    living = start()
    living.count(1)
    for _ in range(3):
        command = start()
        command.count(1)
        command.end()
    start()

    assert sorted(path.name for path in tmp_path.glob("*.db")) == [
        "counter_0.db", "counter_1.db", "histogram_0.db", "histogram_1.db",
    ]  # fmt: skip
    assert total(tmp_path)["calls_total"] == 4
    assert total(tmp_path)["took_seconds_count"] == 4


def test_forked_child_counts_beside_its_parent(start: Callable[[], Counting], tmp_path: Path) -> None:
    """It inherits the parent's files and must not write into them: what it counted stays when it is gone."""
    parent = start()
    parent.count(1)

    parent.count(10, forked=True)
    parent.count(100)

    assert total(tmp_path)["calls_total"] == 111
    start().count(1000)
    assert total(tmp_path)["calls_total"] == 1111
    assert len(list(tmp_path.glob("counter_*.db"))) == 2


def test_living_processes_never_share_a_slot(start: Callable[[], Counting], tmp_path: Path) -> None:
    """In containers that share the directory process ids repeat, so a slot has a lock of its own."""
    first, second = start(), start()
    first.end()

    third = start()
    for each in (second, third):
        each.count(1)
        each.count(1)

    assert total(tmp_path)["calls_total"] == 4


@pytest.mark.slow
def test_torn_file_costs_only_its_own_counts(start: Callable[[], Counting], tmp_path: Path) -> None:
    """A machine that lost power leaves anything; the next process to start removes it."""
    web, torn = start(), start()
    web.count(1)
    torn.count(1)
    torn.kill()
    with (tmp_path / "counter_1.db").open("r+b") as file:
        file.seek(8)
        file.write(b"\xff" * 8)

    start().count(2)

    assert total(tmp_path)["calls_total"] == 3


@pytest.mark.slow
def test_without_a_directory_each_counts_for_itself(tmp_path: Path) -> None:
    """A wrong right in the file system must not keep the booking line from starting."""
    locked = tmp_path / "file"
    locked.write_text("not a directory")

    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(locked)],
        cwd=ROOT, input="count 1\nread 2\n", capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip

    assert "metrics.process_only" in process.stdout + process.stderr
    assert "'calls_total': 3.0" in process.stdout


def test_room_is_taken_beforehand(start: Callable[[], Counting], tmp_path: Path) -> None:
    """A file that grew on a full disk would kill its process in the middle of a booking."""
    start().count(1)

    sizes = {path.stat() for path in tmp_path.glob("*.db")}

    assert all(stat.S_ISREG(each.st_mode) and each.st_blocks * 512 >= multiprocess.FILE_SIZE for each in sizes)


def test_this_process_counts_with_others() -> None:
    """The tests themselves run as production does: in a directory, in a slot of their own."""
    assert multiprocess._Process.directory == Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    assert multiprocess._Process.slot
