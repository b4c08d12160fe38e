"""When slots are asked for: the query of the list, the body of a search, and their responses."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from rest_framework import serializers

from bookings.api.directory import service_of
from bookings.api.problems import RequestInvalid, WindowTooLong
from bookings.api.serializers.fields import (
    LONGEST_WINDOW,
    OPTIONAL,
    UNPRINTABLE,
    ConversationIdField,
    InstantField,
    LanguageField,
    OptionalTextField,
    RequestSerializer,
    ServiceField,
    clock_time,
    instant,
    local_date,
)
from bookings.api.serializers.shared import (
    FreshnessResponseSerializer,
    HoldResponseSerializer,
    ServiceResponseSerializer,
    SlotResponseSerializer,
    TimeResponseSerializer,
)
from bookings.availability.criteria import A_DAY, PartOfDay, TimeCriteria, instant_of
from bookings.availability.ranking import MAX_OFFERS
from bookings.availability.rules import Reason
from bookings.availability.search import Status
from bookings.errors import TimeNotUnderstood
from bookings.models import AgentKey, Service
from calcom.day_ranges import MINUTE

MOST_WINDOWS = 10
DAYS_AHEAD = 14
"""How many days are meant where none is named."""
NEEDS_CLARIFICATION = "needs_clarification"
STAFF_REASONS = ("staff_unknown", "staff_ambiguous", "staff_not_bookable")

# --- GET /v1/availability ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SlotQuery:
    """Slots of a service that start from `first` on and before `last`. Parsed by hand, for speed."""

    service: Service
    first: datetime
    last: datetime

    @classmethod
    def parse(cls, query: Mapping[str, str], key: AgentKey) -> "SlotQuery":
        """Read service, and from and to, or date."""
        service = service_of(key, _text(query, "service"))
        if "date" in query:
            return cls(service, *_local_day(query["date"], service.branch.time_zone))
        # An unescaped + of an offset arrives as a blank.
        first, last = (instant(_text(query, name).replace(" ", "+")) for name in ("from", "to"))
        if last <= first:
            raise TimeNotUnderstood("The window ends before it begins.")
        if last - first > LONGEST_WINDOW:
            raise WindowTooLong(f"A window may have at most {LONGEST_WINDOW.days} days.")
        return cls(service, first, last)


def _text(query: Mapping[str, str], name: str) -> str:
    value = query.get(name, "")
    if not value or len(value) > 200 or UNPRINTABLE.search(value):
        raise RequestInvalid(name, "It is required, as text of at most 200 characters.")
    return value


def _local_day(text: str, zone: str) -> tuple[datetime, datetime]:
    """Return the first instant of a local date, and of the next."""
    day = local_date(text)
    first, last = (datetime.combine(day + timedelta(days=n), time(), ZoneInfo(zone)) for n in (0, 1))
    return first.astimezone(UTC), last.astimezone(UTC)


class AvailabilityResponseSerializer(serializers.Serializer[Any]):
    """The free slots in the window."""

    ok = serializers.BooleanField()
    status = serializers.ChoiceField(
        ["available", "none", "degraded"],
        help_text="degraded: some days could not be looked up; slots as last known, nothing of unknown_days",
    )
    service = ServiceResponseSerializer()
    time_zone = serializers.CharField()
    slots = SlotResponseSerializer(many=True)
    unknown_days = serializers.ListField(child=serializers.DateField(), help_text="UTC dates; never say they are full")
    freshness = FreshnessResponseSerializer()


# --- POST /v1/availability/search ----------------------------------------------------------------------------------


class WindowSerializer(RequestSerializer):
    """Slots that start from one instant on and before another; without the other, at the first exactly."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Return the fields. One of them has a name that Python keeps for itself."""
        return {
            "from": InstantField(help_text="RFC 3339 with offset"),
            "to": InstantField(**OPTIONAL, help_text="RFC 3339 with offset"),
        }


class WhenSerializer(RequestSerializer):
    """When the caller would like to come: windows, or a day of the branch; without either, in the next two weeks."""

    windows = WindowSerializer(many=True, required=False, allow_null=True, default=None)
    date = OptionalTextField(help_text="a day of the branch: 2026-11-24")
    part_of_day = serializers.ChoiceField(list(PartOfDay), required=False, allow_null=True, default=None)
    not_before = OptionalTextField(help_text="with date, on the branch's clocks: 09:00")
    time = OptionalTextField(help_text="with date, the one time that is wanted: 10:30")
    phrase = OptionalTextField(
        max_length=300,
        help_text="the caller's own words, all of them and unchanged: Mittwoch oder Donnerstag nach zehn",
    )

    def validate_windows(self, value: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
        """Refuse none, too many, and a null among them."""
        if value is not None and not 0 < len(value) <= MOST_WINDOWS:
            raise serializers.ValidationError(f"Send 1 to {MOST_WINDOWS} windows.")
        if None in (value or ()):  # the list may be null, and DRF takes its elements for that, too
            raise serializers.ValidationError("A window has from and to.")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse what says the time twice, or half."""
        by_day = [name for name in ("date", "part_of_day", "not_before", "time") if attrs[name] is not None]
        ways = [name for name in ("windows", "phrase") if attrs[name] is not None]
        if len(ways) + bool(by_day) > 1:
            raise serializers.ValidationError("Send one of windows, date and phrase.")
        if attrs["date"] is None and {"not_before", "time"} & set(by_day):
            raise serializers.ValidationError({"date": "It is required with not_before and time."})
        if attrs["time"] is not None and len(by_day) > 2:
            raise serializers.ValidationError({"time": "It says all: send neither part_of_day nor not_before with it."})
        return attrs


class SearchSerializer(RequestSerializer):
    """What is wanted, when, and with whom; or what goes on from an earlier search."""

    service = ServiceField(**OPTIONAL, help_text="id or exact name")
    staff = ServiceField(**OPTIONAL, help_text="id or exact name; empty: anybody")
    when = WhenSerializer(required=False, allow_null=True, default=None)
    hold = serializers.ChoiceField(
        ["exact_match"],
        required=False,
        allow_null=True,
        default=None,
        help_text="hold the one time that is asked for, if it is free",
    )
    max_offers = serializers.IntegerField(required=False, min_value=1, max_value=MAX_OFFERS, default=MAX_OFFERS)
    more_token = serializers.RegexField(
        r"^mt_[0-9A-Z]{10}$",
        required=False,
        allow_null=True,
        default=None,
        help_text="of an earlier answer: go on from there; service, staff and when are those of that search",
    )
    conversation_id = ConversationIdField()
    language = LanguageField(help_text="BCP 47; else Accept-Language, else the branch's")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a search for nothing."""
        if attrs["service"] is None and attrs["more_token"] is None:
            raise serializers.ValidationError({"service": "It is required, unless more_token goes on from a search."})
        return attrs


def criteria_of(when: Mapping[str, Any], zone: ZoneInfo, now: datetime) -> TimeCriteria:
    """
    Return what `when` asks for, on the clocks of `zone`, where it is no phrase.

    Raises:
        AskCaller: it is no time, or not one time.
        WindowTooLong: it spans more days than one question may.
    """
    if when.get("windows") is not None:
        return _of_windows(when["windows"])
    if when.get("time") is not None:
        return TimeCriteria.at(instant_of(local_date(when["date"]), clock_time(when["time"]), zone))
    first = now.astimezone(zone).date()
    days = [local_date(when["date"])] if when.get("date") else [first + ahead * A_DAY for ahead in range(DAYS_AHEAD)]
    part, not_before = when.get("part_of_day"), when.get("not_before")
    return TimeCriteria.on(
        days,
        zone,
        part=PartOfDay(part) if part else None,
        not_before=clock_time(not_before) if not_before is not None else None,
    )


def _of_windows(windows: list[Mapping[str, datetime]]) -> TimeCriteria:
    if len(windows) == 1 and windows[0]["to"] is None:
        return TimeCriteria.at(windows[0]["from"])
    spans = [(window["from"], window["to"] or window["from"] + MINUTE) for window in windows]
    if any(last - first > LONGEST_WINDOW for first, last in spans):
        raise WindowTooLong(f"A window may have at most {LONGEST_WINDOW.days} days.")
    return TimeCriteria.between(spans)


class UnderstoodResponseSerializer(serializers.Serializer[Any]):
    """What was understood."""

    understood = serializers.CharField()
    ambiguous = serializers.BooleanField()


class OfferResponseSerializer(TimeResponseSerializer):
    """A time that may be offered."""

    option = serializers.IntegerField()
    slot_token = serializers.CharField(help_text="what holds or books it")
    staff = serializers.CharField(allow_null=True, help_text="with whom; null where that is not known")
    spoken = serializers.CharField()


class StaffResponseSerializer(serializers.Serializer[Any]):
    """A person the agent may ask about."""

    id = serializers.CharField(help_text="such as st_12")
    name = serializers.CharField()


class SearchResponseSerializer(serializers.Serializer[Any]):
    """What was asked for, or up to three real times instead."""

    ok = serializers.BooleanField()
    status = serializers.ChoiceField(
        [*Status, NEEDS_CLARIFICATION], help_text="degraded: offers were free when last known; no offers proves nothing"
    )
    reason = serializers.ChoiceField(
        [*Reason, *STAFF_REASONS], allow_null=True, help_text="why it is not what was asked for"
    )
    request = UnderstoodResponseSerializer()
    service = ServiceResponseSerializer()
    offers = OfferResponseSerializer(many=True)
    candidates = StaffResponseSerializer(many=True, help_text="who may be meant; with needs_clarification")
    hold = HoldResponseSerializer(allow_null=True)
    more_token = serializers.CharField(allow_null=True, help_text="what goes on from here")
    spoken = serializers.CharField()
    agent_hint = serializers.CharField()
    freshness = FreshnessResponseSerializer(allow_null=True)
