"""The agents' endpoints, below /v1."""

from django.urls import path

from bookings.api.openapi import DocumentPageView, DocumentView
from bookings.api.views.availability import AvailabilityView, SearchView
from bookings.api.views.base import UnknownAddressView
from bookings.api.views.bookings import BookingsView, BookingView, CancelView, FindBookingsView, RescheduleView
from bookings.api.views.callbacks import CallbacksView
from bookings.api.views.conversations import ConversationsView, EndConversationView
from bookings.api.views.holds import HoldsView, HoldView
from bookings.api.views.operations import OperationView
from bookings.api.views.services import ServicesView

urlpatterns = [
    path("services", ServicesView.as_view(), name="services"),
    path("availability/search", SearchView.as_view(), name="search"),
    path("availability", AvailabilityView.as_view(), name="availability"),
    path("conversations", ConversationsView.as_view(), name="conversations"),
    path("conversations/<str:conversation_id>/end", EndConversationView.as_view(), name="end"),
    path("holds", HoldsView.as_view(), name="holds"),
    path("holds/<str:hold_id>", HoldView.as_view(), name="hold"),
    path("bookings", BookingsView.as_view(), name="bookings"),
    path("bookings/find", FindBookingsView.as_view(), name="find"),
    path("bookings/<str:booking_id>", BookingView.as_view(), name="booking"),
    path("bookings/<str:booking_id>/cancel", CancelView.as_view(), name="cancel"),
    path("bookings/<str:booking_id>/reschedule", RescheduleView.as_view(), name="reschedule"),
    path("callbacks", CallbacksView.as_view(), name="callbacks"),
    path("operations/<str:operation_id>", OperationView.as_view(), name="operation"),
    path("openapi.json", DocumentView.as_view(), name="openapi"),
    path("docs", DocumentPageView.as_view(), name="docs"),
    # Last: any other address gets its problem, in DEBUG as well.
    path("", UnknownAddressView.as_view()),
    path("<path:rest>", UnknownAddressView.as_view()),
]
