"""Appointments, their operations, and the time that they take. They change only as agents change them."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.forms import ActionForm
from unfold.widgets import UnfoldAdminTextInputWidget

from bookings.admin.appointment_pages import AppointmentPages
from bookings.admin.booking_page import BookingPage
from bookings.admin.common import (
    FIND_PEOPLE,
    OF_APPOINTMENT,
    OF_CLAIM,
    STATE_COLOURS,
    SelectsRelated,
    ShowsState,
    found_appointments,
    person_of,
)
from bookings.admin.refusals import sentence_of
from bookings.errors import BookingError
from bookings.models import OPEN_STATES, Appointment, Claim, Operation, SharedBooking
from bookings.scheduling import cancelling
from cachectl.infra.deadline import Deadline
from calcom.admin import ReadOnly
from calcom.service import CalcomService
from monitoring.admin_pages import LargeTable, LocalTimes, chosen
from monitoring.tenancy import Scoped

CONFLICT = "conflict"


class ReasonForm(ActionForm):
    """The reason of a cancellation, as shown at Cal.com."""

    reason = forms.CharField(
        label="",
        required=False,
        max_length=300,
        widget=UnfoldAdminTextInputWidget(
            {"placeholder": gettext_lazy("Reason, if you cancel"), "aria-label": gettext_lazy("Reason")}
        ),
    )


class OperationInline(SelectsRelated, LocalTimes, ReadOnly, TabularInline):
    model = Operation
    zone = OF_APPOINTMENT
    fields = ("requested_at", "kind", "state", "outcome", "requested_by", "attempts", "duration", "reason")
    related = ("requested_by",)
    extra = 0


class ClaimInline(SelectsRelated, LocalTimes, ReadOnly, TabularInline):
    model = Claim
    zone = OF_CLAIM
    fields = ("host", "kind", "start", "end", "conflicting")
    related = ("host",)
    extra = 0


@admin.register(Appointment)
class AppointmentAdmin(Scoped, BookingPage, AppointmentPages, LargeTable, LocalTimes, ShowsState, ReadOnly, ModelAdmin):
    tenancy = {"company": "company", "branch": "branch", "host": "host"}
    zone = F("branch__time_zone")
    ordering = ("-start", "-pk")
    list_display = (
        "reference",
        "start",
        "shown_state",
        "service",
        "host",
        *("attendee_name", "attendee_phone", "origin"),
    )
    list_filter = ("state", *map(chosen, ("company", "branch", "host")))
    list_filter_submit = True
    search_help_text = f"A reference. {FIND_PEOPLE}"
    list_select_related = ("branch", "service", "host")
    # With a uid anyone can read, reschedule and cancel the booking.
    exclude = ("remote_uid", "earlier_remote_uids", "deduplication_key")
    inlines = (OperationInline, ClaimInline)
    actions = ("cancel",)
    action_form = ReasonForm

    def get_queryset(self, request: HttpRequest) -> QuerySet[Appointment]:
        """Return the appointments, and of each whether another takes the same time of its host."""
        rows: QuerySet[Appointment] = super().get_queryset(request)
        conflicting = Claim.objects.filter(appointment=OuterRef("pk"), conflicting=True)
        return rows.annotate(is_conflicting=Exists(conflicting))

    @display(description=gettext_lazy("state"), label=STATE_COLOURS | {CONFLICT: "danger"}, ordering="state")  # type: ignore[untyped-decorator]
    def shown_state(self, row: Appointment) -> tuple[str, str]:
        """Return the state, or that there is a conflict: two good ones in a list would look in order."""
        if getattr(row, "is_conflicting", False):
            return CONFLICT, _("conflict: taken twice")
        return row.state, row.get_state_display()

    def search(self, queryset: QuerySet[Appointment], text: str) -> QuerySet[Appointment]:
        """Return those that are meant by a reference, an id, a number, an address or a name."""
        return queryset.filter(pk__in=found_appointments(text))

    @admin.action(description=gettext_lazy("Cancel at Cal.com"), permissions=["cancel"])
    def cancel(self, request: HttpRequest, appointments: QuerySet[Appointment]) -> None:
        """Cancel the chosen appointments within one deadline, and show the outcome of each."""
        deadline = Deadline.after(settings.BOOKINGS_WRITE_WAIT)
        for appointment in appointments.select_related("company", "event_type__account"):
            try:
                cancelled = cancelling.cancel(
                    appointment=appointment,
                    reason=request.POST.get("reason", "") or "Cancelled by staff.",
                    requested_by=None,
                    person=person_of(request),
                    calcom=CalcomService(appointment.event_type.account, tenant=appointment.company_id),
                    deadline=deadline,
                    now=timezone.now(),
                )
            except BookingError as exc:
                self.message_user(
                    request,
                    _("%(reference)s was not cancelled: %(why)s")
                    % {"reference": appointment.reference, "why": sentence_of(exc)},
                    messages.ERROR,
                )
            else:
                self.log_change(request, appointment, _("Cancelled."))
                sentence = _("%s is cancelled.") if cancelled.is_settled else _("%s is being cancelled at Cal.com.")
                self.message_user(request, sentence % appointment.reference, messages.SUCCESS)


@admin.register(Claim)
class ClaimAdmin(Scoped, LargeTable, LocalTimes, ReadOnly, ModelAdmin):
    """Hosts' time that is taken; conflicting claims overlap at Cal.com."""

    tenancy = {"company": "appointment__company", "branch": "appointment__branch", "host": "host"}
    zone = OF_CLAIM
    list_display = ("host", "start", "end", "kind", "conflicting", "appointment", "shared_booking")
    list_filter = ("conflicting", chosen("host"))
    list_filter_submit = True
    search_help_text = gettext_lazy("What finds an appointment")
    list_select_related = ("host", "appointment", "shared_booking")

    def search(self, queryset: QuerySet[Claim], text: str) -> QuerySet[Claim]:
        """Return those of the appointments that are meant."""
        return queryset.filter(appointment__in=found_appointments(text))


@admin.register(SharedBooking)
class SharedBookingAdmin(Scoped, LocalTimes, ReadOnly, ModelAdmin):
    """Bookings that another account asked for, as far as they take time of this one's hosts; without uids."""

    tenancy = {"account": "account"}
    ordering = ("-pk",)
    zone = Subquery(Claim.objects.filter(shared_booking=OuterRef("pk")).order_by("pk").values("host__time_zone")[:1])
    list_display = ("account", "event_type", "start", "end", "ended", "changed_at")
    list_filter = (chosen("account"), "ended")
    list_filter_submit = True
    search_fields = ("event_type__title",)
    fields = ("account", "event_type", "start", "end", "ended", "changed_at")
    date_hierarchy = "start"
    list_select_related = ("account", "event_type")


class OpenFilter(admin.SimpleListFilter):
    """Open operations, which an index finds; all others are history."""

    title = "progress"
    parameter_name = "open"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002  Django's
        return [("1", "open")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Operation]) -> QuerySet[Operation]:  # noqa: ARG002
        return queryset.filter(state__in=OPEN_STATES) if self.value() else queryset


@admin.register(Operation)
class OperationAdmin(Scoped, LargeTable, LocalTimes, ShowsState, ReadOnly, ModelAdmin):
    tenancy = {"company": "company", "branch": "appointment__branch", "host": "appointment__host"}
    zone = OF_APPOINTMENT
    list_display = ("requested_at", "company", "appointment", "kind", "shown_state", "outcome", "attempts", "duration")
    list_filter = (OpenFilter, chosen("company"))
    list_filter_submit = True
    search_help_text = gettext_lazy("An id, or what finds an appointment")
    list_select_related = ("company", "appointment")

    def search(self, queryset: QuerySet[Operation], text: str) -> QuerySet[Operation]:
        """Return the one with this id, or those of the appointments that are meant."""
        return queryset.filter(
            Q(public_id=text) if text.startswith("op_") else Q(appointment__in=found_appointments(text))
        )
