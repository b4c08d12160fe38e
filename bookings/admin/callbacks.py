"""Callback requests: the list that staff work through, and all that were ever made."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin

from bookings.admin.common import OF_COMPANY, ShowsState, person_of
from bookings.admin.phones import readable
from bookings.admin.refusals import sentence_of
from bookings.admin.today_cards import lasting
from bookings.errors import BookingError
from bookings.models import WAITS_SINCE, CallbackRequest
from bookings.scheduling import callbacks, rescheduling, waiting_list
from cachectl.infra.deadline import Deadline
from calcom.service import CalcomService
from monitoring.admin_pages import CappedPaginator, LocalTimes, chosen, local_time
from monitoring.tenancy import Scoped

# Of the list that staff work through; what is beyond comes when these are done.
MOST_WAITING = 100
# What was finished last stands there, too, so that it can be undone.
MOST_FINISHED = 8
HOURS = (1, 2, 4, 24)
_HOUR_S = 3600
STATE = CallbackRequest.State


class ActForm(forms.Form):
    """What a person does with one request."""

    verb = forms.ChoiceField(
        choices=[(each, each) for each in ("take", "release", "done", "not_reached", "undo", "move")]
    )
    note = forms.CharField(required=False, max_length=300)
    hours = forms.TypedChoiceField(required=False, coerce=int, choices=[(each, each) for each in HOURS])


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request as it stands in the list."""

    request: CallbackRequest
    phone: str
    since: str
    """For how long it waits, in words."""
    requested: str
    """When it was made, by the clock of its place."""
    again: str
    """Until when it is put off; empty if it is due."""
    is_late: bool
    is_own: bool
    held: str = ""
    """The earlier time that is held for them, and until when; empty if none is."""

    @classmethod
    def of(cls, request: CallbackRequest, now: datetime, user: str) -> "Waiting":
        zone = getattr(request, "row_zone", None)
        waits = now - request.waits_since
        is_put_off = request.again_at is not None and request.again_at > now
        return cls(
            request=request,
            phone=readable(request.phone, request.branch.phone_region if request.branch else ""),
            since=lasting(waits),
            requested=local_time(request.requested_at, zone),
            again=local_time(request.again_at, zone) if is_put_off else "",
            is_late=not is_put_off and waits.total_seconds() > _HOUR_S,
            is_own=bool(request.taken_by) and request.taken_by == user,
            held=_held(request, zone, now),
        )


@admin.register(CallbackRequest)
class CallbackRequestAdmin(Scoped, LocalTimes, ShowsState, ModelAdmin):
    """Without a filter or search its list is what waits, with a button for each thing that can be done."""

    tenancy = {"company": "company", "branch": "branch"}
    zone = Coalesce(F("branch__time_zone"), OF_COMPANY)
    paginator = CappedPaginator
    show_full_result_count = False
    list_display = (
        *("name", "phone", "topic", "branch", "appointment"),
        *("requested_at", "shown_state", "taken_by", "attempts", "done_at", "done_by", "note"),
    )
    list_filter = ("state", *map(chosen, ("company", "branch")), "requested_at")
    list_filter_submit = True
    search_fields = ("phone",)  # only so that the box is there: see `get_search_results`
    search_help_text = gettext_lazy("A number, a name, a word of the topic, or a reference")
    ordering = ("-state", "requested_at")  # open before done, and who has waited longest first
    readonly_fields = (
        *("public_id", "company", "branch", "conversation", "appointment", "requested_by"),
        *("language", "requested_at", "state", "taken_by", "taken_at", "attempts", "again_at", "done_at", "done_by"),
    )
    list_select_related = ("branch__company", "appointment")
    actions = ("mark_done",)

    def has_add_permission(self, _request: HttpRequest) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        """Add the address of the buttons."""
        act = require_POST(self.admin_site.admin_view(self.act))
        return [path("<int:pk>/act/", act, name="bookings_callbackrequest_act"), *super().get_urls()]

    def get_search_results(
        self, _request: HttpRequest, queryset: QuerySet[CallbackRequest], search_term: str
    ) -> tuple[QuerySet[CallbackRequest], bool]:
        """Return the requests that are meant, also by a number as people write it."""
        text = search_term.strip()
        found = CallbackRequest.objects.search(text).order_by().values("pk")
        return (queryset.filter(pk__in=found) if text else queryset), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show what waits; with a filter or a search, the list of all requests."""
        if request.method != "GET" or set(request.GET) - {"part"}:
            listed: HttpResponse = super().changelist_view(request, extra_context)
            return listed
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            **self._shown(request),
            "title": _("Callbacks"),
            "opts": self.opts,
            "may_act": self.has_change_permission(request),
            "hours": HOURS,
        }
        return TemplateResponse(request, "bookings/callbacks.html", context)

    def _shown(self, request: HttpRequest) -> dict[str, Sequence[Waiting]]:
        """Return what is due, what is put off and what was finished last, in three statements."""
        now, user = timezone.now(), request.user.get_username()
        rows = self.get_queryset(request).select_related("branch", "company", "appointment", "conversation", "held")
        is_open = rows.filter(state=CallbackRequest.State.OPEN).order_by(WAITS_SINCE, "pk")
        waiting = [Waiting.of(each, now, user) for each in is_open[:MOST_WAITING]]
        finished = rows.filter(state=CallbackRequest.State.DONE).order_by(F("done_at").desc(nulls_last=True))
        return {
            "due": [each for each in waiting if not each.again],
            "put_off": [each for each in waiting if each.again],
            "waiting": [
                Waiting.of(each, now, user)
                for each in rows.filter(state=STATE.WAITING).order_by("requested_at")[:MOST_WAITING]
            ],
            "finished": [Waiting.of(each, now, user) for each in finished[:MOST_FINISHED]],
        }

    def act(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Do what a button says to one request, note who did it, and return to the list."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        callback, form = get_object_or_404(self.get_queryset(request), pk=pk), ActForm(request.POST)
        if form.is_valid() and form.cleaned_data["verb"] == "move":
            return self._move(request, callback)
        if form.is_valid():
            done, sentence = self._do(callback, request.user.get_username(), form.cleaned_data)
            if done:
                self.log_change(request, callback, sentence)
            self.message_user(request, f"{callback}: {sentence}", messages.SUCCESS if done else messages.WARNING)
        return HttpResponseRedirect(reverse("admin:bookings_callbackrequest_changelist"))

    def _move(self, request: HttpRequest, callback: CallbackRequest) -> HttpResponse:
        """Reschedule the appointment to the time that is held, and finish the request."""
        offer, appointment = waiting_list.offer_of(callback), callback.appointment
        back = HttpResponseRedirect(reverse("admin:bookings_callbackrequest_changelist"))
        if offer is None or appointment is None:
            self.message_user(request, _("The time is not held any more."), messages.WARNING)
            return back
        account = appointment.event_type.account
        try:
            rescheduling.reschedule(
                appointment=appointment,
                start=offer.start,
                reason="An earlier time has opened.",
                requested_by=None,
                person=person_of(request),
                offer=offer,
                calcom=CalcomService(account, tenant=appointment.company_id),
                deadline=Deadline.after(settings.BOOKINGS_WRITE_WAIT),
                now=timezone.now(),
            )
        except BookingError as exc:
            self.message_user(request, sentence_of(exc), messages.ERROR)
            return back
        callbacks.finish(CallbackRequest.objects.filter(pk=callback.pk), by=request.user.get_username())
        self.log_change(request, callback, _("Moved to the earlier time."))
        self.message_user(request, _("Moved to the earlier time."), messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:bookings_appointment_change", args=[appointment.pk]))

    def _do(self, callback: CallbackRequest, by: str, asked: dict[str, Any]) -> tuple[bool, str]:
        """Return whether it was done, and a sentence about it."""
        one, hours = CallbackRequest.objects.filter(pk=callback.pk), asked["hours"] or HOURS[1]
        steps: dict[str, tuple[Callable[[], object], str | Promise]] = {
            "take": (lambda: callbacks.take(callback, by=by), _("You have taken it.")),
            "release": (lambda: callbacks.release(callback, by=by), _("You have given it back.")),
            "done": (lambda: callbacks.finish(one, by=by, note=asked["note"]), _("Done.")),
            "not_reached": (
                lambda: callbacks.put_off(callback, hours=hours),
                ngettext("Not reached; again in %d hour.", "Not reached; again in %d hours.", hours) % hours,
            ),
            "undo": (lambda: callbacks.reopen(callback), _("It waits again.")),
        }
        step, sentence = steps[asked["verb"]]
        return (True, str(sentence)) if step() else (False, _("Someone else was faster. Look again."))

    @admin.action(description=gettext_lazy("Done: they were called back"), permissions=["change"])
    def mark_done(self, request: HttpRequest, requests: QuerySet[CallbackRequest]) -> None:
        """Finish the selected requests, each with an entry in its history."""
        still_open = list(requests.filter(state=CallbackRequest.State.OPEN))
        done = callbacks.finish(requests, by=request.user.get_username())
        for each in still_open:
            self.log_change(request, each, _("Done."))
        self.message_user(request, ngettext("%d callback done.", "%d callbacks done.", done) % done, messages.SUCCESS)


def _held(request: CallbackRequest, zone: str | None, now: datetime) -> str:
    held = request.held
    if held is None or held.state != "held" or held.expires_at is None or held.expires_at <= now:
        return ""
    until = f"{held.expires_at.astimezone(ZoneInfo(zone or 'UTC')):%H:%M}"
    return _("%(time)s, held until %(until)s") % {"time": local_time(held.start, zone), "until": until}
