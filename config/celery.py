"""The Celery application. Its settings are Django's, under the prefix CELERY_."""

import os

from celery import signals
from django.conf import settings
from django.db import close_old_connections

from config.broker import Application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Application("slotline")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.worker_init.connect(dispatch_uid="config.celery")
def _step_back(**_newer: object) -> None:
    """Lower the priority of workers below web where both share a processor: callers wait for web."""
    os.nice(settings.WORKER_NICENESS)


@signals.task_prerun.connect(dispatch_uid="config.celery")
def _look_at_connections(**_newer: object) -> None:
    """Begin a task as Django begins a request: without connections that have ended, or are too old."""
    close_old_connections()
