"""Three companies at Cal.com that share nothing; within each, hosts that serve more than one event type."""

from calcom.simulator import WEEKDAYS, Hours
from script.lib.environment import calcom_data

# Slug: minutes, hosts, minutes kept free afterwards.
_EVENT_TYPES = {
    "salon": {
        "beard-trim": (30, ("ben",), 0),
        "colour": (60, ("emma",), 15),
        "haircut": (30, ("emma", "ben"), 0),
        "styling": (45, ("mia",), 0),
    },
    "practice": {
        "check-up": (30, ("abel",), 0),
        "consultation": (30, ("abel", "lee"), 0),
        "follow-up": (15, ("lee",), 5),
        "vaccination": (15, ("nuri",), 0),
    },
    "garage": {
        "brakes": (60, ("kate",), 0),
        "inspection": (45, ("tom",), 15),
        "oil-change": (30, ("jim",), 0),
        "tyres": (30, ("tom", "jim"), 0),
    },
}
_ZONES = {"salon": "Europe/Berlin", "practice": "America/New_York", "garage": "Europe/London"}
EVENT_TYPES = {slug: fields for offered in _EVENT_TYPES.values() for slug, fields in offered.items()}
DATASET = calcom_data(
    {owner: {slug: hosts for slug, (_, hosts, _) in offered.items()} for owner, offered in _EVENT_TYPES.items()},
    hours=(Hours(days=WEEKDAYS, start="08:00", end="20:00"),),
    event_types={
        slug: {"minutes": minutes, "after_minutes": after} for slug, (minutes, _, after) in EVENT_TYPES.items()
    },
    users={
        name: {"time_zone": _ZONES[owner]}
        for owner, offered in _EVENT_TYPES.items()
        for name in (owner, *(host for _, hosts, _ in offered.values() for host in hosts))
    },
)
