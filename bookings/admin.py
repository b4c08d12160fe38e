"""What staff sees and does. Appointments change only as agents do it; what happened cannot be edited."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.forms import ActionForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from bookings.errors import BookingError
from bookings.models import (
    MAX_FOUND,
    OPEN_STATES,
    AgentKey,
    Appointment,
    Branch,
    CallbackRequest,
    Claim,
    Company,
    Conversation,
    Customer,
    Operation,
    Service,
    SharedBooking,
    SlotToken,
    Staff,
    StaffService,
    ToolCall,
)
from bookings.scheduling import cancelling
from bookings.scheduling.callbacks import finish
from cachectl.infra.deadline import Deadline
from calcom.admin import ReadOnly
from calcom.service import CalcomService
from monitoring.admin_pages import CappedPaginator, LargeTable, LocalTimes, chosen, local_time

# How a row leads to the clock of its place.
_FIRST_BRANCH = Branch.objects.filter(company=OuterRef("company")).order_by("pk").values("time_zone")[:1]
OF_COMPANY = Subquery(_FIRST_BRANCH)
OF_APPOINTMENT = F("appointment__branch__time_zone")
OF_CONVERSATION = Coalesce(F("conversation__branch__time_zone"), OF_COMPANY)
OF_CLAIM = Coalesce(OF_APPOINTMENT, F("host__time_zone"))
FIND_PEOPLE = "The beginning of a name or an e-mail address, or the end of a number"

STATE_COLOURS = {
    "confirmed": "success",
    "completed": "success",
    "done": "success",
    "held": "info",
    "pending": "info",
    "awaiting_confirmation": "info",
    "queued": "info",
    "sending": "info",
    "unknown": "warning",
    "open": "warning",
    "no_show": "warning",
    "rejected": "danger",
    "refused": "danger",
}


class ShowsState:
    """A column with the state as a coloured label."""

    @display(description="state", label=STATE_COLOURS, ordering="state")  # type: ignore[untyped-decorator]
    def shown_state(self, row: Appointment | Operation | CallbackRequest) -> tuple[str, str]:
        """Return the state and its words."""
        return row.state, row.get_state_display()


def _found(text: str) -> QuerySet[Appointment, Any]:
    """Return the appointments that are meant by what was typed, as a part of another query."""
    return Appointment.objects.search(text).order_by()[:MAX_FOUND].values("pk")


class KeepsHistory:
    """For what appointments or calls stand on: it is switched off, and deleted only while none do."""

    used_by: Sequence[str] = ()
    """The lookups by which a row's history is found."""

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Say no at once where there is history; Django would first collect all of it."""
        rows = self.get_queryset(request)  # type: ignore[attr-defined]
        used = [
            str(row)
            for row in objs
            if any(rows.filter(pk=row.pk, **{f"{lookup}__isnull": False})[:1].exists() for lookup in self.used_by)
        ]
        if used:
            return [], {}, set(), [f"{name} has a history. Switch it off instead." for name in used]
        return super().get_deleted_objects(objs, request)  # type: ignore[misc]  # of the admin class beside it


class OpenFilter(admin.SimpleListFilter):
    """Operations that have not come to their end, by an index; all others are history."""

    title = "progress"
    parameter_name = "open"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002  Django's
        """Return the choices."""
        return [("1", "not at its end")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Operation]) -> QuerySet[Operation]:  # noqa: ARG002
        """Return the operations of the chosen kind."""
        return queryset.filter(state__in=OPEN_STATES) if self.value() else queryset


class BranchInline(TabularInline):
    """The places of a company."""

    model = Branch
    fields = ("name", "time_zone", "language", "phone_region")
    extra = 0
    show_change_link = True


@admin.register(Company)
class CompanyAdmin(LocalTimes, KeepsHistory, ModelAdmin):
    """Tenants."""

    zone = Subquery(Branch.objects.filter(company=OuterRef("pk")).order_by("pk").values("time_zone")[:1])
    used_by = ("appointments", "conversations")

    list_display = ("name", "account", "active", "cancel_notice_hours", "created_at")
    list_filter = ("active",)
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("created_at",)
    inlines = (BranchInline,)


@admin.register(Branch)
class BranchAdmin(KeepsHistory, ModelAdmin):
    """Places, their hours and closures."""

    used_by = ("appointment",)

    list_display = ("name", "company", "time_zone", "language")
    list_filter = (chosen("company"),)
    list_filter_submit = True
    search_fields = ("name", "company__name")
    list_select_related = ("company",)


@admin.register(Service)
class ServiceAdmin(KeepsHistory, ModelAdmin):
    """What callers ask for, and why it cannot be booked, if so."""

    used_by = ("appointment",)

    list_display = ("name", "branch", "event_type", "duration_minutes", "active", "bookable")
    list_filter = ("active", *map(chosen, ("branch__company", "branch")))
    list_filter_submit = True
    search_fields = ("name", "aliases", "branch__name")
    list_select_related = ("branch__company", "event_type")
    autocomplete_fields = ("branch",)
    readonly_fields = ("unsupported_reason",)

    @admin.display(description="can be booked", boolean=True)
    def bookable(self, service: Service) -> bool:
        """Return whether callers can book it."""
        return not service.unsupported_reason()

    @admin.display(description="what is in the way")
    def unsupported_reason(self, service: Service) -> str:
        """Return what staff must put right."""
        return (service.unsupported_reason() if service.pk else "") or "nothing"


class StaffServiceInline(TabularInline):
    """The event types that book one person."""

    model = StaffService
    extra = 0


@admin.register(Staff)
class StaffAdmin(ModelAdmin):
    """Whom callers ask for."""

    list_display = ("name", "branch", "host", "active")
    list_filter = ("active", *map(chosen, ("branch__company", "branch")))
    list_filter_submit = True
    search_fields = ("name", "aliases")
    list_select_related = ("branch__company", "host")
    inlines = (StaffServiceInline,)


@admin.register(StaffService)
class StaffServiceAdmin(ModelAdmin):
    """The same in one list."""

    list_display = ("service", "staff", "event_type")
    list_filter = (chosen("staff__branch__company"),)
    list_filter_submit = True
    search_fields = ("service__name", "staff__name")
    list_select_related = ("service", "staff", "event_type")


@admin.register(Customer)
class CustomerAdmin(LargeTable, LocalTimes, KeepsHistory, ModelAdmin):
    """Who called."""

    zone = OF_COMPANY
    used_by = ("appointment",)
    list_display = ("name", "phone", "email", "company", "created_at")
    list_filter = (chosen("company"),)
    list_filter_submit = True
    search_help_text = FIND_PEOPLE
    readonly_fields = ("created_at",)
    list_select_related = ("company",)

    def search(self, queryset: QuerySet[Customer], text: str) -> QuerySet[Customer]:
        """Return those that are meant by a number, an address or a name."""
        return queryset.filter(pk__in=Customer.objects.search(text).order_by()[:MAX_FOUND].values("pk"))


class AgentKeyForm(forms.ModelForm):  # type: ignore[type-arg]  # it takes arguments in stubs only
    """A key; its text is made here and shown once."""

    scopes = forms.MultipleChoiceField(
        choices=AgentKey.Scope,
        initial=[scope for scope in AgentKey.Scope if scope != AgentKey.Scope.CALLERS_IDENTIFY],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )

    class Meta:
        model = AgentKey
        fields = ("company", "branch", "name", "scopes")

    def clean(self) -> dict[str, Any]:
        """Refuse a branch of another company."""
        cleaned = super().clean() or self.cleaned_data
        branch = cleaned.get("branch")
        if branch and branch.company != cleaned.get("company"):
            self.add_error("branch", "It is another company's.")
        return cleaned


@admin.register(AgentKey)
class AgentKeyAdmin(LocalTimes, ModelAdmin):
    """What agents show us."""

    zone = OF_COMPANY
    form = AgentKeyForm
    list_display = ("name", "prefix", "company", "branch", "created_at", "revoked_at")
    list_filter = (chosen("company"), ("revoked_at", admin.EmptyFieldListFilter))
    list_filter_submit = True
    search_fields = ("name", "prefix", "company__name")
    readonly_fields = ("prefix", "created_at", "revoked_at")
    list_select_related = ("company", "branch__company")
    actions = ("revoke",)

    def save_model(self, request: HttpRequest, key: AgentKey, form: Any, change: bool) -> None:
        """Give a new key its text."""
        text = "" if change else key.give_text()
        super().save_model(request, key, form, change)
        key.shown_once = text

    def response_add(self, request: HttpRequest, key: AgentKey, post_url_continue: str | None = None) -> HttpResponse:  # noqa: ARG002  Django's signature
        """Show the text of a new key on a page of its own, this once: a message would lie in a cookie."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Copy the key now",
            "key": key,
            "back": reverse("admin:bookings_agentkey_changelist"),
        }
        return TemplateResponse(request, "bookings/new_agent_key.html", context, headers={"Cache-Control": "no-store"})

    @admin.action(description="Revoke at once", permissions=["change"])
    def revoke(self, request: HttpRequest, keys: QuerySet[AgentKey]) -> None:
        """Refuse the keys from now on: within 5 s everywhere."""
        revoked = keys.filter(revoked_at__isnull=True).update(revoked_at=timezone.now())
        self.message_user(request, f"{revoked} keys revoked.", messages.SUCCESS)


class ShowsWords:
    """Columns with what an agent asked and was answered."""

    @admin.display(description="request")
    def shown_request(self, call: ToolCall) -> str:
        """Return what was asked in one line."""
        return _in_a_line(call.request, _zone_of(call))

    @admin.display(description="response")
    def shown_response(self, call: ToolCall) -> str:
        """Return what was answered in one line."""
        return _in_a_line(call.response, _zone_of(call))


class ToolCallInline(LocalTimes, ShowsWords, ReadOnly, TabularInline):
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
        """Return milliseconds."""
        return f"{call.duration.total_seconds() * 1000:.0f} ms"


def _zone_of(call: ToolCall) -> str:
    return getattr(call, "row_zone", None) or "UTC"


def _in_a_line(said: Mapping[str, object], zone: str) -> str:
    return " · ".join(f"{name}: {_plain(value, zone)}" for name, value in said.items())


def _plain(value: object, zone: str) -> str:
    """Return what was said in words; an instant, in whatever zone the agent wrote it, by the clock of the place."""
    if isinstance(value, list):
        return ", ".join(_plain(each, zone) for each in value)
    if isinstance(value, dict):
        return f"({_in_a_line(value, zone)})"
    instant = parse_datetime(value) if isinstance(value, str) and len(value) >= len("2026-11-24T10:00Z") else None
    return str(value) if instant is None or instant.tzinfo is None else local_time(instant, zone)


class SlotTokenInline(LocalTimes, ReadOnly, TabularInline):
    """What was offered in a call, and what came of it. The tokens stay secret: whoever has one can book."""

    model = SlotToken
    zone = F("service__branch__time_zone")
    fields = ("issued_at", "service", "staff", "start", "expires_at", "appointment")
    ordering = ("issued_at", "pk")
    extra = 0


@admin.register(Conversation)
class ConversationAdmin(LargeTable, LocalTimes, ReadOnly, ModelAdmin):
    """Phone calls."""

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
class ToolCallAdmin(LargeTable, LocalTimes, ShowsWords, ReadOnly, ModelAdmin):
    """What agents asked, and what they were told."""

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
class SlotTokenAdmin(LargeTable, LocalTimes, ReadOnly, ModelAdmin):
    """What agents offered, and what came of it."""

    zone = F("service__branch__time_zone")
    list_display = ("issued_at", "company", "service", "staff", "start", "expires_at", "appointment")
    list_filter = (chosen("company"),)
    list_filter_submit = True
    search_help_text = "The id of a call, or what finds an appointment"
    list_select_related = ("company", "service", "staff", "appointment")

    def search(self, queryset: QuerySet[SlotToken], text: str) -> QuerySet[SlotToken]:
        """Return those of a call, or those that led to the appointments that are meant."""
        of_call = Q(conversation__in=Conversation.objects.filter(public_id=text))
        return queryset.filter(of_call if text.startswith("cv_") else Q(appointment__in=_found(text)))


class OperationInline(LocalTimes, ReadOnly, TabularInline):
    """What was asked of an appointment, and what came of it."""

    model = Operation
    zone = OF_APPOINTMENT
    fields = ("requested_at", "kind", "state", "outcome", "requested_by", "attempts", "duration", "reason")
    extra = 0


class ClaimInline(LocalTimes, ReadOnly, TabularInline):
    """Whose time it takes."""

    model = Claim
    zone = OF_CLAIM
    fields = ("host", "kind", "start", "end", "conflicting")
    extra = 0


class ReasonForm(ActionForm):
    """Why, for whoever reads it at Cal.com."""

    reason = forms.CharField(
        label="",
        required=False,
        max_length=300,
        widget=UnfoldAdminTextInputWidget({"placeholder": "Reason, if you cancel", "aria-label": "Reason"}),
    )


@admin.register(Appointment)
class AppointmentAdmin(LargeTable, LocalTimes, ShowsState, ReadOnly, ModelAdmin):
    """Appointments: looked at here, and cancelled as agents do it."""

    zone = F("branch__time_zone")
    ordering = ("-start", "-pk")
    list_display = (
        "reference",
        "start",
        "shown_state",
        "service",
        "host",
        "attendee_name",
        "attendee_phone",
        "origin",
    )
    list_filter = ("state", *map(chosen, ("company", "branch", "host")))
    list_filter_submit = True
    search_help_text = f"A reference. {FIND_PEOPLE}"
    list_select_related = ("branch", "service", "host")
    exclude = (
        "remote_uid",
        "earlier_remote_uids",
        "deduplication_key",
    )  # whoever has a uid can read, move and cancel the booking
    inlines = (OperationInline, ClaimInline)
    actions = ("cancel",)
    action_form = ReasonForm

    def search(self, queryset: QuerySet[Appointment], text: str) -> QuerySet[Appointment]:
        """Return those that are meant by a reference, an id, a number, an address or a name."""
        return queryset.filter(pk__in=_found(text))

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Whoever may change appointments may cancel them."""
        return request.user.has_perm("bookings.change_appointment")

    @admin.action(description="Cancel at Cal.com", permissions=["cancel"])
    def cancel(self, request: HttpRequest, appointments: QuerySet[Appointment]) -> None:
        """Cancel the appointments chosen, and say how it went. They are waited for together, as one caller waits."""
        deadline = Deadline.after(settings.BOOKINGS_WRITE_WAIT)
        for appointment in appointments.select_related("company", "event_type__account"):
            try:
                cancelled = cancelling.cancel(
                    appointment=appointment,
                    reason=request.POST.get("reason", "") or "Cancelled by staff.",
                    requested_by=None,
                    calcom=CalcomService(appointment.event_type.account, tenant=appointment.company_id),
                    deadline=deadline,
                    now=timezone.now(),
                )
            except BookingError as exc:
                self.message_user(request, f"{appointment.reference} was not cancelled: {exc}", messages.ERROR)
            else:
                how = "is cancelled" if cancelled.is_settled else "is being cancelled; Cal.com has not answered yet"
                self.message_user(request, f"{appointment.reference} {how}.", messages.SUCCESS)


@admin.register(Claim)
class ClaimAdmin(LargeTable, LocalTimes, ReadOnly, ModelAdmin):
    """Hosts' time that is taken; conflicting claims overlap at Cal.com."""

    zone = OF_CLAIM
    list_display = ("host", "start", "end", "kind", "conflicting", "appointment", "shared_booking")
    list_filter = ("conflicting", chosen("host"))
    list_filter_submit = True
    search_help_text = "What finds an appointment"
    list_select_related = ("host", "appointment", "shared_booking")

    def search(self, queryset: QuerySet[Claim], text: str) -> QuerySet[Claim]:
        """Return those of the appointments that are meant."""
        return queryset.filter(appointment__in=_found(text))


@admin.register(SharedBooking)
class SharedBookingAdmin(LocalTimes, ReadOnly, ModelAdmin):
    """Bookings that another account asked for, as far as they take time of this one's hosts; without uids."""

    zone = Subquery(Claim.objects.filter(shared_booking=OuterRef("pk")).order_by("pk").values("host__time_zone")[:1])
    list_display = ("account", "event_type", "start", "end", "ended", "changed_at")
    list_filter = (chosen("account"), "ended")
    list_filter_submit = True
    search_fields = ("event_type__title",)
    fields = ("account", "event_type", "start", "end", "ended", "changed_at")
    date_hierarchy = "start"
    list_select_related = ("account", "event_type")


@admin.register(Operation)
class OperationAdmin(LargeTable, LocalTimes, ShowsState, ReadOnly, ModelAdmin):
    """What was asked for, and how far it is."""

    zone = OF_APPOINTMENT
    list_display = ("requested_at", "company", "appointment", "kind", "shown_state", "outcome", "attempts", "duration")
    list_filter = (OpenFilter, chosen("company"))
    list_filter_submit = True
    search_help_text = "An id, or what finds an appointment"
    list_select_related = ("company", "appointment")

    def search(self, queryset: QuerySet[Operation], text: str) -> QuerySet[Operation]:
        """Return the one with this id, or those of the appointments that are meant."""
        return queryset.filter(Q(public_id=text) if text.startswith("op_") else Q(appointment__in=_found(text)))


@admin.register(CallbackRequest)
class CallbackRequestAdmin(LocalTimes, ShowsState, ModelAdmin):
    """Whom a person shall call back."""

    zone = Coalesce(F("branch__time_zone"), OF_COMPANY)
    paginator = CappedPaginator
    show_full_result_count = False
    list_display = (
        "name",
        "phone",
        "topic",
        "branch",
        "appointment",
        "requested_at",
        "shown_state",
        "done_at",
        "done_by",
    )
    list_filter = ("state", *map(chosen, ("company", "branch")), "requested_at")
    list_filter_submit = True
    search_fields = ("name", "phone", "topic", "public_id", "appointment__reference")
    ordering = ("-state", "requested_at")  # open before done, and who has waited longest first
    readonly_fields = (
        "public_id",
        "company",
        "branch",
        "conversation",
        "appointment",
        "requested_by",
        "language",
        "requested_at",
        "state",
        "done_at",
        "done_by",
    )
    list_select_related = ("branch__company", "appointment")
    actions = ("mark_done",)

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Callers ask, nobody else."""
        return False

    @admin.action(description="Done: they were called back", permissions=["change"])
    def mark_done(self, request: HttpRequest, callbacks: QuerySet[CallbackRequest]) -> None:
        """Take them off the list."""
        done = finish(callbacks, by=request.user.get_username())
        self.message_user(request, f"{done} callbacks done.", messages.SUCCESS)
