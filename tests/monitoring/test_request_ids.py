"""Each request has an id, and so has its answer."""

import re

import pytest
from django.test import Client

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def _id(client: Client, **headers: str) -> str:
    return str(client.get("/health/live", **headers)["X-Request-Id"])


def test_a_request_without_an_id_gets_one(client: Client) -> None:
    """Two requests never share it."""
    first, second = _id(client), _id(client)

    assert re.fullmatch(r"[0-9a-f]{32}", first)
    assert first != second


def test_the_id_that_the_agent_sends_is_kept(client: Client) -> None:
    """So that both sides' logs can be laid side by side; a trace's id serves where there is no other."""
    assert _id(client, HTTP_X_REQUEST_ID="call-0815_abc") == "call-0815_abc"
    assert _id(client, HTTP_X_REQUEST_ID="local_0815_abc") == "local_0815_abc"
    assert _id(client, HTTP_TRACEPARENT=f"00-{TRACE}-00f067aa0ba902b7-01") == TRACE
    assert _id(client, HTTP_X_REQUEST_ID="call-0815_abc", HTTP_TRACEPARENT=f"00-{TRACE}-00f067aa0ba902b7-01") == (
        "call-0815_abc"
    )


@pytest.mark.parametrize(
    "given",
    [
        "",
        "short",
        "x" * 65,
        "with blank in it",
        "anna@example.com",
        "4915112345678",
        "sl_hT3kzQv9-8mPwXyR2s",
        "key-sl_hT3kzQv9-8mPwXyR2s",
        "cal_live_4bf92f3577b34da6",
        "whsec_4bf92f3577b34da6",
        "ünïcödé-id",
    ],
)
def test_an_id_that_is_none_is_replaced(client: Client, given: str) -> None:
    """Nothing that could break a log line or name a person is taken over."""
    assert _id(client, HTTP_X_REQUEST_ID=given) != given


@pytest.mark.parametrize(
    "given",
    [
        "7f9c24e8-3b12-4fef-91e0-15a2a1c9a1d5",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "12345678901234567890123456789012",
    ],
)
def test_an_id_that_is_random_by_its_form_is_kept(client: Client, given: str) -> None:
    """UUID, ULID and 32 hexadecimal digits: digits in them are no telephone number."""
    assert _id(client, HTTP_X_REQUEST_ID=given) == given


@pytest.mark.parametrize(
    "given", ["call-4915112345678", "c491511234567x8", "anna-030-901820", "4-9-1-5-1-1-2-3-4-5-6-7-8x", "id_49_151_12"]
)
def test_an_id_that_may_hold_a_number_is_replaced_by_its_keyed_hash(client: Client, given: str, settings) -> None:
    """The same each time, so that both sides' logs can still be laid side by side, and meaningless without our key."""
    shown = _id(client, HTTP_X_REQUEST_ID=given)

    assert re.fullmatch(r"[0-9a-f]{32}", shown)
    assert _id(client, HTTP_X_REQUEST_ID=given) == shown
    settings.SECRET_KEY = "another"
    assert _id(client, HTTP_X_REQUEST_ID=given) != shown


@pytest.mark.parametrize(
    "given", ["nonsense", f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{TRACE.upper()}-00f067aa0ba902b7-01"]
)
def test_a_broken_trace_is_replaced(client: Client, given: str) -> None:
    """What the standard calls invalid is ignored."""
    assert re.fullmatch(r"[0-9a-f]{32}", _id(client, HTTP_TRACEPARENT=given))
    assert _id(client, HTTP_TRACEPARENT=given) != "0" * 32
