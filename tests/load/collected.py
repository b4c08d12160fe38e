"""What Cal.com and our rows say when a run is over. Reads only."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bookings.models import OPEN_STATES, Appointment, Claim, Operation
from cachectl.models import CacheInvalidation
from calcom.http.parsing import METADATA_KEY
from calcom.models import WebhookDelivery
from calcom.simulator import SimulatorClient
from script.lib.company import Tenant
from tests.load import dataset
from tests.load.evidence import Claimed, EventType, Own, Remote, Request, Rows, Wish, instant


def event_types(tenants: Mapping[str, Tenant]) -> dict[str, EventType]:
    """Return what can be booked, by the id of the service."""
    return {
        service: EventType(slug, dataset.HOSTS[slug], dataset.MINUTES[slug], dataset.AFTER_MINUTES[slug])
        for tenant in tenants.values()
        for slug, service in tenant.services.items()
    }


def requests(simulator: SimulatorClient) -> list[Request]:
    """Return what Cal.com saw."""
    return [
        Request(
            key=each["key"],
            operation=each["route"],
            path=each["path"],
            arrived_at=each["arrived_at"],
            answered_at=each["answered_at"],
            status=each["status"],
        )
        for each in simulator.requests()
        if each["counted"]
    ]


def remote(simulator: SimulatorClient) -> list[Remote]:
    """Return what is truly booked, and what was."""
    return [
        Remote(
            slug=each["event_type"],
            host=each["host"],
            start=instant(each["start"]),
            end=instant(each["end"]),
            status=each["status"],
            created_at=instant(each["created_at"]),
            updated_at=instant(each["updated_at"]),
            booking=each["metadata"].get(METADATA_KEY),
        )
        for each in simulator.bookings()
    ]


def rows() -> Rows:
    """Return what our database says."""
    own = Appointment.objects.values_list(
        "public_id", "event_type__slug", "state", "start", "end", "created_at", "changed_at"
    )
    wishes = Operation.objects.values_list(
        "public_id", "appointment__public_id", "kind", "state", "requested_at", "finished_at", "new_start"
    )
    claimed = Claim.objects.filter(kind=Claim.Kind.CONFIRMED).values_list(
        "host__username", "start", "end", "conflicting"
    )
    return Rows(
        own=[Own(*_in_seconds(row)) for row in own],
        wishes=[Wish(*_in_seconds(row)) for row in wishes],
        claimed=[Claimed(*_in_seconds(row)) for row in claimed],
    )


def _in_seconds(row: Sequence[Any]) -> list[Any]:
    return [each.timestamp() if isinstance(each, datetime) else each for each in row]


def unfinished() -> int:
    """Count what our own processes still have to do: open changes, webhooks to understand, days to forget."""
    return (
        Operation.objects.filter(state__in=OPEN_STATES).count()
        + WebhookDelivery.objects.pending().count()
        + CacheInvalidation.objects.filter(done_at=None).count()
    )
