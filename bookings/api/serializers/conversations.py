"""Phone calls, and the holds that are made in them."""

from typing import Any

from rest_framework import serializers

from bookings.api.serializers.fields import (
    ConversationIdField,
    LanguageField,
    OptionalTextField,
    PrintableField,
    RequestSerializer,
)
from bookings.api.serializers.shared import (
    BookingResponseSerializer,
    HoldResponseSerializer,
    ListedServiceResponseSerializer,
)


class ConversationSerializer(RequestSerializer):
    """Which call it is. Platform and call id tell a repeat from another call."""

    platform = PrintableField(max_length=20, required=False, allow_blank=True, default="", help_text="such as retell")
    call_id = PrintableField(max_length=120, help_text="what the platform calls it")
    caller_phone = PrintableField(
        max_length=200,
        required=False,
        allow_null=True,
        allow_blank=True,
        default=None,
        help_text="the number shown by the telephone network; it counts only with the scope callers:identify",
    )
    branch = OptionalTextField(max_length=100, help_text="its name, where there are several")
    language = LanguageField(help_text="BCP 47; the branch's where it is missing")


class DayResponseSerializer(serializers.Serializer[Any]):
    """A day of the branch."""

    date = serializers.DateField()
    name = serializers.CharField(help_text="as it is spoken")
    open = serializers.BooleanField()


class CallerResponseSerializer(serializers.Serializer[Any]):
    """Who calls, where that is certain and they have been here before."""

    known = serializers.BooleanField()
    name = serializers.CharField(allow_null=True)


class ConversationResponseSerializer(serializers.Serializer[Any]):
    """What an agent needs before it says a word."""

    ok = serializers.BooleanField()
    status = serializers.ChoiceField(["started"])
    conversation_id = serializers.CharField(help_text="such as cv_7K3QX9M2TA4PWJ5R")
    replayed = serializers.BooleanField(help_text="this call had begun before")
    branch = serializers.CharField()
    time_zone = serializers.CharField()
    now = serializers.DateTimeField()
    days = DayResponseSerializer(many=True, help_text="today and the days that follow")
    services = ListedServiceResponseSerializer(many=True)
    caller = CallerResponseSerializer()
    appointments = BookingResponseSerializer(many=True, help_text="of a caller whose number the key vouches for")
    agent_hint = serializers.CharField()


class ConversationEndedResponseSerializer(serializers.Serializer[Any]):
    """A phone call that is over."""

    ok = serializers.BooleanField()
    status = serializers.ChoiceField(["ended"])
    conversation_id = serializers.CharField()
    replayed = serializers.BooleanField(help_text="it had ended before")


class HoldSerializer(RequestSerializer):
    """Which offer."""

    slot_token = PrintableField(max_length=20, help_text="of the offer that the caller chose")
    conversation_id = ConversationIdField()


class HoldDetailResponseSerializer(HoldResponseSerializer):
    """What came of holding."""

    ok = serializers.BooleanField()
    agent_hint = serializers.CharField()


class HoldReleasedResponseSerializer(serializers.Serializer[Any]):
    """What became of a hold."""

    ok = serializers.BooleanField()
    status = serializers.CharField(help_text="released, or the state of the booking that it has become")
    hold_id = serializers.CharField()
