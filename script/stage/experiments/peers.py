"""
The same callers on four lines: Slotline, the gateway of the reports (broad and smart clearing), and agents without one.

Each line has a simulated Cal.com of its own, as slow and as strict as Cal.com. In full: 1,000 conversations in 30 min
over ten event types, all four lines at once; short: ten minutes at the same pace.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from calcom.simulator.client import SimulatorClient
from calcom.simulator.world import WEEKDAYS, EventType, Hours, User, World
from script.stage import parts
from script.stage.ground import Ground, brought_up
from script.stage.peers.callers import Heard, Line, play, script_of
from script.stage.peers.direct import Direct
from script.stage.peers.reports import BROAD, SMART, Reports
from script.stage.peers.slotline import Slotline
from script.stage.rows import Found, Promise, percentile

PROMISES = {
    "reads_vs_reports_system_ratio": Promise("times", 10, at_least=True),
    "reads_vs_direct_ratio": Promise("times", 10, at_least=True),
}
FULL_S, SHORT_S = 1800.0, 600.0
KEY = "cal_peers"
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


def measure(*, full: bool, seed: int) -> Mapping[str, Found]:
    """Play the conversations on all lines, and compare what each Cal.com was asked."""
    conversations = script_of(list(HOSTS), seconds=FULL_S if full else SHORT_S, seed=seed)
    with brought_up(_world(), log="peers", latency=1.0, seed=seed) as ground:
        calcoms = _calcoms(ground, seed)
        lines = _lines(ground, calcoms)
        with ThreadPoolExecutor(len(lines)) as pool:
            plays = {name: pool.submit(play, line, conversations) for name, line in lines.items()}
            heard = {name: each.result() for name, each in plays.items()}
        reads = {name: calcom.count("GET /v2/slots") for name, calcom in calcoms.items()}
        _tell(heard, calcoms, reads, len(conversations))
    ours = reads["slotline"]
    return {
        "reads_vs_reports_system_ratio": _ratio(reads["reports, smart"], ours, len(conversations)),
        "reads_vs_direct_ratio": _ratio(reads["direct"], ours, len(conversations)),
    }


def _ratio(theirs: int, ours: int, conversations: int) -> Found:
    if not ours:
        return Found(None, "Slotline asked nothing at all")
    return Found(theirs / ours, f"{theirs} reads against {ours}, {conversations} conversations")


def _calcoms(ground: Ground, seed: int) -> dict[str, SimulatorClient]:
    """Return a Cal.com for each line; Slotline's is the ground's own."""
    calcoms = {"slotline": ground.simulator}
    for name in ("reports, broad", "reports, smart", "direct"):
        options = {"world": ground.world, "limit": 120, "latency": 1.0, "seed": seed}
        calcoms[name] = SimulatorClient(parts.bring_simulator(ground.stage, name=f"simulator of {name}", **options))
    return calcoms


def _lines(ground: Ground, calcoms: Mapping[str, SimulatorClient]) -> dict[str, Line]:
    tenant = ground.tenant()
    where = {name: (calcom.base_url, KEY, IDS) for name, calcom in calcoms.items()}
    return {
        "slotline": Slotline(ground.url, tenant.key, tenant.services),
        "reports, broad": Reports(*where["reports, broad"], clearing=BROAD),
        "reports, smart": Reports(*where["reports, smart"], clearing=SMART),
        "direct": Direct(*where["direct"]),
    }


def _tell(
    heard: Mapping[str, Heard], calcoms: Mapping[str, SimulatorClient], reads: Mapping[str, int], conversations: int
) -> None:
    print(f"{conversations} conversations on each line:")
    print("line            questions unanswered p50 s  p95 s  booked refused   reads writes fullest 60 s  429")
    for name, what in heard.items():
        seen = calcoms[name].summary()
        writes = sum(count for operation, count in seen["counts"].items() if operation.startswith("POST"))
        p50, p95 = (percentile(what.waits_s, share) or 0.0 for share in (0.5, 0.95))
        print(
            f"{name:<15} {what.questions:>9} {what.unanswered:>10} {p50:>5.2f} {p95:>6.2f} {what.booked:>7}"
            f" {what.refused:>7} {reads[name]:>7} {writes:>6} {seen['max_in_60_s']:>12} {seen['too_many']:>4}"
        )


def _world() -> World:
    people = dict.fromkeys(host for hosts in HOSTS.values() for host in hosts)
    return World(
        users=(
            User(1, "house", "House", api_key=KEY, hours=HOURS),
            *(User(number, name, name.title(), hours=HOURS) for number, name in enumerate(people, 2)),
        ),
        event_types=tuple(EventType(IDS[slug], "house", slug, slug.title(), 30, hosts=HOSTS[slug]) for slug in HOSTS),
    )
