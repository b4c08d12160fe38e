"""Slotline's settings with an empty view and an empty task to compare with."""

from config.settings import *  # noqa: F403  they are Slotline's own

ROOT_URLCONF = "tests.benchmarks.urls"
CELERY_IMPORTS = ["tests.benchmarks.noop"]
