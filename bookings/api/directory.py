"""The services a key may ask for, and who gives them, kept a few seconds so that a cached answer needs no query."""

import re
from collections.abc import Mapping, Sequence

from django.db.models import QuerySet

from bookings.api.matching import named, ranked
from bookings.api.problem_catalog import ServiceAmbiguous, ServiceNotOffered
from bookings.api.ttl_cache import Remembered
from bookings.availability.calendar_view import Calendar
from bookings.models import AgentKey, Company, Service, Staff, StaffService
from calcom.models import EventType

_ID = re.compile(r"(?:sv_)?([0-9]{1,18})")
_STAFF_ID = re.compile(r"(?:st_)?([0-9]{1,18})")


def _offered(company: Company | int) -> "QuerySet[Service]":
    relations = "branch__company", "event_type__account"
    return Service.objects.of(company).filter(active=True).select_related(*relations)


_of_company: Remembered[Company, Sequence[Service]] = Remembered(
    lambda company: list(_offered(company).order_by("branch__name", "name"))
)
# A company may have thousands of services: whoever names one by its id does not wait for the others.
_by_id: Remembered[tuple[int, int], Service | None] = Remembered(
    lambda which: _offered(which[0]).filter(pk=which[1]).first(), most=10_000
)


def _look_up_people(service: Service) -> Mapping[Staff, Calendar | None]:
    own = StaffService.objects.filter(service=service).select_related("event_type__account")
    event_types = {row.staff_id: row.event_type for row in own}
    hosts = list(service.event_type.hosts.values_list("pk", flat=True))
    people = Staff.objects.filter(branch=service.branch_id, active=True).order_by("name")
    return {one: _calendar(one, event_types.get(one.pk), service, hosts) for one in people}


def _calendar(one: Staff, own: EventType | None, service: Service, hosts: Sequence[int]) -> Calendar | None:
    """Return where the service is booked with one person; None where nobody can say who it will be."""
    event_type = own or (service.event_type if hosts == [one.host_id] else None)
    return Calendar(event_type, one) if event_type else None


_people = Remembered(_look_up_people)


def services_of(key: AgentKey) -> Sequence[Service]:
    """Return the active services of the key's company, or of its branch where it has one."""
    offered = _of_company(key.company)
    return [service for service in offered if key.branch_id in {None, service.branch_id}]


def service_of(key: AgentKey, asked: str) -> Service:
    """
    Return the service with this id, or the only one that is called so.

    Raises:
        ServiceNotOffered: none; carries what resembles it.
        ServiceAmbiguous: several are called so, in several branches for instance.

    """
    if number := _ID.fullmatch(asked):
        service = _by_id((key.company_id, int(number[1])))
        if service is not None and key.branch_id in {None, service.branch_id}:
            return service
    offered = services_of(key)
    found = [] if number else named(offered, asked)
    if len(found) == 1:
        return found[0]
    if found:
        raise ServiceAmbiguous("Several services are called so: use the id.", services=found)
    near = [service for service, _ in ranked(offered, asked)]
    raise ServiceNotOffered("No service has this id or name.", services=near or offered)


def people_of(service: Service) -> Mapping[Staff, Calendar | None]:
    """Return who works at the service's branch, and where the service is booked with each; None where it cannot be."""
    return _people(service)


def people_called(service: Service, asked: str) -> Sequence[Staff]:
    """Return those at the service's branch who have this id, or are called so."""
    people = people_of(service)
    number = _STAFF_ID.fullmatch(asked)
    return [one for one in people if one.pk == int(number[1])] if number else named(people, asked)


def forget() -> None:
    """Look everything up again."""
    _of_company.forget()
    _by_id.forget()
    _people.forget()
