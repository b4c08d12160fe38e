"""The ledger of an experiment: what Cal.com has against what our rows say, and what has been left lying about."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, Q
from django.db.models.functions import Now

from bookings.models import LIVE_STATES, Appointment, AppointmentState, Claim, Operation
from cachectl.models import CacheInvalidation
from calcom.http.parsing import METADATA_KEY
from calcom.models import DeferredBooking, WebhookDelivery
from calcom.simulator import SimulatorClient

Remote = Mapping[str, Any]


@dataclass(frozen=True)
class Ledger:
    """What is not as it should be, a line each, without anything that is personal."""

    lost: Sequence[str]
    """Confirmed here, or told so to a caller, and not there."""
    doubled: Sequence[str]
    """There once too often, or there and not here."""
    left: Sequence[str]
    """What has not come to its end: open changes, time that nobody has, what was not forgotten or heard."""

    @property
    def lines(self) -> list[str]:
        """Return all of them."""
        return [*self.lost, *self.doubled, *self.left]


def balance(simulator: SimulatorClient, *, told: Collection[str] = ()) -> Ledger:
    """Compare both sides as they are now; `told` are ids of bookings that callers were told to have."""
    remote = [each for each in simulator.bookings() if each["status"] == "accepted"]
    rows = {each.public_id: each for each in Appointment.objects.filter(state=AppointmentState.CONFIRMED)}
    return Ledger(lost=_lost(remote, rows, told), doubled=_doubled(remote, rows), left=left_over())


def left_over() -> list[str]:
    """Return what waits to be worked off, or claims time for nobody."""
    ended = Q(appointment__isnull=False) & ~Q(appointment__state__in=LIVE_STATES)
    beside = Q(appointment__state=AppointmentState.CONFIRMED) & ~Q(kind=Claim.Kind.CONFIRMED)
    counts = {
        "open changes": Operation.objects.open().count(),
        "pending appointments": Appointment.objects.filter(state=AppointmentState.PENDING).count(),
        "claims of no appointment that lives, or beside its time": Claim.objects.filter(ended | beside).count(),
        "confirmed appointments without their claim": _unclaimed(),
        "conflicting claims": Claim.objects.filter(conflicting=True).count(),
        "invalidations owed": CacheInvalidation.objects.filter(done_at__isnull=True).count(),
        "webhooks owed": WebhookDelivery.objects.pending().count(),
        "webhooks dead": WebhookDelivery.objects.filter(state=WebhookDelivery.State.DEAD_LETTER).count(),
        "bookings set aside": DeferredBooking.objects.count(),
    }
    return [f"{number} {what}" for what, number in counts.items() if number]


def _unclaimed() -> int:
    confirmed = Appointment.objects.filter(state=AppointmentState.CONFIRMED, start__gt=Now())
    return confirmed.exclude(claims__start__lte=F("start"), claims__end__gte=F("end")).count()


def _lost(remote: Sequence[Remote], rows: Mapping[str, Appointment], told: Collection[str]) -> list[str]:
    by_uid = {each["uid"]: each for each in remote}
    missing = [f"{id_} is confirmed here and not there" for id_, row in rows.items() if row.remote_uid not in by_uid]
    elsewhere = [
        f"{id_} is at another time there"
        for id_, row in rows.items()
        if row.remote_uid in by_uid and _start(by_uid[row.remote_uid]) != row.start
    ]
    return missing + elsewhere + [f"{id_} was told to a caller and is not confirmed" for id_ in set(told) - set(rows)]


def _doubled(remote: Sequence[Remote], rows: Mapping[str, Appointment]) -> list[str]:
    uids = defaultdict(set)
    for each in remote:
        uids[each["metadata"].get(METADATA_KEY) or each["uid"]].add(each["uid"])
    twice = [f"{id_} stands there {len(its)} times" for id_, its in uids.items() if len(its) > 1]
    known = {row.remote_uid for row in rows.values()}
    strangers = Counter(each["metadata"].get(METADATA_KEY, "made there") for each in remote if each["uid"] not in known)
    return twice + [f"{id_} stands there and is not confirmed here" for id_ in strangers if len(uids[id_]) <= 1]


def _start(remote: Remote) -> datetime:
    return datetime.fromisoformat(remote["start"])
