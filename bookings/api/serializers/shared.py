"""Parts that several responses share, and the problem. They describe for the schema what `presenters` writes."""

from typing import Any

from rest_framework import serializers

from bookings.models import AppointmentState


class ServiceResponseSerializer(serializers.Serializer[Any]):
    """A service as other answers name it."""

    id = serializers.CharField(help_text="such as sv_12")
    name = serializers.CharField()
    duration_minutes = serializers.IntegerField()


class CandidateResponseSerializer(ServiceResponseSerializer):
    """A service that the agent may ask about."""

    branch = serializers.CharField()


class FieldResponseSerializer(serializers.Serializer[Any]):
    """What the caller must be asked before the service is booked."""

    slug = serializers.CharField(help_text="its name in answers")
    label = serializers.CharField(help_text="what staff called it; empty where they did not", allow_blank=True)  # type: ignore[assignment]  # DRF's attribute of that name
    type = serializers.CharField(
        help_text="as Cal.com names it: text, textarea, select, multiselect, radio, checkbox, boolean, phone, url, …"
    )
    options = serializers.ListField(child=serializers.CharField(), help_text="one of them, where there are any")


class ListedServiceResponseSerializer(CandidateResponseSerializer):
    """A service as the list has it."""

    aliases = serializers.ListField(child=serializers.CharField())
    time_zone = serializers.CharField(help_text="IANA name of the branch's zone")
    bookable = serializers.BooleanField()
    phone_required = serializers.BooleanField(help_text="it is booked for callers with a phone number only")
    fields = FieldResponseSerializer(many=True, help_text="what POST /v1/bookings needs answers to")  # type: ignore[assignment]  # DRF's attribute of that name
    score = serializers.FloatField(allow_null=True, help_text="how well it matches q, up to 1; null without q")


class ServiceListResponseSerializer(serializers.Serializer[Any]):
    """The services, the best match first."""

    ok = serializers.BooleanField()
    services = ListedServiceResponseSerializer(many=True)


class SlotResponseSerializer(serializers.Serializer[Any]):
    """A free slot, with the branch's offset."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    weekday = serializers.CharField()


class TimeResponseSerializer(SlotResponseSerializer):
    """A time that names its zone."""

    time_zone = serializers.CharField()


class AlternativeResponseSerializer(TimeResponseSerializer):
    """Another time."""

    slot_token = serializers.CharField(required=False, help_text="what holds or books it, in a conversation")


class FreshnessResponseSerializer(serializers.Serializer[Any]):
    """Where the answer comes from and how far to trust it."""

    source = serializers.ChoiceField(["cache", "calcom"])  # type: ignore[assignment]  # DRF's attribute of that name
    age_s = serializers.IntegerField(allow_null=True)
    verified = serializers.BooleanField(help_text="from a recent list, or exactly known through our own changes")


class BookingResponseSerializer(TimeResponseSerializer):
    """A booking. It says nothing about the caller."""

    id = serializers.CharField(help_text="such as bk_7K3QX9M2TA4PWJ5R")
    reference = serializers.CharField(help_text="six characters that a caller can say")
    state = serializers.ChoiceField(AppointmentState.choices)
    service = ServiceResponseSerializer(allow_null=True)


class HoldResponseSerializer(TimeResponseSerializer):
    """A time that is kept for one caller."""

    status = serializers.ChoiceField(
        ["held", "pending", "awaiting_confirmation", "confirmed"], help_text="held, or booked since"
    )
    hold_id = serializers.CharField()
    confirm_token = serializers.CharField(help_text="what books it, once the caller has agreed to read_back")
    expires_at = serializers.DateTimeField(allow_null=True)
    read_back = serializers.CharField(help_text="what the caller is asked to agree to")
    verified = serializers.BooleanField(
        help_text="false where Cal.com could not be asked whether it is still free; we give it to no one else"
    )
    service = ServiceResponseSerializer()
    staff = serializers.CharField(allow_null=True, help_text="who was asked for by name")
    replayed = serializers.BooleanField()


class ToolsResponseSerializer(serializers.Serializer[Any]):
    """The tools of a voice agent, as one platform takes them."""

    ok = serializers.BooleanField()
    format = serializers.CharField()
    tools = serializers.ListField(child=serializers.DictField())
    prompt = serializers.CharField(help_text="the system prompt to paste")


class FieldProblemSerializer(serializers.Serializer[Any]):
    """What is wrong with one field."""

    field = serializers.CharField(allow_blank=True, help_text="such as caller.name; empty: the body as a whole")
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """A problem as RFC 9457 has it, with what an agent needs beside."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    ok = serializers.BooleanField()
    code = serializers.CharField(help_text="stable; what programs decide by")
    retryable = serializers.BooleanField()
    spoken = serializers.CharField(help_text="what the caller may be told")
    agent_hint = serializers.CharField()
    alternatives = AlternativeResponseSerializer(many=True, help_text="other times that are free as far as we know")
    next_possible_day = serializers.DateField(
        required=False, allow_null=True, help_text="from when bookings are possible again; null where not known"
    )
    booking = BookingResponseSerializer(
        required=False, help_text="the appointment that exists, where it is certain that it is the caller's"
    )
    candidates = CandidateResponseSerializer(many=True, required=False)
    readings = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text="the instants that a local time may be, or the numbers (E.164) that a telephone number may be",
    )
    field = serializers.CharField(required=False, help_text="slug of the booking field that must be answered")
    label = serializers.CharField(required=False, allow_blank=True, help_text="what staff called that field")  # type: ignore[assignment]  # DRF's attribute of that name
    answer_type = serializers.CharField(required=False, help_text="type of that field, as Cal.com names it")
    options = serializers.ListField(child=serializers.CharField(), required=False, help_text="what may be answered")
    errors = FieldProblemSerializer(many=True, required=False)  # type: ignore[assignment]  # DRF's attribute of that name
    request_id = serializers.CharField()
