"""What callers can book, as agents are told."""

import pytest

from bookings.models import AgentKey, Branch, Service
from tests.bookings.api.helpers import Agent, agent_with
from tests.factories import Practice, Salon, cannot_be_booked

pytestmark = pytest.mark.django_db


def test_services_of_the_company_are_listed(agent: Agent, salon: Salon) -> None:
    """Every active service with its length and its zone, and no other company's."""
    salon.beard.active = False
    salon.beard.save()

    answer = agent.get("services")

    assert answer.status_code == 200
    listed = {service["id"]: service for service in answer.json()["services"]}
    assert set(listed) == {f"sv_{salon.cut.pk}", f"sv_{salon.colour.pk}"}
    cut = listed[f"sv_{salon.cut.pk}"]
    assert (cut["name"], cut["duration_minutes"], cut["time_zone"]) == ("Haircut", 30, "Europe/Berlin")
    assert (cut["bookable"], cut["score"]) == (True, None)


def test_service_is_found_by_alias(agent: Agent, salon: Salon) -> None:
    """The best match first, with a score; nothing where nothing is alike (FM-17)."""
    found = agent.get("services", {"q": "haarschnit"}).json()["services"]

    assert found[0]["id"] == f"sv_{salon.cut.pk}"
    assert 0.6 <= found[0]["score"] < 1
    assert agent.get("services", {"q": "Zahnreinigung"}).json()["services"] == []


def test_unbookable_service_is_marked(stranger: Agent, practice: Practice) -> None:
    """An agent need not offer what will be refused."""
    cannot_be_booked(practice.vaccination)

    listed = {service["name"]: service["bookable"] for service in stranger.get("services").json()["services"]}

    assert listed == {"Check-up": True, "Follow-up": True, "Vaccination": False}


def test_branch_key_lists_its_branch_only(salon: Salon) -> None:
    """The key's branch bounds everything that it may ask for."""
    other = Branch.objects.create(company=salon.company, name="Wedding", time_zone="Europe/Berlin")
    theirs = Service.objects.create(branch=other, event_type=salon.cut.event_type, name="Haircut", duration_minutes=30)
    of_branch = agent_with(salon, branch=other, scopes=[AgentKey.Scope.AVAILABILITY_READ])

    listed = of_branch.get("services").json()["services"]

    assert [service["id"] for service in listed] == [f"sv_{theirs.pk}"]
    assert of_branch.get("availability", {"service": f"sv_{salon.cut.pk}", "date": "2026-11-24"}).status_code == 422


def test_second_list_sends_no_query(agent: Agent, salon: Salon, django_assert_num_queries) -> None:
    """Keys and services are remembered for a few seconds."""
    agent.get("services")

    with django_assert_num_queries(0):
        agent.get("services")
