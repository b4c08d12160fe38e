"""Metrics of searches and operations. Labels hold words of this code only, never a caller's."""

import time
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import cast

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now

from bookings.models import Appointment, Operation
from cachectl.cache import CacheResult
from monitoring import metrics
from monitoring.logs import contained

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


@contained(NOT_COUNTED)
def count_result(status: str) -> None:
    """Count what an answer to a question for free slots offers; `unknown` where nothing is known."""
    metrics.AVAILABILITY_RESULTS.labels(status).inc()


@contained(NOT_COUNTED)
def count_refused_offer(step: str, reason: str) -> None:
    """Count an offer that a caller chose and did not get."""
    metrics.OFFERS_REFUSED.labels(step, reason).inc()


def expect_checks(account_id: int, outcomes: Collection[str]) -> None:
    """Have the counters of an account's checks be there, at 0: an increase is seen only of what was seen before."""
    for outcome in outcomes:
        metrics.CHECKED_SLOTS.labels(account_id, outcome)


def count_check(outcome: str) -> None:
    """Count an attempt to compare a cached list with Cal.com."""
    metrics.AVAILABILITY_CHECKS.labels(outcome).inc()


def count_checked(account_id: int, counts: Mapping[str, int]) -> None:
    """Count slots that were compared with Cal.com, by outcome."""
    for outcome, count in counts.items():
        metrics.CHECKED_SLOTS.labels(account_id, outcome).inc(count)


def count_difference(account_id: int, outcome: str, cause: str, age: float) -> None:
    """Count a slot that differed; `age` is that of its list, in seconds."""
    metrics.CHECKED_SLOTS.labels(account_id, outcome).inc()
    metrics.SLOT_DIFFERENCES.labels(outcome, cause).inc()
    metrics.SLOT_DIFFERENCE_AGE.labels(outcome).observe(age)


def _source(known: CacheResult) -> str:
    if not known.verified:
        return known.freshness.value  # the load failed or came too late
    if known.loaded or known.collapsed:
        return "loaded" if known.loaded else "collapsed"
    return known.freshness.value if known.days else "rules"


def count_end(operation: Operation) -> None:
    """Count a change that has just come to its end, as soon as that is committed."""
    transaction.on_commit(lambda: _count_end(operation), robust=True)


def _count_end(operation: Operation) -> None:
    metrics.OPERATIONS.labels(operation.kind, operation.outcome or operation.state).inc()
    metrics.OPERATION_SECONDS.labels(operation.kind).observe(_lasted(operation).total_seconds())
    if operation.duration is not None:
        metrics.OPERATION_CALCOM_SECONDS.labels(operation.kind).observe(operation.duration.total_seconds())


def _lasted(operation: Operation) -> timedelta:
    """
    Return how long it was open; what waits for its host is not open any more.

    The process that wrote it down knows without a query; otherwise no caller waits for this one.
    """
    if operation.written_at is not None:
        return timedelta(seconds=time.monotonic() - operation.written_at)
    row = (
        type(operation)
        .objects.annotate(lasted=Coalesce(F("finished_at"), Now()) - F("requested_at"))
        .filter(pk=operation.pk)
    )
    return cast("timedelta", row.values_list("lasted", flat=True).get())


@contained(NOT_COUNTED)
def count_own_share(operation: Operation, *, answered_after: timedelta) -> None:
    """Count what we added to Cal.com's time in an answer that waited for its yes."""
    if operation.duration is not None:
        own = max(answered_after - operation.duration, timedelta())
        metrics.OPERATION_OWN_SECONDS.labels(operation.kind).observe(own.total_seconds())


def count_unreachable_caller() -> None:
    """Count a caller who cannot be told what became of a request, as soon as that is committed."""
    transaction.on_commit(metrics.UNREACHABLE_CALLERS.inc, robust=True)


def count_missing(appointment: Appointment) -> None:
    """Count a caller who was told “booked” and has no booking at Cal.com, as soon as that is committed."""
    if appointment.origin != Appointment.Origin.CALCOM:
        transaction.on_commit(metrics.BOOKINGS_MISSING.inc, robust=True)


@contained(NOT_COUNTED)
def count_pending(operation: Operation) -> None:
    """Count an answer that could not wait for the end of its change."""
    metrics.DEGRADED_ANSWERS.labels(operation.kind, PENDING).inc()
