"""Requests that a person calls back."""

from typing import Any

from rest_framework import serializers

from bookings.api.serializers.fields import (
    ConversationIdField,
    LanguageField,
    NoteField,
    OptionalTextField,
    PersonNameField,
    PrintableField,
    RequestSerializer,
)
from bookings.caller_input import MAX_NOTE


class CallbackSerializer(RequestSerializer):
    """Who shall be called back, and what about. Without a number it is the one that the caller calls from."""

    topic = NoteField(max_length=MAX_NOTE, help_text="what it is about, in a few words; the staff reads it")
    name = PersonNameField(required=False, allow_null=True, allow_blank=True, default=None)
    phone = PrintableField(
        max_length=200,
        required=False,
        allow_null=True,
        allow_blank=True,
        default=None,
        help_text="as the caller said it; else the number of the conversation, if it came from a trusted source",
    )
    branch = OptionalTextField(max_length=100, help_text="its name, where the caller means one")
    booking_id = OptionalTextField(max_length=40, help_text="the booking it is about")
    reference = OptionalTextField(max_length=200, help_text="or its reference, as the caller said it")
    wants_earlier = serializers.BooleanField(
        required=False,
        default=False,
        help_text="they keep the booking that is named, and are called only when an earlier time opens",
    )
    conversation_id = ConversationIdField()
    language = LanguageField(help_text="BCP 47; else Accept-Language, else the call's or the branch's")

    def validate_name(self, value: str | None) -> str:
        """Return the name, empty where there is none."""
        return value or ""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse two answers to one question."""
        if attrs["booking_id"] is not None and attrs["reference"] is not None:
            raise serializers.ValidationError({"reference": "Send booking_id or reference, not both."})
        return attrs


class CallbackResponseSerializer(serializers.Serializer[Any]):
    """Who wants to be called back is on the list."""

    ok = serializers.BooleanField()
    status = serializers.ChoiceField(["open", "waiting", "done"], help_text="waiting: for an earlier time to open")
    callback_id = serializers.CharField(help_text="such as cb_7K3QX9M2TA4PWJ5R")
    number = serializers.ChoiceField(["caller_id", "given"], help_text="which number will be called; never the number")
    spoken = serializers.CharField()
    agent_hint = serializers.CharField()
    replayed = serializers.BooleanField(help_text="the same was asked for before, and is still on the list")
