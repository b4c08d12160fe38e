"""How much is owed: rows that stay until they are worked off."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.db.models import Count, Min, QuerySet
from django.db.models.functions import Now

from monitoring import metrics
from monitoring.collectors import Reading

# However much is owed, a look costs little.
MOST_COUNTED = 10_000


def read(name: str, rows: "QuerySet[Any]") -> Iterator[Reading]:
    """
    Count the `rows`, and say for how long the first of them is due.

    They have a column `next_attempt_at`, and a partial index by it that holds nothing else.
    """
    first = rows.order_by("next_attempt_at").values("next_attempt_at")[:MOST_COUNTED]
    owed = first.aggregate(size=Count("next_attempt_at"), overdue=Now() - Min("next_attempt_at"))
    overdue = max(owed["overdue"] or timedelta(), timedelta())
    yield metrics.OUTBOX_SIZE.at(owed["size"], name)
    yield metrics.OUTBOX_OVERDUE_SECONDS.at(overdue.total_seconds(), name)
