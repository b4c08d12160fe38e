"""The Celery application. Its settings are Django's, under the prefix CELERY_."""

import os

from celery import Task, signals, states
from django.conf import settings
from django.db import close_old_connections
from structlog.contextvars import bind_contextvars, clear_contextvars

from config.broker import Application
from monitoring.logs import contained, current_ids

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Application("slotline")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.worker_init.connect(dispatch_uid="config.celery")
def _step_back(**_newer: object) -> None:
    """Lower the priority of workers below web where both share a processor: callers wait for web."""
    os.nice(settings.WORKER_NICENESS)


@signals.before_task_publish.connect(dispatch_uid="config.celery")
def _name_request(headers: dict[str, object], **_newer: object) -> None:
    """Send along for which request a task works, so that its log lines carry the same ids."""
    headers.update(current_ids())


@signals.task_prerun.connect(dispatch_uid="config.celery")
def _begin(task: Task[..., object], task_id: str, **_newer: object) -> None:
    """Begin a task as Django begins a request: without old connections, and with its own fields on its log lines."""
    close_old_connections()
    clear_contextvars()
    bind_contextvars(task=task.name, task_id=task_id)
    sent = task.request.headers or {}
    bind_contextvars(**{name: sent[name] for name in ("request_id", "trace_id") if sent.get(name)})


@signals.task_postrun.connect(dispatch_uid="config.celery")
@contained("metrics.not_counted")
def _count(state: str = "", **_newer: object) -> None:
    """Count how a task ended; one that is tried again has not failed yet."""
    from monitoring import metrics  # noqa: PLC0415  reads the settings, which import this module

    metrics.JOBS.labels({states.FAILURE: "failed", states.RETRY: "retried"}.get(state, "done")).inc()
