"""Many rows: the appointments of one company after years of business."""

from dataclasses import dataclass

from django.db import connection

from bookings.models import Branch, Company, Customer, Service
from calcom.models import Account, EventType, EventTypeHost, Host

BATCH = 1000  # PostgreSQL takes 65,535 parameters in a statement; an event type has some forty
FIRST_ID = 1_000_000  # of event types and hosts at Cal.com: none of the simulator's

# Each host has one half hour after the other, from ten days ago on: past ones are completed, future ones confirmed,
# and a seventh of both is cancelled.
_APPOINTMENTS = """
    INSERT INTO bookings_appointment (
        public_id, reference, company_id, branch_id, service_id, event_type_id, host_id, customer_id, state, origin,
        start, "end", attendee_name, attendee_email, attendee_phone, language, notes, deduplication_key, remote_uid,
        earlier_remote_uids, reschedules)
    SELECT 'bk_' || %(name)s || n, lpad(n::text, 6, '0'), %(company)s, (%(branches)s)[1 + n %% %(places)s],
           (%(services)s)[1 + n %% %(types)s], (%(event_types)s)[1 + n %% %(types)s],
           (%(hosts)s)[1 + place], (%(customers)s)[1 + n * 7 %% %(callers)s],
           CASE WHEN n %% 7 = 0 THEN 'cancelled' WHEN starts < now() THEN 'completed' ELSE 'confirmed' END,
           'agent', starts, starts + interval '30 minutes',
           (%(first_names)s::text[])[1 + n %% 20] || ' ' || (%(last_names)s::text[])[1 + n / 20 %% 20]
               || '-' || n %% 997,
           'customer-' || n || '@callers.example', '+4930' || lpad(n::text, 8, '0'), 'en', '', '',
           %(name)s || n, '{}', 0
    FROM generate_series(0, %(appointments)s - 1) AS n,
         LATERAL (SELECT n %% %(people)s AS place,
                         date_trunc('day', now()) + (n / %(people)s - 480) * interval '30 minutes' AS starts) AS its
"""
_CLAIMS = """
    INSERT INTO bookings_claim (appointment_id, host_id, kind, start, "end", conflicting)
    SELECT id, host_id, 'confirmed', start, "end", false
    FROM bookings_appointment WHERE state = 'confirmed' AND public_id LIKE 'bk_' || %(name)s || '%%'
"""


_FIRST_NAMES = "Anna Ben Cem Dana Émile Finn Greta Hülya Ivan Jörg Karla Lars Mia Nils Olga Paul Rosa Selim Tom Uwe"
_LAST_NAMES = (
    "Abel Berg Çelik Dorn Engel Fuchs Groß Haas Ihle Jung Kühn Lang Maier Nagel Otto Pohl Roth Seidel Thiel Weiß"
)
NAMES = {"first_names": _FIRST_NAMES.split(), "last_names": _LAST_NAMES.split()}


@dataclass(frozen=True)
class Size:
    """How much of everything, under a name of its own."""

    name: str = "big"
    appointments: int = 200_000
    hosts: int = 200
    customers: int = 20_000
    branches: int = 200
    types: int = 2_000


@dataclass(frozen=True)
class Ids:
    """Primary keys of what was written."""

    account: int
    branches: list[int]
    services: list[int]
    event_types: list[int]
    hosts: list[int]
    customers: list[int]


def fill(size: Size, *, company: Company | None = None) -> Ids:
    """Write the rows of a new company, or into `company`, and analyze the tables."""
    if company is None:
        account = Account.objects.create(name=size.name, base_url="http://127.0.0.1:9", api_key=f"cal_{size.name}")
        company = Company.objects.create(name=size.name, slug=size.name, account=account)
    account, first = company.account, FIRST_ID + EventType.objects.filter(account=company.account).count()
    branches = Branch.objects.bulk_create(
        Branch(company=company, name=f"{size.name} {n}", time_zone="Europe/Berlin") for n in range(size.branches)
    )
    event_types = EventType.objects.bulk_create(
        (
            EventType(account=account, calcom_id=first + n, length_minutes=30, title=f"type {n}", slug=f"type-{n}")
            for n in range(size.types)
        ),
        batch_size=BATCH,
    )
    services = Service.objects.bulk_create(
        (
            Service(branch=branches[n % size.branches], event_type=each, name=each.title, duration_minutes=30)
            for n, each in enumerate(event_types)
        ),
        batch_size=BATCH,
    )
    hosts = Host.objects.bulk_create(
        (Host(account=account, calcom_id=first + n, name=f"host {n}") for n in range(size.hosts)), batch_size=BATCH
    )
    EventTypeHost.objects.bulk_create(
        (EventTypeHost(event_type=each, host=hosts[n % size.hosts]) for n, each in enumerate(event_types)),
        batch_size=BATCH,
    )
    customers = Customer.objects.bulk_create(
        (Customer(company=company, name=f"caller {n}") for n in range(size.customers)), batch_size=BATCH
    )
    ids = Ids(
        account=account.pk,
        branches=[each.pk for each in branches],
        services=[each.pk for each in services],
        event_types=[each.pk for each in event_types],
        hosts=[each.pk for each in hosts],
        customers=[each.pk for each in customers],
    )
    _write_appointments(company.pk, ids, size)
    return ids


def _write_appointments(company: int, ids: Ids, size: Size) -> None:
    keys = {name: getattr(ids, name) for name in ("branches", "services", "event_types", "hosts", "customers")}
    counts = {"appointments": size.appointments, "people": size.hosts, "places": size.branches, "types": size.types}
    with connection.cursor() as cursor:
        # A million rows take long, and autovacuum may lock the same tables.
        cursor.execute("SET statement_timeout = 0; SET lock_timeout = 0")
        cursor.execute(
            _APPOINTMENTS, {"name": size.name, "company": company, **counts, **keys, **NAMES, "callers": size.customers}
        )
        cursor.execute(_CLAIMS, {"name": size.name})
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("RESET statement_timeout; RESET lock_timeout")
