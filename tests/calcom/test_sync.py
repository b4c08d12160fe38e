"""Mirroring hosts and event types."""

from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from calcom.errors import Unavailable
from calcom.models import Account, EventType, Host
from calcom.simulator import Dataset, Kind, Simulator
from calcom.sync import sync
from tests import factories
from tests.calcom.wire import by_path, serving

pytestmark = pytest.mark.django_db


def account_at(simulator: Simulator, key: str = factories.SALON_CREDENTIAL) -> Account:
    """Return an account of which nothing is known yet."""
    return Account.objects.create(name="Fresh", base_url=simulator.base_url, api_key=key)


def mirrored(account: Account) -> dict[tuple[int, int], EventType]:
    """Return the account's event types by id at Cal.com and length."""
    return {(each.calcom_id, each.length_minutes): each for each in account.event_types.all()}


def changed(**changes: object) -> Dataset:
    """Return the cast's dataset with a changed haircut."""
    dataset = factories.dataset()
    types = tuple(replace(each, **changes) if each.slug == "haircut" else each for each in dataset.event_types)
    return replace(dataset, event_types=types)


def test_a_sync_mirrors_hosts_and_event_types(simulator: Simulator):
    """FM-22: who serves what is known before anything is booked."""
    account = account_at(simulator)

    synced = sync(account=account, now=timezone.now())

    types = mirrored(account)
    assert set(types) == {(1, 30), (2, 60), (3, 15), (4, 30)}
    assert {host.name for host in types[1, 30].hosts.all()} == {"Emma", "Ben"}
    assert {each.calcom_id for each in EventType.objects.on_hosts(types[2, 60].hosts.values_list("id"))} == {1, 2, 4}
    assert types[2, 60].after_buffer_minutes == 15
    assert types[1, 30].unsupported_reasons == []
    assert synced.owner.name == "Salon Berlin"
    assert Account.objects.get(id=account.id).synced_at is not None


def test_each_length_is_an_event_type_of_its_own(simulator: Simulator):
    """FM-16: a quarter and half an hour are offered and booked apart."""
    account = account_at(simulator, factories.PRACTICE_CREDENTIAL)

    sync(account=account, now=timezone.now())

    types = mirrored(account)
    assert (types[12, 15].has_several_lengths, types[12, 30].has_several_lengths) == (True, True)
    assert types[11, 30].has_several_lengths is False
    assert types[11, 30].required_fields == [
        {"slug": "insurance", "type": "select", "options": ["Public", "Private", "None"], "label": "Insurance"}
    ]
    assert types[13, 15].unsupported_reasons == []
    assert Host.objects.get(account=account).time_zone == "America/New_York"


def test_a_second_sync_changes_only_what_changed(simulator: Simulator):
    """FM-61: rows keep their ids, so that nothing that points at them is lost."""
    account = account_at(simulator)
    sync(account=account, now=timezone.now())
    before = {key: each.id for key, each in mirrored(account).items()}

    synced = sync(account=account, now=timezone.now())

    assert {key: each.id for key, each in mirrored(account).items()} == before
    assert list(synced.vanished) == []
    assert Host.objects.filter(account=account).count() == 2


def test_what_changed_at_calcom_changes_here(db):
    """FM-61: a new host, a new buffer, a new obstacle."""
    with Simulator.running(factories.dataset()) as simulator:
        account = account_at(simulator)
        sync(account=account, now=timezone.now())
    dataset = changed(hosts=("ben",), before_minutes=10, title="Cut", seats={"disabled": False, "seatsPerTimeSlot": 2})

    with Simulator.running(dataset) as simulator:
        account.base_url = simulator.base_url
        sync(account=account, now=timezone.now())

    cut = mirrored(account)[1, 30]
    assert [host.name for host in cut.hosts.all()] == ["Ben"]
    assert (cut.title, cut.before_buffer_minutes, cut.unsupported_reasons) == ("Cut", 10, ["seats"])


def test_what_vanished_becomes_inactive_and_may_come_back(db):
    """FM-61: nothing is deleted; a length that is no longer offered vanishes like a type."""
    longer = changed(minutes=45)
    with Simulator.running(factories.dataset()) as simulator:
        account = account_at(simulator)
        sync(account=account, now=timezone.now())
    with Simulator.running(longer) as simulator:
        account.base_url = simulator.base_url

        synced = sync(account=account, now=timezone.now())

    assert [(each.calcom_id, each.length_minutes) for each in synced.vanished] == [(1, 30)]
    assert {key: each.active for key, each in mirrored(account).items()}[1, 30] is False
    with Simulator.running(factories.dataset()) as simulator:
        account.base_url = simulator.base_url
        sync(account=account, now=timezone.now())
    assert mirrored(account)[1, 30].active is True


def test_a_sync_that_fails_changes_nothing(simulator: Simulator):
    """FM-44: half a list is no list; event types do not vanish because Cal.com was slow."""
    account = account_at(simulator)
    sync(account=account, now=timezone.now())
    simulator.fail("GET /v2/event-types", Kind.ERROR_BEFORE)

    with pytest.raises(Unavailable):
        sync(account=account, now=timezone.now())

    assert all(each.active for each in mirrored(account).values())


def test_a_sync_touches_no_other_account(simulator: Simulator, practice: factories.Practice):
    """FM-26: another tenant's event types stay as they are, even with the same ids at Cal.com."""
    before = list(EventType.objects.filter(account=practice.account).values())

    sync(account=account_at(simulator, factories.PRACTICE_CREDENTIAL), now=timezone.now())

    assert list(EventType.objects.filter(account=practice.account).values()) == before


def test_an_account_without_event_types_is_synced(db):
    """An empty calendar is no error."""
    dataset = Dataset(users=factories.dataset().users, event_types=())

    with Simulator.running(dataset) as simulator:
        synced = sync(account=account_at(simulator), now=timezone.now())

    assert (list(synced.event_types), list(synced.vanished)) == ([], [])


def test_the_command_says_what_can_be_served_and_what_not(simulator: Simulator, capsys):
    """FM-61: in plain words, before the first caller finds out."""
    account_at(simulator, factories.PRACTICE_CREDENTIAL)
    simulator.change_event_type("vaccination", seats={"disabled": False, "seatsPerTimeSlot": 2})

    call_command("sync_calcom")

    said = capsys.readouterr().out
    assert "Fresh: key of Practice New York; 3 of 4 event types can be served." in said
    assert "Vaccination (15 min): several people share one booking (seats)" in said
    assert "Check-up (30 min): callers are asked for insurance, unless the service answers it" in said
    assert factories.PRACTICE_CREDENTIAL not in said


def test_one_account_that_fails_does_not_keep_the_others_from_it(simulator: Simulator, capsys):
    """FM-44: the command goes on, and ends with an error that names the account."""
    Account.objects.create(name="Dark", base_url=factories.NOWHERE, api_key="cal_x")
    account = account_at(simulator)

    with pytest.raises(CommandError, match=r"Dark was not synced: Cal\.com cannot be reached"):
        call_command("sync_calcom")

    assert mirrored(account)


def test_one_account_can_be_chosen(simulator: Simulator):
    """An unknown id is an error; an inactive account is synced only by name."""
    account = account_at(simulator)
    Account.objects.update(active=False)

    call_command("sync_calcom")
    assert mirrored(account) == {}
    call_command("sync_calcom", account=account.id)

    assert mirrored(account)
    with pytest.raises(CommandError, match="no account 999999"):
        call_command("sync_calcom", account=999_999)


def test_event_types_of_teams_are_mirrored_too(db):
    """FM-22: round robin lives in teams, whose event types and hosts are listed in their own way."""
    cut = {
        "id": 70,
        "title": "Cut",
        "slug": "cut",
        "lengthInMinutes": 30,
        "bookingFields": [{"type": "email", "slug": "email", "required": True}],
        "schedulingType": "roundRobin",
        "hosts": [{"userId": 102, "name": "Emma"}, {"userId": 103, "name": "Ben"}],
    }
    bodies = {
        "/v2/me": {"id": 101, "name": "Salon Berlin", "timeZone": "Europe/Berlin"},
        "/v2/event-types": [],
        "/v2/teams": [{"id": 5}],
        "/v2/teams/5/event-types": [cut],
    }

    with serving(by_path(bodies)) as base_url:
        account = Account.objects.create(name="Team", base_url=base_url, api_key="cal_x")
        sync(account=account, now=timezone.now())

    assert {host.name for host in mirrored(account)[70, 30].hosts.all()} == {"Emma", "Ben"}


def test_teams_that_may_not_be_read_are_an_error(db):
    """FM-61: event types of a team do not vanish because a permission was taken away."""
    bodies = {"/v2/me": {"id": 101, "name": "Salon"}, "/v2/event-types": [], "/v2/teams": "forbidden"}

    with serving(by_path(bodies)) as base_url, pytest.raises(Unavailable):
        sync(account=Account.objects.create(name="T", base_url=base_url, api_key="cal_x"), now=timezone.now())
