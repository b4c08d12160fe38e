"""The consistency check: Cal.com's bookings against our rows, and what is left unfinished."""

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
from script.lib.environment import Environment

Remote = Mapping[str, Any]


@dataclass(frozen=True)
class Differences:
    """What is inconsistent, a line each, without personal data."""

    lost: Sequence[str]
    """Confirmed here, or to a caller, and not at Cal.com."""
    duplicated: Sequence[str]
    """At Cal.com more than once, or there and not here."""
    unfinished: Sequence[str]

    @property
    def lines(self) -> list[str]:
        """Return all of them."""
        return [*self.lost, *self.duplicated, *self.unfinished]


def compare(simulator: SimulatorClient, *, confirmed: Collection[str] = ()) -> Differences:
    """Compare both sides as they are now; `confirmed` are ids of bookings that were confirmed to callers."""
    remote = [each for each in simulator.bookings() if each["status"] == "accepted"]
    rows = {each.public_id: each for each in Appointment.objects.filter(state=AppointmentState.CONFIRMED)}
    return Differences(_lost(remote, rows, confirmed), _duplicated(remote, rows), unfinished())


def settled_differences(env: Environment, confirmed: Collection[str] = (), *, within: float) -> list[str]:
    """
    Return the differences once nothing is unfinished.

    Raises:
        HarnessError: something was still unfinished after `within` seconds.
    """
    env.supervisor.wait_until(lambda: not unfinished(), what="Operations or webhooks did not finish", within=within)
    return compare(env.simulator, confirmed=confirmed).lines


def unfinished() -> list[str]:
    """Return what waits to be processed, or claims time without a live appointment."""
    ended = Q(appointment__isnull=False) & ~Q(appointment__state__in=LIVE_STATES)
    beside = Q(appointment__state=AppointmentState.CONFIRMED) & ~Q(kind=Claim.Kind.CONFIRMED)
    confirmed = Appointment.objects.filter(state=AppointmentState.CONFIRMED, start__gt=Now())
    counts = {
        "open operations": Operation.objects.open(),
        "pending appointments": Appointment.objects.filter(state=AppointmentState.PENDING),
        "claims of no live appointment, or of another time": Claim.objects.filter(ended | beside),
        "confirmed appointments without a claim": confirmed.exclude(
            claims__start__lte=F("start"), claims__end__gte=F("end")
        ),
        "conflicting claims": Claim.objects.filter(conflicting=True),
        "pending invalidations": CacheInvalidation.objects.filter(done_at__isnull=True),
        "pending webhooks": WebhookDelivery.objects.pending(),
        "dead-letter webhooks": WebhookDelivery.objects.filter(state=WebhookDelivery.State.DEAD_LETTER),
        "deferred bookings": DeferredBooking.objects.all(),
    }
    return [f"{number} {what}" for what, rows in counts.items() if (number := rows.count())]


def _lost(remote: Sequence[Remote], rows: Mapping[str, Appointment], confirmed: Collection[str]) -> list[str]:
    starts = {each["uid"]: datetime.fromisoformat(each["start"]) for each in remote}
    missing = [f"{id_} is confirmed here and not there" for id_, row in rows.items() if row.remote_uid not in starts]
    elsewhere = [
        f"{id_} is at another time there"
        for id_, row in rows.items()
        if starts.get(row.remote_uid, row.start) != row.start
    ]
    promised = [f"{id_} was confirmed to a caller and is not confirmed here" for id_ in set(confirmed) - set(rows)]
    return missing + elsewhere + promised


def _duplicated(remote: Sequence[Remote], rows: Mapping[str, Appointment]) -> list[str]:
    uids = defaultdict(set)
    for each in remote:
        uids[each["metadata"].get(METADATA_KEY) or each["uid"]].add(each["uid"])
    twice = [f"{id_} is booked there {len(its)} times" for id_, its in uids.items() if len(its) > 1]
    known = {row.remote_uid for row in rows.values()}
    unknown = Counter(each["metadata"].get(METADATA_KEY, "made there") for each in remote if each["uid"] not in known)
    return twice + [f"{id_} is booked there and not confirmed here" for id_ in unknown if len(uids[id_]) <= 1]
