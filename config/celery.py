"""The Celery application. Its settings are Django's, under the prefix CELERY_."""

import os

from config import broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

broker.register()
app = broker.Application("slotline")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
