"""Django's admin, with our site."""

from django.contrib.admin.apps import AdminConfig

from bookings.frame import words


class SiteConfig(AdminConfig):
    """Takes the place of `django.contrib.admin`."""

    default_site = "config.admin.Site"

    def ready(self) -> None:
        """Set the words of people at a desk, then find the pages, which show them."""
        words.apply()
        super().ready()
