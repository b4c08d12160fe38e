"""Slotline's URLs, and an empty view behind the same server and middleware."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from config import urls


def empty(_request: HttpRequest) -> HttpResponse:
    """Return an empty response."""
    return HttpResponse(b"")


urlpatterns = [path("bench/empty", empty), *urls.urlpatterns]
