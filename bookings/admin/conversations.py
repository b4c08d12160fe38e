"""Customers, phone calls with their timeline, and what was offered in them."""

from collections.abc import Mapping

from django.contrib import admin
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils.dateparse import parse_datetime
from unfold.admin import ModelAdmin, TabularInline

from bookings.admin.common import (
    FIND_PEOPLE,
    OF_COMPANY,
    OF_CONVERSATION,
    KeepsHistory,
    SelectsRelated,
    found_appointments,
)
from bookings.models import MAX_FOUND, Conversation, Customer, SlotToken, ToolCall
from calcom.admin import ReadOnly
from monitoring.admin_pages import LargeTable, LocalTimes, chosen, local_time
from monitoring.tenancy import Scoped


@admin.register(Customer)
class CustomerAdmin(Scoped, LargeTable, LocalTimes, KeepsHistory, ModelAdmin):
    tenancy = {"company": "company"}
    zone = OF_COMPANY
    used_by = ("appointment",)
    list_display = ("name", "phone", "email", "company", "created_at")
    list_filter = (chosen("company"),)
    list_filter_submit = True
    search_help_text = FIND_PEOPLE
    autocomplete_fields = ("company",)
    readonly_fields = ("created_at",)
    list_select_related = ("company",)

    def search(self, queryset: QuerySet[Customer], text: str) -> QuerySet[Customer]:
        """Return those that are meant by a number, an address or a name."""
        return queryset.filter(pk__in=Customer.objects.search(text).order_by()[:MAX_FOUND].values("pk"))


class ShowsExchange:
    """Columns with a tool call's request and response."""

    @admin.display(description="request")
    def shown_request(self, call: ToolCall) -> str:
        return _one_line(call.request, _zone_of(call))

    @admin.display(description="response")
    def shown_response(self, call: ToolCall) -> str:
        return _one_line(call.response, _zone_of(call))


class ToolCallInline(LocalTimes, ShowsExchange, ReadOnly, TabularInline):
    """The timeline of a call: what was asked, what was answered, how long it took and where the data came from."""

    model = ToolCall
    zone = OF_CONVERSATION
    verbose_name_plural = "timeline"
    fields = ("called_at", "endpoint", "shown_request", "shown_response", "status", "cache_status", "shown_duration")
    readonly_fields = fields
    ordering = ("called_at", "pk")
    extra = 0

    @admin.display(description="duration")
    def shown_duration(self, call: ToolCall) -> str:
        return f"{call.duration.total_seconds() * 1000:.0f} ms"


class SlotTokenInline(SelectsRelated, LocalTimes, ReadOnly, TabularInline):
    """What was offered in a call, and what came of it. The tokens stay secret: anyone who has one can book."""

    model = SlotToken
    zone = F("service__branch__time_zone")
    fields = ("issued_at", "service", "staff", "start", "expires_at", "appointment")
    related = ("service", "staff", "appointment")
    ordering = ("issued_at", "pk")
    extra = 0


@admin.register(Conversation)
class ConversationAdmin(Scoped, LargeTable, LocalTimes, ReadOnly, ModelAdmin):
    tenancy = {"company": "company", "branch": "branch"}
    zone = Coalesce(F("branch__time_zone"), OF_COMPANY)
    list_display = ("public_id", "company", "branch", "platform", "language", "started_at", "last_seen_at", "ended_at")
    list_filter = (chosen("company"),)
    list_filter_submit = True
    search_help_text = "An id of the call, the end of the caller's number, or the beginning of their name"
    list_select_related = ("company", "branch__company")
    inlines = (ToolCallInline, SlotTokenInline)

    def search(self, queryset: QuerySet[Conversation], text: str) -> QuerySet[Conversation]:
        """Return those that are meant by an id, the caller's number or name."""
        return queryset.filter(pk__in=Conversation.objects.search(text).order_by()[:MAX_FOUND].values("pk"))


@admin.register(ToolCall)
class ToolCallAdmin(Scoped, LargeTable, LocalTimes, ShowsExchange, ReadOnly, ModelAdmin):
    tenancy = {"company": "company", "branch": "conversation__branch"}
    zone = OF_CONVERSATION
    fields = (
        *("company", "conversation", "called_at", "endpoint", "shown_request", "shown_response"),
        *("status", "cache_status", "duration"),
    )
    readonly_fields = ("shown_request", "shown_response")
    list_display = ("called_at", "company", "endpoint", "status", "cache_status", "duration")
    list_filter = (chosen("company"),)
    list_filter_submit = True
    search_help_text = "The id of a call"
    list_select_related = ("company",)

    def search(self, queryset: QuerySet[ToolCall], text: str) -> QuerySet[ToolCall]:
        """Return those of the call with this id."""
        return queryset.filter(conversation__in=Conversation.objects.filter(public_id=text))


@admin.register(SlotToken)
class SlotTokenAdmin(Scoped, LargeTable, LocalTimes, ReadOnly, ModelAdmin):
    tenancy = {"company": "company", "branch": "service__branch"}
    zone = F("service__branch__time_zone")
    list_display = ("issued_at", "company", "service", "staff", "start", "expires_at", "appointment")
    list_filter = (chosen("company"),)
    list_filter_submit = True
    search_help_text = "The id of a call, or what finds an appointment"
    list_select_related = ("company", "service", "staff", "appointment")

    def search(self, queryset: QuerySet[SlotToken], text: str) -> QuerySet[SlotToken]:
        """Return those of a call, or those that led to the appointments that are meant."""
        of_call = Q(conversation__in=Conversation.objects.filter(public_id=text))
        return queryset.filter(of_call if text.startswith("cv_") else Q(appointment__in=found_appointments(text)))


def _zone_of(call: ToolCall) -> str:
    return getattr(call, "row_zone", None) or "UTC"


def _one_line(value: Mapping[str, object], zone: str) -> str:
    return " · ".join(f"{name}: {_plain(each, zone)}" for name, each in value.items())


def _plain(value: object, zone: str) -> str:
    """Return a value of a request or response in words; an instant, whatever its offset, in the zone of the branch."""
    if isinstance(value, list):
        return ", ".join(_plain(each, zone) for each in value)
    if isinstance(value, dict):
        return f"({_one_line(value, zone)})"
    instant = parse_datetime(value) if isinstance(value, str) and len(value) >= len("2026-11-24T10:00Z") else None
    return str(value) if instant is None or instant.tzinfo is None else local_time(instant, zone)
