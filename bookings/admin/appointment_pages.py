"""
What staff do with one appointment: reschedule it, cancel it, say whether the caller came, and note something.

Each page calls one service within one deadline, as agents do. What Cal.com has not confirmed by then goes on, and the
appointment's page shows its outcome by itself.
"""

from collections.abc import Callable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from bookings.admin import appointment_timeline, free_times
from bookings.admin.appointment_timeline import NO_OPERATION
from bookings.admin.common import STATE_COLOURS, person_of
from bookings.admin.desk_forms import StartForm, day_asked
from bookings.admin.free_times import FreeTimes, choice
from bookings.admin.phones import readable
from bookings.admin.refusals import sentence_of
from bookings.availability.calendar_view import Calendar
from bookings.caller_input import MAX_NOTE, clean_note
from bookings.errors import AnotherTime, BookingError
from bookings.models import PLACED_STATES, Appointment
from bookings.scheduling import attendance, callbacks, cancelling, rescheduling, waiting_list
from bookings.scheduling.callbacks import CallbackIntent
from bookings.scheduling.execution import Booked
from cachectl.infra.deadline import Deadline
from calcom.service import CalcomService

if TYPE_CHECKING:
    from unfold.admin import ModelAdmin
else:
    ModelAdmin = object

_RELATIONS = ("company", "branch__company", "service__branch", "event_type__account", "host", "conversation")


class RescheduleForm(StartForm):
    """A start, and why."""

    reason = forms.CharField(required=False, max_length=300)


class NoteForm(forms.Form):
    """What staff note for each other."""

    staff_note = forms.CharField(required=False, max_length=MAX_NOTE)


class AppointmentPages(ModelAdmin):
    """For the appointments' admin: a page of an appointment as the desk needs it, and what can be done there."""

    change_form_template = "bookings/appointment.html"

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Return whether the request may change appointments by the services. Their rows cannot be edited at all."""
        return request.user.has_perm("bookings.change_appointment")

    def get_urls(self) -> list[URLPattern]:
        """Add the pages of what can be done."""

        def at(verb: str, view: Callable[..., HttpResponse]) -> URLPattern:
            page: URLPattern = path(
                f"<int:pk>/{verb}/", self.admin_site.admin_view(view), name=f"bookings_appointment_{verb}"
            )
            return page

        return [
            at("reschedule", self.reschedule_view),
            at("cancel", self.cancel_view),
            at("attendance", require_POST(self.attendance_view)),
            at("note", require_POST(self.note_view)),
            at("earlier", require_POST(self.earlier_view)),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show who comes, when and to whom, what can be done and what happened; the row itself is folded."""
        shown: dict[str, Any] = {}
        if object_id.isdecimal() and len(object_id) < 19:
            appointment = self.get_queryset(request).select_related(*_RELATIONS).filter(pk=int(object_id)).first()
            if appointment is not None and self.has_view_or_change_permission(request, appointment):
                shown = self._shown(request, appointment)
        answer: HttpResponse = super().change_view(request, object_id, form_url, {**(extra_context or {}), **shown})
        return answer

    # --- pages -------------------------------------------------------------------------------------------------------

    def reschedule_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Offer three times and all of a day, and reschedule to the one that is chosen."""
        appointment = self._changeable(request, pk)
        zone, now = ZoneInfo(appointment.branch.time_zone), timezone.now()
        times, form = None, RescheduleForm(request.POST or None)
        if request.method == "POST":
            try:
                start = form.instant(zone) if form.is_valid() else None
                if start is not None:
                    return self._rescheduled(request, appointment, start, form.cleaned_data["reason"])
                self.message_user(request, _("Choose a day and a time."), messages.WARNING)
            except AnotherTime as exc:
                self.message_user(request, sentence_of(exc), messages.ERROR)
                times = FreeTimes([choice(each, zone, now) for each in exc.alternatives])
            except BookingError as exc:
                self.message_user(request, sentence_of(exc), messages.ERROR)
        day = day_asked(request.GET.get("day", ""))
        if times is None or not times.offers:
            times = self._free_times(appointment, day, now)
        shown = {"title": _("Reschedule"), "times": times, "day": day, "today": now.astimezone(zone).date()}
        return self._page(request, "bookings/reschedule.html", appointment, shown)

    def cancel_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask for a reason, and cancel."""
        appointment = self._changeable(request, pk)
        if request.method == "POST":
            reason = clean_note(request.POST.get("reason", "")[:300])
            try:
                done = cancelling.cancel(
                    appointment=appointment,
                    reason=reason or "Cancelled by staff.",
                    requested_by=None,
                    person=person_of(request),
                    calcom=_calcom(appointment),
                    deadline=Deadline.after(settings.BOOKINGS_WRITE_WAIT),
                    now=timezone.now(),
                )
            except BookingError as exc:
                self.message_user(request, sentence_of(exc), messages.ERROR)
            else:
                return self._told(request, done, _("Cancelled."), _("It is being cancelled at Cal.com."))
        return self._page(request, "bookings/cancel.html", appointment, {"title": _("Cancel the appointment")})

    def attendance_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Mark whether the caller came, here and at Cal.com."""
        appointment, came = self._changeable(request, pk), request.POST.get("came") == "1"
        try:
            is_told = attendance.mark(
                appointment=appointment,
                came=came,
                calcom=_calcom(appointment),
                deadline=Deadline.after(settings.BOOKINGS_WRITE_WAIT),
                now=timezone.now(),
            )
        except attendance.NotMarkable:
            self.message_user(request, _("That can be said once it has begun, if it was confirmed."), messages.WARNING)
            return _back_to(appointment)
        sentence = _("The caller came.") if came else _("The caller did not come.")
        self.log_change(request, appointment, NO_OPERATION + sentence)
        self.message_user(request, sentence, messages.SUCCESS)
        if not is_told:
            self.message_user(request, _("Cal.com was not told: it stands here only."), messages.WARNING)
        return _back_to(appointment)

    def note_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Keep what staff note for each other. Cal.com and callers never see it."""
        appointment, form = self._changeable(request, pk), NoteForm(request.POST)
        if form.is_valid():
            Appointment.objects.filter(pk=pk).update(staff_note=clean_note(form.cleaned_data["staff_note"]))
            self.log_change(request, appointment, NO_OPERATION + _("Note changed."))
            self.message_user(request, _("The note is kept."), messages.SUCCESS)
        else:
            self.message_user(request, _("The note is too long."), messages.ERROR)
        return _back_to(appointment)

    def earlier_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Put the caller on the waiting list: they are called when an earlier time opens."""
        appointment = self._changeable(request, pk)
        if not appointment.attendee_phone or not waiting_list.may_wait(appointment, timezone.now()):
            self.message_user(request, _("There is no number to call, or no time before it."), messages.WARNING)
            return _back_to(appointment)
        callbacks.request_callback(
            CallbackIntent(
                company=appointment.company,
                phone=appointment.attendee_phone,
                topic=_("Would come earlier"),
                name=appointment.attendee_name,
                branch=appointment.branch,
                appointment=appointment,
                language=appointment.language,
                wants_earlier=True,
            )
        )
        self.log_change(request, appointment, NO_OPERATION + _("Put on the waiting list."))
        self.message_user(request, _("They are called when an earlier time opens."), messages.SUCCESS)
        return _back_to(appointment)

    # --- steps -------------------------------------------------------------------------------------------------------

    def _changeable(self, request: HttpRequest, pk: int) -> Appointment:
        """Return the appointment, if the request may change it."""
        if not self.has_cancel_permission(request):
            raise PermissionDenied
        rows = self.get_queryset(request).select_related(*_RELATIONS)
        found: Appointment = get_object_or_404(rows, pk=pk)
        return found

    def _rescheduled(
        self, request: HttpRequest, appointment: Appointment, start: datetime, reason: str
    ) -> HttpResponse:
        done = rescheduling.reschedule(
            appointment=appointment,
            start=start,
            reason=clean_note(reason) or "Rescheduled by staff.",
            requested_by=None,
            person=person_of(request),
            calcom=_calcom(appointment),
            deadline=Deadline.after(settings.BOOKINGS_WRITE_WAIT),
            now=timezone.now(),
        )
        when = choice(start, ZoneInfo(appointment.branch.time_zone), timezone.now()).words
        return self._told(
            request, done, _("Rescheduled to %s.") % when, _("It is being rescheduled to %s at Cal.com.") % when
        )

    def _told(self, request: HttpRequest, done: Booked, settled: str, pending: str) -> HttpResponse:
        """Note who did it, say how far it is, and return to the appointment, which shows the outcome."""
        sentence = settled if done.is_settled else pending
        self.log_change(request, done.appointment, sentence)
        self.message_user(request, sentence, messages.SUCCESS if done.is_settled else messages.INFO)
        return _back_to(done.appointment)

    def _free_times(self, appointment: Appointment, day: date | None, now: datetime) -> FreeTimes:
        if appointment.service is None:
            return FreeTimes(day=day, problem=_("It belongs to no service, so no times are offered. Type one."))
        calendar = Calendar(appointment.event_type)
        calcom = _calcom(appointment)
        return free_times.find(appointment.service, calendar, near=appointment.start, day=day, calcom=calcom, now=now)

    def _page(
        self, request: HttpRequest, template: str, appointment: Appointment, shown: dict[str, Any]
    ) -> HttpResponse:
        head = self._shown(request, appointment)
        context = {**self.admin_site.each_context(request), "opts": self.opts, **head, **shown}
        return TemplateResponse(request, template, context)

    def _shown(self, request: HttpRequest, appointment: Appointment) -> dict[str, Any]:
        """Return what the head of each of these pages shows."""
        zone, now = ZoneInfo(appointment.branch.time_zone), timezone.now()
        lines = appointment_timeline.read(appointment)
        is_ahead = appointment.state in PLACED_STATES and appointment.start > now
        return {
            "appointment": appointment,
            "when": choice(appointment.start, zone, now).words,
            "until": f"{appointment.end.astimezone(zone):%H:%M}",
            "clock": f"{appointment.start.astimezone(zone):%Z}",
            "phone": readable(appointment.attendee_phone, appointment.branch.phone_region),
            "is_synthetic": appointment.attendee_email.endswith(f"@{settings.BOOKINGS_ATTENDEE_DOMAIN}"),
            "state_type": STATE_COLOURS.get(appointment.state, ""),
            "lines": lines,
            "is_waiting": appointment_timeline.is_open(lines),
            "is_conflict": appointment.claims.filter(conflicting=True).exists(),
            "may_act": self.has_cancel_permission(request),
            "may_change": is_ahead,
            "may_wait": is_ahead and bool(appointment.attendee_phone) and waiting_list.may_wait(appointment, now),
            "may_mark": appointment.state in attendance.MARKABLE and appointment.start <= now,
            "has_called": appointment.conversation_id is not None,
        }


def _calcom(appointment: Appointment) -> CalcomService:
    return CalcomService(appointment.event_type.account, tenant=appointment.company_id)


def _back_to(appointment: Appointment) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:bookings_appointment_change", args=[appointment.pk]))
