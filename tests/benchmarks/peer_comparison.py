"""
The same callers with four peers: Slotline, the gateway of the reports (broad and smart clearing), and agents alone.

Each peer has a simulated Cal.com of its own, as slow and as strict as Cal.com. In full: 1,000 conversations in 30 min
over ten event types; short: ten minutes at the same pace. Most of the hosts' next days are booked up, and few of those
in two weeks.
"""

import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from calcom.simulator import WEEKDAYS, Dataset, Hours, Override, SimulatorClient
from script.lib.environment import SLOTS, Environment, Servers, calcom_data, midnight
from script.lib.measurements import Measurement, percentile
from tests.benchmarks.peers import conversations
from tests.benchmarks.peers.conversations import DAYS, Experience, Peer, draw_conversations
from tests.benchmarks.peers.direct import Direct
from tests.benchmarks.peers.reports import BROAD, SMART, Reports
from tests.benchmarks.peers.slotline import Slotline
from tests.benchmarks.thresholds import PEERS

OURS, BROAD_PEER, SMART_PEER, DIRECT = PEERS
FULL_S, SHORT_S = 1800.0, 600.0
# Six hosts serve one or two event types each, and two event types are served by any of two hosts.
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
# The chance that a host is booked up today, and how much smaller it is with each day ahead.
BOOKED_UP, LESS_BY = 0.8, 0.05


def measure(servers: Servers, *, full: bool, seed: int) -> dict[str, Measurement]:
    """Have the conversations with all peers at once, and compare what each Cal.com was asked."""
    drawn = draw_conversations(list(HOSTS), seconds=FULL_S if full else SHORT_S, seed=seed)
    with servers.environment(_dataset(seed), latency=1.0, seed=seed) as env:
        calcoms = {OURS: env.simulator}
        for name in PEERS[1:]:
            calcoms[name] = env.start_simulator(name, limit=120, latency=1.0, seed=seed)
        peers = _peers(env, calcoms)
        with ThreadPoolExecutor(len(peers)) as pool:
            runs = {name: pool.submit(conversations.run, peer, drawn) for name, peer in peers.items()}
            experiences = {name: run.result() for name, run in runs.items()}
        measured: dict[str, Measurement] = {}
        for name in PEERS:
            measured |= _measurements(name, experiences[name], calcoms[name])
    for name, peer in peers.items():
        if isinstance(peer, Reports):
            remark = f"by {experiences[name].booked} bookings"
            measured[f"peers_keys_cleared_{name}"] = Measurement(peer.cleared, remark)
    return {
        **measured,
        "reads_vs_reports_system_ratio": _ratio(measured, SMART_PEER, len(drawn)),
        "reads_vs_direct_ratio": _ratio(measured, DIRECT, len(drawn)),
    }


def _measurements(name: str, experience: Experience, calcom: SimulatorClient) -> dict[str, Measurement]:
    seen = calcom.summary()
    counts: Mapping[str, int] = seen["counts"]
    writes = sum(count for operation, count in counts.items() if operation.startswith("POST /v2/bookings"))
    questions = f"of {experience.questions} questions, {experience.unanswered} without an answer"
    slowest = f"slowest {max(experience.waits_s):.1f} s"
    return {
        f"peers_reads_{name}": Measurement(counts.get(SLOTS, 0), questions),
        f"peers_writes_{name}": Measurement(writes, f"{experience.booked} bookings"),
        f"peers_429_{name}": Measurement(seen["too_many"], f"{seen['max_in_60_s']} in the fullest 60 s"),
        f"peers_question_p95_{name}": Measurement(percentile(experience.waits_s, 0.95), slowest),
        f"peers_refused_offers_{name}": Measurement(experience.refused, "of slots that were offered a moment before"),
    }


def _ratio(measured: Mapping[str, Measurement], peer: str, number: int) -> Measurement:
    theirs, ours = (measured[f"peers_reads_{name}"].value for name in (peer, OURS))
    if not theirs or not ours:
        return Measurement(None, "a peer asked nothing")
    return Measurement(theirs / ours, f"{theirs:.0f} reads against {ours:.0f}, {number} conversations")


def _peers(env: Environment, calcoms: Mapping[str, SimulatorClient]) -> dict[str, Peer]:
    where = {name: (calcom.base_url, "cal_house", env.event_types) for name, calcom in calcoms.items()}
    return {
        OURS: Slotline(env.url, env.tenant().key, env.services),
        BROAD_PEER: Reports(*where[BROAD_PEER], clearing=BROAD),
        SMART_PEER: Reports(*where[SMART_PEER], clearing=SMART),
        DIRECT: Direct(*where[DIRECT]),
    }


def _dataset(seed: int) -> Dataset:
    chance = random.Random(seed)
    hosts = dict.fromkeys(host for hosts in HOSTS.values() for host in hosts)
    closed = {host: {"overrides": _booked_up(chance)} for host in hosts}
    hours = (Hours(days=WEEKDAYS, start="08:00", end="20:00"),)
    return calcom_data({"house": HOSTS}, hours=hours, users=closed)


def _booked_up(chance: random.Random) -> tuple[Override, ...]:
    """Close the days on which a host has no time left."""
    days = [ahead for ahead in range(DAYS + 1) if chance.random() < BOOKED_UP - LESS_BY * ahead]
    return tuple(Override(midnight(ahead).date().isoformat()) for ahead in days)
