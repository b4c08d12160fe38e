"""Book for a caller who phones the desk: service, person, day, a free time, name and number, by one service call."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from bookings.admin import free_times
from bookings.admin.common import branches_in_scope, person_of
from bookings.admin.desk_forms import StartForm, answers_in, day_asked, questions_of
from bookings.admin.free_times import FreeTimes, choice
from bookings.admin.refusals import sentence_of
from bookings.availability.calendar_view import Calendar
from bookings.availability.people import look_up_people
from bookings.caller_input import MAX_NAME, MAX_NOTE, clean_name, clean_note, phone_number
from bookings.errors import AnotherTime, BookingError, PhoneAmbiguous
from bookings.models import Appointment, CallbackRequest, Service, Staff
from bookings.scheduling import booking, holds
from bookings.scheduling.booking import BookingIntent
from cachectl.infra.deadline import Deadline
from calcom.service import CalcomService

if TYPE_CHECKING:
    from unfold.admin import ModelAdmin
else:
    ModelAdmin = object

MOST_SERVICES = 500


class CallerForm(StartForm):
    """Who comes, and when. `key` is of the form as it was shown: sent twice, it books once."""

    key = forms.RegexField(r"^[0-9a-f]{32}$")
    name = forms.CharField(
        max_length=MAX_NAME, error_messages={"required": gettext_lazy("The caller's name is missing.")}
    )
    phone = forms.CharField(required=False, max_length=60)
    email = forms.EmailField(required=False)
    notes = forms.CharField(required=False, max_length=MAX_NOTE)

    def __init__(self, *args: Any, region: str = "", **options: Any) -> None:
        super().__init__(*args, **options)
        self.region = region

    def clean_name(self) -> str:
        """Return the name in one line."""
        name = clean_name(self.cleaned_data["name"])
        if not name:
            raise forms.ValidationError(_("The caller's name is missing."))
        return name

    def clean_phone(self) -> str | None:
        """Return the number as E.164, None where there is none."""
        try:
            return phone_number(self.cleaned_data["phone"], self.region)
        except PhoneAmbiguous as exc:
            both = _(" or ").join(exc.readings)
            raise forms.ValidationError(_("Which number is it: %s? Type it with +.") % both) from exc
        except ValueError as exc:
            raise forms.ValidationError(_("That is no telephone number.")) from exc


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is to be booked, as far as it was chosen."""

    service: Service | None
    people: Sequence[Staff] = ()
    """Those who give the service under their own name."""
    person: Staff | None = None
    calendar: Calendar | None = None
    day: date | None = None

    @classmethod
    def of(cls, services: Sequence[Service], asked: Mapping[str, str]) -> "Chosen":
        """Return what an address or a form names; what it does not is left open."""
        service = next((each for each in services if str(each.pk) == asked.get("service")), None)
        day = day_asked(asked.get("day", ""))
        if service is None:
            return cls(None, day=day)
        calendars = {one: calendar for one, calendar in look_up_people(service).items() if calendar is not None}
        person = next((one for one in calendars if str(one.pk) == asked.get("person")), None)
        calendar = calendars[person] if person else Calendar(service.event_type)
        return cls(service, tuple(calendars), person, calendar, day)


class BookingPage(ModelAdmin):
    """For the appointments' admin: the page on which staff book."""

    def has_book_permission(self, request: HttpRequest) -> bool:
        """Return whether the request may book for callers."""
        return request.user.has_perm("bookings.add_appointment")

    def get_urls(self) -> list[URLPattern]:
        """Add the page."""
        page = path("book/", self.admin_site.admin_view(self.book_view), name="bookings_appointment_book")
        return [page, *super().get_urls()]

    def book_view(self, request: HttpRequest) -> HttpResponse:
        """Offer free times of what is chosen, and book one of them for the caller."""
        if not self.has_book_permission(request):
            raise PermissionDenied
        now, services = timezone.now(), self._services(request)
        chosen = Chosen.of(services, request.POST if request.method == "POST" else request.GET)
        form, times = None, None
        if request.method == "POST" and chosen.service is not None:
            form = CallerForm(request.POST, region=chosen.service.branch.phone_region)
            try:
                booked = self._booked(request, chosen, form, now)
                if booked is not None:
                    return booked
            except AnotherTime as exc:
                self.message_user(request, sentence_of(exc), messages.ERROR)
                zone = ZoneInfo(chosen.service.branch.time_zone)
                times = FreeTimes([choice(each, zone, now) for each in exc.alternatives], day=chosen.day)
            except BookingError as exc:
                self.message_user(request, sentence_of(exc), messages.ERROR)
        if chosen.service is not None and (times is None or not times.offers):
            times = _free_times(chosen, now)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Book for a caller"),
            "services": services,
            "several_branches": len({each.branch_id for each in services}) > 1,
            "chosen": chosen,
            "times": times,
            "questions": questions_of(chosen.service, chosen.calendar, request.POST) if chosen.service else (),
            "form": form,
            "caller": request.POST if request.method == "POST" else self._known_caller(request),
            "key": secrets.token_hex(16),
            "today": now.date(),
        }
        return TemplateResponse(request, "bookings/book.html", context)

    def _services(self, request: HttpRequest) -> list[Service]:
        """Return what may be booked, the branch of the address or of this session first."""
        branch = request.GET.get("branch", "") or str(request.session.get("branch", ""))
        rows = Service.objects.filter(branch__in=branches_in_scope(request).order_by(), active=True)
        rows = rows.select_related("branch__company", "event_type__account").order_by("branch__name", "name", "pk")
        return sorted(rows[:MOST_SERVICES], key=lambda each: str(each.branch_id) != branch)

    def _known_caller(self, request: HttpRequest) -> dict[str, str]:
        """Return name and number of the callback or appointment from which the page was opened."""
        branches = branches_in_scope(request).order_by()
        callback, appointment = request.GET.get("callback", ""), request.GET.get("again", "")
        if callback.isdecimal() and len(callback) < 19:
            of_scope = CallbackRequest.objects.filter(company__branches__in=branches).distinct()
            asked = of_scope.filter(pk=int(callback)).first()
            return {"name": asked.name, "phone": asked.phone} if asked else {}
        if appointment.isdecimal() and len(appointment) < 19:
            before = Appointment.objects.filter(branch__in=branches, pk=int(appointment)).first()
            return {"name": before.attendee_name, "phone": before.attendee_phone or ""} if before else {}
        return {}

    def _booked(self, request: HttpRequest, chosen: Chosen, form: CallerForm, now: datetime) -> HttpResponse | None:
        """Book, and lead to the appointment; None where something is missing, which the form says."""
        if not form.is_valid() or chosen.service is None or chosen.calendar is None:
            return None
        start = form.instant(ZoneInfo(chosen.service.branch.time_zone))
        if start is None:
            form.add_error(None, _("Choose a time."))
            return None
        done = booking.book(
            intent=_intent(
                chosen.service,
                chosen.calendar,
                start=start,
                typed=form.cleaned_data,
                answers=answers_in(request.POST),
                person=person_of(request),
                now=now,
            ),
            calcom=CalcomService(chosen.calendar.event_type.account, tenant=chosen.service.branch.company_id),
            deadline=Deadline.after(settings.BOOKINGS_WRITE_WAIT),
            now=now,
        )
        appointment = done.appointment
        when = choice(appointment.start, ZoneInfo(appointment.branch.time_zone), now).words
        sentence = _("Booked for %s.") if done.is_settled else _("It is being booked for %s at Cal.com.")
        if not done.replayed:
            self.log_addition(request, appointment, sentence % when)
        self.message_user(request, sentence % when, messages.SUCCESS if done.is_settled else messages.INFO)
        return HttpResponseRedirect(reverse("admin:bookings_appointment_change", args=[appointment.pk]))


def _free_times(chosen: Chosen, now: datetime) -> FreeTimes:
    if chosen.service is None or chosen.calendar is None:
        return FreeTimes()
    calcom = CalcomService(chosen.calendar.event_type.account, tenant=chosen.service.branch.company_id)
    return free_times.find(chosen.service, chosen.calendar, near=None, day=chosen.day, calcom=calcom, now=now)


def _intent(
    service: Service,
    calendar: Calendar,
    *,
    start: datetime,
    typed: Mapping[str, Any],
    answers: Mapping[str, object],
    person: User,
    now: datetime,
) -> BookingIntent:
    company, offer = service.branch.company, None
    if calendar.event_type != service.event_type:  # one person's own: an offer says which calendar is meant
        offer = holds.new_offer(
            company=company,
            conversation=None,
            service=service,
            start=start,
            staff=calendar.staff,
            event_type=calendar.event_type,
            now=now,
        )
        offer.save()
    digest = hashlib.sha256(repr((service.pk, start, typed["name"], typed["phone"])).encode()).hexdigest()
    return BookingIntent(
        company=company,
        service=service,
        start=start,
        attendee_name=typed["name"],
        attendee_phone=typed["phone"],
        attendee_email=typed["email"] or None,
        language=service.branch.language,
        notes=clean_note(typed["notes"]),
        answers=answers,
        idempotency_key=f"desk-{typed['key']}",
        request_digest=digest,
        staff=calendar.staff,
        offer=offer,
        origin=Appointment.Origin.STAFF,
        person=person,
    )
