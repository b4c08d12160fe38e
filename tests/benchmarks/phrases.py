"""How long it takes to understand a caller's words about time."""

import json
import time
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from bookings.language.understanding import understand
from script.lib.environment import Environment
from script.lib.measurements import Measurement, percentile

EXAM = Path(__file__).parents[1] / "bookings" / "language" / "exam"
ROUNDS = 5


def measure(_env: Environment) -> dict[str, Measurement]:
    """Understand every phrase of the exams, the first of each process included."""
    lines = [json.loads(line) for path in sorted(EXAM.glob("*.jsonl")) for line in path.read_text("utf-8").splitlines()]
    times = []
    for line in lines * ROUNDS:
        now, zone = datetime.fromisoformat(line["now"]), ZoneInfo(line["zone"])
        began = time.perf_counter()
        understand(line["phrase"], language=line["lang"], now=now, zone=zone)
        times.append((time.perf_counter() - began) * 1000)
    return {"phrase_p95_ms": Measurement(percentile(times, 0.95), f"{len(times)} phrases")}
