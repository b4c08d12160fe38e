"""Overlapping appointments of one host at Cal.com: alerts while they last, and the claims that mark them."""

import structlog
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from bookings.models import Claim

log = structlog.get_logger(__name__)


def detect() -> list[Claim]:
    """Write an alert for each host's time to come that is taken twice, and return the claims that say so."""
    # What is only held or on its way is beside what its host is booked for: that host will not get it.
    conflicting = Claim.objects.filter(conflicting=True, kind=Claim.Kind.CONFIRMED, end__gt=Now())
    conflicting = conflicting.select_related("appointment")
    found = []
    for claim in conflicting.order_by("host_id", "start"):
        if _others(claim).exists():
            found.append(claim)
            _tell(claim)
        else:
            _reconcile(claim)
    return found


def _others(claim: Claim) -> QuerySet[Claim]:
    overlapping = Claim.objects.overlapping([claim.host_id], claim.start, claim.end)
    return overlapping.filter(kind=Claim.Kind.CONFIRMED).exclude(pk=claim.pk)


def _tell(claim: Claim) -> None:
    log.error(
        "sync.overlap_detected",
        alert="overlap",
        appointment_id=claim.appointment.public_id if claim.appointment else None,  # another account's has none here
        host_id=claim.host_id,
        start=claim.start,
        end=claim.end,
    )


def _reconcile(claim: Claim) -> None:
    """Count it as any other claim again, now that nothing is in its way; a pending one still may be."""
    try:
        with transaction.atomic():
            Claim.objects.filter(pk=claim.pk).update(conflicting=False)
    except IntegrityError:
        log.info("sync.claim_still_conflicting", host_id=claim.host_id, start=claim.start)
