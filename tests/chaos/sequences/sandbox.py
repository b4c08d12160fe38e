"""The environment of sequences: two companies, a third that shares a host, Cal.com, one process, one clock."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from fnmatch import fnmatchcase
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest
from django.db import connection

from bookings.api import auth, directory
from bookings.models import (
    Appointment,
    CallbackRequest,
    Claim,
    Company,
    Conversation,
    Customer,
    Operation,
    Service,
    SharedBooking,
    SlotToken,
    ToolCall,
)
from cachectl.infra.redis import redis_client
from cachectl.models import CacheInvalidation
from calcom.models import Account, Cursor, DeferredBooking, EventType, Host, RateLimitPause, WebhookDelivery
from calcom.simulator import TRIGGERS, Simulator
from calcom.simulator.state import Webhook
from tests import factories
from tests.bookings.api.helpers import Agent
from tests.calcom.webhooks import SECRET
from tests.chaos.clock import Clock, shared_clock
from tests.chaos.sequences.process import Process, controlled
from tests.conftest import trust_redis

MONDAY = datetime(2026, 11, 30, 7, tzinfo=UTC)
"""When every sequence begins: eight o'clock in Berlin, two o'clock in New York."""

_OURS = tuple(
    model._meta.db_table
    for model in (
        ToolCall,
        CallbackRequest,
        Claim,
        Operation,
        SlotToken,
        SharedBooking,
        Appointment,
        Conversation,
        Customer,
        WebhookDelivery,
        Cursor,
        DeferredBooking,
        RateLimitPause,
        CacheInvalidation,
    )
)


@dataclass
class Tenant:
    """A company with its agent, and the slots that callers want."""

    company: Company
    agent: Agent
    zone: ZoneInfo
    services: dict[str, Service]
    starts: dict[str, list[datetime]]
    """Wanted times, by service."""
    impossible: list[tuple[str, datetime]]
    """Services at times that are never free."""
    conversations: list[str] = field(default_factory=list)

    @property
    def account(self) -> Account:
        """Return its Cal.com account."""
        return self.company.account


class Sandbox:
    """The environment, reused for all sequences because a database costs more than a sequence."""

    def __init__(self, simulator: Simulator, clock: Clock) -> None:
        self.simulator, self.clock = simulator, clock
        simulator.app.throttle.clock = lambda: clock.now().timestamp()
        self.process = Process(gets_no_answer=self._gets_no_answer, held=self._held, advance=clock.advance)
        self.tenants = [_salon(simulator.base_url), _practice(simulator.base_url)]
        self.rival = factories.cast_rival(simulator.base_url)
        """Another account, with webhooks about each booking of the salon's Ben."""
        self.accounts = [*(tenant.account for tenant in self.tenants), self.rival.account]
        for account in self.accounts:
            account.webhook_secret = SECRET
            account.save()
        self._cast = max(EventType.objects.values_list("pk", flat=True)), max(Host.objects.values_list("pk", flat=True))

    def begin(self) -> None:
        """Reset everything."""
        self.process.kill_after(None)
        self.process.queued.clear()
        self.simulator.app.reset()
        self.simulator.app.messenger.mode = "hold"
        for tenant in self.tenants:
            tenant.conversations.clear()
        for account in self.accounts:
            _subscribe(self.simulator, account)
        self._empty_tables()
        redis_client().flushdb()
        self.clock.set(MONDAY)
        for account in self.accounts:
            trust_redis(account)
            Cursor.objects.create(account=account, read_until=MONDAY)
        self.restart()

    def restart(self) -> None:
        """Clear the caches of our process."""
        auth.key_named.clear()
        directory.clear()

    def advance(self, seconds: float) -> None:
        """Advance the clock by these seconds, and by those that were waited."""
        seconds, self.process.slept = seconds + self.process.slept, 0.0
        self.clock.advance(seconds)

    def _empty_tables(self) -> None:
        event_type, host = self._cast
        seen_since = (
            f"calcom_eventtypehost WHERE event_type_id > {event_type} OR host_id > {host}",
            f"calcom_eventtype WHERE id > {event_type}",
            f"calcom_host WHERE id > {host}",
        )
        with connection.cursor() as cursor:
            cursor.execute("; ".join(f"DELETE FROM {rows}" for rows in (*_OURS, *seen_since)))

    def _gets_no_answer(self, method: str, url: str) -> bool:
        request = f"{method} {urlsplit(url).path}"
        for fault in self.simulator.app.faults.waiting:
            spent = fault.times is not None and fault.hits >= fault.times
            if not spent and fnmatchcase(request, _pattern(fault.route)):
                return fault.kind.startswith("timeout") or fault.seconds is not None
        return False

    @property
    def is_holding(self) -> bool:
        """Return whether Cal.com holds requests that it will process later."""
        return any(fault.kind == "hang" and fault.hits for fault in self.simulator.app.faults.waiting)

    def _held(self) -> int:
        waiting = self.simulator.app.faults.waiting
        return sum(fault.hits for fault in waiting if fault.kind == "hang" and fault.seconds is None)


def _pattern(operation: str) -> str:
    return operation.replace("{uid}", "*")


@contextmanager
def set_up(patch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Yield the sandbox."""
    with (
        _rare_garbage_collection(),
        shared_clock(patch) as clock,
        Simulator.running(factories.shared_dataset(), now=clock.now) as simulator,
    ):
        sandbox = Sandbox(simulator, clock)
        with controlled(sandbox.process, patch):
            yield sandbox


@contextmanager
def _rare_garbage_collection() -> Iterator[None]:
    """Collect garbage rarely: it took a seventh of the time (2026-11)."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


# --- who can be called -------------------------------------------------------------------------------------------


def _salon(base_url: str) -> Tenant:
    """Two stylists who share haircuts, an hour's notice for beards, and an hour less than Cal.com offers."""
    salon = factories.cast_salon(base_url)
    salon.branch.opening_hours = {day: [["09:00", "17:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat")}
    salon.branch.save()
    Service.objects.filter(pk=salon.beard.pk).update(notice_minutes=60)
    return _tenant(
        salon.company,
        salon.key,
        factories.BERLIN,
        {
            "cut": (salon.cut, ["10:00", "10:30", "11:00"]),
            "colour": (salon.colour, ["10:00", "11:00"]),
            "beard": (salon.beard, ["10:15", "10:30"]),
        },
        [("cut", "17:00"), ("beard", "08:45"), ("colour", "10:20"), ("cut", "07:00")],
    )


def _practice(base_url: str) -> Tenant:
    practice = factories.cast_practice(base_url)
    return _tenant(
        practice.company,
        practice.key,
        factories.NEW_YORK,
        {
            "check-up": (practice.check_up, ["10:00", "10:30"]),
            "follow-up": (practice.follow_up, ["10:00", "10:15", "10:45"]),
        },
        [("check-up", "20:00")],
    )


def _tenant(
    company: Company,
    key: str,
    zone: ZoneInfo,
    offered: dict[str, tuple[Service, list[str]]],
    impossible: list[tuple[str, str]],
) -> Tenant:
    return Tenant(
        company=company,
        agent=Agent(key),
        zone=zone,
        services={name: service for name, (service, _) in offered.items()},
        starts={name: [_on_monday(clock, zone) for clock in clocks] for name, (_, clocks) in offered.items()},
        impossible=[(name, _on_monday(clock, zone)) for name, clock in impossible],
    )


def _on_monday(clock: str, zone: ZoneInfo) -> datetime:
    return datetime.combine(MONDAY.date(), time.fromisoformat(clock), zone).astimezone(UTC)


def _subscribe(simulator: Simulator, account: Account) -> None:
    """Have Cal.com hold all webhooks of the account, for the test to deliver."""
    state = simulator.app.state
    state.webhooks[str(account.pk)] = Webhook(
        id=str(account.pk),
        url=f"{factories.NOWHERE}/{account.pk}",
        triggers=list(TRIGGERS),
        active=True,
        secret=SECRET,
        template=None,
        version="2021-10-20",
        created_at=0.0,
        user_id=state.keys[account.api_key].id,
    )
