"""Customers, phone calls with their timeline, and what was offered in them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext, gettext_lazy
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from bookings.admin import call_timeline
from bookings.admin.call_timeline import clock
from bookings.admin.common import (
    FIND_PEOPLE,
    OF_COMPANY,
    OF_CONVERSATION,
    KeepsHistory,
    SelectsRelated,
    found_appointments,
)
from bookings.admin.phones import readable
from bookings.models import (
    MAX_FOUND,
    Appointment,
    CallbackRequest,
    Conversation,
    Customer,
    SlotToken,
    ToolCall,
)
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


class GoingOn(admin.SimpleListFilter):
    """Calls that go on, which an index finds."""

    title = gettext_lazy("progress")
    parameter_name = "going_on"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ARG002  Django's
        return [("1", gettext_lazy("goes on"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> QuerySet[Conversation]:  # noqa: ARG002
        return queryset.filter(ended_at__isnull=True) if self.value() else queryset


_OUTCOMES = {
    "booked": "success",
    "rescheduled": "success",
    "cancelled": "warning",
    "callback": "warning",
    "gave_up": "danger",
    "goes_on": "info",
}
# What a call was about: what it booked, else what was offered in it last.
_BOOKED = Appointment.objects.filter(conversation=OuterRef("pk")).exclude(state__in=("held", "rejected", "expired"))
_OFFERED = SlotToken.objects.filter(conversation=OuterRef("pk")).order_by("-pk").values("service__name")[:1]


@admin.register(Conversation)
class ConversationAdmin(Scoped, LargeTable, LocalTimes, ReadOnly, ModelAdmin):
    """Phone calls. The page of one shows it as a conversation, while it goes on, too."""

    tenancy = {"company": "company", "branch": "branch"}
    zone = Coalesce(F("branch__time_zone"), OF_COMPANY)
    list_display = ("started_at", "caller", "shown_outcome", "about", "length", "language", "branch", "platform")
    list_filter = ("outcome", GoingOn, "told_booked", *map(chosen, ("company", "branch")))
    list_filter_submit = True
    search_help_text = gettext_lazy("An id of the call, the end of the caller's number, or the beginning of their name")
    list_select_related = ("company", "branch__company", "customer")
    inlines = (ToolCallInline, SlotTokenInline)
    change_form_template = "bookings/call.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        """Return the calls with what the list says of each."""
        rows: QuerySet[Conversation] = super().get_queryset(request)
        return rows.annotate(
            about_service=Coalesce(Subquery(_BOOKED.order_by("-pk").values("service__name")[:1]), Subquery(_OFFERED)),
            booked_name=Subquery(_BOOKED.order_by("-pk").values("attendee_name")[:1]),
            has_booked=Exists(_BOOKED),
            has_callback=Exists(CallbackRequest.objects.filter(conversation=OuterRef("pk"))),
        )

    @admin.display(description=gettext_lazy("caller"))
    def caller(self, call: Conversation) -> str:
        name = (call.customer.name if call.customer else "") or getattr(call, "booked_name", None)
        number = readable(call.caller_phone, call.branch.phone_region if call.branch else "")
        return " · ".join(filter(None, (name, number))) or gettext("number withheld")

    @display(description=gettext_lazy("outcome"), label=_OUTCOMES)  # type: ignore[untyped-decorator]
    def shown_outcome(self, call: Conversation) -> tuple[str, str]:
        return outcome_of(call)

    @admin.display(description=gettext_lazy("service"))
    def about(self, call: Conversation) -> str:
        return getattr(call, "about_service", None) or "-"

    @admin.display(description=gettext_lazy("length"))
    def length(self, call: Conversation) -> str:
        return clock(length_of(call))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the call as a conversation; its rows are folded."""
        shown: dict[str, Any] = {}
        if object_id.isdecimal() and len(object_id) < 19:
            call = self.get_queryset(request).select_related(*self.list_select_related).filter(pk=object_id).first()
            if call is not None and self.has_view_or_change_permission(request, call):
                shown = self._shown(call)
        answer: HttpResponse = super().change_view(request, object_id, form_url, {**(extra_context or {}), **shown})
        return answer

    def _shown(self, call: Conversation) -> dict[str, Any]:
        outcome, words = outcome_of(call)
        return {
            "call": call,
            "began": local_time(call.started_at, getattr(call, "row_zone", None)),
            "caller": self.caller(call),
            "dial": call.caller_phone,
            "outcome_type": _OUTCOMES.get(outcome, ""),
            "outcome": words,
            "length": clock(length_of(call)),
            "turns": call_timeline.read(call, timezone.now()),
            "appointments": call.appointments.exclude(state="held").select_related("service")[:20],
            "callbacks": CallbackRequest.objects.filter(conversation=call)[:20],
        }

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


def outcome_of(call: Conversation) -> tuple[str, str]:
    """Return what a call came to, as a value and in a word: as its platform told it, else as its rows tell."""
    if call.ended_at is None:
        return "goes_on", gettext("goes on")
    if call.outcome:
        return call.outcome, call.get_outcome_display()
    if getattr(call, "has_booked", False):
        return "booked", str(Conversation.Outcome.BOOKED.label)
    if getattr(call, "has_callback", False):
        return "callback", str(Conversation.Outcome.CALLBACK.label)
    return "only_asked", str(Conversation.Outcome.ONLY_ASKED.label)


def length_of(call: Conversation) -> timedelta:
    """Return how long a call lasted, or lasts so far."""
    return call.duration or (call.ended_at or timezone.now()) - call.started_at


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
