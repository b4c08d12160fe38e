"""Three companies at Cal.com, strangers to each other; within each, people who serve more than one kind of event."""

from calcom.simulator import WEEKDAYS, Dataset, EventType, Hours, User

_HOURS = (Hours(days=WEEKDAYS, start="08:00", end="20:00"),)
_OWNERS = (
    User(100, "salon", "Salon Berlin", "Europe/Berlin", api_key="cal_load_salon"),
    User(200, "practice", "Practice New York", "America/New_York", api_key="cal_load_practice"),
    User(300, "garage", "Garage London", "Europe/London", api_key="cal_load_garage"),
)
_PEOPLE = {
    "salon": ("emma", "ben", "mia"),
    "practice": ("abel", "lee", "nuri"),
    "garage": ("tom", "jim", "kate"),
}
# Slug: owner, minutes, hosts, minutes kept free afterwards.
_EVENT_TYPES = {
    "beard-trim": ("salon", 30, ("ben",), 0),
    "colour": ("salon", 60, ("emma",), 15),
    "haircut": ("salon", 30, ("emma", "ben"), 0),
    "styling": ("salon", 45, ("mia",), 0),
    "check-up": ("practice", 30, ("abel",), 0),
    "consultation": ("practice", 30, ("abel", "lee"), 0),
    "follow-up": ("practice", 15, ("lee",), 5),
    "vaccination": ("practice", 15, ("nuri",), 0),
    "brakes": ("garage", 60, ("kate",), 0),
    "inspection": ("garage", 45, ("tom",), 15),
    "oil-change": ("garage", 30, ("jim",), 0),
    "tyres": ("garage", 30, ("tom", "jim"), 0),
}
HOSTS = {slug: hosts for slug, (_, _, hosts, _) in _EVENT_TYPES.items()}
"""Who serves what, by slug of the event type."""
AFTER_MINUTES = {slug: after for slug, (_, _, _, after) in _EVENT_TYPES.items()}
MINUTES = {slug: minutes for slug, (_, minutes, _, _) in _EVENT_TYPES.items()}


def calcom_dataset() -> Dataset:
    """Return the dataset of the load scenarios: each owner of an API key becomes a tenant."""
    zones = {owner.username: owner.time_zone for owner in _OWNERS}
    hosts = tuple(
        User(owner.id + number, name, name.title(), zones[owner.username], hours=_HOURS)
        for owner in _OWNERS
        for number, name in enumerate(_PEOPLE[owner.username], 1)
    )
    return Dataset(
        users=(*_OWNERS, *hosts),
        event_types=tuple(
            EventType(
                number, owner, slug, slug.replace("-", " ").title(), minutes, hosts=served_by, after_minutes=after
            )
            for number, (slug, (owner, minutes, served_by, after)) in enumerate(_EVENT_TYPES.items(), 1)
        ),
    )
