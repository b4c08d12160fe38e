"""The problem catalogue is complete, and its sentences can be spoken."""

import inspect
import re

import pytest
from rest_framework import exceptions as drf

import bookings.errors
from bookings.api import problems
from bookings.api.problem_catalog import PROBLEMS
from bookings.api.problems import RequestError, body_of, code_of
from bookings.errors import BookingError

PROMISED = """
slot_taken 409 · hold_expired 409 · hold_required 409 · confirm_token_invalid 422 ·
date_in_past 422 · too_soon 422 · too_far 422 · closed 422 · slot_not_offered 422 ·
time_not_understood 422 · time_ambiguous 422 · time_nonexistent 422 · service_unknown 422 · service_ambiguous 422 ·
booking_not_found 404 · already_cancelled 409 · already_booked 409 · limit_reached 409 ·
cancel_not_allowed 422 · reschedule_not_allowed 422 ·
idempotency_key_reused 422 · idempotency_in_progress 409 · upstream_unavailable 503 · rate_limited 429 ·
phone_required 422 · answer_required 422 ·
identity_required 403 · identity_mismatch 403 · change_too_late 422 · too_many_reschedules 422 ·
deadline_exceeded 504 · configuration_error 500 · unauthorized 401
"""


def _below(kind: type[Exception]) -> set[type[Exception]]:
    return {kind} | {deeper for sub in kind.__subclasses__() for deeper in _below(sub)}


def test_every_error_is_in_the_catalogue() -> None:
    """A new code cannot be added without its status, its sentences and its hint."""
    raised = {kind for kind in _below(BookingError) | _below(RequestError) if hasattr(kind, "code")}

    assert bookings.errors.SlotTaken in raised
    assert {kind.code for kind in raised} <= set(PROBLEMS)


def test_catalogue_has_no_unused_code() -> None:
    ours = {kind.code for kind in _below(BookingError) | _below(RequestError) if hasattr(kind, "code")}
    others = {code_of(kind()) for kind in (drf.NotFound, drf.Throttled, drf.NotAuthenticated, drf.ParseError)}
    others |= {code_of(drf.MethodNotAllowed("GET")), code_of(drf.UnsupportedMediaType("x")), code_of(Exception())}
    others |= {"temporarily_unavailable"}

    assert set(PROBLEMS) == ours | others


@pytest.mark.parametrize("line", [line.strip() for line in PROMISED.split("·")])
def test_code_has_its_documented_status(line: str) -> None:
    """The codes and their statuses are a contract."""
    code, status = line.split()

    assert PROBLEMS[code].status == int(status)


@pytest.mark.parametrize("kind", sorted(_below(BookingError), key=lambda kind: kind.__name__))
def test_errors_and_catalogue_agree_on_retryable(kind: type[BookingError]) -> None:
    """Whether the same request may succeed later is said in both places."""
    if hasattr(kind, "code"):
        assert PROBLEMS[kind.code].retryable == kind.retryable


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("code", sorted(PROBLEMS))
def test_problem_sentence_can_be_spoken(code: str, language: str) -> None:
    """FM-55: one line of plain words: no figures, no colons, no markup, not too long; and it ends like a sentence."""
    spoken = PROBLEMS[code].spoken(language)

    assert 0 < len(spoken) <= 250
    assert re.fullmatch(r"[A-ZÄÖÜ][\w ,.?'äöüßÄÖÜ]*[.?]", spoken)
    assert not re.search(r"\d|_", spoken)


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("code", sorted(PROBLEMS))
def test_problem_offers_callback_only_as_question(code: str, language: str) -> None:
    """FM-06: a call back is offered; it is promised only where it was written down."""
    spoken = PROBLEMS[code].spoken(language)
    about_calls = [part for part in re.split(r"(?<=[.?]) ", spoken) if re.search(r"(?i)someone|jemand", part)]

    assert all(part.endswith("?") for part in about_calls), spoken


@pytest.mark.parametrize("code", sorted(PROBLEMS))
def test_problem_has_all_members(code: str) -> None:
    """RFC 9457's, and what an agent needs beside."""
    body = body_of(code)

    assert body["code"] == code
    assert body["title"]
    assert body["detail"]
    assert body["agent_hint"]
    assert {"type", "status", "retryable", "spoken", "alternatives", "request_id"} <= set(body)


def test_library_message_is_not_exposed() -> None:
    """FM-83: an unforeseen error may quote a row."""
    assert code_of(ValueError("anna@example.com")) == "internal_error"
    assert "anna" not in str(body_of(code_of(ValueError("anna@example.com"))))


def test_exception_handler_writes_nothing() -> None:
    """What an answer needs beside the problem, the service has written; a handler that writes could fail itself."""
    source = inspect.getsource(problems)

    assert not re.search(r"\.(create|bulk_create|save|update|delete)\(|issue_tokens|import holds", source)
