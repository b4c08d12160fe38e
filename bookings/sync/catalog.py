"""What a sync of event types means for the services that they book."""

from collections.abc import Iterable

import structlog
from django.db import transaction

from bookings.models import Service, StaffService
from calcom.models import Account, EventType

log = structlog.get_logger(__name__)


def follow_event_types(account: Account) -> str:
    """
    Have each service booked by what has replaced its event type: the same one of Cal.com's, at its only other length.

    So callers are offered what is booked, and hear its length. Staff are told of each change, and of each service that
    cannot be booked because its event type was deleted or there is a choice of lengths; they choose then. Returns in a
    few words what was done.
    """
    with transaction.atomic():
        services = Service.objects.filter(event_type__account=account, event_type__active=False, active=True)
        followed = [_follow(service) for service in services.select_for_update(of=("self",))]
        by_staff = StaffService.objects.filter(event_type__account=account, event_type__active=False)
        followed += [_follow(each) for each in by_staff.select_for_update(of=("self",))]
    return f"{sum(followed)} of {len(followed)} services follow their event type"


def _follow(row: Service | StaffService) -> bool:
    service = row if isinstance(row, Service) else row.service
    before = row.event_type
    others = list(EventType.objects.filter(account=before.account_id, calcom_id=before.calcom_id, active=True))
    if len(others) != 1:
        log.error("catalog.service_not_bookable", alert="service", service_id=service.pk, event_type_id=before.pk)
        return False
    row.event_type = others[0]
    _save(row)
    log.error(
        "catalog.service_length_changed",
        alert="service",
        service_id=service.pk,
        minutes_before=before.length_minutes,
        minutes_now=row.event_type.length_minutes,
    )
    return True


def _save(row: Service | StaffService) -> None:
    fields: Iterable[str] = ["event_type"]
    if isinstance(row, Service):
        row.duration_minutes = row.event_type.length_minutes
        fields = [*fields, "duration_minutes"]
    row.save(update_fields=fields)
