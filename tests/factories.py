"""
The data of all tests: a salon in Berlin, a practice in New York, and their callers.

`dataset()` is what Cal.com knows of them; `cast_salon()` and `cast_practice()` write the rows that a sync would leave.
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from bookings.models import AgentKey, Branch, Company, Service, Staff, StaffService
from calcom.models import Account, EventType, EventTypeHost, Host
from calcom.simulator import WEEKDAYS, Dataset, Hours, User
from calcom.simulator import EventType as RemoteType
from calcom.types import UnsupportedReason

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
SALON_CREDENTIAL = "cal_test_salon"
PRACTICE_CREDENTIAL = "cal_test_practice"
BENS_CREDENTIAL = "cal_test_ben"
MASSAGE = 21
NOWHERE = "http://127.0.0.1:9"  # the discard port: no server listens

_IN_THREE_DAYS = datetime.now(BERLIN).date() + timedelta(days=3)
TUESDAY = _IN_THREE_DAYS + timedelta(days=(1 - _IN_THREE_DAYS.weekday()) % 7)
WEDNESDAY = TUESDAY + timedelta(days=1)
SUNDAY = TUESDAY + timedelta(days=5)


def at(hour: int, minute: int = 0, *, on: date = TUESDAY, zone: ZoneInfo = BERLIN) -> datetime:
    """Return the instant at which clocks in `zone` show that time on that date."""
    return datetime.combine(on, time(hour, minute), tzinfo=zone).astimezone(UTC)


@dataclass(frozen=True)
class Caller:
    """A caller."""

    name: str
    phone: str | None = None
    email: str | None = None


ANNA = Caller("Anna Schmidt", phone="+4915112345678", email="anna@example.com")
KARL = Caller("Karl Weber", phone="+4915187654321")
MARIA = Caller("Maria Rossi")  # number withheld, no e-mail
JANE = Caller("Jane Miller", phone="+12125550142", email="jane@example.com")


@dataclass(frozen=True)
class Salon:
    """Two stylists who share haircuts; colour takes Emma an hour and a quarter, Ben alone trims beards."""

    account: Account
    company: Company
    branch: Branch
    emma: Staff
    ben: Staff
    cut: Service
    colour: Service
    beard: Service
    emmas_cut: StaffService
    agent_key: AgentKey
    key: str


@dataclass(frozen=True)
class Practice:
    """One doctor; a check-up needs to know the insurance, a vaccination must be confirmed by hand."""

    account: Account
    company: Company
    branch: Branch
    doctor: Staff
    check_up: Service
    follow_up: Service
    vaccination: Service
    agent_key: AgentKey
    key: str


@dataclass(frozen=True)
class Rival:
    """A company on the phone for Ben alone, with an account of his own; he serves the salon, too."""

    account: Account
    company: Company
    host: Host
    massage: Service
    key: str


_INSURANCE = {
    "type": "select",
    "slug": "insurance",
    "label": "Insurance",
    "required": True,
    "placeholder": "",
    "options": ["Public", "Private", "None"],
}


def dataset() -> Dataset:
    """Return the data of Cal.com before the first call."""
    salon = {"time_zone": "Europe/Berlin", "hours": (Hours(days=WEEKDAYS[:6], start="09:00", end="18:00"),)}
    practice = {"time_zone": "America/New_York"}
    return Dataset(
        users=(
            User(101, "salon", "Salon Berlin", api_key=SALON_CREDENTIAL, **salon),
            User(102, "emma", "Emma", **salon),
            User(103, "ben", "Ben", **salon),
            User(201, "practice", "Practice New York", api_key=PRACTICE_CREDENTIAL, **practice),
        ),
        event_types=(
            RemoteType(1, "salon", "haircut", "Haircut", 30, hosts=("emma", "ben")),
            RemoteType(2, "salon", "colour", "Colour", 60, hosts=("emma",), after_minutes=15),
            RemoteType(3, "salon", "beard-trim", "Beard trim", 15, hosts=("ben",)),
            RemoteType(4, "salon", "haircut-emma", "Haircut with Emma", 30, hosts=("emma",)),
            RemoteType(11, "practice", "check-up", "Check-up", 30, fields=(_INSURANCE,)),
            RemoteType(12, "practice", "follow-up", "Follow-up", 15, minutes_options=(15, 30)),
            RemoteType(13, "practice", "vaccination", "Vaccination", 15, confirmation={"type": "always"}),
        ),
    )


def shared_dataset() -> Dataset:
    """Return the same, where Ben has a key and an event type of his own."""
    alone = dataset()
    users = tuple(replace(user, api_key=BENS_CREDENTIAL) if user.username == "ben" else user for user in alone.users)
    massage = RemoteType(MASSAGE, "ben", "massage", "Massage", 30)
    return replace(alone, users=users, event_types=(*alone.event_types, massage))


def cast_salon(base_url: str = NOWHERE) -> Salon:
    """Write the salon's rows; its Cal.com answers at `base_url`."""
    account = Account.objects.create(name="Salon", base_url=base_url, api_key=SALON_CREDENTIAL)
    emma, ben = (_host(account, calcom_id, name) for calcom_id, name in ((102, "Emma"), (103, "Ben")))
    company = Company.objects.create(name="Salon", slug="salon", account=account)
    branch = Branch.objects.create(
        company=company,
        name="Mitte",
        time_zone="Europe/Berlin",
        language="de",
        opening_hours={day: [["09:00", "18:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat")},
    )
    staff = {host.name: Staff.objects.create(branch=branch, host=host, name=host.name) for host in (emma, ben)}
    cut = _service(branch, _event_type(account, 1, "Haircut", 30, emma, ben), aliases=["Haarschnitt"])
    own_type = _event_type(account, 4, "Haircut with Emma", 30, emma)
    key, text = _agent_key(company)
    return Salon(
        account=account,
        company=company,
        branch=branch,
        emma=staff["Emma"],
        ben=staff["Ben"],
        cut=cut,
        colour=_service(branch, _event_type(account, 2, "Colour", 60, emma, after_buffer_minutes=15)),
        beard=_service(branch, _event_type(account, 3, "Beard trim", 15, ben)),
        emmas_cut=StaffService.objects.create(staff=staff["Emma"], service=cut, event_type=own_type),
        agent_key=key,
        key=text,
    )


def cast_practice(base_url: str = NOWHERE) -> Practice:
    """Write the practice's rows; its Cal.com answers at `base_url`."""
    account = Account.objects.create(name="Practice", base_url=base_url, api_key=PRACTICE_CREDENTIAL)
    host = _host(account, 201, "Dr. Chen", "America/New_York")
    company = Company.objects.create(name="Practice", slug="practice", account=account)
    branch = Branch.objects.create(
        company=company, name="Midtown", time_zone="America/New_York", language="en", phone_region="US"
    )
    needs_insurance = [{"slug": "insurance", "type": "select", "options": ["Public", "Private", "None"]}]
    check_up = _event_type(account, 11, "Check-up", 30, host, required_fields=needs_insurance)
    _event_type(account, 12, "Follow-up", 30, host, has_several_lengths=True)
    follow_up = _event_type(account, 12, "Follow-up", 15, host, has_several_lengths=True)
    vaccination = _event_type(account, 13, "Vaccination", 15, host)
    key, text = _agent_key(company)
    return Practice(
        account=account,
        company=company,
        branch=branch,
        doctor=Staff.objects.create(branch=branch, host=host, name="Dr. Chen"),
        check_up=_service(branch, check_up, field_defaults={"insurance": "None"}),
        follow_up=_service(branch, follow_up),
        vaccination=_service(branch, vaccination),
        agent_key=key,
        key=text,
    )


def cannot_be_booked(service: Service) -> Service:
    """Have several people share each booking of the service, which we do not serve, and return it."""
    service.event_type.unsupported_reasons = [UnsupportedReason.SEATS]
    service.event_type.save()
    return service


def cast_rival(base_url: str = NOWHERE, credential: str = BENS_CREDENTIAL) -> Rival:
    """Write the rival's rows; its Cal.com is the salon's, asked with Ben's key."""
    account = Account.objects.create(name="Rival", base_url=base_url, api_key=credential)
    host = _host(account, 103, "Ben")
    company = Company.objects.create(name="Rival", slug="rival", account=account)
    branch = Branch.objects.create(company=company, name="Nord", time_zone="Europe/Berlin", language="de")
    Staff.objects.create(branch=branch, host=host, name="Ben")
    massage = _service(branch, _event_type(account, MASSAGE, "Massage", 30, host))
    return Rival(account, company, host, massage, _agent_key(company)[1])


def _host(account: Account, calcom_id: int, name: str, time_zone: str = "Europe/Berlin") -> Host:
    return Host.objects.create(account=account, calcom_id=calcom_id, name=name, time_zone=time_zone)


def _event_type(
    account: Account, calcom_id: int, title: str, minutes: int, *hosts: Host, **fields: object
) -> EventType:
    slug = title.lower().replace(" ", "-")
    event_type = EventType.objects.create(
        account=account, calcom_id=calcom_id, length_minutes=minutes, title=title, slug=slug, **fields
    )
    EventTypeHost.objects.bulk_create(EventTypeHost(event_type=event_type, host=host) for host in hosts)
    return event_type


def _service(branch: Branch, event_type: EventType, **fields: object) -> Service:
    return Service.objects.create(
        branch=branch,
        event_type=event_type,
        name=event_type.title,
        duration_minutes=event_type.length_minutes,
        **fields,
    )


def _agent_key(company: Company) -> tuple[AgentKey, str]:
    return AgentKey.objects.issue(company=company, name="test agent", scopes=list(AgentKey.Scope.values))
