"""How Django knows the app, and what it registers with the apps below it."""

from django.apps import AppConfig

from cachectl import loaders


class CalcomConfig(AppConfig):
    """Cal.com as our code sees it: one door, typed results, and the simulator that stands in for it."""

    name = "calcom"

    def ready(self) -> None:
        """Become the source of days, have outboxes relayed, and let monitoring see budgets and breakers."""
        from cachectl.infra import outbox  # noqa: PLC0415  models are ready only now
        from calcom import collectors, tasks  # noqa: PLC0415
        from calcom.models import DeferredBooking, WebhookDelivery  # noqa: PLC0415
        from calcom.slot_loader import CalcomDays, accounts_in_use  # noqa: PLC0415

        loaders.register(CalcomDays(), accounts=accounts_in_use)
        collectors.register()
        outbox.register("webhooks", WebhookDelivery.objects.next_of_bookings(), tasks.process)
        outbox.register("deferred bookings", DeferredBooking.objects.all(), tasks.look_again)
