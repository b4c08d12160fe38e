"""
What an event type allows at Cal.com, by period and by caller: why a time is not listed, and what a caller has already.

Cal.com decides; nothing here refuses what it lists.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Q
from django.utils import timezone

from bookings.models import PLACED_STATES, Appointment, AppointmentQuerySet, AppointmentState
from calcom.day_ranges import MINUTE
from calcom.models import EventType

_TO_COME = (AppointmentState.PENDING, *PLACED_STATES)
_COUNTED = (*_TO_COME, AppointmentState.COMPLETED, AppointmentState.NO_SHOW)


def is_reached(
    event_type: EventType, start: datetime, time_zone: str, *, rescheduling: Appointment | None = None
) -> bool:
    """
    Return whether, by what is known here, no more bookings fit the day, week, month or year of `start`.

    `rescheduling` is the appointment that shall be there instead of where it is: it does not count.
    """
    limits = event_type.booking_limits
    booked = _of_type(event_type, _COUNTED)
    if rescheduling is not None:
        booked = booked.exclude(pk=rescheduling.pk)
    return any(
        _is_full(event_type, kind, most, booked.filter(_within(period, start.astimezone(ZoneInfo(time_zone)))))
        for kind in ("count", "duration")
        for period, most in limits.get(kind, {}).items()
    )


def booked_by(appointment: Appointment) -> Appointment | None:
    """Return the next appointment that the attendee of a refused one has of the same event type, None if unknown."""
    booked = _of_type(appointment.event_type, _TO_COME)
    same = Q(attendee_email=appointment.attendee_email.lower())
    if appointment.customer_id:
        same |= Q(customer=appointment.customer_id)
    others = booked.filter(same, company=appointment.company_id, end__gt=timezone.now()).exclude(pk=appointment.pk)
    return others.select_related("branch", "service").order_by("start").first()


def _is_full(event_type: EventType, kind: str, most: int, booked: AppointmentQuerySet) -> bool:
    times = booked.values_list("start", "end")
    if kind == "count":
        return len(times) >= most
    return sum((end - start) // MINUTE for start, end in times) + event_type.length_minutes > most


def _of_type(event_type: EventType, states: Collection[str]) -> AppointmentQuerySet:
    rows = EventType.objects.filter(account=event_type.account_id, calcom_id=event_type.calcom_id)
    return Appointment.objects.filter(event_type__in=rows, state__in=states)


def _within(period: str, local: datetime) -> Q:
    first, last = _period(period, local)
    return Q(start__gte=first, start__lt=last)


def _period(period: str, local: datetime) -> tuple[datetime, datetime]:
    """Return the first instant of the period, and of the next; weeks begin on Monday."""
    day = local.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "week":
        first = day - timedelta(days=day.weekday())
        return first, first + timedelta(days=7)
    if period == "month":
        first = day.replace(day=1)
        return first, (first + timedelta(days=32)).replace(day=1)
    if period == "year":
        first = day.replace(month=1, day=1)
        return first, first.replace(year=first.year + 1)
    return day, day + timedelta(days=1)
