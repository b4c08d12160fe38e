"""The services that a key may ask for, kept a few seconds so that a cached answer needs no query for them."""

import re
from collections.abc import Sequence

from bookings.api.errors import ServiceAmbiguous, ServiceNotOffered
from bookings.api.matching import named, ranked
from bookings.api.remembered import Remembered
from bookings.models import AgentKey, Company, Service

_ID = re.compile(r"(?:sv_)?([0-9]{1,18})")


def _look_up(company: Company) -> Sequence[Service]:
    return list(
        Service.objects.of(company)
        .filter(active=True)
        .select_related("branch__company", "event_type__account")
        .order_by("branch__name", "name")
    )


_of_company = Remembered(_look_up)


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
    offered = services_of(key)
    number = _ID.fullmatch(asked)
    found = [one for one in offered if one.pk == int(number[1])] if number else named(offered, asked)
    if len(found) == 1:
        return found[0]
    if found:
        raise ServiceAmbiguous("Several services are called so: use the id.", services=found)
    near = [service for service, _ in ranked(offered, asked)]
    raise ServiceNotOffered("No service has this id or name.", services=near or offered)


def forget() -> None:
    """Look the services up again."""
    _of_company.forget()
