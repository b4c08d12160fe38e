"""Signs of life of beat and workers, how jobs ran, and what is left of the machine: what alerts about parts look at."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from celery import current_app
from django.conf import settings
from django.db import connection
from django.db.models import F
from django.db.models.functions import Coalesce, Now

from monitoring import metrics
from monitoring.collectors import Reading, Unhealthy
from monitoring.models import Heartbeat, JobRun

BEAT = "beat"
SILENT_S = 90
"""Seconds without a sign of life after which a part counts as silent: three of them were due."""
JOBS = ("sync", "reconciliation")
"""What is to succeed for each account once a day."""


def note(queue: str) -> None:
    """Note that a worker of the queue is alive; that a message came says the same of beat."""
    for part in (queue, BEAT):
        Heartbeat.objects.update_or_create(part=part, defaults={"seen_at": Now()})


def job_succeeded(job: str, account_id: int, *, differences: int = 0) -> None:
    """Note that a job of an account has succeeded, and how much it found to differ."""
    ended = {"succeeded_at": Now(), "failed_at": None, "differences": differences}
    JobRun.objects.update_or_create(job=job, account_id=account_id, defaults=ended)


def job_failed(job: str, account_id: int) -> None:
    """Note that a job of an account has failed."""
    JobRun.objects.update_or_create(job=job, account_id=account_id, defaults={"failed_at": Now()})


def collect() -> Iterator[Reading]:
    """Read when each part gave a sign of life. One that never did is expected from the first look on."""
    parts = (BEAT, *(queue.name for queue in current_app.conf.task_queues))
    Heartbeat.objects.bulk_create([Heartbeat(part=part) for part in parts], ignore_conflicts=True)
    for row in Heartbeat.objects.filter(part__in=parts).annotate(age=Now() - F("seen_at")):
        yield metrics.HEARTBEAT_AGE_SECONDS.at(max(row.age.total_seconds(), 0), row.part)


def beat() -> None:
    """Raise Unhealthy if beat has been silent: nothing is polled, relayed or settled."""
    _raise_if_silent([BEAT])


def workers() -> None:
    """Raise Unhealthy if the workers of a queue have been silent, while beat is alive."""
    _raise_if_silent([queue.name for queue in current_app.conf.task_queues])


def _raise_if_silent(parts: Sequence[str]) -> None:
    rows = Heartbeat.objects.filter(part__in=parts).annotate(age=Now() - F("seen_at")).order_by("part")
    ages = {row.part: row.age.total_seconds() for row in rows}
    if silent := [f"{part} for {age:.0f} s" for part, age in ages.items() if age > SILENT_S]:
        raise Unhealthy(f"silent: {', '.join(silent)}")


def jobs(account_ids: list[int]) -> Iterator[Reading]:
    """Read how the jobs of these accounts ran last. One that never ran is expected from the first look on."""
    expected = [JobRun(job=job, account_id=account_id) for job in JOBS for account_id in account_ids]
    JobRun.objects.bulk_create(expected, ignore_conflicts=True)
    rows = JobRun.objects.filter(job__in=JOBS, account_id__in=account_ids)
    for row in rows.annotate(age=Now() - Coalesce(F("succeeded_at"), F("due_since"))):
        yield metrics.JOB_AGE_SECONDS.at(max(row.age.total_seconds(), 0), row.job, row.account_id)
        yield metrics.JOB_FAILED.at(row.failed_at is not None, row.job, row.account_id)
        if row.job == "reconciliation":
            yield metrics.DRIFT.at(row.differences, row.account_id)


def machine() -> Iterator[Reading]:
    """Read what is left of this machine's disks, and of PostgreSQL's connections."""
    used = shutil.disk_usage(_existing(Path(settings.PROMETHEUS_MULTIPROC_DIR)))
    yield metrics.DISK_FREE.at(used.free / used.total, "metrics")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*)::float / current_setting('max_connections')::int FROM pg_stat_activity"
            " WHERE backend_type = 'client backend'"
        )
        yield metrics.DATABASE_CONNECTIONS_USED.at(cursor.fetchone()[0])


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)
