"""How Django knows the app, and what it registers with the apps below it."""

from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    """What the outside may know about us: metrics, health, logs. Imports no app of ours."""

    name = "monitoring"
