"""Django's admin, with our site."""

from django.contrib.admin.apps import AdminConfig


class SiteConfig(AdminConfig):
    """Takes the place of `django.contrib.admin`."""

    default_site = "config.admin.Site"
