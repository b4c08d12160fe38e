"""Companies with a bit of everything: calls, offers, holds, bookings, operations, callbacks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from calcom.simulator import WEEKDAYS, Dataset, EventType, Hours, User
from script.lib import webhooks
from script.lib.agent import Agent, Answer
from script.lib.environment import Ground
from script.lib.processes import StageError

if TYPE_CHECKING:
    from script.lib.company import Tenant  # models, which need the settings

ROBBED, ROBBER, SISTER = "salon", "practice", "sister"
"""Whose ids are shown by others; who shows them; and who does so from the same Cal.com account."""
ALWAYS = (Hours(days=WEEKDAYS, start="00:00", end="23:59"),)
MINUTES = {"cut": 15, "colour": 30, "trim": 15}
FIRST_DAY, DAYS = 3, 30


def dataset(seed: int) -> Dataset:
    """Return a Cal.com with two owners, whose keys look like real ones."""
    chance = Random(seed)
    owners = (ROBBED, ROBBER)
    return Dataset(
        users=tuple(
            User(number, name, name.title(), api_key=f"cal_live_{chance.randbytes(16).hex()}", hours=ALWAYS)
            for number, name in enumerate(owners, 1)
        ),
        event_types=tuple(
            EventType(number, owner, slug, f"{slug} at the {owner}", MINUTES[slug])
            for number, (owner, slug) in enumerate(((owner, slug) for owner in owners for slug in MINUTES), 1)
        ),
    )


@dataclass(frozen=True)
class Shop:
    """A company as its agent sees it, and what it has."""

    tenant: "Tenant"
    things: Mapping[str, str]
    """Ids, tokens and names by the parameter that takes them."""
    private: tuple[str, ...]
    """What no answer to anybody else may say, beside them."""
    booked_on: str
    """The date of its booking, there."""
    starts: Iterator[str]
    """Times of its first service that are free, and that nobody else here books."""

    @property
    def key(self) -> str:
        """Return its agent's key."""
        return self.tenant.key

    @property
    def service(self) -> str:
        """Return the id of the service that `starts` are of."""
        return next(iter(self.tenant.services.values()))


def bring(here: Ground) -> dict[str, Shop]:
    """Return the companies by name; each has the same kinds of things, made through the API."""
    tenants = {**here.tenants, SISTER: _sister(here.tenant(ROBBED))}
    for tenant in tenants.values():
        _employ(tenant)
    webhooks.subscribe(here.simulator.base_url, here.url, here.tenants.values())
    return {name: _settle(here, name, tenant, number) for number, (name, tenant) in enumerate(tenants.items(), 1)}


def _sister(tenant: "Tenant") -> "Tenant":
    """Write a company that shares the tenant's Cal.com account, and nothing else."""
    from bookings.models import AgentKey, Branch, Company, Service  # noqa: PLC0415  models, which need the settings
    from calcom.models import EventType as Mirrored  # noqa: PLC0415
    from script.lib.company import Tenant as Written  # noqa: PLC0415

    company = Company.objects.create(name=SISTER.title(), slug=SISTER, account_id=tenant.account_id)
    branch = Branch.objects.create(company=company, name=SISTER.title(), time_zone=tenant.zone.key)
    services = {
        each.slug: Service.objects.create(
            branch=branch, event_type=each, name=f"{each.slug} at the {SISTER}", duration_minutes=each.length_minutes
        )
        for each in Mirrored.objects.filter(account=tenant.account_id)
    }
    _, key = AgentKey.objects.issue(company=company, name=SISTER, scopes=list(AgentKey.Scope.values))
    ids = {slug: f"sv_{service.pk}" for slug, service in services.items()}
    return Written(SISTER, company.pk, tenant.account_id, key, ids, tenant.zone)


def _employ(tenant: "Tenant") -> None:
    from bookings.models import Branch, Staff  # noqa: PLC0415  models, which need the settings
    from calcom.models import Host  # noqa: PLC0415

    for host in Host.objects.filter(account=tenant.account_id):
        Staff.objects.create(branch=Branch.objects.get(company=tenant.company_id), host=host, name=f"Emma-{host.pk}")


def _settle(here: Ground, name: str, tenant: "Tenant", number: int) -> Shop:
    """Have a phone call with the company in which everything happens, and bookings beside it."""
    from bookings.models import Appointment, Branch, Staff  # noqa: PLC0415  models, which need the settings

    caller = {"name": f"Ada Quill-{name}", "phone": f"+491511234560{number}", "email": f"ada@{name}.example.com"}
    with Agent(here.url, tenant.key) as agent:
        starts = _free(agent, tenant, share=number)
        service = next(iter(tenant.services.values()))
        call = _made(agent.post("/v1/conversations", {"call_id": f"call-{name}", "caller_phone": caller["phone"]}))
        inside = {"conversation_id": call["conversation_id"]}
        day = next(starts)[:10]
        found = _made(agent.post("/v1/availability/search", {"service": service, "when": {"date": day}, **inside}))
        offers = found["offers"]
        held = _made(agent.post("/v1/holds", {"slot_token": offers[0]["slot_token"], **inside}))
        wish = {"service": service, "caller": caller}
        booked = _made(
            agent.post("/v1/bookings", {**wish, "start": next(starts)}, Idempotency_Key=f"wish-of-the-{name}")
        )
        asked = _made(agent.post("/v1/callbacks", {"topic": "A perm", **inside}))
        loose = _made(agent.post("/v1/availability/search", {"service": service, "when": {"date": day}}))["offers"]
    things = {
        "conversation_id": call["conversation_id"],
        "call_id": f"call-{name}",
        "slot_token": offers[-1]["slot_token"],
        "loose slot_token": loose[-1]["slot_token"],
        "more_token": found["more_token"],
        "hold_id": held["hold_id"],
        "confirm_token": held["confirm_token"],
        "booking_id": booked["booking"]["id"],
        "reference": booked["booking"]["reference"],
        "operation_id": booked["operation_id"],
        "callback_id": asked["callback_id"],
        "Idempotency-Key": f"wish-of-the-{name}",
        "service": service,
        "staff": f"st_{Staff.objects.get(branch__company=tenant.company_id).pk}",
        "branch": Branch.objects.get(company=tenant.company_id).name,
        **caller,
    }
    uids = Appointment.objects.filter(company=tenant.company_id).exclude(remote_uid="")
    private = (*filter(None, uids.values_list("remote_uid", flat=True)), booked["booking"]["start"])
    return Shop(tenant, things, private, booked["booking"]["start"][:10], starts)


def _free(agent: Agent, tenant: "Tenant", *, share: int) -> Iterator[str]:
    """Return every third free time of the first service, another third for each company."""
    first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=FIRST_DAY)
    window = {"from": first.isoformat(), "to": (first + timedelta(days=DAYS)).isoformat()}
    found = _made(agent.get("/v1/availability", service=next(iter(tenant.services.values())), **window))
    return iter([slot["start"] for slot in found["slots"]][share % 3 :: 3])


def _made(answer: Answer) -> Any:
    if answer.status not in {200, 201}:
        raise StageError(f"The companies have nothing: {answer.status} {str(answer.body)[:300]}")
    return answer.body
