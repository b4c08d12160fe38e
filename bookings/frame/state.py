"""
How things are, in one sentence with one link: the badge and the banner of every page.

It is what fires among the alerts, which are evaluated every few seconds of what `/health` shows, too. One statement of
a table that is nearly empty, nothing of Redis: so a page costs the same while parts are away. It never breaks a page.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from django.db import DatabaseError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from bookings.roles import Scope, scope_of
from monitoring.alerts import BY_NAME
from monitoring.models import Alert

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class State:
    """What people are told, how bad it is, and where it is dealt with."""

    badge: str | Promise
    sentence: str | Promise
    level: str
    """danger or warning."""
    address: str = ""
    link: str | Promise = ""


@dataclass(frozen=True, slots=True)
class _Kind:
    """How an alert is told: the first page that the person may open is the link."""

    badge: Promise
    sentence: Promise
    pages: Sequence["_Page"] = ()
    level: str = "danger"


@dataclass(frozen=True, slots=True)
class _Page:
    right: str
    words: Promise
    address: Callable[[], str]


def _list(model: str, query: str = "") -> Callable[[], str]:
    return lambda: reverse(f"admin:{model}_changelist") + query


_RATE_LIMIT = _Page("calcom.view_ratelimit", _("See Cal.com's state"), _list("calcom_ratelimit"))
_WAITING = _Page("bookings.view_operation", _("See what waits"), _list("bookings_operation", "?open=1"))
_ACCOUNT = _Page("calcom.change_account", _("Replace the key"), _list("calcom_account"))
_ACCOUNT_TO_SEE = _Page("calcom.change_account", _("See the account"), _list("calcom_account"))
_CONFLICTS = _Page("bookings.view_claim", _("See them"), _list("bookings_claim", "?conflicting__exact=1"))
_ALERTS = _Page("monitoring.view_alert", _("What to do"), _list("monitoring_alert", "?state=firing"))
_STOPPED = _Kind(
    _("Stopped"),
    _("Slotline's background work has stopped: what waits is neither sent nor confirmed."),
    (_ALERTS, _WAITING),
)

KINDS: dict[str, _Kind] = {
    "key_refused": _Kind(
        _("Key refused"),
        _("Cal.com refuses the API key: nothing is booked until it is replaced."),
        (_ACCOUNT, _WAITING),
    ),
    "circuit_open": _Kind(
        _("Cal.com is away"),
        _("Cal.com does not answer: bookings wait, and are sent as soon as it does."),
        (_RATE_LIMIT, _WAITING),
    ),
    "calcom_rate_limited": _Kind(
        _("Cal.com pauses"), _("Cal.com takes no requests for a minute: bookings wait."), (_RATE_LIMIT, _WAITING)
    ),
    "beat_silent": _STOPPED,
    "worker_silent": _STOPPED,
    "appointments_overlap": _Kind(_("Conflict"), _("Appointments ahead overlap."), (_CONFLICTS,)),
    "outbox_overdue": _Kind(
        _("Waiting"), _("Bookings wait for Cal.com longer than a minute."), (_WAITING,), level="warning"
    ),
    "rate_critical": _Kind(
        _("Bookings only"),
        _("Cal.com's limit of requests is used up: searches wait, bookings are sent."),
        (_RATE_LIMIT,),
        level="warning",
    ),
    "redis_away": _Kind(
        _("Redis is away"),
        _("Redis is away: bookings are sent, and free times come late or from what was last known."),
        (_ALERTS,),
        level="warning",
    ),
    "webhooks_silent": _Kind(
        _("Webhooks silent"),
        _("Cal.com sends no webhooks: what is changed there shows some minutes later."),
        (_ACCOUNT_TO_SEE,),
        level="warning",
    ),
}
"""What is told to all whom it concerns, the worst first. Other alerts are told to operators, if they are critical."""


def state_of(request: HttpRequest) -> State | None:
    """Return the worst of what concerns the person; None while all is well, or while it cannot be known."""
    known: State | None
    if "slotline_state" not in request.__dict__:
        request.__dict__["slotline_state"] = _read(scope_of(request.user))
    known = request.__dict__["slotline_state"]
    return known


def _read(scope: Scope) -> State | None:
    if scope.role is None:
        return None
    try:
        firing = list(Alert.objects.firing().values_list("name", "subject", "severity"))
    except DatabaseError as exc:
        log.warning("admin.state_unknown", error_type=type(exc).__name__)
        return None
    concerning = {name: severity for name, subject, severity in firing if _concerns(scope, name, subject)}
    told = next((KINDS[name] for name in KINDS if name in concerning), None)
    if told is not None:
        return _told(told, scope)
    critical = [name for name, severity in concerning.items() if severity == Alert.Severity.CRITICAL]
    if scope.sees_everything and critical:
        rule = BY_NAME.get(critical[0])
        words = f"{rule.summary}." if rule else critical[0]
        return State(_("Alert"), words, "danger", _ALERTS.address(), _ALERTS.words)
    return None


def _concerns(scope: Scope, name: str, subject: str) -> bool:
    """Return whether an alert is about the person's companies: about their account, or about none."""
    of = dict(word.partition("=")[::2] for word in subject.split())
    if name == "outbox_overdue" and of.get("outbox") != "operations":
        return False
    if scope.sees_everything or "account" not in of:
        return True
    return of["account"] in {str(each.company.account_id) for each in scope.memberships if each.company}


def _told(kind: _Kind, scope: Scope) -> State:
    page = next((page for page in kind.pages if scope.may(page.right)), None)
    if page is None:
        return State(kind.badge, kind.sentence, kind.level)
    return State(kind.badge, kind.sentence, kind.level, page.address(), page.words)
