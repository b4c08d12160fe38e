"""A big house: 200,000 appointments of one company, as years of business leave them."""

from dataclasses import dataclass

from django.db import connection

from bookings.models import Branch, Company, Customer, Service
from calcom.models import Account, EventType, EventTypeHost, Host

APPOINTMENTS, HOSTS, CUSTOMERS, BRANCHES, TYPES = 200_000, 200, 20_000, 200, 2_000
BATCH = 5_000  # rows; a statement takes at most 65,535 parameters

# Each host has half an hour after the other, beginning ten days ago: the past took place, the future is confirmed, and
# of both a seventh was cancelled.
_APPOINTMENTS = """
    INSERT INTO bookings_appointment (
        public_id, reference, company_id, branch_id, service_id, event_type_id, host_id, customer_id, state, origin,
        start, "end", attendee_name, attendee_email, language, notes, wish, remote_uid, earlier_remote_uids, moves)
    SELECT 'bk_big' || n, lpad(n::text, 6, '0'), %(company)s, (%(branches)s)[1 + n %% %(places)s],
           (%(services)s)[1 + n %% %(types)s], (%(event_types)s)[1 + n %% %(types)s],
           (%(hosts)s)[1 + place], (%(customers)s)[1 + n * 7 %% %(callers)s],
           CASE WHEN n %% 7 = 0 THEN 'cancelled' WHEN starts < now() THEN 'completed' ELSE 'confirmed' END,
           'agent', starts, starts + interval '30 minutes', 'Ada Byron', '', 'en', '', '', 'big' || n, '{}', 0
    FROM generate_series(0, %(appointments)s - 1) AS n,
         LATERAL (SELECT n %% %(people)s AS place,
                         date_trunc('day', now()) + (n / %(people)s - 480) * interval '30 minutes' AS starts) AS its
"""
_CLAIMS = """
    INSERT INTO bookings_claim (appointment_id, host_id, kind, start, "end", conflicting)
    SELECT id, host_id, 'confirmed', start, "end", false
    FROM bookings_appointment WHERE state = 'confirmed' AND public_id LIKE 'bk_big%'
"""


@dataclass(frozen=True)
class House:
    """Ids to ask about."""

    account: int
    branches: list[int]
    services: list[int]
    event_types: list[int]
    hosts: list[int]
    customers: list[int]


def fill() -> House:
    """Write the house, and let PostgreSQL learn about it as it would overnight."""
    account = Account.objects.create(name="big", base_url="http://127.0.0.1:9", api_key="cal_big")
    company = Company.objects.create(name="Big", slug="big", account=account)
    branches = Branch.objects.bulk_create(
        Branch(company=company, name=f"branch {n}", time_zone="Europe/Berlin") for n in range(BRANCHES)
    )
    event_types = EventType.objects.bulk_create(
        EventType(account=account, calcom_id=n, length_minutes=30, title=f"type {n}", slug=f"type-{n}")
        for n in range(TYPES)
    )
    services = Service.objects.bulk_create(
        Service(branch=branches[n % BRANCHES], event_type=each, name=each.title, duration_minutes=30)
        for n, each in enumerate(event_types)
    )
    hosts = Host.objects.bulk_create(Host(account=account, calcom_id=n, name=f"host {n}") for n in range(HOSTS))
    EventTypeHost.objects.bulk_create(
        EventTypeHost(event_type=each, host=hosts[n % HOSTS]) for n, each in enumerate(event_types)
    )
    customers = Customer.objects.bulk_create(
        (Customer(company=company, name=f"caller {n}") for n in range(CUSTOMERS)), batch_size=BATCH
    )
    house = House(
        account=account.pk,
        branches=[each.pk for each in branches],
        services=[each.pk for each in services],
        event_types=[each.pk for each in event_types],
        hosts=[each.pk for each in hosts],
        customers=[each.pk for each in customers],
    )
    _write_appointments(company.pk, house)
    return house


def _write_appointments(company: int, house: House) -> None:
    values = {"company": company, "appointments": APPOINTMENTS, "people": HOSTS, "places": BRANCHES, "types": TYPES}
    ids = {name: getattr(house, name) for name in ("branches", "services", "event_types", "hosts", "customers")}
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(_APPOINTMENTS, {**values, **ids, "callers": CUSTOMERS})
        cursor.execute(_CLAIMS)
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("RESET statement_timeout")
