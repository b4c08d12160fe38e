"""Upgrading a database of the release before the renaming keeps every row, right and link to a row."""

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.apps.registry import Apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from bookings.models import Operation

pytestmark = pytest.mark.slow

BEFORE = {
    "admin": "0003_logentry_add_action_flag_choices",
    "bookings": "0014_outbox",
    "calcom": "0013_outbox",
    "cachectl": "0005_outbox",
}
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

TABLES = {"bookings_change": "bookings_operation", "cachectl_forgetting": "cachectl_cacheinvalidation"}
COLUMNS = {
    "bookings_appointment": {"wish": "deduplication_key", "moves": "reschedules"},
    "bookings_callbackrequest": {
        "wish": "deduplication_key",
        "asked_by_id": "requested_by_id",
        "asked_at": "requested_at",
    },
    "bookings_change": {
        "operation": "kind",
        "asked_by_id": "requested_by_id",
        "asked_at": "requested_at",
        "answer_by": "client_deadline_at",
        "took": "duration",
    },
    "bookings_company": {"max_moves": "max_reschedules"},
    "bookings_toolcall": {"operation": "endpoint", "asked": "request", "answered": "response", "took": "duration"},
    "cachectl_forgetting": {"keys_forgotten": "keys_invalidated", "took": "duration"},
    "calcom_eventtype": {"cannot_serve": "unsupported_reasons"},
}
VALUES = {
    ("bookings_change", "operation"): {"move": "reschedule"},
    ("calcom_webhookdelivery", "state"): {"useless": "ignored"},
}


@pytest.fixture
def scratch(django_db_setup: None, django_db_blocker: pytest.FixtureRequest) -> Iterator[None]:
    """Stand in for the test database with an empty one."""
    before = connection.settings_dict["NAME"]
    name = f"{before}_{os.getpid()}"
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
            cursor.execute(f'CREATE DATABASE "{name}"')
        connection.close()
        connection.settings_dict["NAME"] = name
        try:
            yield
        finally:
            connection.close()
            connection.settings_dict["NAME"] = before
            with connection.cursor() as cursor:
                cursor.execute(f'DROP DATABASE "{name}"')
            connection.close()


def write_rows(apps: Apps) -> None:
    """Write a row into each renamed table and each table with a renamed column, in the words of that release."""

    def create(model: str, **fields: Any) -> Any:
        return apps.get_model(model).objects.create(**fields)

    account = create("calcom.Account", name="Salon", api_key="cal_secret")
    cut = create(
        "calcom.EventType",
        account=account,
        calcom_id=7,
        length_minutes=30,
        title="Cut",
        slug="cut",
        cannot_serve=["seats"],
    )
    for state in ("useless", "done"):
        create("calcom.WebhookDelivery", account=account, trigger="PING", identity=state, body={}, state=state)
    create(
        "cachectl.Forgetting",
        account_id=account.pk,
        event_type_ids=[cut.pk],
        first=date(2026, 11, 24),
        last=date(2026, 11, 25),
        cause="own",
        keys_forgotten=2,
        took=MINUTE,
        done_at=NOON,
    )
    company = create("bookings.Company", name="Salon", slug="salon", account=account, max_moves=7)
    branch = create("bookings.Branch", company=company, name="Mitte", time_zone="Europe/Berlin", language="de")
    service = create("bookings.Service", branch=branch, event_type=cut, name="Cut", duration_minutes=30)
    key = create(
        "bookings.AgentKey", company=company, name="agent", prefix="sl_", digest="d", scopes=["bookings:write"]
    )
    call = create("bookings.Conversation", company=company, branch=branch, agent_key=key)
    appointment = create(
        "bookings.Appointment",
        company=company,
        branch=branch,
        service=service,
        event_type=cut,
        conversation=call,
        state="confirmed",
        start=NOON,
        end=NOON + 30 * MINUTE,
        wish="the wish",
        moves=3,
    )
    for number, (kind, state) in enumerate(
        [("create", "done"), ("move", "queued"), ("move", "done"), ("cancel", "refused")]
    ):
        create(
            "bookings.Change",
            company=company,
            appointment=appointment,
            operation=kind,
            state=state,
            new_start=NOON,
            asked_by=key,
            asked_at=NOON + number * MINUTE,
            answer_by=NOON + MINUTE,
            took=number * MINUTE,
            idempotency_key=f"key {number}",
        )
    create(
        "bookings.CallbackRequest",
        company=company,
        appointment=appointment,
        asked_by=key,
        asked_at=NOON,
        phone="+4930123456",
        topic="a perm",
        wish="the concern",
    )
    create(
        "bookings.ToolCall",
        company=company,
        conversation=call,
        operation="POST /v1/bookings",
        asked={"service": "Cut"},
        answered={"status": "confirmed"},
        status=201,
        took=MINUTE,
    )


def grant_rights(apps: Apps) -> None:
    """Give a group rights on models that are renamed, and an audit entry to one of their rows."""
    permissions = apps.get_model("auth.Permission").objects
    group = apps.get_model("auth.Group").objects.create(name="desk")
    held = permissions.filter(codename__in=["change_forgetting", "view_governor", "change_change"])
    assert held.count() == 3
    group.permissions.set(held)
    user = apps.get_model("auth.User").objects.create(username="ada")
    change = apps.get_model("bookings.Change").objects.earliest("pk")
    content_type = apps.get_model("contenttypes.ContentType").objects.get(app_label="bookings", model="change")
    apps.get_model("admin.LogEntry").objects.create(
        user=user, content_type=content_type, object_id=str(change.pk), object_repr="it", action_flag=2
    )


def tables() -> dict[str, list[dict[str, Any]]]:
    """Return the rows of our tables, ordered by primary key."""
    found = {}
    names = [
        name
        for name in connection.introspection.table_names()
        if name.startswith(("bookings_", "calcom_", "cachectl_"))
    ]
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(f'SELECT * FROM "{name}" ORDER BY 1')
            columns = [column.name for column in cursor.description]
            found[name] = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    return found


def renamed(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return the row of an old table in the words of today."""
    columns = COLUMNS.get(table, {})
    return {
        columns.get(column, column): VALUES.get((table, column), {}).get(value, value)
        if isinstance(value, str)
        else value
        for column, value in row.items()
    }


def names_of_constraints_and_indexes() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname FROM pg_constraint UNION SELECT indexname FROM pg_indexes WHERE schemaname = 'public'"
        )
        return {name for (name,) in cursor.fetchall()}


@pytest.mark.usefixtures("scratch")
def test_upgrade_keeps_rows_rights_and_audit_entries() -> None:
    for app, name in BEFORE.items():
        call_command("migrate", app, name, verbosity=0)
    old = MigrationExecutor(connection).loader.project_state(list(BEFORE.items())).apps
    write_rows(old)
    grant_rights(old)
    before = tables()

    call_command("migrate", verbosity=0)

    after = tables()
    assert not set(TABLES) & set(after)
    for table, rows in before.items():
        assert rows or table not in {*TABLES, *COLUMNS}, table
        expected = [renamed(table, row) for row in rows]
        now = after[TABLES.get(table, table)]
        assert [{name: row[name] for name in kept} for row, kept in zip(now, expected, strict=True)] == expected
    assert set(Permission.objects.filter(group__name="desk").values_list("codename", "content_type__model")) == {
        ("change_cacheinvalidation", "cacheinvalidation"),
        ("view_ratelimit", "ratelimit"),
        ("change_operation", "operation"),
    }
    assert LogEntry.objects.get().get_edited_object() == Operation.objects.earliest("pk")
    old_names = ("change_", "forgetting_", "appointment_wish_")
    assert [name for name in names_of_constraints_and_indexes() if name.startswith(old_names)] == []


@pytest.mark.usefixtures("scratch")
def test_upgrade_can_be_undone() -> None:
    call_command("migrate", verbosity=0)

    for app, name in BEFORE.items():
        call_command("migrate", app, name, verbosity=0)

    assert set(TABLES) <= set(tables())
