"""What monitoring is told of questions and wishes that come to their end. Words of our code only, no caller's."""

import time
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now

from cachectl.cache import CacheResult
from monitoring import metrics
from monitoring.logs import contained

if TYPE_CHECKING:
    from bookings.models import Change

PENDING = "pending"
NOT_COUNTED = "metrics.not_counted"


@contained(NOT_COUNTED)
def count_answer(known: CacheResult) -> None:
    """Count an answer to a question for free slots, also one that is an error because nothing is known."""
    metrics.AVAILABILITY_ANSWERS.labels(_source(known)).inc()
    if known.age is not None:
        metrics.AVAILABILITY_AGE.observe(known.age)
    if not known.verified:
        metrics.DEGRADED_ANSWERS.labels("availability", known.failure or "unknown").inc()


def _source(known: CacheResult) -> str:
    if not known.verified:
        return known.freshness.value  # whoever was waited for in vain
    if known.loaded or known.collapsed:
        return "loaded" if known.loaded else "collapsed"
    return known.freshness.value if known.days else "rules"


def count_end(change: "Change") -> None:
    """Count a change that has just come to its end, as soon as that is committed."""
    transaction.on_commit(lambda: _count_end(change), robust=True)


def _count_end(change: "Change") -> None:
    metrics.CHANGES.labels(change.operation, change.outcome or change.state).inc()
    metrics.CHANGE_SECONDS.labels(change.operation).observe(_lasted(change).total_seconds())
    if change.took is not None:
        metrics.CHANGE_CALCOM_SECONDS.labels(change.operation).observe(change.took.total_seconds())


def _lasted(change: "Change") -> timedelta:
    """
    Return how long it was open; what waits for its host is not open any more.

    The process that wrote it down knows without a query; otherwise no caller waits for this one.
    """
    if change.written_at is not None:
        return timedelta(seconds=time.monotonic() - change.written_at)
    row = type(change).objects.annotate(lasted=Coalesce(F("finished_at"), Now()) - F("asked_at")).filter(pk=change.pk)
    return cast("timedelta", row.values_list("lasted", flat=True).get())


@contained(NOT_COUNTED)
def count_own_share(change: "Change", *, answered_after: timedelta) -> None:
    """Count what we added to Cal.com's time in an answer that waited for its yes."""
    if change.took is not None:
        own = max(answered_after - change.took, timedelta())
        metrics.CHANGE_OWN_SECONDS.labels(change.operation).observe(own.total_seconds())


@contained(NOT_COUNTED)
def count_pending(change: "Change") -> None:
    """Count an answer that could not wait for the end of its change."""
    metrics.DEGRADED_ANSWERS.labels(change.operation, PENDING).inc()
