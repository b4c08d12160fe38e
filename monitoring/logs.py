"""
Logs as JSON lines that cannot tell who called.

Fields are allowed by name and masked by type: what is not in `FIELDS` is dropped, and what is not of its kind is
masked. Text from outside never gets through: arguments of a message are masked unless they are plainly harmless, and an
exception is told by its types and its frames, because its message may quote a row.

What is bound with structlog.contextvars (the request, the company, the phone call, the appointment) is on every line
until it is unbound, on lines of libraries, too.
"""

import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from uuid import UUID

import orjson
import structlog
from celery import signals
from structlog.contextvars import get_contextvars

log = structlog.get_logger(__name__)

MASK = "…"

# --- What may be said --------------------------------------------------------------------------------------------

Kind = Callable[[object], object]
"""Returns the value as it may be printed, or the mask."""

_REVEALING = re.compile(
    r"[^\s@]+@[^\s@]+"  # an e-mail address, or the password and host of a URL
    r"|\+?\d(?:[\s()/.-]{0,2}\d){5,}"  # a phone number, or any other long run of digits
    r"|\b(?:sl|cal|whsec)_\w+"  # keys, by their prefix
    r"|\b(?=\w*\d)(?=\w*[A-Za-z])\w{12,}"  # uids and tokens: long, with letters and digits
    r"|(?i:bearer|basic)\s+\S+"
)


def _number(value: object) -> object:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value if isinstance(value, int | float) and abs(value) < 1e9 else MASK


def _text(pattern: str, longest: int = 80) -> Kind:
    compiled = re.compile(pattern)

    def keep(value: object) -> object:
        text = str(value.value if isinstance(value, Enum) else value)
        return text if len(text) <= longest and compiled.fullmatch(text) else MASK

    return keep


def _instant(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else _iso(value)


def _several(kind: Kind) -> Kind:
    def keep(value: object) -> object:
        return [kind(item) for item in list(value)[:50]] if isinstance(value, list | tuple | set | frozenset) else MASK

    return keep


_iso = _text(r"\d{4}-\d\d-\d\d(T[\d:.]{5,15}(Z|[+-]\d\d:\d\d)?)?")
_word = _text(r"[a-z]+\d{0,3}(?:[ _.-](?:[a-z]+\d{0,3}|\d{1,3}))*")  # lower case; a longer run of digits is no word
_operation = _text(r"(?:[A-Z]{3,7} )?/?[a-z]+\d?(?:[/_.:-]+[a-z<{][a-z_:>}]*)*/?")
_type = _text(r"[A-Za-z_]+(?:\.[A-Za-z_]+)*(?:Error|Exception|Timeout|Unavailable|Refused|Unknown|Failed)?")
_release = _text(r"[0-9a-z][0-9a-z.+-]{0,40}")
_our_id = _text(r"(?:bk|cv|op)_[0-9A-Z]{16}")
_trace_id = _text(r"[0-9a-f-]{16,64}")
_dotted = _text(r"[a-z]+\d?(?:[_.][a-z]+\d?)+")  # a module, a task, a logger
_uuid = _text(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _fields(kind: Kind, names: str) -> dict[str, Kind]:
    return dict.fromkeys(names.split(), kind)


FIELDS: Mapping[str, Kind] = {
    **_fields(_number, "account_id event_type_id invalidation_id company_id branch_id service_id host_id"),
    **_fields(_number, "agent_key_id delivery_id status attempt attempts keys keys_invalidated days bytes count"),
    **_fields(_number, "requests remaining limit pages took took_ms took_s age_s wait_s retry_after"),
    **_fields(_word, "outcome reason cause code state priority band queue task probe alert trigger platform kind"),
    **_fields(_operation, "operation route"),
    **_fields(_type, "error_type method"),
    **_fields(_release, "version"),
    **_fields(_several(_number), "event_type_ids host_ids invalidation_ids account_ids"),
    **_fields(_instant, "first last start end until since"),
    **_fields(_our_id, "appointment_id conversation_id operation_id"),
    **_fields(_trace_id, "request_id upstream_request_id task_id trace_id"),
}
"""What may be logged, by name. Who adds a name decides its kind here."""

# --- How a line is made ------------------------------------------------------------------------------------------


class JsonLines(logging.Formatter):
    """The formatter of every handler: for our own calls through structlog and for everybody else's."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON that may leave the process."""
        bound = get_contextvars()
        fields = record.msg if isinstance(record.msg, dict) else {**record.__dict__, "event": record.msg}
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _sentence(str(fields.get("event", "")), fields.get("positional_args") or record.args),
            **_allowed({**bound, **fields}),
            "request_id": bound.get("request_id"),  # of a form that the middleware has checked
            "exception": _told(fields.get("exc_info") or record.exc_info),
        }
        return orjson.dumps({name: value for name, value in line.items() if value is not None}).decode()


def _allowed(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: FIELDS[name](value) for name, value in fields.items() if name in FIELDS and value is not None}


def _sentence(template: str, arguments: object) -> str:
    """Return the message with its arguments masked; the template alone where they do not fit any more."""
    safe = _REVEALING.sub(MASK, template[:500])
    try:
        if isinstance(arguments, Mapping):
            return safe % {name: _argument(value) for name, value in arguments.items()}
        return safe % tuple(map(_argument, arguments)) if isinstance(arguments, tuple) and arguments else safe
    except (TypeError, ValueError, KeyError):
        return safe


def _argument(value: object) -> object:
    """Return an argument of a foreign log message as it may be printed."""
    if value is None:
        return None
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, BaseException):
        return type(value).__name__
    if not isinstance(value, str | UUID):
        return MASK
    return _uuid(value) if _dotted(value) == MASK else _dotted(value)


def _told(exc_info: object) -> dict[str, list[str]] | None:
    """Return an exception without its message: the types down to its cause, and where that one was raised."""
    if exc_info is True:
        exc_info = sys.exc_info()
    link = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    chain: list[BaseException] = []
    while isinstance(link, BaseException) and len(chain) < 5:
        chain.append(link)
        link = link.__cause__ or link.__context__
    if not chain:
        return None
    frames = traceback.extract_tb(chain[-1].__traceback__)[-15:]
    return {
        "types": [f"{type(exc).__module__}.{type(exc).__qualname__}" for exc in chain],
        "frames": [f"{'/'.join(frame.filename.split('/')[-3:])}:{frame.lineno} {frame.name}" for frame in frames],
    }


def current_request_id() -> str:
    """Return the id of the request that this thread, or the task that it runs, works for; empty if there is none."""
    return current_ids().get("request_id", "")


def current_ids() -> dict[str, str]:
    """Return the ids of the request that this thread, or the task that it runs, works for, and of its trace."""
    bound = get_contextvars()
    return {name: bound[name] for name in ("request_id", "trace_id") if bound.get(name)}


@contextmanager
def contained(event: str, **fields: object) -> Iterator[None]:
    """Log what is raised inside instead of raising it: for steps that run when an answer already stands."""
    try:
        yield
    except Exception as exc:
        log.warning(event, error_type=type(exc).__name__, exc_info=exc, **fields)


def configure() -> None:
    """Hand what structlog is given to the standard loggers, and keep Celery from putting its own handlers there."""
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    signals.setup_logging.connect(_leave_logging_alone, weak=False, dispatch_uid="monitoring.logs")


def _leave_logging_alone(**_newer: object) -> None:
    """Tell Celery not to set up logging: settings.LOGGING does."""
