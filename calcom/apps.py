"""How Django knows the app, and what it registers with the apps below it."""

from django.apps import AppConfig

from cachectl import sources


class CalcomConfig(AppConfig):
    """Cal.com as our code sees it: one door, typed results, and the simulator that stands in for it."""

    name = "calcom"

    def ready(self) -> None:
        """Become the source of days, and let monitoring see budgets, breakers and the inbox."""
        from calcom import gauges  # noqa: PLC0415  models are ready only now
        from calcom.days import CalcomDays, accounts_in_use  # noqa: PLC0415

        sources.register(CalcomDays(), accounts=accounts_in_use)
        gauges.register()
