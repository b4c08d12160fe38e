"""The agents' addresses, below /v1."""

from django.urls import path

from bookings.api import docs, views

urlpatterns = [
    path("services", views.Services.as_view(), name="services"),
    path("availability", views.Availability.as_view(), name="availability"),
    path("bookings", views.Bookings.as_view(), name="bookings"),
    path("bookings/<str:booking_id>", views.Booking.as_view(), name="booking"),
    path("bookings/<str:booking_id>/cancel", views.Cancel.as_view(), name="cancel"),
    path("operations/<str:operation_id>", views.Operation.as_view(), name="operation"),
    path("openapi.json", docs.OpenApi.as_view(), name="openapi"),
    path("docs", docs.Docs.as_view(), name="docs"),
    # Last: whatever else is asked for gets its problem, in DEBUG as well.
    path("", views.Nothing.as_view()),
    path("<path:rest>", views.Nothing.as_view()),
]
