"""Shared by several models: setting updated fields on an object, a bound for searches, the database's clock."""

from typing import Any

from django.db import models
from django.db.models import Func

MAX_FOUND = 1_000
"""Rows that a search looks through on its way to the rows it is about."""


def assign(row: models.Model, fields: dict[str, Any]) -> None:
    """Set the fields of an UPDATE on `row`; those that the database computed are read on first access."""
    for name, value in fields.items():
        if hasattr(value, "resolve_expression"):
            row.__dict__.pop(name, None)
        else:
            setattr(row, name, value)


class ClockTimestamp(Func):
    """The database's clock this moment. `Now()` is when the statement began, which may have waited for a lock since."""

    function = "clock_timestamp"
    output_field = models.DateTimeField()
