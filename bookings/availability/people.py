"""Who gives a service, and which calendar books it with one person."""

from collections.abc import Mapping, Sequence

from bookings.availability.calendar_view import Calendar
from bookings.models import Service, Staff, StaffService
from calcom.models import EventType


def look_up_people(service: Service) -> Mapping[Staff, Calendar | None]:
    """Return the people of the service's branch, each with the calendar of their own; None where there is none."""
    own = StaffService.objects.filter(service=service).select_related("event_type__account")
    event_types = {row.staff_id: row.event_type for row in own}
    hosts = list(service.event_type.hosts.values_list("pk", flat=True))
    people = Staff.objects.filter(branch=service.branch_id, active=True).order_by("name")
    return {one: _calendar(one, event_types.get(one.pk), service, hosts) for one in people}


def _calendar(one: Staff, own: EventType | None, service: Service, hosts: Sequence[int]) -> Calendar | None:
    event_type = own or (service.event_type if hosts == [one.host_id] else None)
    return Calendar(event_type, one) if event_type else None
