"""How many callers there are, for how long, and how long they think. Pure: locust and the runner share it."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

Span = tuple[float, float]
"""Seconds, from and to."""


@dataclass(frozen=True)
class Pace:
    """How long people take, in seconds; FM-01 was 14 to 44 s of talk between an offer and the booking."""

    between_calls: Span = (50, 90)
    asks: Span = (6, 14)
    considers: Span = (8, 20)
    agrees: Span = (10, 24)


@dataclass(frozen=True)
class Scenario:
    """A scenario at full length."""

    name: str
    users: int
    minutes: float
    arrives_within: float = 30.0
    """Seconds after which all callers are there."""
    same_slot: bool = False
    """Whether all want the same slot."""
    steps: Mapping[str, float] | None = None
    """What is done meanwhile, and after which share of the time."""


SCENARIOS = {
    each.name: each
    for each in (
        Scenario("cold", users=15, minutes=5, arrives_within=1),
        Scenario("normal", users=10, minutes=30),
        Scenario("burst", users=25, minutes=10, arrives_within=1),
        Scenario("queue", users=3, minutes=2, steps={"stop": 0.2, "enqueue": 0.3, "start": 0.5}),
        Scenario("contention", users=40, minutes=1, arrives_within=1, same_slot=True),
        Scenario("outage", users=10, minutes=6, arrives_within=10, steps={"away": 1 / 3, "back": 2 / 3}),
    )
}
"""In the order in which they run: the first one needs an empty cache."""

WITH_LEVELS = ("cold", "normal", "burst", "outage")
"""Those of which the service levels are measured. A cold start and an outage are outside of the levels."""

QUEUED_JOBS = 80
"""Invalidations that wait in the scenario `queue`."""
FIRST_MINUTE = 60.0
"""Seconds in which a cold start may be cold."""


@dataclass(frozen=True)
class Run:
    """
    A scenario as it is run this time.

    A time scale shortens the run and how long people think, and nothing else: neither Cal.com's latency and limit nor
    our own lifetimes and deadlines.
    """

    scenario: Scenario
    time_scale: float = 1.0
    at_most: float | None = None
    """Seconds after which it ends in any case."""
    pace: Pace = Pace()

    @property
    def seconds(self) -> float:
        """Return how long it lasts."""
        whole = self.scenario.minutes * 60 * self.time_scale
        return whole if self.at_most is None else min(whole, self.at_most)

    @property
    def arrives_within(self) -> float:
        """Return the seconds after which all callers are there."""
        return min(self.scenario.arrives_within * self.time_scale, self.seconds / 2)

    @property
    def first_minute(self) -> float:
        """Return the seconds that its first minute takes."""
        return FIRST_MINUTE * self.time_scale

    def due(self, step: str) -> float:
        """Return the seconds from the beginning until a step of the scenario."""
        return (self.scenario.steps or {})[step] * self.seconds

    def thinks(self, span: Span, chance: Random) -> float:
        """Return the seconds that a caller takes this time."""
        return chance.uniform(*span) * self.time_scale


SHORT = {
    "cold": (0.1, 28.0),
    "normal": (0.1, 40.0),
    "burst": (0.1, 25.0),
    "queue": (0.1, 10.0),
    "contention": (0.1, 6.0),
    "outage": (0.1, 36.0),
}
"""Time scale and seconds of each scenario in its short form."""


def short_run(name: str) -> Run:
    """Return the short form of a scenario."""
    time_scale, seconds = SHORT[name]
    return Run(SCENARIOS[name], time_scale, seconds)
