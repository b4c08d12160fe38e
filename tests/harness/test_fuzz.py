"""What the fuzzing experiment goes by: places, things that never were, keys in pieces, rows of companies."""

import re
from random import Random

import orjson
import pytest

from bookings.api.openapi import openapi_document
from bookings.models import CallbackRequest
from cachectl.infra.redis import redis_client
from script.lib.processes import StageError
from tests.factories import Practice, Salon
from tests.fuzz import foreign, problems, secrets, tenancy, unknown_keys
from tests.fuzz.foreign import Place, Request, Told
from tests.fuzz.unknown_keys import Guessing

KEY = "sl_hT3kzQv9-8mPwXyR2sJf0aLbNcUdEe"


def test_every_parameter_of_the_api_is_known_to_name_something_or_nothing():
    """A new one cannot be forgotten."""
    places = {
        (place.operation, place.where, place.name) for place in foreign.places_of(orjson.loads(openapi_document()))
    }

    assert ("get_booking", "path", "booking_id") in places
    assert ("create_booking", "body", "caller.phone") in places
    assert ("create_booking", "header", "Idempotency-Key") in places
    assert ("search_availability", "query", "conversation_id") in places
    assert not any(name == "notes" for _, _, name in places)


def test_a_parameter_of_which_nobody_has_said_anything_is_named():
    """Else it would never be tried."""
    operation = {"operationId": "steal", "parameters": [{"in": "query", "name": "loot"}]}

    with pytest.raises(StageError, match="loot of steal"):
        list(foreign.places_of({"components": {"schemas": {}}, "paths": {"/": {"get": operation}}}))


@pytest.mark.parametrize(
    ("thing", "form"),
    [
        ("bk_7K3QX9M2TA4PWJ5R", "bk_[0-9A-Z]{16}"),
        ("mt_7K3QX9M2TA", "mt_[0-9A-Z]{10}"),
        ("sv_1", r"sv_\d{9}"),
        ("K7MP4Q", "[0-9A-Z]{6}"),
        ("+4915112345601", r"\+4915112\d{6}"),
        ("Ada Quill-salon", "[A-Z][a-z]{2} [A-Z][a-z]{4}-[a-z]{5}"),
    ],
)
def test_what_never_was_has_the_same_form(thing, form):
    """It is refused for no other reason than that nobody has it."""
    never = foreign.never_was(thing, Random(1))

    assert re.fullmatch(form, never)
    assert never != thing


def test_a_value_is_put_in_its_place():
    """In the address, the query, a header, the body, and deeper."""
    plain = Request("POST", "/v1/bookings/bk_0/cancel", {"a": "1"}, {}, {"caller": {"name": "Ada"}})

    assert plain.with_(Place("x", "path", "booking_id"), "bk/1").path == "/v1/bookings/bk%2F1/cancel"
    assert plain.with_(Place("x", "query", "b"), "2").query == {"a": "1", "b": "2"}
    assert plain.with_(Place("x", "header", "H"), "2").headers == {"H": "2"}
    assert plain.with_(Place("x", "body", "reason"), "2").body == {"caller": {"name": "Ada"}, "reason": "2"}
    assert plain.with_(Place("x", "body", "caller.name"), "Bob").body == {"caller": {"name": "Bob"}}


def test_answers_differ_by_what_they_say_and_not_by_what_was_sent():
    """Ids and instants are new in each answer; codes and sentences are not."""
    first = Told(404, {"A": "1"}, '{"detail": "No bk_1.", "code": "x", "at": "10:00", "bookings": []}')
    same = Told(404, {"A": "2"}, '{"detail": "No bk_2.", "code": "x", "at": "11:00", "bookings": []}')
    more = Told(404, {"A": "2"}, '{"detail": "No bk_2.", "code": "x", "at": "11:00", "bookings": [{"id": "bk_2"}]}')

    assert first.shape("bk_1") == same.shape("bk_2")
    assert first.shape("bk_1") != more.shape("bk_2")
    assert first.shape("bk_1") != Told(403, {"A": "1"}, same.content).shape("bk_2")


@pytest.mark.parametrize("text", [KEY, f"key={KEY[5:]}", f'"{KEY[:20]}…"', f"x{KEY}x"])
def test_a_part_of_a_key_is_found(text):
    """However it was cut."""
    assert secrets.Wanted([KEY]).found_in(text.encode()) == 1


@pytest.mark.parametrize("text", ["", KEY[:8], "sl_hT3kzQv8-8mPwXyR2t", "4bf92f3577b34da6a3ce929d0e0e4736"])
def test_what_is_no_key_is_not_found(text):
    """Its name of eight characters may be shown."""
    assert secrets.Wanted([KEY]).found_in(text.encode()) == 0


def test_keys_are_looked_for_in_every_kind_of_value(settings):
    """Whatever Redis holds, by key and by value."""
    redis = redis_client()
    redis.set(f"{KEY}-in-a-name", 1)
    redis.hset("hash", "field", KEY)
    redis.rpush("list", KEY)
    redis.sadd("set", KEY)
    redis.zadd("zset", {KEY: 1})

    told = dict(secrets.redis(settings.REDIS_URL))
    name = f"Redis db{settings.REDIS_URL.rpartition('/')[2]}"

    assert told[name].count(KEY.encode()) == 5


@pytest.mark.django_db
def test_rows_of_a_company_are_its_own(salon: Salon, practice: Practice):
    """What changes is named, and what is another company's does not count."""
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
def test_a_row_that_leans_on_another_companys_is_named(salon: Salon, practice: Practice):
    """No question of one company could ever lead there."""
    assert tenancy.crossing() == []

    CallbackRequest.objects.create(company=salon.company, branch=practice.branch, phone="+4915112345678")

    assert tenancy.crossing() == ["CallbackRequest.branch: 1 rows"]


@pytest.mark.parametrize(
    ("status", "headers", "told", "lacks"),
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
def test_a_problem_says_what_to_do(status, headers, told, lacks):
    """Who reads it is a program, or a voice."""
    assert problems.lacks(status, headers, told, to_agents=False) == lacks


def test_honest_answers_of_500_and_more_are_no_failures():
    """They say that nothing broke."""
    assert problems.is_failure(500, {"code": "internal_error"})
    assert problems.is_failure(502, None)
    assert not problems.is_failure(503, {"code": "temporarily_unavailable"})
    assert not problems.is_failure(422, {})


def test_guesses_that_are_looked_up_count_from_when_they_should_not_be():
    """The throttle lets one through now and then."""
    guessing = Guessing("", 0.5, "", "", took=5.0)
    guessing.late.update({429: 4000, 401: 3})
    assert guessing.unthrottled == 0

    guessing.late.update({401: 1000})

    assert guessing.unthrottled == 1000


def test_nobody_was_served_where_nobody_asked():
    """Missing data is no success."""
    guessing = Guessing("", 0.5, "", "")
    assert (guessing.refused(), guessing.p95_ms()) == (None, None)

    guessing.asked = {unknown_keys.HERE: [(200, 0.01)], unknown_keys.ELSEWHERE: [(200, 0.01), (429, 0.02)]}

    assert guessing.refused() == 1
