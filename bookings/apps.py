"""How Django knows the app, and what it registers with the apps below it."""

from django.apps import AppConfig


class BookingsConfig(AppConfig):
    """Who wants what: tenants, services, callers, appointments, and the API that voice agents use."""

    name = "bookings"
