"""The agents' addresses, below /v1."""

from django.urls import path

from bookings.api import openapi
from bookings.api.views import availability, base, bookings, callbacks, conversations

urlpatterns = [
    path("services", base.Services.as_view(), name="services"),
    path("availability/search", availability.Search.as_view(), name="search"),
    path("availability", base.Availability.as_view(), name="availability"),
    path("conversations", conversations.Conversations.as_view(), name="conversations"),
    path("conversations/<str:conversation_id>/end", conversations.End.as_view(), name="end"),
    path("holds", conversations.Holds.as_view(), name="holds"),
    path("holds/<str:hold_id>", conversations.Hold.as_view(), name="hold"),
    path("bookings", base.Bookings.as_view(), name="bookings"),
    path("bookings/find", bookings.Find.as_view(), name="find"),
    path("bookings/<str:booking_id>", base.Booking.as_view(), name="booking"),
    path("bookings/<str:booking_id>/cancel", base.Cancel.as_view(), name="cancel"),
    path("bookings/<str:booking_id>/reschedule", bookings.Reschedule.as_view(), name="reschedule"),
    path("callbacks", callbacks.Callbacks.as_view(), name="callbacks"),
    path("operations/<str:operation_id>", base.OperationView.as_view(), name="operation"),
    path("openapi.json", openapi.Document.as_view(), name="openapi"),
    path("docs", openapi.Page.as_view(), name="docs"),
    # Last: whatever else is asked for gets its problem, in DEBUG as well.
    path("", base.Nothing.as_view()),
    path("<path:rest>", base.Nothing.as_view()),
]
