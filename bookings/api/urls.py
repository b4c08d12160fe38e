"""The agents' addresses, below /v1."""

from django.urls import path

from bookings.api import callbacks, changing, docs, holding, searching, views

urlpatterns = [
    path("services", views.Services.as_view(), name="services"),
    path("availability/search", searching.Search.as_view(), name="search"),
    path("availability", views.Availability.as_view(), name="availability"),
    path("conversations", holding.Conversations.as_view(), name="conversations"),
    path("conversations/<str:conversation_id>/end", holding.End.as_view(), name="end"),
    path("holds", holding.Holds.as_view(), name="holds"),
    path("holds/<str:hold_id>", holding.Hold.as_view(), name="hold"),
    path("bookings", views.Bookings.as_view(), name="bookings"),
    path("bookings/find", changing.Find.as_view(), name="find"),
    path("bookings/<str:booking_id>", views.Booking.as_view(), name="booking"),
    path("bookings/<str:booking_id>/cancel", views.Cancel.as_view(), name="cancel"),
    path("bookings/<str:booking_id>/reschedule", changing.Reschedule.as_view(), name="reschedule"),
    path("callbacks", callbacks.Callbacks.as_view(), name="callbacks"),
    path("operations/<str:operation_id>", views.Operation.as_view(), name="operation"),
    path("openapi.json", docs.OpenApi.as_view(), name="openapi"),
    path("docs", docs.Docs.as_view(), name="docs"),
    # Last: whatever else is asked for gets its problem, in DEBUG as well.
    path("", views.Nothing.as_view()),
    path("<path:rest>", views.Nothing.as_view()),
]
