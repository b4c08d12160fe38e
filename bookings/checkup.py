"""Whether a company can be served: settings, keys, rows, processes, and a call that is tried. Each with its repair."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone

from bookings import onboarding
from bookings.errors import BookingError
from bookings.models import AgentKey, Branch, Claim, Company, Service, Staff
from cachectl.infra.outbox import DEAD_LETTER
from calcom.errors import CalcomError
from calcom.models import DeferredBooking, KeyRefusal, WebhookDelivery
from calcom.resilience.rate_limiter import Throttled
from calcom.service import CalcomService
from monitoring import heartbeats
from monitoring.collectors import Unhealthy

# Sync runs once a night.
SYNCED_WITHIN = timedelta(hours=26)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the check."""

    what: str
    problem: str = ""
    """Empty where it is in order."""
    repair: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is in order."""
        return not self.problem


def examine(company: Company, *, now: datetime, live: bool = True) -> Iterator[Finding]:
    """Yield what is in order and what is not; `live` asks Cal.com as well, and plays a call that books nothing."""
    yield from _settings()
    yield from _keys(company)
    yield from _rows(company, now)
    yield from _processes()
    if live:
        yield from _live(company)


def _finding(what: str, problem: str | bool, repair: str = "") -> Finding:
    text = problem if isinstance(problem, str) else ("it is not so" if problem else "")
    return Finding(what, text, repair if text else "")


def _settings() -> Iterator[Finding]:
    domain = settings.BOOKINGS_ATTENDEE_DOMAIN
    invented = domain.rpartition(".")[2] in {"invalid", "example", "test"} and not settings.CALCOM_LOOPBACK_ONLY
    yield _finding(
        "domain of callers without e-mail",
        f"{domain} is no domain of yours" if invented else "",
        "set BOOKINGS_ATTENDEE_DOMAIN to a domain of yours, and restart",
    )
    yield _finding(
        "messages about alerts",
        "" if settings.ALERT_URLS or settings.CALCOM_LOOPBACK_ONLY else "no person is told of an alert",
        "set ALERT_URLS, and try it: manage.py test_alerts",
    )


def _keys(company: Company) -> Iterator[Finding]:
    account = company.account
    refused = [
        row.kind for row in KeyRefusal.objects.filter(account=account).select_related("account") if row.is_current
    ]
    yield _finding(
        "company and account are served",
        "" if company.active and account.active else "one is switched off",
        "switch it on in the admin",
    )
    yield _finding(
        "Cal.com's API key",
        f"Cal.com refuses it for {' and '.join(refused)}" if refused else "",
        "make a new key at Cal.com, and run manage.py onboard with it",
    )
    agents = AgentKey.objects.filter(company=company, revoked_at=None)
    yield _finding("agent key", "" if agents.exists() else "there is none", "manage.py onboard --new-key")
    yield _finding(
        "secret of webhooks",
        "" if account.webhook_secret else "there is none, so no webhook is accepted",
        "manage.py subscribe_webhooks with Slotline's public address",
    )


def _rows(company: Company, now: datetime) -> Iterator[Finding]:
    account = company.account
    late = account.synced_at is None or account.synced_at < now - SYNCED_WITHIN
    yield _finding(
        "mirror of Cal.com",
        "it was not synced for a day" if late else "",
        f"manage.py sync_calcom --account {account.pk}",
    )
    branches = list(Branch.objects.of(company))
    yield _finding("branch", "" if branches else "there is none", "manage.py onboard, or the admin")
    for branch in branches:
        yield _finding(f"branch “{branch}”", _complaint(branch.full_clean), "correct it in the admin")
    services = list(Service.objects.of(company).filter(active=True).select_related("event_type", "branch__company"))
    yield _finding("services", "" if services else "there is none", "manage.py onboard, or the admin")
    for service in services:
        problem = service.unsupported_reason() or _complaint(service.full_clean)
        yield _finding(
            f"service “{service}”", problem, "change the event type at Cal.com and sync, or switch the service off"
        )
    for person in Staff.objects.of(company).filter(active=True).select_related("host", "branch__company"):
        yield _finding(f"person “{person}”", _complaint(person.full_clean), "correct it in the admin")
    conflicts = Claim.objects.filter(host__account=account, conflicting=True, kind=Claim.Kind.CONFIRMED, end__gt=now)
    yield _finding(
        "appointments ahead", "some overlap" if conflicts.exists() else "", "docs/runbooks/appointments_overlap.md"
    )
    given_up = [
        rows.filter(account=account, state=DEAD_LETTER).exists()
        for rows in (WebhookDelivery.objects, DeferredBooking.objects)
    ]
    yield _finding(
        "what Cal.com told", "some of it was given up" if any(given_up) else "", "docs/runbooks/dead_letters.md"
    )


def _complaint(check: Callable[[], None]) -> str:
    try:
        check()
    except ValidationError as exc:
        return " ".join(exc.messages)
    return ""


def _processes() -> Iterator[Finding]:
    for what, probe in (("beat", heartbeats.beat), ("workers", heartbeats.workers)):
        problem = ""
        try:
            probe()
        except Unhealthy as exc:
            problem = str(exc)
        yield _finding(what, problem, f"start it; docs/runbooks/{'beat' if what == 'beat' else 'worker'}_silent.md")


def _live(company: Company) -> Iterator[Finding]:
    account, calcom = company.account, CalcomService(company.account, tenant=company.pk)
    yield _asked("Cal.com's answer", lambda: _owner_problem(company, calcom), "docs/runbooks/circuit_open.md")
    repair = f"manage.py subscribe_webhooks --account {account.pk} with Slotline's public address"
    yield _asked("webhook at Cal.com", calcom.webhook_flaw, repair)
    yield _asked(
        "a call: search, hold, release", lambda: _call_problem(company), "look at hours and services at Cal.com"
    )


def _owner_problem(company: Company, calcom: CalcomService) -> str:
    owner = calcom.owner()
    if owner.id == company.account.owner_calcom_id:
        return ""
    return f"the key is that of {owner.name}, and another user's calendars are mirrored"


def _call_problem(company: Company) -> str:
    tried = onboarding.try_call(company=company, now=timezone.now())
    if tried.start is None:
        return "no service has a free time in the next four weeks"
    return "" if tried.verified else "Cal.com could not be asked whether the time is still free"


def _asked(what: str, ask: Callable[[], str], repair: str) -> Finding:
    try:
        return _finding(what, ask(), repair)
    except Throttled as exc:
        return _finding(what, str(exc), "run it again in a minute: callers come first")
    except (CalcomError, BookingError) as exc:
        return _finding(what, str(exc), repair)
