"""POST /v1/callbacks: identity of requests, branch, number, and what works during outages."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from bookings.models import AgentKey, Appointment, Branch, CallbackRequest, Conversation
from tests.bookings.api.helpers import FUZZ, JSON, Agent, agent_with
from tests.factories import ANNA, JANE, KARL, Practice, Salon, at

pytestmark = pytest.mark.django_db

TOPIC = "Wants a perm, and asks what it costs"


@pytest.fixture
def call(salon: Salon) -> Conversation:
    """A phone call of Anna's, from her own number."""
    return Conversation.objects.create(company=salon.company, branch=salon.branch, caller_phone=ANNA.phone)


def call_back(agent: Agent, call: Conversation | None = None, *, key: str | None = None, **asked: Any) -> Any:
    """Ask for it."""
    body = {"topic": TOPIC, **({"conversation_id": call.public_id} if call else {}), **asked}
    return agent.post("callbacks", body, **({"idempotency_key": key} if key else {}))


def test_callback_is_listed_for_staff(agent: Agent, salon: Salon, call: Conversation) -> None:
    """Name, number, topic, branch and call; the answer has a sentence, and neither name nor number (FM-57)."""
    answer = call_back(agent, call, name=KARL.name, phone="0151 87654321")

    row, body = CallbackRequest.objects.get(), answer.json()
    assert (row.name, row.phone, row.topic, row.state) == (KARL.name, KARL.phone, TOPIC, "open")
    assert (row.company, row.branch, row.conversation, row.requested_by) == (
        salon.company, salon.branch, call, salon.agent_key,
    )  # fmt: skip
    assert (answer.status_code, body["status"], body["callback_id"]) == (201, "open", row.public_id)
    assert body["spoken"] == "Ich habe es notiert. Es ruft Sie jemand unter der Nummer zurück, die Sie genannt haben."
    assert body["number"] == "given"
    assert KARL.name not in answer.text
    assert "87654321" not in answer.text


def test_callback_without_number_uses_caller_id(agent: Agent, call: Conversation) -> None:
    """The number of the conversation came from a trusted source; it is not read out."""
    answer = call_back(agent, call, phone="anonymous", language="en")

    row = CallbackRequest.objects.get()
    assert (row.phone, row.language, row.name) == (ANNA.phone, "en", "")
    assert answer.json()["number"] == "caller_id"
    assert answer.json()["spoken"].endswith("on the number you are calling from.")


@pytest.mark.parametrize("phone", [None, "", "anonymous"])
def test_callback_without_any_number_is_refused(agent: Agent, salon: Salon, phone: str | None) -> None:
    """The caller is asked for it."""
    answer = call_back(agent, phone=phone)

    assert (answer.status_code, answer.json()["code"]) == (422, "phone_required")
    assert answer.json()["spoken"] == "Unter welcher Nummer erreichen wir Sie?"
    assert not CallbackRequest.objects.exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"phone": "call me"}, "phone"),
        ({"phone": "+49151"}, "phone"),
        ({"name": "unknown"}, "name"),
        ({"name": ["Anna"]}, "name"),
        ({"topic": ""}, "topic"),
        ({"topic": "   "}, "topic"),
        ({"topic": None}, "topic"),
        ({"topic": "x" * 1001}, "topic"),
        ({"topic": ["perm"]}, "topic"),
        ({"branch": "Nowhere"}, "branch"),
        ({"booking_id": "bk_0000000000000000", "reference": "K7MP4Q"}, "reference"),
        ({"conversation_id": "cv_0000000000000000"}, "conversation_id"),
        ({"language": "!"}, "language"),
    ],
)
def test_invalid_callback_is_refused(agent: Agent, change: dict[str, Any], field: str) -> None:
    """Each mistake names its field, and nothing is written down."""
    answer = call_back(agent, **{"phone": KARL.phone, **change})

    assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")
    assert [each["field"] for each in answer.json()["errors"]] == [field]
    assert not CallbackRequest.objects.exists()


# --- which concern it is ------------------------------------------------------------------------------------------


def test_same_topic_in_one_conversation_is_one_callback(agent: Agent, call: Conversation) -> None:
    """FM-12: a platform repeats it a second later, with a name it has learned since, and other blanks."""
    first = call_back(agent, call)
    again = call_back(agent, call, topic=f" {TOPIC.upper()}  ", name=ANNA.name, phone=KARL.phone)

    assert (first.status_code, again.status_code) == (201, 200)
    assert (again.json()["callback_id"], again.json()["replayed"]) == (first.json()["callback_id"], True)
    assert CallbackRequest.objects.get().phone == ANNA.phone


def test_other_topic_is_another_callback(agent: Agent, call: Conversation, salon: Salon) -> None:
    """So it is in another call, for another number, and for another booking."""
    other = Conversation.objects.create(company=salon.company, caller_phone=KARL.phone)
    asked = [
        call_back(agent, call),
        call_back(agent, call, topic="Lost an umbrella"),
        call_back(agent, other),
        call_back(agent, phone=ANNA.phone),
        call_back(agent, phone=KARL.phone),
        call_back(agent, call, booking_id=_booking(salon).public_id),
    ]

    assert [each.status_code for each in asked] == [201] * 6
    assert CallbackRequest.objects.count() == 6


def test_done_callback_may_be_requested_again(agent: Agent, salon: Salon) -> None:
    """A done callback is not a repeat."""
    first = call_back(agent, phone=KARL.phone)
    CallbackRequest.objects.update(state="done", done_at=timezone.now(), done_by="owner")

    again = call_back(agent, phone=KARL.phone)

    assert (again.status_code, again.json()["replayed"]) == (201, False)
    assert again.json()["callback_id"] != first.json()["callback_id"]


def test_idempotency_key_identifies_callback_request(agent: Agent, salon: Salon) -> None:
    """Same key and body: the same callback, also when it is done; another body: refused."""
    first = call_back(agent, phone=KARL.phone, key="one")
    CallbackRequest.objects.update(state="done")
    again = call_back(agent, phone=KARL.phone, key="one")
    other = call_back(agent, phone=ANNA.phone, key="one")

    assert (again.status_code, again.json()["callback_id"]) == (200, first.json()["callback_id"])
    assert (again.json()["status"], again.json()["spoken"]) == ("done", "Darum hat sich schon jemand gekümmert.")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


# --- what it is about ---------------------------------------------------------------------------------------------


def _booking(salon: Salon, **fields: Any) -> Appointment:
    start = at(14)
    return Appointment.objects.create(
        company=salon.company,
        branch=salon.branch,
        service=salon.colour,
        event_type=salon.colour.event_type,
        start=start,
        end=start + timedelta(hours=1),
        **{"state": "confirmed", **fields},
    )


def test_callback_names_booking_by_id_or_reference(agent: Agent, salon: Salon) -> None:
    """The staff sees which appointment it is."""
    appointment = _booking(salon, reference="K7MP4Q")

    call_back(agent, phone=KARL.phone, booking_id=appointment.public_id)
    call_back(agent, phone=ANNA.phone, reference="k7 mp-4q")

    assert [row.appointment for row in CallbackRequest.objects.all()] == [appointment, appointment]
    assert {row.branch for row in CallbackRequest.objects.all()} == {salon.branch}


def test_unknown_reference_is_not_revealed(agent: Agent, salon: Salon) -> None:
    """One that fits and one that does not are answered alike; the staff reads what was said."""
    _booking(salon, reference="K7MP4Q")

    fits, fits_not = (call_back(agent, phone=KARL.phone, reference=said, topic=said) for said in ("K7MP4Q", "XXXXXX"))

    assert fits.status_code == fits_not.status_code == 201
    assert _without_id(fits) == _without_id(fits_not)
    assert CallbackRequest.objects.get(appointment=None).topic == "XXXXXX (reference as said: XXXXXX)"


def _without_id(answer: Any) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name != "callback_id"}


def test_booking_of_another_company_is_not_reachable(
    agent: Agent, stranger: Agent, salon: Salon, practice: Practice
) -> None:
    """FM-26: neither by id nor by reference, and each company has its own list of callbacks."""
    appointment = _booking(salon, reference="K7MP4Q")

    by_id = stranger.post("callbacks", {"topic": TOPIC, "phone": JANE.phone, "booking_id": appointment.public_id})
    by_reference = stranger.post("callbacks", {"topic": TOPIC, "phone": JANE.phone, "reference": "K7MP4Q"})
    call_back(agent, phone=KARL.phone)

    assert (by_id.status_code, by_id.json()["code"]) == (404, "booking_not_found")
    assert by_reference.status_code == 201
    assert CallbackRequest.objects.get(company=practice.company).appointment is None


def test_callback_branch_is_resolved(agent: Agent, salon: Salon) -> None:
    """Named, or known from the conversation or the key; none where several are possible."""
    other = Branch.objects.create(company=salon.company, name="Wedding", time_zone="Europe/Berlin", phone_region="DE")
    of_one_branch = agent_with(salon, scopes=list(AgentKey.Scope.values), branch=other)

    named, unknown, by_key = (
        call_back(agent, phone="0151 87654321", topic="a", branch="Wedding"),
        call_back(agent, phone="0151 87654321", topic="b"),
        call_back(of_one_branch, phone="0151 87654321", topic="c"),
    )
    foreign = call_back(of_one_branch, phone=KARL.phone, topic="d", branch=salon.branch.name)

    assert {each.status_code for each in (named, unknown, by_key)} == {201}
    assert [row.branch for row in CallbackRequest.objects.order_by("topic")] == [other, None, other]
    assert {row.phone for row in CallbackRequest.objects.all()} == {KARL.phone}
    assert foreign.json()["code"] == "request_invalid"


def test_number_is_not_guessed_across_regions(agent: Agent, salon: Salon) -> None:
    """With its country code it says where it is."""
    Branch.objects.create(company=salon.company, name="Wien", time_zone="Europe/Vienna", phone_region="AT")

    local, whole = call_back(agent, phone="0151 87654321"), call_back(agent, phone="+49 151 87654321")

    assert (local.status_code, whole.status_code) == (422, 201)
    assert CallbackRequest.objects.get().phone == KARL.phone


# --- when it is needed most ---------------------------------------------------------------------------------------


def test_callback_works_without_calcom_and_redis(agent: Agent, call: Conversation, settings: Any) -> None:
    """The way out that always works: PostgreSQL is all it asks."""
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:9/1"

    answer = call_back(agent, call)

    assert answer.status_code == 201
    assert CallbackRequest.objects.exists()


def test_callback_needs_its_scope(salon: Salon) -> None:
    """A key that may only look may not fill the staff's list."""
    looking = agent_with(salon, scopes=[AgentKey.Scope.AVAILABILITY_READ, AgentKey.Scope.BOOKINGS_WRITE])

    answer = call_back(looking, phone=KARL.phone)

    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


def test_timeline_of_callback_has_no_personal_data(agent: Agent, call: Conversation) -> None:
    """FM-83: name, number and topic are on the list, and nowhere else."""
    call_back(agent, call, name=ANNA.name, phone=KARL.phone)

    line = call.tool_calls.get()
    assert (line.endpoint, line.status) == ("POST /v1/callbacks", 201)
    assert not {ANNA.name, KARL.phone, TOPIC} & set(map(str, (*line.request.values(), *line.response.values())))


@FUZZ
@given(
    body=JSON
    | st.fixed_dictionaries(
        {},
        optional={
            "topic": JSON | st.text(max_size=30),
            "name": JSON,
            "phone": JSON | st.just(KARL.phone),
            "branch": JSON,
            "booking_id": JSON,
            "reference": JSON,
            "conversation_id": JSON,
            "language": JSON,
        },
    )
)
def test_arbitrary_callback_never_fails_with_500(agent: Agent, body: object) -> None:
    """Whatever is sent is written down or refused, and never a fault of ours."""
    answer = agent.send("callbacks", json.dumps(body).encode())

    assert answer.status_code in {200, 201, 404, 422}, answer.content
    assert 0 < len(answer.json()["spoken"]) <= 250
