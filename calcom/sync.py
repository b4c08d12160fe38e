"""Sync of an account's hosts and event types. Those that vanished at Cal.com become inactive; none is deleted."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.db import transaction

from calcom import ownership
from calcom.errors import Refused
from calcom.http.client import Client
from calcom.invalidation import availability_changed, invalidate_lists
from calcom.models import Account, EventType, EventTypeHost, EventTypeQuerySet, Host
from calcom.sync_requests import request_sync
from calcom.types import RemoteEventType, RemoteHost
from calcom.webhooks import events

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Synced:
    """The result of a sync."""

    owner: RemoteHost
    event_types: Sequence[EventType]
    """Those that Cal.com has."""
    vanished: Sequence[EventType]
    """Those that this sync made inactive."""


def sync(*, account: Account, now: datetime, accept_owner: bool = False) -> Synced:
    """
    Update the account's hosts and event types from Cal.com.

    Args:
        account: the account.
        now: the time of the sync.
        accept_owner: sync the calendars of the key's owner, although the account was another user's.

    Raises:
        OtherOwner: the key is another user's; nothing changed here.
        CalcomError: a request failed; nothing changed here.
    """
    client = Client(account)
    owner = client.me()
    remote = ownership.event_types(client)
    if not accept_owner:
        ownership.refuse_unrelated(account, owner, remote)
    ownership.store(account, owner)
    with _invalidating_what_changes(account):
        event_types = _mirror(account, remote, owner)
        vanished = _deactivate(_others(account.event_types.all(), event_types, remote))
        Account.objects.filter(id=account.id).update(synced_at=now)
    events.dispatch(account, events.EventTypesSynced())
    return Synced(owner, event_types, vanished)


def sync_event_type(*, account: Account, calcom_id: int, now: datetime) -> None:
    """
    Update the account's rows of one event type from Cal.com. One request, if Cal.com still has it.

    Raises:
        CalcomError: the request failed; nothing changed here.
    """
    try:
        remote = Client(account).event_type(calcom_id=calcom_id)
    except Refused as exc:
        if not exc.event_type_is_missing:
            raise
        sync(account=account, now=now)  # the lists show whether it is gone, or only not readable alone
        return
    with _invalidating_what_changes(account, calcom_id):
        event_types = _mirror(account, [remote])
        _deactivate(_others(account.event_types.filter(calcom_id=calcom_id), event_types, [remote]))
    events.dispatch(account, events.EventTypesSynced())


def deactivate(event_type: EventType) -> None:
    """Make an event type inactive because Cal.com does not have it (404); a sync verifies that."""
    log.error("calcom.event_type_gone", account_id=event_type.account_id, event_type_id=event_type.pk)
    account = Account.objects.get(pk=event_type.account_id)
    with _invalidating_what_changes(account, event_type.calcom_id):
        _deactivate(account.event_types.filter(calcom_id=event_type.calcom_id))
    request_sync(event_type)


def _mirror(account: Account, remote: Sequence[RemoteEventType], owner: RemoteHost | None = None) -> list[EventType]:
    hosts = _mirror_hosts(account, owner, remote)
    event_types = _mirror_event_types(account, remote)
    _mirror_links(event_types, remote, hosts)
    return event_types


def _others(
    rows: EventTypeQuerySet, mirrored: Sequence[EventType], remote: Sequence[RemoteEventType]
) -> EventTypeQuerySet:
    """Return those that Cal.com does not have. One without a readable length is left as it is."""
    unreadable = [each.id for each in remote if not each.lengths]
    return rows.exclude(id__in=[each.id for each in mirrored]).exclude(calcom_id__in=unreadable)


def _deactivate(event_types: EventTypeQuerySet) -> list[EventType]:
    """Make active ones inactive and return them."""
    vanished = list(event_types.filter(active=True))
    event_types.filter(id__in=[each.id for each in vanished]).update(active=False)
    return vanished


@contextmanager
def _invalidating_what_changes(account: Account, calcom_id: int | None = None) -> Iterator[None]:
    """
    Open a transaction, and invalidate all days of the event types whose lists it changes.

    A cached list is wrong after a change of length, hosts or rules. A new event type has no cached lists.
    """
    with transaction.atomic():
        before = _deciding_lists(account, calcom_id)
        yield
        after = _deciding_lists(account, calcom_id)
        changed = [pk for pk, decides in before.items() if after.get(pk) != decides]
        rows = invalidate_lists(account_id=account.id, event_type_ids=changed)
    availability_changed(rows)


def _deciding_lists(account: Account, calcom_id: int | None) -> dict[int, tuple[object, ...]]:
    """Return, by id, the values of an event type that its list depends on."""
    its = account.event_types.all() if calcom_id is None else account.event_types.filter(calcom_id=calcom_id)
    footprint = "length_minutes", "before_buffer_minutes", "after_buffer_minutes"
    hosts: dict[int, set[tuple[int, bool]]] = {}
    links = EventTypeHost.objects.filter(event_type__in=its).values_list("event_type", "host", "fixed")
    for event_type_id, host_id, fixed in links:
        hosts.setdefault(event_type_id, set()).add((host_id, fixed))
    return {
        pk: (hosts.get(pk), *decides)
        for pk, *decides in its.values_list(
            "pk", *footprint, "notice_minutes", "list_reach", "booking_limits", "active"
        )
    }


def _mirror_hosts(account: Account, owner: RemoteHost | None, remote: Sequence[RemoteEventType]) -> dict[int, Host]:
    """Return the account's hosts by their id at Cal.com, which reports a time zone of the key's owner only."""
    people = {host.id: host for event_type in remote for host in event_type.hosts}
    if owner is not None and owner.id in people:
        people[owner.id] = owner
    Host.objects.bulk_create(
        (Host(account=account, calcom_id=each.id, name=each.name, username=each.username) for each in people.values()),
        update_conflicts=True,
        unique_fields=["account", "calcom_id"],
        update_fields=["name", "username"],
    )
    for each in people.values():
        if each.email:
            account.hosts.filter(calcom_id=each.id).exclude(email=each.email).update(email=each.email)
    if owner is not None and owner.id in people and owner.time_zone:
        account.hosts.filter(calcom_id=owner.id).update(time_zone=owner.time_zone)
    return {host.calcom_id: host for host in account.hosts.all()}


def _mirror_event_types(account: Account, remote: Sequence[RemoteEventType]) -> list[EventType]:
    rows = [row for each in remote for row in _rows(account, each)]
    EventType.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["account", "calcom_id", "length_minutes"],
        update_fields=[
            "has_several_lengths",
            "title",
            "slug",
            "before_buffer_minutes",
            "after_buffer_minutes",
            "notice_minutes",
            "required_fields",
            "unsupported_reasons",
            "list_reach",
            "limits_each_booker",
            "booking_limits",
            "cancelling_disabled",
            "rescheduling_disabled",
            "rescheduling_notice_minutes",
            "active",
        ],
    )
    return rows


def _rows(account: Account, remote: RemoteEventType) -> Iterator[EventType]:
    """Yield a row for each length: see `EventType`."""
    for length in remote.lengths:
        yield EventType(
            account=account,
            calcom_id=remote.id,
            length_minutes=length,
            has_several_lengths=len(remote.lengths) > 1,
            title=remote.title[:200],
            slug=remote.slug[:200],
            before_buffer_minutes=remote.before_buffer,
            after_buffer_minutes=remote.after_buffer,
            notice_minutes=remote.notice,
            required_fields=list(remote.required_fields),
            unsupported_reasons=[unsupported_reason.value for unsupported_reason in remote.unsupported_reasons],
            list_reach=remote.list_reach.value,
            limits_each_booker=remote.limits_each_booker,
            booking_limits=dict(remote.booking_limits),
            cancelling_disabled=remote.cancelling_disabled,
            rescheduling_disabled=remote.rescheduling_disabled,
            rescheduling_notice_minutes=remote.rescheduling_notice,
        )


def _mirror_links(event_types: Sequence[EventType], remote: Sequence[RemoteEventType], hosts: dict[int, Host]) -> None:
    served_by = {each.id: {hosts[host.id].id: host.fixed for host in each.hosts} for each in remote}
    wanted = {(each.id, host_id): fixed for each in event_types for host_id, fixed in served_by[each.calcom_id].items()}
    links = EventTypeHost.objects.filter(event_type__in=event_types)
    known = set(links.values_list("event_type_id", "host_id"))
    EventTypeHost.objects.bulk_create(
        [EventTypeHost(event_type_id=one, host_id=two, fixed=fixed) for (one, two), fixed in wanted.items()],
        update_conflicts=True,
        unique_fields=["event_type", "host"],
        update_fields=["fixed"],
    )
    for event_type_id, host_id in known - set(wanted):
        links.filter(event_type_id=event_type_id, host_id=host_id).delete()
