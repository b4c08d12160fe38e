"""Companies with data of every kind: conversations, offers, holds, bookings, operations, callbacks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from bookings.models import Appointment, Branch, Staff
from calcom.models import Account, Host
from calcom.simulator import Dataset
from script.lib.agent import Agent, Answer
from script.lib.environment import Environment, calcom_data, window
from script.lib.processes import HarnessError
from script.lib.tenants import Tenant, create_company

VICTIM, ATTACKER, SIBLING = "salon", "practice", "sister"
"""Whose ids are used by others; who uses them; and who does so from the same Cal.com account."""
MINUTES = {"cut": 15, "colour": 30, "trim": 15}
FIRST_DAY, DAYS = 3, 30


def dataset(seed: int) -> Dataset:
    """Return a Cal.com with two owners, whose keys look like real ones."""
    chance = Random(seed)
    keys = {name: {"api_key": f"cal_live_{chance.randbytes(16).hex()}"} for name in (VICTIM, ATTACKER)}
    offered: dict[str, tuple[str, ...]] = dict.fromkeys(MINUTES, ())
    lengths = {slug: {"minutes": minutes} for slug, minutes in MINUTES.items()}
    return calcom_data(dict.fromkeys(keys, offered), users=keys, event_types=lengths)


@dataclass(frozen=True)
class Company:
    """A company as its agent sees it, and its data."""

    tenant: Tenant
    values: Mapping[str, str]
    """Ids, tokens and names by the parameter that takes them."""
    private: tuple[str, ...]
    """What no answer to others may contain, beside them."""
    booked_on: str
    """The local date of its booking."""
    starts: Iterator[str]
    """Free slots of its first service, which are booked by nothing else."""

    @property
    def key(self) -> str:
        """Return its agent's key."""
        return self.tenant.key

    @property
    def service(self) -> str:
        """Return the id of the service that `starts` are of."""
        return next(iter(self.tenant.services.values()))


def create(env: Environment) -> dict[str, Company]:
    """Return the companies by name; each has the same kinds of data, made through the API."""
    shared = env.tenant(VICTIM)
    account = Account.objects.get(pk=shared.account_id)
    sibling = create_company(account, SIBLING, SIBLING.title(), shared.zone.key, service_suffix=f" at the {SIBLING}")
    tenants = {**env.tenants, SIBLING: sibling}
    for tenant in tenants.values():
        branch = Branch.objects.get(company=tenant.company_id)
        for host in Host.objects.filter(account=tenant.account_id):
            Staff.objects.create(branch=branch, host=host, name=f"Emma-{host.pk}")
    env.subscribe_webhooks()
    return {name: _fill(env, name, tenant, number) for number, (name, tenant) in enumerate(tenants.items(), 1)}


def _fill(env: Environment, name: str, tenant: Tenant, number: int) -> Company:
    """Have a conversation with the company in which everything happens, and bookings beside it."""
    caller = {"name": f"Ada Quill-{name}", "phone": f"+491511234560{number}", "email": f"ada@{name}.example.com"}
    service = next(iter(tenant.services.values()))
    with Agent(env.url, tenant.key) as agent:
        listed = _body(agent.get("/v1/availability", service=service, **window(FIRST_DAY, DAYS)))
        # Every third slot, other ones for each company.
        starts = iter([slot["start"] for slot in listed["slots"]][number % 3 :: 3])
        call = _body(agent.post("/v1/conversations", {"call_id": f"call-{name}", "caller_phone": caller["phone"]}))
        inside = {"conversation_id": call["conversation_id"]}
        search = {"service": service, "when": {"date": next(starts)[:10]}}
        found = _body(agent.post("/v1/availability/search", {**search, **inside}))
        offers = found["offers"]
        held = _body(agent.post("/v1/holds", {"slot_token": offers[0]["slot_token"], **inside}))
        booking = {"service": service, "caller": caller, "start": next(starts)}
        booked = _body(agent.post("/v1/bookings", booking, Idempotency_Key=f"booking-of-the-{name}"))
        callback = _body(agent.post("/v1/callbacks", {"topic": "A perm", **inside}))
        outside = _body(agent.post("/v1/availability/search", search))["offers"]
    values = {
        "conversation_id": call["conversation_id"],
        "call_id": f"call-{name}",
        "slot_token": offers[-1]["slot_token"],
        "loose slot_token": outside[-1]["slot_token"],
        "more_token": found["more_token"],
        "hold_id": held["hold_id"],
        "confirm_token": held["confirm_token"],
        "booking_id": booked["booking"]["id"],
        "reference": booked["booking"]["reference"],
        "operation_id": booked["operation_id"],
        "callback_id": callback["callback_id"],
        "Idempotency-Key": f"booking-of-the-{name}",
        "service": service,
        "staff": f"st_{Staff.objects.get(branch__company=tenant.company_id).pk}",
        "branch": Branch.objects.get(company=tenant.company_id).name,
        **caller,
    }
    uids = Appointment.objects.filter(company=tenant.company_id).exclude(remote_uid="")
    private = (*filter(None, uids.values_list("remote_uid", flat=True)), booked["booking"]["start"])
    return Company(tenant, values, private, booked["booking"]["start"][:10], starts)


def _body(answer: Answer) -> Any:
    if answer.status not in {200, 201}:
        raise HarnessError(f"The companies have no data: {answer.status} {str(answer.body)[:300]}")
    return answer.body
