"""
Callers who want the same at once: twenty slots are sold exactly once each, and of fifty who race for one, one wins.

Experiment 20, and the issue's races: 200 callers for the 20 slots of one host, half of them with twins and retries;
then fifty for one slot, and fifty for two that overlap; then fifty who book and cancel without pause at 16:00 and 16:15
of one host through two event types, while the writes in flight at Cal.com are counted.
"""

import time
from collections.abc import Collection
from random import Random

from calcom.simulator import WEEKDAYS, Dataset, EventType, Hours, User
from script.lib import environment
from script.lib.environment import Ground
from script.lib.measurements import Found, Promise
from script.lib.processes import StageError
from tests.chaos.experiments._crowd import at
from tests.chaos.experiments._limited_stock import sale
from tests.chaos.experiments._overlapping_slots import crossing
from tests.chaos.experiments._same_slot import duel, judged

PROMISES = {
    "race_bookings": Promise("bookings", 20, exactly=True),
    "race_overlaps": Promise("overlaps", 0),
    "race_winners": Promise("winners", 1, exactly=True),
    "race_losers_p95_ms": Promise("ms", 100),
    "race_deadlocks": Promise("deadlocks", 0),
    "overlap_in_flight_max": Promise("writes", 1),
}
# Seconds in which what was asked for last has come to its end.
SETTLED_WITHIN = 60.0


def measure(*, full: bool, seed: int) -> dict[str, Found]:
    """Let them race; in full against a Cal.com as slow as the real one, and more often."""
    latency = 1.0 if full else 0.15
    with environment.brought_up(_dataset(), log="races", latency=latency, seed=seed, threads=16) as here:
        usual = here.more_web(processes=2, threads=4)
        _load(here)
        deadlocks = _deadlocks()
        sold, told = sale(here, Random(seed))
        duels = [duel(here, usual, number) for number in range(30 if full else 6)]
        crossed = crossing(here, times=100 if full else 8)
        deadlocks = _deadlocks() - deadlocks
        _insist_on_balance(here, {*told, *(id_ for each in duels for id_ in each.told)})
        sold |= {"race_overlaps": Found(len(here.simulator.overlaps())), "race_deadlocks": Found(deadlocks)}
    return sold | judged(duels) | crossed


def _dataset() -> Dataset:
    hours = (Hours(days=WEEKDAYS, end="19:00"),)
    return Dataset(
        users=(
            User(1, "races", "Races", api_key="cal_races", hours=hours),
            User(2, "seller", "Seller", hours=hours),
            User(3, "racer", "Racer", hours=hours),
            User(4, "clara", "Clara", hours=hours),
            User(5, "carl", "Carl", hours=hours),
        ),
        event_types=(
            EventType(1, "races", "sale", "Sale", 30, hosts=("seller",)),
            EventType(2, "races", "cut", "Cut", 30, hosts=("racer",), interval_minutes=15),
            EventType(3, "races", "colour", "Colour", 30, hosts=("racer",), interval_minutes=15),
            EventType(4, "races", "massage", "Massage", 30, hosts=("clara",), interval_minutes=15),
            EventType(5, "races", "peeling", "Peeling", 30, hosts=("clara",), interval_minutes=15),
            EventType(6, "races", "either", "Either", 30, hosts=("clara", "carl"), interval_minutes=15),
        ),
    )


def _load(here: Ground) -> None:
    """Have two weeks loaded and believed, so that nobody's answer depends on a list that is on its way."""
    with here.agent() as agent:
        for service in here.tenant().services.values():
            window = {"from": at(0, 0).isoformat(), "to": at(12, 0).isoformat()}
            answer = agent.get("/v1/availability", service=service, **window)
            if answer.status != 200 or not answer.body["slots"]:
                raise StageError(f"Asking for slots was answered {answer.status}: {str(answer.body)[:200]}")


def _deadlocks() -> int:
    from django.db import connection  # noqa: PLC0415  needs the settings

    time.sleep(1.1)  # a backend reports once a second what it has counted
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(deadlocks) FROM pg_stat_database")
        return int(cursor.fetchone()[0])


def _insist_on_balance(here: Ground, told: Collection[str]) -> None:
    from tests.chaos import consistency  # noqa: PLC0415  models, which need the settings

    here.stage.wait_until(
        lambda: not consistency.left_over(), what="Not everything came to its end", within=SETTLED_WITHIN
    )
    differences = consistency.balance(here.simulator, told=told).lines
    if differences:
        raise StageError("Here and there differ:\n  " + "\n  ".join(differences))
