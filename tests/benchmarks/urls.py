"""Slotline's URLs, and an empty view behind the same server and the same middleware."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from config.urls import urlpatterns as slotlines


def empty(_request: HttpRequest) -> HttpResponse:
    """Answer nothing, as fast as Django can."""
    return HttpResponse(b"")


urlpatterns = [path("bench/empty", empty), *slotlines]
