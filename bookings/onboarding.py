"""
A company is set up: from a key of Cal.com's to an agent that can book. Each step is safe to repeat.

What is there stays as staff left it: a company, a service, a person and a key are only added where they are missing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.http.request import validate_host
from django.utils.text import slugify

from bookings.availability.bookable import bookable_calendars
from bookings.availability.calendar_view import Calendar
from bookings.availability.criteria import TimeCriteria, Window
from bookings.availability.search import AvailabilityQuery
from bookings.models import AgentKey, Branch, Company, Service, Staff
from bookings.scheduling import holds
from bookings.scheduling.offering import offer
from cachectl import cache
from cachectl.infra.deadline import Deadline
from calcom.day_ranges import minute_from
from calcom.models import Account, EventType, Host
from calcom.service import CalcomService
from calcom.types import PHONE_FIELDS, RemoteHost, UnsupportedReason

AGENT = "voice agent"
SCOPES = tuple(AgentKey.Scope.values)
"""Of the agent's key: all. Whose number it is that calls, the platform says and no model."""
# Language and telephone region by zone. Elsewhere English, and the region is asked for.
_PLACES = {
    "Europe/Berlin": ("de", "DE"),
    "Europe/Busingen": ("de", "DE"),
    "Europe/Vienna": ("de-AT", "AT"),
    "Europe/Zurich": ("de-CH", "CH"),
    "Europe/Vaduz": ("de-CH", "LI"),
    "Europe/London": ("en-GB", "GB"),
    "Europe/Dublin": ("en-GB", "IE"),
}
_AMERICA, _ELSEWHERE = ("en-US", "US"), ("en", "GB")
WARMED = timedelta(days=28)
TRIED = timedelta(days=28)
# Seconds; no caller is on the line.
PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a company is called and where it is, as far as Cal.com's own profile tells."""

    name: str
    time_zone: str
    language: str
    phone_region: str


def propose(owner: RemoteHost) -> Proposal:
    """Return what follows from the profile of the key's owner."""
    zone = owner.time_zone or "UTC"
    language, region = _PLACES.get(zone) or (_AMERICA if zone.startswith("America/") else _ELSEWHERE)
    return Proposal(owner.name[:100], zone, language, region)


def public_address(text: str) -> str:
    """
    Return Slotline's public address without a slash at its end.

    Raises:
        ValueError: Cal.com and voice platforms could not, or should not, send anything there.
    """
    parts = urlsplit(text.strip().rstrip("/"))
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.path:
        raise ValueError("The public address must look like https://slotline.example.")
    if parts.scheme == "http" and not _is_this_machine(parts.hostname):
        raise ValueError("Callers' data would travel in the clear: use https.")
    if not validate_host(parts.hostname, settings.ALLOWED_HOSTS):
        raise ValueError(f"Web does not answer to {parts.hostname}: add it to ALLOWED_HOSTS, and restart web.")
    return f"{parts.scheme}://{parts.netloc}"


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def company_of(account: Account) -> Company | None:
    """Return the company that is served with the account, the first of several."""
    return Company.objects.filter(account=account).order_by("pk").first()


def open_company(*, account: Account, proposal: Proposal) -> Branch:
    """Return the first branch of the account's company; both are made where they are missing."""
    with transaction.atomic():
        Account.objects.select_for_update().get(pk=account.pk)  # two set-ups at once make one company
        company = company_of(account)
        if company is None:
            company = Company.objects.create(name=proposal.name, slug=_free_slug(proposal.name), account=account)
        branch = company.branches.order_by("pk").first()
        if branch is None:
            branch = Branch(
                company=company,
                name=proposal.name,
                time_zone=proposal.time_zone,
                language=proposal.language,
                phone_region=proposal.phone_region,
            )
            branch.full_clean()
            branch.save()
    return branch


def _free_slug(name: str) -> str:
    wanted = slugify(name)[:40] or "company"
    taken = set(Company.objects.filter(slug__startswith=wanted).values_list("slug", flat=True))
    return next(slug for slug in _numbered(wanted) if slug not in taken)


def _numbered(name: str, separator: str = "-") -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}{separator}{number}"
        number += 1


@dataclass(frozen=True, slots=True)
class Line:
    """An event type, and what callers can book of it."""

    event_type: str
    calcom_id: int
    service: str
    """Its name as it is spoken; empty where it cannot be booked by phone."""
    remark: str = ""
    """Why not, or what callers are asked for."""
    is_new: bool = False


def add_services(*, branch: Branch) -> list[Line]:
    """Return each event type of the account with its service; a service is added where there is none."""
    known: dict[int, str] = {}
    for event_type_id, name in Service.objects.filter(branch__company=branch.company).values_list("event_type", "name"):
        known.setdefault(event_type_id, name)
    event_types = EventType.objects.filter(account=branch.company.account_id, active=True)
    return [_line(branch, each, known.get(each.pk, "")) for each in event_types.order_by("calcom_id", "length_minutes")]


def _line(branch: Branch, event_type: EventType, service: str) -> Line:
    if event_type.unsupported_reasons:
        remark = "; ".join(UnsupportedReason(each).sentence for each in event_type.unsupported_reasons)
        return Line(str(event_type), event_type.calcom_id, "", remark)
    is_new = not service
    if is_new:
        service = _add_service(branch, event_type)
    asked = [each["slug"] for each in event_type.required_fields if each["slug"] not in PHONE_FIELDS]
    remark = f"callers are asked for {', '.join(asked)}, unless the service answers it" if asked else ""
    return Line(str(event_type), event_type.calcom_id, service, remark, is_new)


def _add_service(branch: Branch, event_type: EventType) -> str:
    minutes = event_type.length_minutes
    name = f"{event_type.title[:80]} {minutes} min" if event_type.has_several_lengths else event_type.title[:90]
    taken = set(Service.objects.filter(branch=branch).values_list("name", flat=True))
    free = next(each for each in _numbered(name, " ") if each not in taken)
    Service.objects.create(branch=branch, event_type=event_type, name=free, duration_minutes=minutes)
    return free


def add_staff(*, branch: Branch) -> list[str]:
    """Have callers ask for each host of what can be booked by name; return the names of all."""
    company = branch.company
    served = Service.objects.filter(branch__company=company).values("event_type")
    hosts = Host.objects.filter(account=company.account_id, event_types__in=served).distinct().order_by("name", "pk")
    known = set(Staff.objects.filter(branch__company=company).values_list("host", flat=True))
    Staff.objects.bulk_create(
        Staff(branch=branch, host=host, name=host.name[:100]) for host in hosts if host.pk not in known
    )
    return [host.name for host in hosts]


def give_key(*, company: Company, renew: bool) -> tuple[AgentKey, str]:
    """Return the agent's key and its text, which is empty where an earlier one stays; `renew` adds another."""
    standing = AgentKey.objects.filter(company=company, name=AGENT, revoked_at=None).order_by("-pk").first()
    if standing is not None and not renew:
        return standing, ""
    return AgentKey.objects.issue(company=company, name=AGENT, scopes=list(SCOPES))


@dataclass(frozen=True, slots=True)
class Warmed:
    """What is cached before the first caller asks."""

    days: int
    failures: Sequence[str] = field(default_factory=list)
    """Why lists could not be loaded, if any could not."""


def warm(*, company: Company, now: datetime) -> Warmed:
    """Load the days that the first callers will ask for, in what callers of others leave of the budget."""
    cache.ensure_generations()
    days, failures = 0, set()
    for _, calendar in _calendars(company):
        first = now.astimezone(UTC).date()
        done = cache.warm(
            account_id=company.account_id,
            event_type_id=calendar.event_type.pk,
            first=first,
            last=first + WARMED,
        )
        days += done.days
        if done.failure:
            failures.add(done.failure)
    return Warmed(days, sorted(failures))


@dataclass(frozen=True, slots=True)
class Tried:
    """A call that was played: the time that was found, held and given back."""

    service: str
    start: datetime | None
    """None where no service has a free time in the next weeks."""
    verified: bool = True
    """Whether Cal.com listed the time just now, or was only last known to."""


def try_call(*, company: Company, now: datetime) -> Tried:
    """
    Search for the next free time, hold it and release it, as an agent's requests do.

    Raises:
        BookingError: a step failed as it would for a caller.
        CalcomError: the same.
    """
    calcom, name = CalcomService(company.account, tenant=company.pk), ""
    for service, calendar in _calendars(company):
        name = service.name
        soon = TimeCriteria((Window(minute_from(now), minute_from(now + TRIED)),))
        offered = offer(
            AvailabilityQuery(service, [calendar], soon, max_offers=1),
            company=company,
            conversation=None,
            hold=False,
            calcom=calcom,
            deadline=Deadline.after(PATIENCE),
            now=now,
        )
        if offered.tokens:
            [token] = offered.tokens
            held = holds.hold(offer=token, calcom=calcom, deadline=Deadline.after(PATIENCE), now=now)
            holds.release(appointment=held.appointment)
            return Tried(name, token.start, held.verified)
    return Tried(name, None)


def _calendars(company: Company) -> list[tuple[Service, Calendar]]:
    """Return what callers can book with any host."""
    found = bookable_calendars(company.account_id)
    return [(service, each) for service, each in found if service.branch.company_id == company.pk and not each.staff]
