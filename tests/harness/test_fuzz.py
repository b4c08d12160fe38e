"""The parts of fuzzing: parameters, made-up values, keys in pieces, rows of companies."""

import re
from random import Random

import orjson
import pytest

from bookings.api.openapi import openapi_document
from bookings.models import CallbackRequest
from cachectl.infra.redis import redis_client
from script.lib.processes import HarnessError
from tests.factories import Practice, Salon
from tests.fuzz import foreign, problems, secrets, tenancy
from tests.fuzz.foreign import Place, Request, Response
from tests.fuzz.unknown_keys import ELSEWHERE, HERE, UnknownKeyAttack

KEY = "sl_hT3kzQv9-8mPwXyR2sJf0aLbNcUdEe"


def test_every_parameter_of_the_api_is_classified():
    places = {
        (place.operation, place.where, place.name) for place in foreign.places_of(orjson.loads(openapi_document()))
    }

    assert ("get_booking", "path", "booking_id") in places
    assert ("create_booking", "body", "caller.phone") in places
    assert ("create_booking", "header", "Idempotency-Key") in places
    assert ("search_availability", "query", "conversation_id") in places
    assert not any(name == "notes" for _, _, name in places)


def test_unclassified_parameter_is_reported():
    operation = {"operationId": "steal", "parameters": [{"in": "query", "name": "loot"}]}

    with pytest.raises(HarnessError, match="loot of steal"):
        list(foreign.places_of({"components": {"schemas": {}}, "paths": {"/": {"get": operation}}}))


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("bk_7K3QX9M2TA4PWJ5R", "bk_[0-9A-Z]{16}"),
        ("mt_7K3QX9M2TA", "mt_[0-9A-Z]{10}"),
        ("sv_1", r"sv_\d{9}"),
        ("K7MP4Q", "[0-9A-Z]{6}"),
        ("+4915112345601", r"\+4915112\d{6}"),
        ("Ada Quill-salon", "[A-Z][a-z]{2} [A-Z][a-z]{4}-[a-z]{5}"),
    ],
)
def test_made_up_value_has_the_same_form(value, form):
    made_up = foreign.made_up(value, Random(1))

    assert re.fullmatch(form, made_up)
    assert made_up != value


def test_value_is_put_into_its_parameter():
    plain = Request("POST", "/v1/bookings/bk_0/cancel", {"a": "1"}, {}, {"caller": {"name": "Ada"}})

    assert plain.with_(Place("x", "path", "booking_id"), "bk/1").path == "/v1/bookings/bk%2F1/cancel"
    assert plain.with_(Place("x", "query", "b"), "2").query == {"a": "1", "b": "2"}
    assert plain.with_(Place("x", "header", "H"), "2").headers == {"H": "2"}
    assert plain.with_(Place("x", "body", "reason"), "2").body == {"caller": {"name": "Ada"}, "reason": "2"}
    assert plain.with_(Place("x", "body", "caller.name"), "Bob").body == {"caller": {"name": "Bob"}}


def test_responses_differ_by_codes_and_sentences_not_by_ids():
    first = Response(404, {"A": "1"}, '{"detail": "No bk_1.", "code": "x", "at": "10:00", "bookings": []}')
    same = Response(404, {"A": "2"}, '{"detail": "No bk_2.", "code": "x", "at": "11:00", "bookings": []}')
    more = Response(404, {"A": "2"}, '{"detail": "No bk_2.", "code": "x", "at": "11:00", "bookings": [{"id": "bk_2"}]}')

    assert first.shape("bk_1") == same.shape("bk_2")
    assert first.shape("bk_1") != more.shape("bk_2")
    assert first.shape("bk_1") != Response(403, {"A": "1"}, same.content).shape("bk_2")


@pytest.mark.parametrize("text", [KEY, f"key={KEY[5:]}", f'"{KEY[:20]}…"', f"x{KEY}x"])
def test_part_of_a_key_is_found(text):
    assert secrets.Keys([KEY]).count_in(text.encode()) == 1


@pytest.mark.parametrize("text", ["", KEY[:8], "sl_hT3kzQv8-8mPwXyR2t", "4bf92f3577b34da6a3ce929d0e0e4736"])
def test_other_text_is_not_found(text):
    """The first eight characters may be shown."""
    assert secrets.Keys([KEY]).count_in(text.encode()) == 0


def test_redis_is_read_with_values_of_every_type(settings):
    redis = redis_client()
    redis.set(f"{KEY}-in-a-name", 1)
    redis.hset("hash", "field", KEY)
    redis.rpush("list", KEY)
    redis.sadd("set", KEY)
    redis.zadd("zset", {KEY: 1})

    read = dict(secrets.redis(settings.REDIS_URL))
    name = f"Redis db{settings.REDIS_URL.rpartition('/')[2]}"

    assert read[name].count(KEY.encode()) == 5


@pytest.mark.django_db
def test_rows_of_a_company_exclude_those_of_others(salon: Salon, practice: Practice):
    before = tenancy.rows_of(salon.company.pk)
    CallbackRequest.objects.create(company=practice.company, phone="+4915112345678")
    assert tenancy.differences(before, tenancy.rows_of(salon.company.pk)) == []

    CallbackRequest.objects.create(company=salon.company, phone="+4915112345678")
    salon.cut.name = "Trim by another name"
    salon.cut.save()

    assert tenancy.differences(before, tenancy.rows_of(salon.company.pk)) == [
        "CallbackRequest is new",
        "Service has another name",
    ]


@pytest.mark.django_db
def test_reference_to_another_company_is_reported(salon: Salon, practice: Practice):
    assert tenancy.crossing() == []

    CallbackRequest.objects.create(company=salon.company, branch=practice.branch, phone="+4915112345678")

    assert tenancy.crossing() == ["CallbackRequest.branch: 1 rows"]


@pytest.mark.parametrize(
    ("status", "headers", "body", "violation"),
    [
        (200, {}, None, ""),
        (404, {"content-type": "text/html"}, None, "no problem+json"),
        (
            404,
            {"content-type": "application/problem+json"},
            {"status": 404},
            "a problem without type, title, detail, code",
        ),
    ],
)
def test_error_response_must_be_a_complete_problem(status, headers, body, violation):
    assert problems.violation(status, headers, body, to_agents=False) == violation


def test_expected_codes_of_500_and_more_are_no_failures():
    assert problems.is_failure(500, {"code": "internal_error"})
    assert problems.is_failure(502, None)
    assert not problems.is_failure(503, {"code": "temporarily_unavailable"})
    assert not problems.is_failure(422, {})


def test_looked_up_keys_count_after_throttling_begins():
    """The throttle admits one now and then."""
    attack = UnknownKeyAttack("", 0.5, "", "", duration=5.0)
    attack.late.update({429: 4000, 401: 3})
    assert attack.unthrottled == 0

    attack.late.update({401: 1000})

    assert attack.unthrottled == 1000


def test_attack_without_agents_measures_nothing():
    attack = UnknownKeyAttack("", 0.5, "", "")
    assert (attack.refused(), attack.p95_ms()) == (None, None)

    attack.answered = {HERE: [(200, 0.01)], ELSEWHERE: [(200, 0.01), (429, 0.02)]}

    assert attack.refused() == 1
