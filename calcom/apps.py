"""How Django knows the app, and what it registers with the apps below it."""

from django.apps import AppConfig


class CalcomConfig(AppConfig):
    """Cal.com as our code sees it: one door, typed results, and the simulator that stands in for it."""

    name = "calcom"
