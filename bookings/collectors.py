"""Collectors of what staff must do: overlapping appointments, callers who wait to be called back."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Count, Exists, OuterRef
from django.db.models.functions import Now
from django.utils import timezone

from bookings.models import Branch, CallbackRequest, Claim, Operation
from calcom.models import Account
from monitoring import metrics, probes
from monitoring.collectors import Reading, Unhealthy, register_collector, register_probe

# Waiting is added up so far back at most: a request that is older has waited for long enough.
_LONGEST = timedelta(days=7)
_LATE = timedelta(minutes=1)
_MOST_COUNTED = 1000


def overlaps() -> Iterator[Reading]:
    """Count the appointments ahead, of each account, that overlap another of the same host."""
    others = Claim.objects.filter(
        host=OuterRef("host"), kind=Claim.Kind.CONFIRMED, start__lt=OuterRef("end"), end__gt=OuterRef("start")
    ).exclude(pk=OuterRef("pk"))
    conflicting = Claim.objects.filter(Exists(others), conflicting=True, kind=Claim.Kind.CONFIRMED, end__gt=Now())
    of_account = conflicting.values("host__account").annotate(count=Count("pk"))
    found = dict(of_account.values_list("host__account", "count"))
    for account_id in Account.objects.filter(active=True).order_by("pk").values_list("pk", flat=True):
        yield metrics.OVERLAPPING_APPOINTMENTS.at(found.get(account_id, 0), account_id)


def waiting() -> None:
    """Raise Unhealthy while bookings or changes of them have waited for Cal.com for more than a minute."""
    late = Operation.objects.open().filter(requested_at__lt=Now() - _LATE)[:_MOST_COUNTED].count()
    if late:
        raise Unhealthy(f"waiting for Cal.com for more than a minute: {late}")


def callbacks() -> Iterator[Reading]:
    """Read for how much opening time the oldest open callback request of each company has waited."""
    now = timezone.now()
    oldest = CallbackRequest.objects.due(now).by_waiting("company").distinct("company")
    for request in oldest.select_related("branch"):
        branch = request.branch or Branch.objects.filter(company=request.company_id).order_by("pk").first()
        yield metrics.CALLBACK_WAITING_SECONDS.at(_open_seconds(branch, request.waits_since, now), request.company_id)


def _open_seconds(branch: Branch | None, since: datetime, until: datetime) -> float:
    since = max(since, until - _LONGEST)
    if branch is None:
        return max((until - since).total_seconds(), 0.0)
    hours = branch.hours()
    first, last = since.timestamp(), until.timestamp()
    spans = ((max(start * 60, first), min(end * 60, last)) for start, end in hours.between(since, until))
    return sum(end - start for start, end in spans if end > start)


def register() -> None:
    register_probe("bookings", waiting)
    register_collector("operations", lambda: probes.outbox("operations", Operation.objects.open()))
    register_collector("overlaps", overlaps)
    register_collector("callbacks", callbacks)
