"""The look-ups that callers wait for, explained by the planner over 200,000 appointments: each is one index scan."""

import time
from collections.abc import Iterator
from datetime import timedelta

import orjson
import pytest
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bookings.admin import today, today_cards
from bookings.availability.occupancy import READ
from bookings.models import LIVE_STATES, Appointment, Branch, Company, Operation, Service
from bookings.roles import Scope
from bookings.scheduling.handlers import belongs_to_another
from calcom.models import EventType, EventTypeHost

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

APPOINTMENTS = 200_000
# Fifty hosts of ten companies, each with an appointment every half hour from nine to five, for 250 days up to April.
WORLD = f"""
    INSERT INTO calcom_account (id, name, base_url, api_key, webhook_secret, requests_per_minute, active)
        SELECT n, 'account ' || n, 'http://127.0.0.1:9', '', '', 120, true FROM generate_series(1, 10) n;
    INSERT INTO calcom_host (id, account_id, calcom_id, name, username, time_zone)
        SELECT n, 1 + n % 10, n, 'host ' || n, '', 'UTC' FROM generate_series(1, 50) n;
    INSERT INTO calcom_eventtype (id, account_id, calcom_id, length_minutes, has_several_lengths, title, slug,
            before_buffer_minutes, after_buffer_minutes, notice_minutes, required_fields, unsupported_reasons, active)
        SELECT n, 1 + n % 10, n, 30, false, 'type ' || n, 'type-' || n, 0, 0, 0, '[]', '{{}}', true
        FROM generate_series(1, 5000) n;
    INSERT INTO calcom_eventtypehost (id, event_type_id, host_id)
        SELECT n, n, 1 + n % 50 FROM generate_series(1, 5000) n;
    INSERT INTO bookings_company (id, name, slug, account_id, active, cancel_notice_hours, max_reschedules)
        SELECT n, 'company ' || n, 'company-' || n, n, true, 0, 5 FROM generate_series(1, 10) n;
    INSERT INTO bookings_branch (id, company_id, name, time_zone, language, phone_region, opening_hours, closures)
        SELECT n, 1 + n % 10, 'branch ' || n, 'UTC', 'en', 'DE', '{{}}', '[]' FROM generate_series(1, 50) n;
    INSERT INTO bookings_service (id, branch_id, event_type_id, name, aliases, duration_minutes, notice_minutes,
            horizon_days, field_defaults, active)
        SELECT n, 1 + n % 50, n, 'service ' || n, '{{}}', 15 * (1 + n % 8), 0, 90, '{{}}', n % 10 > 0
        FROM generate_series(1, 5000) n;
    INSERT INTO bookings_customer (id, company_id, name, phone, language)
        SELECT n, 1 + n % 10, 'customer ' || n, '+49' || n, '' FROM generate_series(1, 20000) n;
    INSERT INTO bookings_appointment (id, public_id, reference, company_id, branch_id, service_id, event_type_id,
            host_id, customer_id, state, origin, start, "end", attendee_name, attendee_email, attendee_phone, language,
            notes, deduplication_key, remote_uid, earlier_remote_uids, reschedules)
        SELECT n, 'bk_' || n, lpad(to_hex(n), 6, '0'), 1 + n % 10, 1 + n % 50, 1 + n % 5000, 1 + n % 5000,
            1 + n % 50, 1 + n % 20000,
            CASE WHEN begun < now() THEN 'completed' WHEN n % 7 = 0 THEN 'cancelled' ELSE 'confirmed' END,
            'agent', begun, begun + interval '30 min', 'Caller Müller-' || n, 'caller-' || n || '@example.com',
            '+4930' || lpad(n::text, 8, '0'), '', '', '',
            'uid-' || n, CASE WHEN n = 500 THEN ARRAY['old-500'] ELSE '{{}}' END, 0
        FROM (SELECT n, date_trunc('day', now()) - interval '200 days' + interval '9 hours'
                + (n / 50 / 16) * interval '1 day' + (n / 50 % 16) * interval '30 min' AS begun
              FROM generate_series(1, {APPOINTMENTS}) n) AS planned;
    INSERT INTO bookings_claim (appointment_id, host_id, kind, start, "end", conflicting)
        SELECT id, host_id, 'confirmed', start, "end", false FROM bookings_appointment
        WHERE state = 'confirmed' OR (state = 'completed' AND start > now() - interval '5 days');
    INSERT INTO bookings_operation (public_id, company_id, appointment_id, kind, state, reason, idempotency_key,
            request_digest, attempts, outcome)
        SELECT 'op_' || id, company_id, id, 'create', CASE WHEN id % 5000 = 0 THEN 'unknown' ELSE 'done' END, '',
            'key-' || id, '', 1, '' FROM bookings_appointment WHERE id % 4 = 0;
"""


@pytest.fixture(scope="module", autouse=True)
def _two_hundred_thousand_appointments(django_db_setup: None, django_db_blocker) -> Iterator[None]:
    """Write them once, committed and vacuumed, so that the planner knows them; throw them away at the end."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(WORLD)
        _wait_for_older_transactions(cursor)
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("RESET statement_timeout")
    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("TRUNCATE calcom_account RESTART IDENTITY CASCADE")
        connection.close()


def _wait_for_older_transactions(cursor: CursorWrapper) -> None:
    for _ in range(100):
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()"
        )
        if cursor.fetchone() == (0,):
            return
        time.sleep(0.1)
    raise TimeoutError("Another connection has kept a transaction open for ten seconds.")


def explain(query: str, params: object = ()) -> list[dict]:
    """Return the nodes of the plan that read a table."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", params)
        plan = cursor.fetchone()[0]
    (top,) = plan if isinstance(plan, list) else orjson.loads(plan)
    return [node for node in _nodes(top["Plan"]) if "Relation Name" in node or "Index Name" in node]


def scans(queryset: QuerySet) -> list[tuple[str, str]]:
    """Return how a queryset reads: kinds of scan and indexes."""
    return _told(explain(*queryset.query.sql_with_params()))


def _nodes(node: dict) -> Iterator[dict]:
    yield node
    for below in node.get("Plans", ()):
        yield from _nodes(below)


def _told(nodes: list[dict]) -> list[tuple[str, str]]:
    assert all(node.get("Heap Fetches", 0) == 0 for node in nodes)
    assert any(node["Actual Rows"] > 0 for node in nodes), "It found nothing: the test asks for the wrong thing."
    return [(node["Node Type"], node.get("Index Name", "")) for node in nodes]


@pytest.fixture
def now():
    """Noon in the middle of the table."""
    return timezone.now().replace(hour=12, minute=0, second=0, microsecond=0)


def test_claims_on_the_hosts_of_an_event_type(now):
    """1: live appointments that overlap a range of a host. It is in every answer, so it reads indexes only."""
    params = [now + timedelta(days=1), now + timedelta(days=2), 7]

    assert _told(explain(READ, params)) == [
        ("Index Only Scan", "event_type_hosts_of_type"),
        ("Index Only Scan", "claim_of_host_by_end"),
    ]


def test_live_appointments_of_a_service(now):
    """2: from a date on."""
    found = Appointment.objects.live().filter(service=8, start__gte=now).values_list("start", "end", "state")

    assert scans(found) == [("Index Only Scan", "appointment_live_of_service")]


def test_appointments_of_a_branch_by_state(now):
    """3: from a date on."""
    found = Appointment.objects.filter(branch=8, state="confirmed", start__gte=now).values_list("id", "start")

    assert scans(found[:50]) == [("Index Only Scan", "appointment_of_branch_by_state")]


def test_an_appointment_by_its_uid():
    """4: what Cal.com calls it now."""
    assert scans(Appointment.objects.filter(remote_uid="uid-777")) == [("Index Scan", "appointment_by_remote_uid")]


def test_an_appointment_by_an_earlier_uid():
    """4: what Cal.com called it before it was moved."""
    found = Appointment.objects.filter(earlier_remote_uids__contains=["old-500"])

    assert scans(found) == [("Bitmap Heap Scan", ""), ("Bitmap Index Scan", "appointment_by_earlier_uids")]


def test_whose_a_uid_is_where_hardly_anybody_was_ever_moved():
    """Every booking asks it. Of lists that are nearly always empty the planner expects more than there is."""
    mine = Appointment.objects.get(remote_uid="uid-777")

    with CaptureQueriesContext(connection) as asked:
        assert not belongs_to_another("uid-777", mine)

    assert {node.get("Index Name", node["Node Type"]) for node in explain(asked[0]["sql"])} == {
        "Bitmap Heap Scan",
        "appointment_by_remote_uid",
        "appointment_by_earlier_uids",
    }


def test_upcoming_appointments_of_a_customer(now):
    """5: the next first."""
    customer = Appointment.objects.live().filter(start__gte=now).values_list("customer", flat=True)[0]
    found = Appointment.objects.live().filter(customer=customer, start__gte=now).order_by("start")

    assert scans(found.values_list("id", "start", "state")) == [("Index Only Scan", "appointment_live_of_customer")]


def test_an_event_type_by_its_id_at_cal_com():
    """6: within its account."""
    found = EventType.objects.filter(account=8, calcom_id=777)

    assert scans(found) == [("Index Scan", "event_type_by_calcom_id_and_length")]


def test_event_types_that_share_a_host():
    """7: whom one booking makes busy for what else."""
    found = EventTypeHost.objects.filter(host_id=8).values_list("event_type_id")

    assert scans(found) == [("Index Only Scan", "event_type_sharing_host")]


def test_active_services_of_a_branch_that_fit_a_length():
    """8: what else could be done in that time."""
    found = Service.objects.filter(branch=8, active=True, duration_minutes__lte=30).values_list("id", flat=True)

    assert scans(found) == [("Index Only Scan", "service_active_by_length")]


def test_a_change_by_its_key():
    """Every booking asks whether it was asked for before."""
    found = Operation.objects.filter(company=5, idempotency_key="key-4444").values_list("pk", flat=True)

    assert scans(found) == [("Index Scan", "operation_idempotency_key_once")]


def test_changes_that_are_owed():
    """The sweep looks every five seconds."""
    assert scans(Operation.objects.due()[:50]) == [("Index Scan", "operation_open_by_time")]


@pytest.mark.parametrize(
    ("typed", "indexes"),
    [
        ("mueller 4711", {"appointment_by_name_words", "appointment_by_reference"}),
        ("4711", {"appointment_by_digits"}),
        ("caller-4711@", {"appointment_by_email"}),
        ("bk_4711", {"appointment_public_id"}),
    ],
)
def test_staff_find_appointments_by_an_index(typed, indexes):
    """Whatever they type into the box: a name, an ending of a number, an address, an id."""
    read = {index for _, index in scans(Appointment.objects.search(typed)) if index}

    assert {index for index in indexes if any(each.startswith(index[:40]) or index in each for each in read)} == indexes


def test_staff_see_the_newest_appointments_by_an_index():
    """All of them, and those of one state: no page sorts the table."""
    newest = Appointment.objects.order_by("-start", "-pk")

    assert scans(newest[:100]) == [("Index Scan", "appointment_newest")]
    assert scans(newest.filter(state="cancelled")[:100])[0][1].startswith("appointment_newest")


def test_there_are_enough_of_them():
    """The plans above mean something at this size."""
    assert Appointment.objects.count() >= 200_000
    assert set(LIVE_STATES) == {"held", "pending", "awaiting_confirmation", "confirmed"}


SMALL = {"bookings_company", "bookings_callbackrequest", "calcom_host"}
"""Tables that have a few rows here: the planner reads all of them."""


def test_board_of_a_day_is_read_by_indexes(now):
    """Neither the appointments of a branch on a day nor the taken time of its people sort or scan their tables."""
    view = today.View(Branch.objects.get(pk=8), now.date(), now.date())
    board = explain(*today.appointments_of(view, now, ()).query.sql_with_params())
    claims = today.claims_of(dict.fromkeys(range(1, 10), ""), view, now)

    assert "appointment_of_branch_by_state" in {node.get("Index Name") for node in board}
    assert {node["Relation Name"] for node in board if node["Node Type"] == "Seq Scan"} <= SMALL
    assert {index for _, index in scans(claims) if index} == {"claim_of_host_by_end"}


def test_what_waits_for_a_person_is_counted_by_indexes():
    """In one statement that reads the open operations, not those of the whole company."""
    waiting = Company.objects.filter(pk=5).values(
        **today_cards.waiting_queries(Scope(is_superuser=True), timezone.now() + timedelta(hours=1))
    )

    nodes = explain(*waiting.query.sql_with_params())

    assert {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"} <= SMALL
    assert any(str(node.get("Index Name")).startswith("operation_open_") for node in nodes)
    assert "claim_conflicting" in {node.get("Index Name") for node in nodes}
