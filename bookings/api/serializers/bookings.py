"""Bookings and their operations: made, found, rescheduled, cancelled."""

from typing import Any

from rest_framework import serializers

from bookings.api.serializers.fields import (
    OPTIONAL,
    ConversationIdField,
    EmailAddressField,
    InstantField,
    LanguageField,
    NoteField,
    OptionalTextField,
    PersonNameField,
    PrintableField,
    RequestSerializer,
    ServiceField,
)
from bookings.api.serializers.shared import BookingResponseSerializer
from bookings.caller_input import MAX_NOTE
from bookings.models import AppointmentState


class CallerSerializer(RequestSerializer):
    """Who the appointment is for. A phone number and an address are both optional: numbers are withheld."""

    name = PersonNameField()
    phone = PrintableField(max_length=200, required=False, allow_null=True, allow_blank=True, default=None)
    email = EmailAddressField()
    language = LanguageField(allow_blank=True, help_text="BCP 47; the branch's where it is missing")


class BookingSerializer(RequestSerializer):
    """One slot for one caller: what was held and read back, or what was offered, or a service and its start."""

    confirm_token = OptionalTextField(max_length=20, help_text="of the hold that the caller agreed to")
    slot_token = OptionalTextField(max_length=20, help_text="of an offer, where nothing is held")
    service = ServiceField(**OPTIONAL, help_text="id or exact name")
    start = InstantField(**OPTIONAL, help_text="RFC 3339 with offset: a start that availability returned")
    caller = CallerSerializer()
    notes = NoteField(max_length=MAX_NOTE, required=False, allow_blank=True, default="")
    answers = serializers.DictField(
        required=False,
        allow_null=True,
        help_text="what the caller answers to the fields of the service, {slug: value}; others are left out",
    )
    conversation_id = ConversationIdField()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse what names no slot, or two."""
        if attrs["confirm_token"] and attrs["slot_token"]:
            raise serializers.ValidationError({"slot_token": "Send confirm_token or slot_token, not both."})
        if attrs["confirm_token"] or attrs["slot_token"]:
            return attrs
        missing = [name for name in ("service", "start") if attrs[name] is None]
        if missing:
            raise serializers.ValidationError(dict.fromkeys(missing, "It is required where no token is sent."))
        return attrs


class CancelSerializer(RequestSerializer):
    """Why, in a few words; it is shown to the staff."""

    reason = NoteField(max_length=300, required=False, allow_blank=True, default="")


class RescheduleSerializer(RequestSerializer):
    """Where to, by offer or by instant, and why; the reason is shown to the staff."""

    start = InstantField(**OPTIONAL, help_text="RFC 3339 with offset")
    slot_token = OptionalTextField(max_length=20, help_text="of an offer for the same service")
    reason = NoteField(max_length=300, required=False, allow_blank=True, default="")
    conversation_id = ConversationIdField()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse two answers to one question, and none."""
        if (attrs["start"] is None) == (attrs["slot_token"] is None):
            raise serializers.ValidationError("Send either start or slot_token.")
        return attrs


class FindSerializer(RequestSerializer):
    """
    Whose appointments: those of the number that the caller calls from, or what only they know.

    Without reference, name and date it is the number of the conversation; no number in a body ever counts.
    """

    conversation_id = ConversationIdField(help_text="the phone call; nothing without")
    reference = OptionalTextField(max_length=200, help_text="six characters, as the caller said them")
    name = OptionalTextField(max_length=200, help_text="exactly as it was booked, with date")
    date = serializers.DateField(required=False, allow_null=True, default=None, help_text="the branch's, with name")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse half a proof."""
        if (attrs["name"] is None) != (attrs["date"] is None):
            raise serializers.ValidationError("A name proves something only with a date, and a date only with a name.")
        return attrs


class BookingDetailResponseSerializer(serializers.Serializer[Any]):
    """One booking, with what can be said about it."""

    ok = serializers.BooleanField()
    status = serializers.ChoiceField(AppointmentState.choices)
    booking = BookingResponseSerializer()


class BookingOperationResponseSerializer(BookingDetailResponseSerializer):
    """What a booking or cancelling came to."""

    status = serializers.ChoiceField(
        ["pending", "awaiting_confirmation", "confirmed", "cancelled", "rejected", "expired", "completed", "no_show"]
    )
    spoken = serializers.CharField()
    agent_hint = serializers.CharField()
    operation_id = serializers.CharField(help_text="see GET /v1/operations/{id}")
    replayed = serializers.BooleanField(help_text="an earlier request was the same wish; this is its outcome")


class FoundBookingsResponseSerializer(serializers.Serializer[Any]):
    """The caller's upcoming appointments, the next one first."""

    ok = serializers.BooleanField()
    status = serializers.ChoiceField(["found", "none"])
    bookings = BookingResponseSerializer(many=True)
    spoken = serializers.CharField()
    agent_hint = serializers.CharField()


class OperationResponseSerializer(serializers.Serializer[Any]):
    """How far a change is."""

    id = serializers.CharField()
    operation = serializers.ChoiceField(["create", "reschedule", "cancel"])
    status = serializers.ChoiceField(["pending", "awaiting_confirmation", "done", "refused"])
    reason = serializers.CharField(allow_null=True)
    requested_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class OperationDetailResponseSerializer(serializers.Serializer[Any]):
    """What became of a pending write."""

    ok = serializers.BooleanField()
    status = serializers.ChoiceField(["pending", "awaiting_confirmation", "done", "refused"])
    operation = OperationResponseSerializer()
    booking = BookingResponseSerializer()
    spoken = serializers.CharField(help_text="what the caller may be told of it now")
    agent_hint = serializers.CharField()
