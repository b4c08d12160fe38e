"""What became of the wishes when somebody had died: told, written down, and true at Cal.com."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bookings.models import Appointment, AppointmentState, Operation, OperationState
from cachectl.models import CacheInvalidation
from calcom.models import WebhookDelivery
from calcom.simulator import SimulatorClient
from tests.chaos import consistency
from tests.chaos.consistency import Ledger
from tests.chaos.experiments._crash_points import Standstill
from tests.chaos.experiments._requests import CANCEL, Wish


@dataclass(frozen=True)
class Death:
    """One death by the clock, in epoch seconds, and what stood still meanwhile."""

    victim: str
    stood: Standstill
    killed_at: float
    back_at: float

    @property
    def name(self) -> str:
        """Return who died of what."""
        return f"{self.victim} ({type(self.stood).__name__.lower()})"

    @property
    def took(self) -> float:
        """Return the seconds until the process was back."""
        return self.back_at - self.killed_at


def reckon(simulator: SimulatorClient, deaths: Sequence[Death]) -> Ledger:
    """Compare what was told, what is written down and what is true; each line is one thing that is wrong."""
    wishes = [wish for death in deaths for wish in death.stood.wishes]
    standing = {wish.booking_id for wish in wishes if wish.came_true and wish.operation != CANCEL}
    found = consistency.balance(simulator, told=standing)
    states = dict(Appointment.objects.values_list("public_id", "state"))
    starts = dict(Appointment.objects.values_list("public_id", "start"))
    lost = [f"{_named(wish)} was not fulfilled: {_end_of(wish)}" for wish in wishes if not wish.came_true]
    for wish in wishes:
        is_there = states.get(wish.booking_id) == AppointmentState.CONFIRMED and starts[wish.booking_id] == wish.aim
        if wish.came_true and is_there is (wish.operation == CANCEL):
            lost.append(f"{_named(wish)} was told to be done, and is {states.get(wish.booking_id)} here")
    lost += [
        f"a cancellation that was heard before {death.victim} died is {states[id_]}"
        for death in deaths
        for id_ in death.stood.elsewhere
        if states[id_] != AppointmentState.CANCELLED
    ]
    return Ledger([*found.lost, *lost, *_unheard(simulator)], found.doubled, found.left)


def _named(wish: Wish) -> str:
    return f"{wish.operation} {wish.number}"


def _end_of(wish: Wish) -> str:
    return f"answered {dict(wish.statuses)}, at last {wish.told.body if wish.told else None}"


def _unheard(simulator: SimulatorClient) -> list[str]:
    """Return the webhooks that were accepted and are in no row: what is accepted survives."""
    accepted = {(each["trigger"], each["uid"]) for each in simulator.deliveries() if each["outcome"] == 202}
    kept = set(WebhookDelivery.objects.values_list("trigger", "remote_uid"))
    return [f"a webhook {trigger} was accepted, and nobody has it" for trigger, _ in accepted - kept]


def settled_after(death: Death) -> float:
    """Return the seconds from the return of the process to the end of the last of its wishes."""
    ids = [wish.booking_id for wish in death.stood.wishes]
    ends = Operation.objects.filter(appointment__public_id__in=ids).values_list("finished_at", flat=True)
    return max(0.0, *(end.timestamp() - death.back_at for end in ends if end is not None))


def swept_after(deaths: Sequence[Death]) -> tuple[float | None, int]:
    """Return the most seconds from a kill to the end of a forgetting that was owed then, and how many there were."""
    waits = [wait for death in deaths for wait in _waits(death)]
    return max(waits, default=None), len(waits)


def _waits(death: Death) -> list[float]:
    at = datetime.fromtimestamp(death.killed_at, UTC)
    owed = CacheInvalidation.objects.filter(created_at__lt=at, done_at__gt=at).values_list("done_at", flat=True)
    return [done_at.timestamp() - death.killed_at for done_at in owed if done_at]


def told(deaths: Sequence[Death]) -> "Counter[int]":
    """Count the answers that callers got, by status; 0 is none."""
    return sum((wish.statuses for death in deaths for wish in death.stood.wishes), Counter())


def sent_again() -> int:
    """Return how many changes were sent more than once: proven absent, and sent again."""
    return Operation.objects.filter(attempts__gt=1, state=OperationState.DONE).count()
