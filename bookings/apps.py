"""How Django knows the app, and what it registers with the apps below it."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class BookingsConfig(AppConfig):
    """Who wants what: tenants, services, callers, appointments, and the API that voice agents use."""

    name = "bookings"
    verbose_name = _("Slotline")

    def ready(self) -> None:
        """Listen to what Cal.com tells; tell the cache what callers can ask for, and monitoring what is open."""
        from bookings import collectors, preflight  # noqa: PLC0415
        from bookings.availability.bookable import bookable_event_types  # noqa: PLC0415
        from bookings.models import Operation  # noqa: PLC0415
        from bookings.roles import RowsOfRoles  # noqa: PLC0415
        from bookings.sync import apply  # noqa: PLC0415  models are ready only now
        from bookings.tasks import settle  # noqa: PLC0415
        from cachectl import warming  # noqa: PLC0415
        from cachectl.infra import outbox  # noqa: PLC0415
        from calcom.webhooks import events  # noqa: PLC0415
        from monitoring import tenancy  # noqa: PLC0415

        events.register(apply.handle)
        tenancy.register(RowsOfRoles())
        warming.register(bookable_event_types)
        collectors.register()
        preflight.register()
        outbox.register("operations", Operation.objects.all(), settle)
