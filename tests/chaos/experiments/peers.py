"""
The same callers on four lines: Slotline, the gateway of the reports (broad and smart clearing), and agents without one.

Each line has a simulated Cal.com of its own, as slow and as strict as Cal.com. In full: 1,000 conversations in 30 min
over ten event types, all four lines at once; short: ten minutes at the same pace. The people are as busy as those are
who need a booking line: most of their next days are booked up, and few of those in two weeks.
"""

import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from calcom.simulator import WEEKDAYS, Dataset, EventType, Hours, Override, SimulatorClient, User
from script.lib import programs
from script.lib.environment import Ground, brought_up
from script.lib.measurements import Found, Promise, percentile
from tests.benchmarks.peers.callers import DAYS, Heard, Line, play, script_of
from tests.benchmarks.peers.direct import Direct
from tests.benchmarks.peers.reports import BROAD, SMART, Reports
from tests.benchmarks.peers.slotline import Slotline

OURS, BROAD_LINE, SMART_LINE, DIRECT_LINE = "slotline", "reports_broad", "reports_smart", "direct"
LINES = (OURS, BROAD_LINE, SMART_LINE, DIRECT_LINE)
PROMISES = {
    "reads_vs_reports_system_ratio": Promise("times", 10, at_least=True),
    "reads_vs_direct_ratio": Promise("times", 10, at_least=True),
    **{f"peers_reads_{line}": Promise("requests") for line in LINES},
    **{f"peers_writes_{line}": Promise("requests") for line in LINES},
    **{f"peers_429_{line}": Promise("answers", 0 if line == OURS else None) for line in LINES},
    **{f"peers_question_p95_{line}": Promise("s") for line in LINES},
    **{f"peers_refused_offers_{line}": Promise("bookings") for line in LINES},
    **{f"peers_keys_cleared_{line}": Promise("keys") for line in (BROAD_LINE, SMART_LINE)},
}
PLOTS = {"Reads at Cal.com for the same conversations": [f"peers_reads_{line}" for line in LINES]}
FULL_S, SHORT_S = 1800.0, 600.0
KEY = "cal_peers"
SLOTS = "GET /v2/slots"
HOURS = (Hours(days=WEEKDAYS, start="08:00", end="20:00"),)
# Ten event types: six people serve one or two each, and two kinds are served by whoever is free.
HOSTS = {
    "cut": ("ada", "bea"),
    "colour": ("ada",),
    "beard": ("cem",),
    "wash": ("cem",),
    "nails": ("dora", "eva"),
    "brows": ("dora",),
    "facial": ("eva",),
    "massage": ("finn",),
    "advice": ("finn",),
    "bridal": ("bea",),
}
IDS = {slug: number for number, slug in enumerate(HOSTS, 1)}
# How likely somebody is booked up today, and how much less with each day ahead.
BOOKED_UP, EASES_BY = 0.8, 0.05


def measure(*, full: bool, seed: int) -> Mapping[str, Found]:
    """Play the conversations on all lines, and compare what each Cal.com was asked."""
    conversations = script_of(list(HOSTS), seconds=FULL_S if full else SHORT_S, seed=seed)
    with brought_up(_dataset(seed), log="peers", latency=1.0, seed=seed) as ground:
        calcoms = _calcoms(ground, seed)
        lines = _lines(ground, calcoms)
        with ThreadPoolExecutor(len(lines)) as pool:
            plays = {name: pool.submit(play, line, conversations) for name, line in lines.items()}
            heard = {name: each.result() for name, each in plays.items()}
        found: dict[str, Found] = {}
        for name in LINES:
            found |= _found(name, heard[name], calcoms[name])
    for name, line in lines.items():
        if isinstance(line, Reports):
            found[f"peers_keys_cleared_{name}"] = Found(line.cleared, f"by {heard[name].booked} bookings")
    print(f"{len(conversations)} conversations on each line")
    return {
        **found,
        "reads_vs_reports_system_ratio": _ratio(found, SMART_LINE, len(conversations)),
        "reads_vs_direct_ratio": _ratio(found, DIRECT_LINE, len(conversations)),
    }


def _found(name: str, heard: Heard, calcom: SimulatorClient) -> dict[str, Found]:
    """Return what Cal.com saw of one line, and what its callers heard."""
    seen = calcom.summary()
    counts: Mapping[str, int] = seen["counts"]
    writes = sum(count for operation, count in counts.items() if operation.startswith("POST /v2/bookings"))
    answered = f"of {heard.questions} questions, {heard.unanswered} without an answer"
    return {
        f"peers_reads_{name}": Found(counts.get(SLOTS, 0), answered),
        f"peers_writes_{name}": Found(writes, f"{heard.booked} bookings"),
        f"peers_429_{name}": Found(seen["too_many"], f"{seen['max_in_60_s']} in the fullest 60 s"),
        f"peers_question_p95_{name}": Found(percentile(heard.waits_s, 0.95), f"slowest {max(heard.waits_s):.1f} s"),
        f"peers_refused_offers_{name}": Found(heard.refused, "of times that were offered a moment before"),
    }


def _ratio(found: Mapping[str, Found], line: str, conversations: int) -> Found:
    theirs, ours = (found[f"peers_reads_{name}"].value for name in (line, OURS))
    if not theirs or not ours:
        return Found(None, "somebody asked nothing at all")
    return Found(theirs / ours, f"{theirs:.0f} reads against {ours:.0f}, {conversations} conversations")


def _calcoms(ground: Ground, seed: int) -> dict[str, SimulatorClient]:
    """Return a Cal.com for each line; Slotline's is the ground's own."""
    calcoms = {OURS: ground.simulator}
    options = {"world": ground.dataset, "limit": 120, "latency": 1.0, "seed": seed}
    for name in (BROAD_LINE, SMART_LINE, DIRECT_LINE):
        calcoms[name] = SimulatorClient(programs.bring_simulator(ground.stage, name=f"simulator-{name}", **options))
    return calcoms


def _lines(ground: Ground, calcoms: Mapping[str, SimulatorClient]) -> dict[str, Line]:
    tenant = ground.tenant()
    where = {name: (calcom.base_url, KEY, IDS) for name, calcom in calcoms.items()}
    return {
        OURS: Slotline(ground.url, tenant.key, tenant.services),
        BROAD_LINE: Reports(*where[BROAD_LINE], clearing=BROAD),
        SMART_LINE: Reports(*where[SMART_LINE], clearing=SMART),
        DIRECT_LINE: Direct(*where[DIRECT_LINE]),
    }


def _dataset(seed: int) -> Dataset:
    people = dict.fromkeys(host for hosts in HOSTS.values() for host in hosts)
    chance = random.Random(seed)
    return Dataset(
        users=(
            User(1, "house", "House", api_key=KEY, hours=HOURS),
            *(
                User(number, name, name.title(), hours=HOURS, overrides=_booked_up(chance))
                for number, name in enumerate(people, 2)
            ),
        ),
        event_types=tuple(EventType(IDS[slug], "house", slug, slug.title(), 30, hosts=HOSTS[slug]) for slug in HOSTS),
    )


def _booked_up(chance: random.Random) -> tuple[Override, ...]:
    """Close the days on which somebody has no time left."""
    days = [ahead for ahead in range(DAYS + 1) if chance.random() < BOOKED_UP - EASES_BY * ahead]
    return tuple(Override(f"{datetime.now(UTC) + timedelta(days=ahead):%Y-%m-%d}") for ahead in days)
