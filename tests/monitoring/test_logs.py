"""FM-83: whatever a logger is given, a line never tells who called, and never a secret."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.contextvars import bound_contextvars

from monitoring.logs import FIELDS, MASK, JsonLines

SECRETS = {
    "phone": "+4915112345678",
    "local_phone": "0151 1234 5678",
    "email": "anna@example.com",
    "name": "Anna Schmidt",
    "key": "sl_hT3kzQv9-8mPwXyR2sLbNc4dFgJ6aK1e",
    "calcom_key": "cal_live_b6a1f00d5c3e4a7f9d2e8c1b0a9f8e7d",
    "uid": "7Kx3mQ9TzWv2bNpR5sYcHd",
    "url": "redis://user:hunter2@10.0.0.1:6379/0",
}


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, object]]]]:
    """Everything that is logged during the test, as it would leave the process."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(handler)


def _leaked(lines: list[dict[str, object]]) -> list[str]:
    text = json.dumps(lines, ensure_ascii=False)
    return [kind for kind, secret in SECRETS.items() if secret in text]


def test_a_field_that_is_not_allowed_by_name_is_dropped(lines) -> None:
    """FM-83: who logs a caller's name under its own name finds that nothing was logged."""
    structlog.get_logger("test").info("booked", **SECRETS)

    assert not _leaked(lines())
    assert lines()[0]["event"] == "booked"
    assert set(lines()[0]) == {"at", "level", "logger", "event"}


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_no_allowed_field_lets_a_secret_through(lines, field: str) -> None:
    """FM-83: a name on the list does not help: the value must be of its kind."""
    allowed_by_kind = {"error_type"}  # words of letters only are types; a first name would be one, too
    for kind, secret in SECRETS.items():
        if not (field in allowed_by_kind and kind == "name"):
            structlog.get_logger("test").info("something happened", **{field: secret})
            structlog.get_logger("test").info("something happened", **{field: [secret]})

    assert not _leaked(lines())


@pytest.mark.parametrize("kind", sorted(SECRETS))
def test_arguments_of_a_message_are_masked(lines, kind: str) -> None:
    """FM-83: libraries format what they are given into their messages; ours and theirs go through the same mask."""
    logging.getLogger("another.library").warning("refused %s with %s", SECRETS[kind], {"deep": SECRETS[kind]})
    logging.getLogger("another.library").warning("refused %(what)s", {"what": SECRETS[kind]})
    structlog.get_logger("test").warning("refused %s", SECRETS[kind])

    assert not _leaked(lines())
    assert lines()[1]["event"] == f"refused {MASK}"


@pytest.mark.parametrize("kind", sorted(set(SECRETS) - {"name"}))
def test_what_was_formatted_into_a_message_is_masked_by_its_look(lines, kind: str) -> None:
    """FM-83: the second line of defence, for messages that come ready-made."""
    message = f"refused {SECRETS[kind]} again"

    logging.getLogger("another.library").warning(message)

    assert not _leaked(lines())


def _refuse_row() -> None:
    try:
        int(f"Key (phone)=({SECRETS['phone']}) of {SECRETS['name']} already exists")
    except ValueError as cause:
        raise RuntimeError(SECRETS["email"]) from cause


def test_an_exception_is_told_without_its_message(lines) -> None:
    """FM-83: a database quotes the row that it refuses."""
    try:
        _refuse_row()
    except RuntimeError:
        structlog.get_logger("test").exception("it broke")
        logging.getLogger("test").exception("it broke")

    assert not _leaked(lines())
    ours, theirs = (line["exception"] for line in lines())
    assert ours == theirs
    assert ours["types"] == ["builtins.RuntimeError", "builtins.ValueError"]
    assert "test_logs.py" in ours["frames"][0]


def test_what_operators_need_comes_through(lines) -> None:
    """A line tells which operation, for which row, how long, for which request."""
    with bound_contextvars(request_id="4bf92f3577b34da6a3ce929d0e0e4736"):
        structlog.get_logger("calcom.http.client").info(
            "called", operation="GET /v2/slots", outcome="timeout", took_ms=812.5, account_id=7, event_type_ids=[1, 2]
        )

    line = lines()[0]
    assert line["operation"] == "GET /v2/slots"
    assert (line["outcome"], line["took_ms"], line["account_id"]) == ("timeout", 812.5, 7)
    assert line["event_type_ids"] == [1, 2]
    assert line["request_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_celery_can_still_say_which_task_it_ran(lines) -> None:
    """Its message has the task's name and id as arguments; both are harmless, what it returned is not."""
    given = {"name": "cachectl.invalidate_range", "id": str(UUID(int=7)), "runtime": 0.25, "return_value": "'Anna'"}

    logging.getLogger("celery.app.trace").warning(
        "Task %(name)s[%(id)s] succeeded in %(runtime)ss: %(return_value)s", given
    )

    assert lines()[0]["event"] == f"Task cachectl.invalidate_range[{UUID(int=7)}] succeeded in 0.25s: {MASK}"


@given(
    event=st.text(),
    arguments=st.lists(st.one_of(st.text(), st.integers(), st.none(), st.floats(), st.binary())).map(tuple),
)
def test_any_message_becomes_one_line_of_json(event: str, arguments: tuple[object, ...]) -> None:
    """A log call never raises and never breaks the line format, whatever it is given."""
    record = logging.makeLogRecord({"name": "test", "msg": event, "args": arguments, "levelname": "INFO"})

    line = JsonLines().format(record)

    assert "\n" not in line
    assert json.loads(line)["logger"] == "test"
