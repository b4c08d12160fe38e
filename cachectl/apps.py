"""How Django knows the app, and what it registers with the apps below it."""

from django.apps import AppConfig


class CachectlConfig(AppConfig):
    """What we may still believe about free slots, and until when. Knows days and slots, knows no Cal.com."""

    name = "cachectl"
