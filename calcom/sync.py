"""Mirroring an account's hosts and event types. Nothing is deleted: what vanished at Cal.com becomes inactive here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from calcom.client import Client
from calcom.errors import Reason, Refused
from calcom.models import Account, EventType, EventTypeHost, Host
from calcom.types import RemoteEventType, RemoteHost


@dataclass(frozen=True)
class Synced:
    """What a sync found."""

    owner: RemoteHost
    event_types: Sequence[EventType]
    """Those that Cal.com has, as they are here now."""
    vanished: Sequence[EventType]
    """Those that became inactive by this sync."""


def sync(*, account: Account, now: datetime) -> Synced:
    """
    Make the account's rows say what Cal.com says.

    Raises:
        CalcomError: Cal.com did not tell everything; nothing changed here.
    """
    client = Client(account)
    owner = client.me()
    remote = [*client.event_types(), *_of_teams(client)]
    with transaction.atomic():
        hosts = _mirror_hosts(account, owner, remote)
        event_types = _mirror_event_types(account, remote)
        _mirror_links(event_types, remote, hosts)
        vanished = list(account.event_types.filter(active=True).exclude(id__in=[each.id for each in event_types]))
        account.event_types.filter(id__in=[each.id for each in vanished]).update(active=False)
        Account.objects.filter(id=account.id).update(synced_at=now)
    return Synced(owner, event_types, vanished)


def _of_teams(client: Client) -> list[RemoteEventType]:
    try:
        teams = client.team_ids()
    except Refused as exc:
        if exc.reason is not Reason.INVALID:
            raise
        return []  # Cal.com's open edition knows no teams: there is no such route
    return [event_type for team_id in teams for event_type in client.team_event_types(team_id=team_id)]


def _mirror_hosts(account: Account, owner: RemoteHost, remote: Sequence[RemoteEventType]) -> dict[int, Host]:
    """Return the account's hosts by their id at Cal.com. Only of the key's owner Cal.com says the time zone."""
    people = {host.id: host for event_type in remote for host in event_type.hosts}
    if owner.id in people:
        people[owner.id] = owner
    Host.objects.bulk_create(
        (Host(account=account, calcom_id=each.id, name=each.name, username=each.username) for each in people.values()),
        update_conflicts=True,
        unique_fields=["account", "calcom_id"],
        update_fields=["name", "username"],
    )
    if owner.id in people and owner.time_zone:
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
            "cannot_serve",
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
            cannot_serve=[obstacle.value for obstacle in remote.obstacles],
        )


def _mirror_links(event_types: Sequence[EventType], remote: Sequence[RemoteEventType], hosts: dict[int, Host]) -> None:
    served_by = {each.id: {hosts[host.id].id for host in each.hosts} for each in remote}
    wanted = {(each.id, host_id) for each in event_types for host_id in served_by[each.calcom_id]}
    links = EventTypeHost.objects.filter(event_type__in=event_types)
    known = set(links.values_list("event_type_id", "host_id"))
    EventTypeHost.objects.bulk_create(EventTypeHost(event_type_id=one, host_id=two) for one, two in wanted - known)
    for event_type_id, host_id in known - wanted:
        links.filter(event_type_id=event_type_id, host_id=host_id).delete()
