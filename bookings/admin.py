"""What staff sees and does. Appointments change only as agents do it; what happened cannot be edited."""

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.forms import ActionForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from bookings.callbacks import finish
from bookings.errors import BookingError
from bookings.models import (
    AgentKey,
    Appointment,
    Branch,
    CallbackRequest,
    Change,
    Claim,
    Company,
    Conversation,
    Customer,
    Service,
    SharedBooking,
    SlotToken,
    Staff,
    StaffService,
    ToolCall,
)
from bookings.wish import cancelling
from cachectl.deadline import Deadline
from calcom.admin import ReadOnly
from calcom.service import CalcomService

STATE_COLOURS = {
    "confirmed": "success",
    "completed": "success",
    "done": "success",
    "held": "info",
    "pending": "info",
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
    def shown_state(self, row: Appointment | Change | CallbackRequest) -> tuple[str, str]:
        """Return the state and its words."""
        return row.state, row.get_state_display()


class BranchInline(TabularInline):
    """The places of a company."""

    model = Branch
    fields = ("name", "time_zone", "language", "phone_region")
    extra = 0
    show_change_link = True


@admin.register(Company)
class CompanyAdmin(ModelAdmin):
    """Tenants."""

    list_display = ("name", "account", "active", "cancel_notice_hours", "created_at")
    list_filter = ("active",)
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("created_at",)
    inlines = (BranchInline,)


@admin.register(Branch)
class BranchAdmin(ModelAdmin):
    """Places, their hours and closures."""

    list_display = ("name", "company", "time_zone", "language")
    list_filter = ("company",)
    search_fields = ("name", "company__name")
    list_select_related = ("company",)


@admin.register(Service)
class ServiceAdmin(ModelAdmin):
    """What callers ask for, and why it cannot be booked, if so."""

    list_display = ("name", "branch", "event_type", "duration_minutes", "active", "bookable")
    list_filter = ("active", "branch__company", "branch")
    search_fields = ("name", "aliases", "branch__name")
    list_select_related = ("branch__company", "event_type")
    autocomplete_fields = ("branch",)
    readonly_fields = ("obstacle",)

    @admin.display(description="can be booked", boolean=True)
    def bookable(self, service: Service) -> bool:
        """Return whether callers can book it."""
        return not service.obstacle()

    @admin.display(description="what is in the way")
    def obstacle(self, service: Service) -> str:
        """Return what staff must put right."""
        return (service.obstacle() if service.pk else "") or "nothing"


class StaffServiceInline(TabularInline):
    """The event types that book one person."""

    model = StaffService
    extra = 0


@admin.register(Staff)
class StaffAdmin(ModelAdmin):
    """Whom callers ask for."""

    list_display = ("name", "branch", "host", "active")
    list_filter = ("active", "branch__company", "branch")
    search_fields = ("name", "aliases")
    list_select_related = ("branch__company", "host")
    inlines = (StaffServiceInline,)


@admin.register(StaffService)
class StaffServiceAdmin(ModelAdmin):
    """The same in one list."""

    list_display = ("service", "staff", "event_type")
    list_filter = ("staff__branch__company",)
    search_fields = ("service__name", "staff__name")
    list_select_related = ("service", "staff", "event_type")


@admin.register(Customer)
class CustomerAdmin(ModelAdmin):
    """Who called."""

    list_display = ("name", "phone", "email", "company", "created_at")
    list_filter = ("company",)
    search_fields = ("name", "phone", "email")
    readonly_fields = ("created_at",)
    list_select_related = ("company",)


class AgentKeyForm(forms.ModelForm):  # type: ignore[type-arg]  # it takes arguments in stubs only
    """A key; its text is made here and shown once."""

    scopes = forms.MultipleChoiceField(
        choices=AgentKey.Scope,
        initial=[scope for scope in AgentKey.Scope if scope != AgentKey.Scope.VOUCH],
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
class AgentKeyAdmin(ModelAdmin):
    """What agents show us."""

    form = AgentKeyForm
    list_display = ("name", "prefix", "company", "branch", "created_at", "revoked_at")
    list_filter = ("company", ("revoked_at", admin.EmptyFieldListFilter))
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


class ToolCallInline(ReadOnly, TabularInline):
    """The timeline of a call: what was asked, what was answered, how long it took and where the data came from."""

    model = ToolCall
    verbose_name_plural = "timeline"
    fields = ("called_at", "operation", "shown_asked", "shown_answered", "status", "cache_status", "shown_took")
    readonly_fields = fields
    ordering = ("called_at", "pk")
    extra = 0

    @admin.display(description="asked")
    def shown_asked(self, call: ToolCall) -> str:
        """Return what was asked in one line."""
        return _in_a_line(call.asked)

    @admin.display(description="answered")
    def shown_answered(self, call: ToolCall) -> str:
        """Return what was answered in one line."""
        return _in_a_line(call.answered)

    @admin.display(description="took")
    def shown_took(self, call: ToolCall) -> str:
        """Return milliseconds."""
        return f"{call.took.total_seconds() * 1000:.0f} ms"


def _in_a_line(said: Mapping[str, object]) -> str:
    return " · ".join(f"{name}: {_plain(value)}" for name, value in said.items())


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return f"({_in_a_line(value)})" if isinstance(value, dict) else str(value)


class SlotTokenInline(ReadOnly, TabularInline):
    """What was offered in a call, and what came of it. The tokens stay secret: whoever has one can book."""

    model = SlotToken
    fields = ("issued_at", "service", "staff", "start", "expires_at", "appointment")
    ordering = ("issued_at", "pk")
    extra = 0


@admin.register(Conversation)
class ConversationAdmin(ReadOnly, ModelAdmin):
    """Phone calls."""

    list_display = ("public_id", "company", "branch", "platform", "language", "started_at", "last_seen_at", "ended_at")
    list_filter = ("company", "platform")
    search_fields = ("public_id", "call_id", "caller_phone", "customer__name")
    date_hierarchy = "started_at"
    list_select_related = ("company", "branch__company")
    inlines = (ToolCallInline, SlotTokenInline)


@admin.register(ToolCall)
class ToolCallAdmin(ReadOnly, ModelAdmin):
    """What agents asked, and what they were told."""

    list_display = ("called_at", "company", "operation", "status", "cache_status", "took")
    list_filter = ("company", "operation", "status")
    search_fields = ("conversation__public_id", "operation")
    date_hierarchy = "called_at"
    list_select_related = ("company",)
    ordering = ("-called_at",)


@admin.register(SlotToken)
class SlotTokenAdmin(ReadOnly, ModelAdmin):
    """What agents offered, and what came of it."""

    list_display = ("issued_at", "company", "service", "staff", "start", "expires_at", "appointment")
    list_filter = ("company",)
    search_fields = ("conversation__public_id", "service__name", "appointment__reference")
    date_hierarchy = "issued_at"
    list_select_related = ("company", "service", "staff", "appointment")


class ChangeInline(ReadOnly, TabularInline):
    """What was asked of an appointment, and what came of it."""

    model = Change
    fields = ("asked_at", "operation", "state", "outcome", "asked_by", "attempts", "took", "reason")
    extra = 0


class ClaimInline(ReadOnly, TabularInline):
    """Whose time it takes."""

    model = Claim
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
class AppointmentAdmin(ShowsState, ReadOnly, ModelAdmin):
    """Appointments: looked at here, and cancelled as agents do it."""

    list_display = (
        "reference",
        "local_start",
        "shown_state",
        "service",
        "host",
        "attendee_name",
        "attendee_phone",
        "origin",
    )
    list_filter = ("state", "company", "branch", "origin", "host")
    search_fields = ("reference", "public_id", "attendee_name", "attendee_phone", "attendee_email")
    date_hierarchy = "start"
    list_select_related = ("branch", "service", "host")
    exclude = ("remote_uid", "earlier_remote_uids", "wish")  # whoever has a uid can read, move and cancel the booking
    inlines = (ChangeInline, ClaimInline)
    actions = ("cancel",)
    action_form = ReasonForm

    @admin.display(description="start, where it takes place", ordering="start")
    def local_start(self, appointment: Appointment) -> str:
        """Show the time as the clock on the branch's wall does."""
        return f"{appointment.start.astimezone(ZoneInfo(appointment.branch.time_zone)):%a %d %b %Y, %H:%M}"

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
                    asked_by=None,
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
class ClaimAdmin(ReadOnly, ModelAdmin):
    """Hosts' time that is taken; conflicting claims overlap at Cal.com."""

    list_display = ("host", "start", "end", "kind", "conflicting", "appointment", "shared_booking")
    list_filter = ("conflicting", "kind", "host")
    search_fields = ("appointment__reference", "host__name")
    date_hierarchy = "start"
    list_select_related = ("host", "appointment", "shared_booking")


@admin.register(SharedBooking)
class SharedBookingAdmin(ReadOnly, ModelAdmin):
    """Bookings that another account asked for, as far as they take time of this one's hosts; without uids."""

    list_display = ("account", "event_type", "start", "end", "ended", "changed_at")
    list_filter = ("account", "ended")
    search_fields = ("event_type__title",)
    fields = ("account", "event_type", "start", "end", "ended", "changed_at")
    date_hierarchy = "start"
    list_select_related = ("account", "event_type")


@admin.register(Change)
class ChangeAdmin(ShowsState, ReadOnly, ModelAdmin):
    """What was asked for, and how far it is."""

    list_display = ("asked_at", "company", "appointment", "operation", "shown_state", "outcome", "attempts", "took")
    list_filter = ("state", "operation", "company", "outcome")
    search_fields = ("public_id", "appointment__reference", "appointment__public_id")
    date_hierarchy = "asked_at"
    list_select_related = ("company", "appointment")


@admin.register(CallbackRequest)
class CallbackRequestAdmin(ShowsState, ModelAdmin):
    """Whom a person shall call back."""

    list_display = ("name", "phone", "topic", "branch", "appointment", "asked_at", "shown_state", "done_at", "done_by")
    list_filter = ("state", "company", "branch", "asked_at")
    search_fields = ("name", "phone", "topic", "public_id", "appointment__reference")
    ordering = ("-state", "asked_at")  # open before done, and who has waited longest first
    date_hierarchy = "asked_at"
    readonly_fields = (
        "public_id",
        "company",
        "branch",
        "conversation",
        "appointment",
        "asked_by",
        "language",
        "asked_at",
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
