"""The app: outbox, probe and collector are registered, and workers notice an emptied Redis when they start."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CachectlConfig(AppConfig):
    name = "cachectl"
    verbose_name = _("Free times")

    def ready(self) -> None:
        """Register what others read, and check for an emptied Redis before the first search."""
        from celery.signals import worker_ready  # noqa: PLC0415  after the apps are loaded, like what it calls

        from cachectl.cache import ensure_generations  # noqa: PLC0415
        from cachectl.infra import outbox  # noqa: PLC0415
        from cachectl.infra.redis import check  # noqa: PLC0415
        from cachectl.invalidation import BATCH  # noqa: PLC0415
        from cachectl.models import CacheInvalidation  # noqa: PLC0415
        from cachectl.tasks import invalidate_range  # noqa: PLC0415
        from monitoring import probes  # noqa: PLC0415
        from monitoring.collectors import register_collector, register_probe  # noqa: PLC0415

        worker_ready.connect(lambda **_: ensure_generations(), weak=False, dispatch_uid="cachectl.ensure_generations")
        register_probe("redis", check)
        register_collector("invalidations", lambda: probes.outbox("invalidations", CacheInvalidation.objects.pending()))
        outbox.register("invalidations", CacheInvalidation.objects.all(), invalidate_range, batch=BATCH)
