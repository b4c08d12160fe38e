"""Wishes that stand still, each at another step, until somebody dies: in our processes, or at Cal.com."""

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import ClassVar

from calcom.simulator import Kind
from script.lib.environment import Ground
from script.lib.processes import StageError
from tests.chaos.experiments._requests import CANCEL, CREATE, MOVE, WAIT, Callers, Wish
from tests.chaos.failpoints.files import Halts, Role, Step

AT_CALCOM = {
    CREATE: "POST /v2/bookings",
    MOVE: "POST /v2/bookings/{uid}/reschedule",
    CANCEL: "POST /v2/bookings/{uid}/cancel",
}
# The steps that lie at Cal.com: it thinks about the wish, or has done it and does not get to answer.
FAULTS = {"thinks": Kind.HANG, "done untold": Kind.TIMEOUT_AFTER}
STEPS: tuple[str, ...] = (*Step, *FAULTS)
# What many do in parallel before anything is killed.
HANDS = 8
REACHED_WITHIN = 60.0
HALF_HOUR = timedelta(minutes=30)
_numbers = count()


@dataclass
class Standstill(ABC):
    """The wishes of one round, on a day of their own, and where they stand."""

    sweeps: ClassVar[bool] = True
    """Whether beat goes on meanwhile. A sweep takes over from whoever stands still for long."""

    here: Ground
    halts: Halts
    callers: Callers
    day: datetime
    """Its midnight, UTC."""
    wishes: list[Wish] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    """The appointments whose cancellation at Cal.com we shall have heard of just before."""
    _faults: list[int] = field(default_factory=list)

    @abstractmethod
    def prepare(self) -> None:
        """Do what must be done while nothing is wrong."""

    @abstractmethod
    def bring(self) -> None:
        """Have everybody go to their place."""

    def let_go(self) -> None:
        """Let everybody go on who still lives, and have Cal.com do what it was thinking about."""
        self.halts.let_go()
        for fault in self._faults:
            self.here.simulator.clear_faults(fault)

    def book(self, operation: str, starts: Sequence[datetime], slug: str = "single") -> list[Wish]:
        """Book appointments while nothing is wrong; return the wishes to change them."""
        wishes = [Wish(operation, next(_numbers), start) for start in starts]
        with ThreadPoolExecutor(HANDS) as pool:
            for wish, id_ in zip(wishes, pool.map(lambda wish: self._book(wish, slug), wishes), strict=True):
                wish.booking_id = id_
        return wishes

    def _book(self, wish: Wish, slug: str) -> str:
        made = replace(wish, operation=CREATE, statuses=Counter())
        made.pursue(self.here, self.here.tenant().services[slug], self.callers.over)
        if not made.came_true:
            raise StageError(f"Booking before the kill was answered {dict(made.statuses)}.")
        return made.booking_id

    def stand(self, role: Role, wish: Wish, step: str, slug: str = "single") -> None:
        """Have a caller wish for something, and the wish stand still after a step."""
        if step in FAULTS:
            fault = self.here.simulator.fail(AT_CALCOM[wish.operation], FAULTS[step], attendee=wish.email)
            self._faults.append(fault)
        else:
            self.halts.want(role, wish.operation, Step(step), wish.aim)
        self.call(wish, slug)

    def call(self, wish: Wish, slug: str) -> None:
        """Have a caller wish for something."""
        self.wishes.append(wish)
        self.callers.call(wish, slug)

    def await_all(self) -> None:
        """Wait until everybody stands where they shall."""
        simulator = self.here.simulator
        until = time.monotonic() + REACHED_WITHIN
        while (missing := self.halts.missing) or sum(map(simulator.in_flight, AT_CALCOM.values())) != len(self._faults):
            self.here.stage.check()
            if time.monotonic() > until:
                raise StageError(f"Not everybody stood still in time: {', '.join(missing) or 'at Cal.com'}.")
            time.sleep(0.05)


class InWeb(Standstill):
    """
    A booking, a move and a cancellation at each step, all of them in web.

    Only two of them are done and untold: a third answer that does not come would open the breaker, and whoever comes
    next would not get to stand anywhere.
    """

    sweeps = False

    def prepare(self) -> None:
        """Book what shall be changed."""
        self.elsewhere += [wish.booking_id for wish in self.book(CANCEL, [self.day.replace(hour=23)])]
        self._moves = self.book(MOVE, [self.day + 2 * number * HALF_HOUR for number in range(4, 4 + len(STEPS))])
        self._cancels = self.book(CANCEL, [self.day + number * HALF_HOUR for number in range(30, 29 + len(STEPS))])

    def bring(self) -> None:
        """Have everybody go to their place."""
        new = [Wish(CREATE, next(_numbers), self.day + number * HALF_HOUR) for number in range(len(STEPS))]
        for wishes in (new, self._moves, self._cancels):
            for wish, step in zip(wishes, STEPS, strict=False):
                self.stand(Role.WEB, wish, step)
        self.await_all()


class Unpublished(Standstill):
    """
    A booking, a move and a cancellation in web that are written down, and of which nobody was told.

    Nothing else happens meanwhile: any message about another change would take theirs along.
    """

    def prepare(self) -> None:
        """Book what shall be changed, and see a sweep go by: the next one is as far away as it can be."""
        (self._moved,) = self.book(MOVE, [self.day + 4 * HALF_HOUR])
        (self._cancelled,) = self.book(CANCEL, [self.day + 8 * HALF_HOUR])
        self._await_sweep()

    def bring(self) -> None:
        """Have them go to their place."""
        for wish in (Wish(CREATE, next(_numbers), self.day), self._moved, self._cancelled):
            self.stand(Role.WEB, wish, Step.COMMITTED)
        self.await_all()

    def _await_sweep(self) -> None:
        """Owe a forgetting that only a sweep finds, and wait until it is done."""
        from cachectl.invalidation import owe  # noqa: PLC0415
        from cachectl.models import CacheInvalidation  # noqa: PLC0415  models, which need the settings

        day = self.day.date()
        account_id = self.here.tenant().account_id
        row = owe(account_id=account_id, event_type_ids=[1], first=day, last=day, cause=CacheInvalidation.Cause.COMMAND)
        done = CacheInvalidation.objects.filter(pk=row.pk, done_at__isnull=False)
        self.here.stage.wait_until(done.exists, what="No sweep came by", within=REACHED_WITHIN)


class InWorker(Standstill):
    """
    A booking at each step in the worker, and a move at one.

    What waits in line behind another write of the same time is left to the worker, if that write takes longer than the
    caller waits.
    """

    def prepare(self) -> None:
        """Book what shall be changed, and have Cal.com think about what is ahead in line."""
        self.elsewhere += [wish.booking_id for wish in self.book(CANCEL, [self.day.replace(hour=23)])]
        starts = [self.day + 2 * number * HALF_HOUR for number in range(len(STEPS) + 1)]
        self._behind = [Wish(CREATE, next(_numbers), start) for start in starts[:-1]]
        self._behind += self.book(MOVE, [starts[-1] - HALF_HOUR], "pair")
        ahead = [Wish(CREATE, next(_numbers), start) for start in starts]
        simulator = self.here.simulator
        self._thinking = [simulator.fail(AT_CALCOM[CREATE], Kind.HANG, attendee=wish.email) for wish in ahead]
        for wish in ahead:
            self.call(wish, "pair")
        simulator.await_in_flight(len(ahead), AT_CALCOM[CREATE])

    def bring(self) -> None:
        """Have everybody line up, and then go to their place."""
        for wish, step in zip(self._behind, (*STEPS, Step.ANSWERED), strict=True):
            self.stand(Role.WORKER, wish, step, "pair")
        self._await_rows()
        time.sleep(WAIT + 0.5)  # then nobody in web pursues them any more
        for fault in self._thinking:
            self.here.simulator.clear_faults(fault)
        self.await_all()

    def _await_rows(self) -> None:
        """Wait until web has written down what waits in line."""
        from bookings.models import Claim  # noqa: PLC0415  models, which need the settings

        rows = Claim.objects.filter(kind=Claim.Kind.QUEUED).values("appointment").distinct()
        what = "Not everybody lined up"
        self.here.stage.wait_until(lambda: rows.count() == len(self._behind), what=what, within=REACHED_WITHIN)


def midnight(days_ahead: int) -> datetime:
    """Return a day's beginning in UTC."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today + timedelta(days=days_ahead)
