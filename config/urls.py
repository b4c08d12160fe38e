"""Which URL goes to which app."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
    path("", include("bookings.voice.urls")),  # before /v1, which answers any address below it
    path("v1/", include(("bookings.api.urls", "v1"))),
    path("webhooks/", include("calcom.urls")),
    path("", include("monitoring.urls")),
]

handler400 = "bookings.api.problems.bad_request"
handler404 = "bookings.api.problems.not_found"
handler500 = "bookings.api.problems.server_error"
