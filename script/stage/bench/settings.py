"""Slotline's settings, with one more URL: the empty view that answers are compared with."""

from config.settings import *  # noqa: F403  they are Slotline's own

ROOT_URLCONF = "script.stage.bench.urls"
