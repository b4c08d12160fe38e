"""What several models share: how an object takes over a transition, a bound for searches, the clock of the database."""

from typing import Any

from django.db import models
from django.db.models import Func

MAX_FOUND = 1_000
"""Rows that a search looks through on its way to the rows it is about."""


def assign(row: models.Model, fields: dict[str, Any]) -> None:
    """Give `row` what an UPDATE gave it; what the database worked out is read when somebody asks for it."""
    for name, value in fields.items():
        if hasattr(value, "resolve_expression"):
            row.__dict__.pop(name, None)
        else:
            setattr(row, name, value)


class ClockTimestamp(Func):
    """The database's clock this moment. `Now()` is when the statement began, which may have waited for a lock since."""

    function = "clock_timestamp"
    output_field = models.DateTimeField()
