"""How Django knows the app, and what it registers with the apps below it."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from monitoring import metrics  # noqa: F401  before anything is counted, by the database's backend for one


class MonitoringConfig(AppConfig):
    """What the outside may know about us: metrics, health, logs. Imports no app of ours."""

    name = "monitoring"
    verbose_name = _("Monitoring")

    def ready(self) -> None:
        """Set up logging and the probes that belong to no other app."""
        from monitoring import alerting, heartbeats, logs, preflight, probes, tracing  # noqa: PLC0415  models are ready only now
        from monitoring.collectors import register_collector, register_probe  # noqa: PLC0415

        logs.configure()
        tracing.configure()
        probes.register()
        preflight.register()
        register_collector("alerts", alerting.collect)
        register_collector("heartbeats", heartbeats.collect)
        register_collector("machine", heartbeats.machine)
        register_probe("beat", heartbeats.beat)
        register_probe("workers", heartbeats.workers)
