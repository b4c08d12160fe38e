"""The Django app, and what it registers with the apps below it."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from cachectl import loaders


class CalcomConfig(AppConfig):
    """Cal.com as our code sees it."""

    name = "calcom"
    verbose_name = _("Cal.com")

    def ready(self) -> None:
        """Register the slot loader, the outboxes, and the collectors of monitoring."""
        from cachectl.infra import outbox  # noqa: PLC0415  models are ready only now
        from calcom import collectors, preflight, tasks  # noqa: PLC0415
        from calcom.models import DeferredBooking, WebhookDelivery  # noqa: PLC0415
        from calcom.slot_loader import CalcomDays, active_accounts  # noqa: PLC0415

        loaders.register(CalcomDays(), accounts=active_accounts)
        collectors.register()
        preflight.register()
        outbox.register("webhooks", WebhookDelivery.objects.next_of_bookings(), tasks.process)
        outbox.register("deferred bookings", DeferredBooking.objects.all(), tasks.look_again)
