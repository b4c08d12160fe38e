"""Migrations after 0.2.0 expand first and contract later: the old release runs while the new schema is there."""

from pathlib import Path

import pytest
from django.db.migrations.loader import MigrationLoader
from django_migration_linter import MigrationLinter

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[2]
LAST_OF_0_2_0 = {"bookings": 15, "calcom": 15, "cachectl": 6, "monitoring": 1}
"""Number of each app's newest migration in 0.2.0, which renamed tables and columns in one step."""


def incompatible(app_label: str, name: str) -> bool:
    """Return whether a running older release may fail on the schema after this migration."""
    linter = MigrationLinter(str(ROOT), include_apps=[app_label], no_cache=True, no_output=True)
    linter.lint_all_migrations(app_label=app_label, migration_name=name)
    return bool(linter.has_errors)


def test_linter_sees_a_renamed_column() -> None:
    assert incompatible("cachectl", "0006_field_terms")


def test_migrations_since_0_2_0_keep_the_previous_release_running() -> None:
    ours = [key for key in MigrationLoader(None).disk_migrations if key[0] in LAST_OF_0_2_0]
    newer = [(app, name) for app, name in ours if int(name[:4]) > LAST_OF_0_2_0[app]]

    assert {app for app, _ in ours} == set(LAST_OF_0_2_0)
    assert [key for key in newer if incompatible(*key)] == []
