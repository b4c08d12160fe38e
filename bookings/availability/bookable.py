"""Which event types callers can book, and how much they are booked: what the cache warms, and in which order."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from django.db.models import Count, F, QuerySet
from django.utils import timezone

from bookings.availability.calendar_view import Calendar
from bookings.models import Appointment, AppointmentState, Company, Service, StaffService
from cachectl.warming import BOOKED_AFTER, BOOKED_BEFORE

_BOOKED = (AppointmentState.CONFIRMED, AppointmentState.COMPLETED, AppointmentState.NO_SHOW)


def bookable_event_types(company: str | None) -> Mapping[int, Mapping[int, int]]:
    """
    Return by account id the event types that can be booked through us, with their appointments in the weeks around now.

    Args:
        company: the slug of one company; None for all.

    Raises:
        LookupError: no active company has this slug.
    """
    companies = Company.objects.filter(active=True, account__active=True)
    if company is not None:
        companies = companies.filter(slug=company)
        if not companies.exists():
            raise LookupError(f"There is no company “{company}” that is served.")
    of_account: dict[int, dict[int, int]] = {account: {} for account in companies.values_list("account", flat=True)}
    appointments = _appointments(companies, timezone.now())
    for event_type in (calendar.event_type for _, calendar in _calendars(companies)):
        of_account[event_type.account_id][event_type.pk] = appointments.get(event_type.pk, 0)
    return of_account


def bookable_calendars(account_id: int) -> list[tuple[Service, Calendar]]:
    """Return what callers can book with an account: each service with any host, and with one person."""
    return list(_calendars(Company.objects.filter(active=True, account=account_id)))


def _calendars(companies: "QuerySet[Company]") -> Iterator[tuple[Service, Calendar]]:
    """Yield the companies' services that can be booked, with any host or with one person."""
    services = Service.objects.filter(branch__company__in=companies, active=True)
    # Validation forbids an event type of another account; leave out rows that got past it.
    whole = services.filter(event_type__account=F("branch__company__account")).select_related("event_type", "branch")
    yield from ((service, Calendar(service.event_type)) for service in whole if not service.unsupported_reason())
    own = StaffService.objects.filter(
        service__in=services, staff__active=True, event_type__account=F("service__branch__company__account")
    )
    for one in own.select_related("service__event_type", "service__branch", "event_type", "staff"):
        if not one.service.unsupported_reason(one.event_type):
            yield one.service, Calendar(one.event_type, one.staff)


def _appointments(companies: "QuerySet[Company]", now: datetime) -> dict[int, int]:
    """Return how many appointments each event type has, by its primary key."""
    around = Appointment.objects.filter(
        company__in=companies, start__gte=now - BOOKED_BEFORE, start__lt=now + BOOKED_AFTER, state__in=_BOOKED
    )
    counts = around.values_list("event_type").annotate(count=Count("pk")).order_by()
    return dict(counts)
