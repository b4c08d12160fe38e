"""Slotline's settings with failpoints."""

from config.settings import *  # noqa: F403  they are Slotline's own
from config.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.chaos.failpoints.apps.FailpointsConfig"]
