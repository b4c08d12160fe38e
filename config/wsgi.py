"""The WSGI application that gunicorn serves."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()
# Views, grammars and schemas are imported now: else the first caller of each process would wait for that.
urls = get_resolver().url_patterns

from monitoring import watch  # noqa: E402  its models are ready only now

watch.start()  # where no worker evaluates alerts, web does
