"""POST /v1/availability/search: offers, reason, sentence, hold, staff and the next page."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import ANY

import jsonschema
import orjson
import pytest
from django.conf import settings as live_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bookings.api import directory
from bookings.api.openapi import openapi_document
from bookings.availability import pagination
from bookings.models import AgentKey, Appointment, Conversation, SlotToken, Staff
from bookings.scheduling import claims, holds, offering
from calcom.simulator import Kind, Simulator
from tests.bookings.api.helpers import Agent, agent_with
from tests.bookings.helpers import PATIENCE
from tests.factories import BERLIN, KARL, SUNDAY, TUESDAY, Practice, Salon, at

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "GET /v2/slots"
TEN = {"date": str(TUESDAY), "time": "10:00"}


def search(agent: Agent, salon: Salon, **asked: Any) -> Any:
    """Search for a haircut."""
    headers = asked.pop("headers", {})
    return agent.post("availability/search", {"service": f"sv_{salon.cut.pk}", **asked}, **headers)


def starts(body: dict[str, Any]) -> list[datetime]:
    """When the offers are."""
    return [datetime.fromisoformat(offer["start"]).astimezone(UTC) for offer in body["offers"]]


def test_exact_match_has_offer_token_and_sentence(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """One time was asked for and is free: one offer, a token to take it, and a sentence to say."""
    answer = search(agent, salon, when=TEN)
    body = answer.json()
    (offer,) = body["offers"]

    assert (answer.status_code, body["ok"], body["status"], body["reason"]) == (200, True, "available", None)
    assert body["request"]["ambiguous"] is False
    assert body["request"]["understood"].startswith("Dienstag, ")
    assert offer["start"] == at(10).astimezone(BERLIN).isoformat()
    assert offer["end"] == at(10, 30).astimezone(BERLIN).isoformat()
    assert (offer["option"], offer["weekday"], offer["time_zone"]) == (1, "Dienstag", "Europe/Berlin")
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{10}", offer["slot_token"])
    assert body["spoken"].startswith("Ja, am Dienstag")
    assert body["spoken"].endswith("um zehn Uhr ist noch frei. Soll ich das für Sie eintragen?")
    assert body["freshness"] == {"source": "calcom", "age_s": ANY, "verified": True}
    assert 0 <= body["freshness"]["age_s"] < PATIENCE
    assert answer["Cache-Status"] == "Slotline; fwd=miss"


def test_search_answers_in_the_requested_language(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """From the body, else the header, else the branch."""
    english = search(agent, salon, when=TEN, language="en-GB")
    accepted = search(agent, salon, when=TEN, headers={"accept_language": "en"})

    assert english.json()["spoken"].startswith("Yes, we are free")
    assert english.json()["offers"][0]["weekday"] == "Tuesday"
    assert (english["Content-Language"], accepted["Content-Language"]) == ("en", "en")


def test_cached_search_sends_no_request(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """Met or not, in the morning or on Sunday: one request for all of it."""
    search(agent, salon, when=TEN)
    for when in (TEN, {"date": str(SUNDAY)}, {"date": str(TUESDAY), "part_of_day": "evening"}, None):
        answer = search(agent, salon, when=when)
        assert answer["X-Cache-Hit"] == "true"
        assert answer["Cache-Status"].startswith("Slotline; hit; ttl=1")
        assert answer.json()["status"] in {"available", "alternatives"}

    assert simulator.count(LIST) == 1


@pytest.mark.parametrize(
    ("when", "hours"),
    [
        ({"date": str(TUESDAY), "part_of_day": "morning", "not_before": "10:00"}, [10, 10.5, 11]),
        ({"date": str(TUESDAY), "part_of_day": "evening"}, [17, 17.5]),
        ({"windows": [{"from": at(9).isoformat(), "to": at(10).isoformat()}]}, [9, 9.5]),
        ({"windows": [{"from": at(9).isoformat()}]}, [9]),
        ({"windows": [{"from": at(9).isoformat()}, {"from": at(12).isoformat(), "to": None}]}, [9, 12]),
    ],
)
def test_when_accepts_windows_and_dates(
    simulator: Simulator, agent: Agent, salon: Salon, *, when: dict[str, Any], hours: list[float]
) -> None:
    """Windows of instants, or a day of the branch."""
    body = search(agent, salon, when=when).json()

    assert body["status"] == "available"
    assert starts(body) == [at(int(hour), int(hour % 1 * 60)) for hour in hours]


def test_taken_time_has_alternatives_and_reason(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """FM-53: what was taken is not offered, what is offered is on Cal.com's list, and the sentence says both."""
    agent.book(salon.colour, at(14))
    body = agent.post(
        "availability/search", {"service": "colour", "when": {"date": str(TUESDAY), "time": "14:00"}}
    ).json()

    free = agent.get(
        "availability", {"service": "colour", "from": at(0).isoformat(), "to": at(0, on=SUNDAY).isoformat()}
    )
    listed = {slot["start"] for slot in free.json()["slots"]}
    assert (body["status"], body["reason"]) == ("alternatives", "fully_booked")
    assert at(14) not in starts(body)
    assert {offer["start"] for offer in body["offers"] if offer["start"] >= str(TUESDAY)} <= listed
    assert body["spoken"].startswith("Da ist leider nichts mehr frei. Ich hätte ")


def test_more_token_continues_without_repeats(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """FM-54: three more each time; service and time are those of the first search, and it costs no request."""
    body = search(agent, salon, when={"date": str(TUESDAY), "part_of_day": "morning"}).json()
    heard = starts(body)
    for _ in range(3):
        body = agent.post("availability/search", {"more_token": body["more_token"], "max_offers": 2}).json()
        assert not set(starts(body)) & set(heard)
        heard += starts(body)

    assert {at(hour, minute) for hour in (9, 10, 11) for minute in (0, 30)} <= set(heard)
    assert (body["status"], body["reason"]) == ("alternatives", None)
    assert body["spoken"].startswith("Sonst hätte ich ")
    assert simulator.count(LIST) == 1


def test_unknown_more_token_is_refused(simulator: Simulator, agent: Agent, stranger: Agent, salon: Salon) -> None:
    """A search is its company's; what got lost is asked anew."""
    more = search(agent, salon, when=TEN).json()["more_token"]
    for asking, token in ((agent, "mt_0000000000"), (stranger, more)):
        answer = asking.post("availability/search", {"more_token": token})
        assert (answer.status_code, answer.json()["code"]) == (422, "more_token_unknown")


def test_saved_search_is_loaded_unchanged(salon: Salon) -> None:
    """Windows, the one start, the part of the day, and what was offered."""
    wanted = pagination.TimeCriteria.on([TUESDAY], BERLIN, part=pagination.PartOfDay.MORNING)
    one = pagination.SavedSearch(7, None, pagination.TimeCriteria.at(at(10)), frozenset({3, 2}))
    other = pagination.SavedSearch(7, 5, wanted, frozenset())

    for search_ in (one, other):
        token = pagination.save(search_, company=salon.company)
        assert token
        assert pagination.load(token, company=salon.company) == search_


def test_slot_tokens_belong_to_the_conversation(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """FM-16: each is bound to company, conversation, service, event type and start."""
    conversation = Conversation.objects.create(company=salon.company)
    body = search(agent, salon, when={"date": str(TUESDAY)}, conversation_id=conversation.public_id).json()

    tokens = SlotToken.objects.order_by("start")
    assert [token.token for token in tokens] == [offer["slot_token"] for offer in body["offers"]]
    assert [token.start for token in tokens] == starts(body)
    assert {(token.company, token.conversation, token.service, token.event_type) for token in tokens} == {
        (salon.company, conversation, salon.cut, salon.cut.event_type)
    }


# --- holding --------------------------------------------------------------------------------------------------------


def test_exact_match_is_held(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """FM-01: what is said to be free stays free while the caller decides."""
    body = search(agent, salon, when=TEN, hold="exact_match").json()
    second = search(agent, salon, when=TEN, hold="exact_match").json()

    assert body["hold"]["status"] == "held"
    assert body["hold"]["start"] == body["offers"][0]["start"]
    assert body["hold"]["confirm_token"]
    assert "Ich halte die Zeit kurz für Sie fest." in body["spoken"]
    assert (second["status"], second["hold"]) == ("alternatives", None)
    assert at(10) not in starts(second)


def test_alternative_is_not_held(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """A choice is not held, nor what was not asked for."""
    for when in ({"date": str(TUESDAY)}, {"date": str(TUESDAY), "time": "20:00"}):
        assert search(agent, salon, when=when, hold="exact_match").json()["hold"] is None
    assert not Appointment.objects.exists()


def test_slot_that_could_not_be_held_is_not_offered(
    simulator: Simulator, agent: Agent, salon: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FM-06: another caller books between search and hold; only other times are offered."""
    find, hurried = offering.search, []

    def search_and_be_late(*args: Any, **more: Any) -> Any:
        found = find(*args, **more)
        if not hurried:
            hurried.append(agent.book(salon.cut, at(10), caller=KARL))
        return found

    monkeypatch.setattr(offering, "search", search_and_be_late)

    body = search(agent, salon, when=TEN, hold="exact_match").json()

    assert hurried[0].status_code == 201
    # One of the two hosts is booked, and no list can tell yet whether the other one is free.
    assert (body["status"], body["reason"], body["hold"]) == ("alternatives", None, None)
    assert body["freshness"]["verified"] is False
    assert at(10) not in starts(body)


def test_hold_waits_for_a_concurrent_writer(
    simulator: Simulator, agent: Agent, salon: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FM-13: a write in the way says nothing about the time: it is looked at again, and nothing is left of the try."""
    write_down, tries = holds.commit, []

    def stumble_once(*args: Any) -> Any:
        tries.append(args)
        if len(tries) == 1:
            raise claims.Contention
        return write_down(*args)

    monkeypatch.setattr(holds, "commit", stumble_once)

    body = search(agent, salon, when=TEN, hold="exact_match").json()

    assert body["hold"]["status"] == "held"
    assert [each.token for each in SlotToken.objects.all()] == [body["offers"][0]["slot_token"]]


def test_hold_in_search_needs_booking_scope(simulator: Simulator, salon: Salon) -> None:
    """A key for availability only may not hold."""
    looking = agent_with(salon, scopes=[AgentKey.Scope.AVAILABILITY_READ])

    assert search(looking, salon, when=TEN).status_code == 200
    refused = search(looking, salon, when=TEN, hold="exact_match")
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")


# --- staff by name -------------------------------------------------------------------------------------------------


def test_staff_is_found_by_name_or_id(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """The offers are hers, and so is what they would book."""
    for staff in ("emma", f"st_{salon.emma.pk}", salon.emma.pk):
        body = search(agent, salon, when=TEN, staff=staff).json()
        assert [offer["staff"] for offer in body["offers"]] == ["Emma"]
        assert "ist bei Emma noch frei" in body["spoken"]
    assert {token.event_type for token in SlotToken.objects.all()} == {salon.emmas_cut.event_type}


def test_other_staff_are_offered_when_requested_one_is_busy(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """FM-11: the other person is named as such."""
    assert agent.book(salon.colour, at(10)).status_code == 201

    body = search(agent, salon, when=TEN, staff="Emma").json()

    assert (body["status"], body["reason"]) == ("alternatives", "fully_booked")
    assert {offer["staff"] for offer in body["offers"]} <= {"Emma", None}
    assert body["spoken"].startswith("Bei Emma ist da leider nichts mehr frei. Ich hätte bei Emma ")


def test_unclear_staff_needs_clarification(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """FM-17: unknown, ambiguous and unbookable names are asked back with candidates; there is no default."""
    Staff.objects.create(branch=salon.branch, host=_new_host(salon), name="Emma B", aliases=["Emma"])

    unknown, several, ben = (search(agent, salon, when=TEN, staff=name).json() for name in ("Zoe", "Emma", "Ben"))

    assert {body["status"] for body in (unknown, several, ben)} == {"needs_clarification"}
    assert [body["reason"] for body in (unknown, several, ben)] == [
        "staff_unknown",
        "staff_ambiguous",
        "staff_not_bookable",
    ]
    assert unknown["candidates"] == [{"id": f"st_{salon.emma.pk}", "name": "Emma"}]
    assert [candidate["name"] for candidate in several["candidates"]] == ["Emma", "Emma B"]
    assert "Meinen Sie Emma oder Emma B?" in several["spoken"]
    assert all(body["request"]["ambiguous"] and not body["offers"] for body in (unknown, several, ben))
    assert simulator.count() == 0


def _new_host(salon: Salon) -> Any:
    return salon.account.hosts.create(calcom_id=999, name="Emma B", time_zone="Europe/Berlin")


def test_only_host_of_a_service_can_be_requested(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """Ben alone trims beards: no event type of his own is needed for that."""
    body = agent.post("availability/search", {"service": "Beard trim", "staff": "Ben", "when": TEN}).json()

    assert (body["status"], body["offers"][0]["staff"]) == ("available", "Ben")
    assert simulator.count(LIST) == 1


# --- when it does not go well ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"when": {"date": "2026-10-25", "not_before": "02:30"}}, "422 time_ambiguous"),
        ({"when": {"date": "2026-10-25", "time": "02:30"}}, "422 time_ambiguous"),
        ({"when": {"date": "2027-03-28", "time": "02:30"}}, "422 time_nonexistent"),
        ({"when": {"phrase": "nächste Woche Plunderstag"}}, "422 time_not_understood"),
        ({"when": {"phrase": "mittwochs"}}, "422 time_ambiguous"),
        ({"when": {"phrase": ""}}, "422 request_invalid"),
        ({"when": {"date": "next tuesday"}}, "422 time_not_understood"),
        ({"when": {"date": "2026-13-01"}}, "422 time_not_understood"),
        ({"when": {"date": "9999-12-31"}}, "422 time_not_understood"),
        ({"when": {"date": "2027-01-01", "time": "25:00"}}, "422 time_not_understood"),
        ({"when": {"date": "2027-01-01", "time": "9"}}, "422 time_not_understood"),
        ({"when": {"date": "2027-01-01", "part_of_day": "morning", "not_before": "14:00"}}, "422 time_not_understood"),
        ({"when": {"date": "2027-01-01", "part_of_day": "morning", "time": "09:00"}}, "422 request_invalid"),
        ({"when": {"time": "09:00"}}, "422 request_invalid"),
        ({"when": {"part_of_day": "dawn"}}, "422 request_invalid"),
        ({"when": {"windows": []}}, "422 request_invalid"),
        ({"when": {"windows": [{}]}}, "422 request_invalid"),
        ({"when": {"windows": [None]}}, "422 request_invalid"),
        ({"when": {"windows": [{"from": "2027-01-01T10:00:00"}]}}, "422 time_not_understood"),
        ({"when": {"windows": [{"from": at(10).isoformat(), "to": at(10).isoformat()}]}}, "422 time_not_understood"),
        ({"when": {"windows": [{"from": at(10).isoformat(), "to": "2999-01-01T00:00:00Z"}]}}, "422 window_too_long"),
        ({"when": {"windows": [{"from": at(10).isoformat()}] * 11}}, "422 request_invalid"),
        ({"when": {"windows": [{"from": at(10).isoformat()}], "date": "2027-01-01"}}, "422 request_invalid"),
        ({"when": "tomorrow"}, "422 request_invalid"),
        ({"service": None}, "422 request_invalid"),
        ({"service": "Zahnreinigung"}, "422 service_unknown"),
        ({"staff": ["Emma"]}, "422 request_invalid"),
        ({"max_offers": 4}, "422 request_invalid"),
        ({"max_offers": 0}, "422 request_invalid"),
        ({"hold": "anything"}, "422 request_invalid"),
        ({"more_token": "latest"}, "422 request_invalid"),
        ({"conversation_id": "cv_0000000000000000"}, "422 request_invalid"),
    ],
)
def test_invalid_search_is_refused(agent: Agent, salon: Salon, change: dict[str, Any], expected: str) -> None:
    """Each mistake has its own answer; nothing is guessed, and nothing offered."""
    answer = search(agent, salon, **{"when": TEN, **change})

    assert f"{answer.status_code} {answer.json()['code']}" == expected
    assert not SlotToken.objects.exists()


def test_repeated_local_time_is_refused_with_readings(agent: Agent, salon: Salon) -> None:
    """FM-50: with the offsets that tell them apart; one of them, sent as an instant, is understood."""
    body = search(agent, salon, when={"date": "2026-10-25", "time": "02:30"}).json()

    assert body["readings"] == ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"]
    assert body["spoken"].endswith("Meinen Sie davor oder danach?")
    assert jsonschema.Draft202012Validator(
        {**_schema("/v1/availability/search", "422", "application/problem+json"), "components": _components()}
    ).is_valid(body)


def test_outage_is_degraded_and_not_full(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """FM-32: an outage offers a callback and never says that nothing is free."""
    simulator.fail(LIST, Kind.ERROR_BEFORE, times=None)

    answer = search(agent, salon, when=TEN)

    body = answer.json()
    assert (answer.status_code, body["status"], body["offers"], body["more_token"]) == (200, "degraded", [], None)
    assert body["spoken"] == "Unser Kalender antwortet gerade nicht. Soll Sie jemand zurückrufen?"
    assert "POST /v1/callbacks" in body["agent_hint"]
    assert body["freshness"]["verified"] is False
    assert int(answer["Retry-After"]) >= 1


def test_expired_days_are_spoken_as_uncertain(simulator: Simulator, agent: Agent, salon: Salon, settings: Any) -> None:
    """An outage within the day: the answer says that it is not certain, and so does the sentence."""
    search(agent, salon, when=TEN)
    settings.CACHE_MAX_AGE = settings.CACHE_STALE_WHILE_REVALIDATE = 0
    simulator.fail(LIST, Kind.ERROR_BEFORE, times=None)

    body = search(agent, salon, when=TEN).json()

    assert (body["status"], body["freshness"]["verified"]) == ("degraded", False)
    assert body["spoken"].startswith("Nach meinem letzten Stand wäre ")


def test_search_waits_as_long_as_a_read(simulator: Simulator, agent: Agent, salon: Salon, settings: Any) -> None:
    """FM-46: it is a question although it is a POST: the deadline is that of reads."""
    settings.BOOKINGS_READ_WAIT = 0.4
    with simulator.holding(LIST):
        answer = search(agent, salon, when=TEN)

    assert (answer.json()["status"], answer.json()["offers"]) == ("degraded", [])
    assert 400 <= float(answer["Server-Timing"].removeprefix("total;dur=")) < 10_000
    assert live_settings.BOOKINGS_WRITE_WAIT > 10


def test_service_of_another_company_is_unknown(agent: Agent, practice: Practice, salon: Salon) -> None:
    """Invariant 7: a foreign id is an unknown one."""
    answer = search(agent, salon, service=f"sv_{practice.follow_up.pk}", when=TEN)

    assert answer.json()["code"] == "service_unknown"


# --- what it costs, and what it looks like ----------------------------------------------------------------------------


def test_cached_search_costs_two_statements(
    simulator: Simulator, agent: Agent, salon: Salon, django_assert_num_queries: Any
) -> None:
    """Our own claims are read, and the offers written down, all at once, in a transaction of their own."""
    search(agent, salon, when=TEN)

    with django_assert_num_queries(2 + len(("BEGIN", "COMMIT"))):
        search(agent, salon, when={"date": str(TUESDAY)})


def test_cached_search_with_hold_costs_seven_statements(
    simulator: Simulator, agent: Agent, salon: Salon, django_assert_num_queries: Any
) -> None:
    """Claims are read, then under the lock: what this caller held before, claims again, the hold, and its offer."""
    search(agent, salon, when=TEN)

    with django_assert_num_queries(7 + len(("BEGIN", "COMMIT"))):
        search(agent, salon, when=TEN, hold="exact_match")


def test_offer_held_by_search_can_be_booked(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """FM-16: its slot_token says what was offered and leads to the hold, so a repeat by it hears of that."""
    body = search(agent, salon, when=TEN, hold="exact_match").json()

    again = agent.post("holds", {"slot_token": body["offers"][0]["slot_token"]})

    assert (again.status_code, again.json()["replayed"]) == (200, True)
    assert again.json()["confirm_token"] == body["hold"]["confirm_token"]


def _components() -> dict[str, Any]:
    schemas = orjson.loads(openapi_document())["components"]["schemas"]
    return {
        "schemas": {
            name: {**shape, "additionalProperties": False} if shape.get("type") == "object" else shape
            for name, shape in schemas.items()
        }
    }


def _schema(path: str, status: str, content_type: str) -> dict[str, Any]:
    return orjson.loads(openapi_document())["paths"][path]["post"]["responses"][status]["content"][content_type][
        "schema"
    ]


def test_search_responses_match_the_document(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """What is assembled by hand keeps to its description, whatever came of the search."""
    schema = {**_schema("/v1/availability/search", "200", "application/json"), "components": _components()}
    closed_for_ever = [{"first": "2020-01-01", "last": "2099-12-31"}]
    bodies = [
        search(agent, salon, when=TEN, hold="exact_match").json(),
        search(agent, salon, when={"date": str(SUNDAY)}, staff="Emma").json(),
        search(agent, salon, when=TEN, staff="Zoe").json(),
    ]
    salon.branch.closures = closed_for_ever
    salon.branch.save()
    directory.clear()
    bodies.append(search(agent, salon, when=TEN).json())

    assert [body["status"] for body in bodies] == ["available", "alternatives", "needs_clarification", "none"]
    for body in bodies:
        jsonschema.Draft202012Validator(schema).validate(body)
        assert list(body)[:3] == ["ok", "status", "reason"]


TEXT = st.text(max_size=20)
SCALARS = st.one_of(TEXT, st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none())
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=5
)
DATES = st.dates().map(str) | st.sampled_from([str(TUESDAY), "2026-10-25", "2027-03-28"])
CLOCKS = st.sampled_from(["09:00", "02:30", "24:00", "00:00"]) | TEXT
INSTANTS = st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat) | st.just(at(10).isoformat())
WHEN = st.fixed_dictionaries(
    {},
    optional={
        "date": DATES | JSON,
        "part_of_day": st.sampled_from(["morning", "noon", "afternoon", "evening"]) | JSON,
        "not_before": CLOCKS | JSON,
        "time": CLOCKS | JSON,
        "windows": JSON
        | st.lists(st.fixed_dictionaries({"from": INSTANTS}, optional={"to": INSTANTS | JSON}), max_size=3),
        "phrase": JSON,
    },
)


@settings(max_examples=150, deadline=timedelta(seconds=5), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.fixed_dictionaries(
        {},
        optional={
            "service": st.just("Haircut") | JSON,
            "staff": st.sampled_from(["Emma", "Zoe"]) | JSON,
            "when": WHEN | JSON,
            "hold": JSON,
            "max_offers": st.integers(1, 3) | JSON,
            "more_token": JSON,
            "language": st.sampled_from(["de", "en"]) | JSON,
        },
    )
)
def test_arbitrary_search_never_fails_with_500(
    simulator: Simulator, agent: Agent, salon: Salon, body: dict[str, Any]
) -> None:
    """Whatever is sent is answered or refused; what is offered is in the future, within bounds, and once."""
    answer = agent.send("availability/search", json.dumps(body).encode())

    assert answer.status_code in {200, 422}, answer.content
    found = answer.json()
    assert 0 < len(found["spoken"]) <= 250
    if answer.status_code == 200:
        assert len(starts(found)) == len(set(starts(found))) <= 3
        assert all(start > datetime.now(UTC) for start in starts(found))
