"""Comparing everything in a window with Cal.com, both ways, and putting right what differs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from bookings import metrics
from bookings.models import Appointment, AppointmentState, SharedBooking
from bookings.sync import apply
from bookings.sync.classify import Drift, RemoteUpdate, classify
from calcom import ownership
from calcom.errors import CalcomError, Reason, Refused
from calcom.models import Account
from calcom.service import CalcomService
from calcom.types import Priority, RemoteBooking
from calcom.webhooks import deferred
from calcom.webhooks.events import Ignored, RetryLater

T = TypeVar("T")

# A night with more differences than this many and this share of what was compared is looked at by a person first.
MOST_DIFFERENCES = 10
MOST_DIFFERENT = 0.05


@dataclass(frozen=True)
class Difference:
    """A booking that is not the same here and at Cal.com."""

    start: datetime
    reference: str
    """Ours; empty where we have no row."""
    drift: Drift
    outcome: str
    """What was done about it; empty in a dry run."""


def is_suspicious(differences: int, compared: int) -> bool:
    """Return whether so much differs that the account is wrong rather than so many appointments."""
    return differences > max(MOST_DIFFERENCES, compared * MOST_DIFFERENT)


def reconcile(
    *,
    account: Account,
    first: datetime,
    last: datetime,
    repair: bool,
    progress: Callable[[int], object],
    accept_owner: bool = False,
) -> Iterator[Difference]:
    """
    Yield what differs among the bookings from `first` to `last`, repaired if asked for.

    `progress` is told how many bookings were compared since it was last told.

    Raises:
        OtherOwner: the account's key is another user's, and that is not accepted; nothing was changed.
        CalcomError: Cal.com did not tell everything.
    """
    ownership.verify(account, accept=accept_owner)
    calcom = CalcomService(account)
    seen: set[str] = set()
    for page in calcom.bookings_between(start=first, end=last):
        for booking in page:
            seen.add(booking.uid)
            if isinstance(booking, RemoteBooking) and booking.rescheduled_to_uid not in seen:
                yield from _compare(RemoteUpdate(account, booking), calcom, repair=repair)
        progress(len(page))
    ours = Appointment.objects.filter(
        event_type__account=account, state=AppointmentState.CONFIRMED, start__gte=first, end__lte=last
    )
    for appointment in ours.exclude(remote_uid__in=seen).select_related("event_type").order_by("start"):
        yield from _look_for(account, appointment, calcom, repair=repair)
        progress(1)
    shared = SharedBooking.objects.filter(account=account, ended=False, start__gte=first, end__lte=last)
    for row in shared.exclude(remote_uid__in=seen).order_by("start"):
        found = _found(row, calcom)
        if found is not None:
            yield from _compare(RemoteUpdate(account, found), calcom, repair=repair)
        else:
            outcome = _put_right(apply.release_shared, row, calcom) if repair else ""
            yield Difference(row.start, "", Drift.MISSING, outcome)
        progress(1)
    if repair:
        deferred.process_all(account)


def _compare(update: RemoteUpdate, calcom: CalcomService, *, repair: bool) -> Iterator[Difference]:
    finding = classify(update)
    if finding.drift.is_drift:
        reference = finding.appointment.reference if finding.appointment else ""
        outcome = _repaired(update, calcom) if repair else ""
        yield Difference(update.booking.start, reference, finding.drift, outcome)


def _repaired(update: RemoteUpdate, calcom: CalcomService) -> str:
    try:
        apply.apply_update(update, calcom)
    except (CalcomError, RetryLater, Ignored) as exc:
        return f"not put right: {exc}"
    return "put right"


def _look_for(
    account: Account, appointment: Appointment, calcom: CalcomService, *, repair: bool
) -> Iterator[Difference]:
    """Compare an appointment that was not in the list: it may have been moved out of the window."""
    booking = _found(appointment, calcom)
    if booking is not None:
        yield from _compare(RemoteUpdate(account, booking), calcom, repair=repair)
    else:
        outcome = _put_right(apply.release, appointment, calcom) if repair else ""
        if repair:
            metrics.count_missing(appointment)
        yield Difference(appointment.start, appointment.reference, Drift.MISSING, outcome)


def _found(booked: Appointment | SharedBooking, calcom: CalcomService) -> RemoteBooking | None:
    try:
        return calcom.get_booking(uid=booked.remote_uid, priority=Priority.BACKGROUND)
    except Refused as exc:
        if exc.reason is not Reason.NOT_FOUND:
            raise
        return None


def _put_right(release: Callable[[T, CalcomService], None], booked: T, calcom: CalcomService) -> str:
    try:
        release(booked, calcom)
    except RetryLater as exc:
        return f"not put right: {exc}"
    return "put right"
