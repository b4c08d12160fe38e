"""
The page that the admin opens with: the day of a branch as a board, and what waits for a person.

It is read with one statement for each kind of thing, whatever the number of appointments: tests/bookings/test_today.py
counts them, and tests/bookings/test_indexes.py proves their plans.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.dateparse import parse_date
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from bookings.admin import today_cards, today_charts
from bookings.admin.common import branches_in_scope
from bookings.admin.day_board import Block, Entry, Scale, Span, minute_of
from bookings.admin.phones import readable
from bookings.models import Appointment, AppointmentState, Branch, Claim, Staff
from bookings.roles import scope_of

_A_DAY = timedelta(days=1)
_A_WEEK = 7
# Branches in the switch; others are opened by their address.
MOST_BRANCHES = 200
# Of one day or week: more is no board that a person reads.
MOST_SHOWN = 1_000
SHOWN = (
    *(AppointmentState.HELD, AppointmentState.PENDING, AppointmentState.AWAITING, AppointmentState.CONFIRMED),
    *(AppointmentState.COMPLETED, AppointmentState.NO_SHOW),
)
_NOBODY = 0
"""The column of appointments whose person Cal.com has not chosen yet."""


def dashboard(request: HttpRequest, context: dict[str, object]) -> dict[str, object]:
    """Add to the context of the index what its template shows."""
    branches = list(branches_in_scope(request)[:MOST_BRANCHES])
    branch = _chosen_branch(request, branches)
    if branch is None:
        return context | {"today": None}
    now = timezone.now()
    view = View.of(request, branch, now)
    board = read_board(view, now)
    return context | {
        "title": branch.name,
        "today": view,
        "board": board,
        "branches": branches,
        "cards": today_cards.read(request, branch, now),
        "chart_options": today_charts.OPTIONS,
        # The part that refreshes has none.
        "charts": ()
        if request.GET.get("part") or view.is_own
        else today_charts.read(branch.company, branch.time_zone, now),
    }


def _chosen_branch(request: HttpRequest, branches: Sequence[Branch]) -> Branch | None:
    """Return the branch of the address, else the last one of this session, else the first."""
    asked = request.GET.get("branch", "") or str(request.session.get("branch", ""))
    found = next((each for each in branches if str(each.pk) == asked), None)
    if found is None and asked.isdecimal() and len(asked) < 10 and len(branches) == MOST_BRANCHES:
        found = branches_in_scope(request).filter(pk=int(asked)).first()
    if found is not None and request.session.get("branch") != found.pk:
        request.session["branch"] = found.pk
    return found or next(iter(branches), None)


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at, and the addresses that lead from there to its neighbours."""

    branch: Branch
    day: date
    today: date
    is_week: bool = False
    with_cancelled: bool = False
    person: int | None = None
    """The host of the one person who is shown; None for all of them."""
    own: frozenset[int] = frozenset()
    """The calendars of one who gives appointments and sees no others, as primary keys of `Staff`; else empty."""

    @classmethod
    def of(cls, request: HttpRequest, branch: Branch, now: datetime) -> "View":
        """Return what the address asks for; today, where it makes no sense."""
        today = now.astimezone(ZoneInfo(branch.time_zone)).date()
        asked, person = request.GET, request.GET.get("person", "")
        try:
            day = parse_date(asked.get("day", "")) or today
        except ValueError:
            day = today
        if abs(day - today) > 5 * 365 * _A_DAY:
            day = today
        return cls(
            branch=branch,
            day=day,
            today=today,
            is_week=asked.get("view") == "week",
            with_cancelled=asked.get("cancelled") == "1",
            own=scope_of(request.user).staff_ids,
            person=int(person) if person.isdecimal() and len(person) < 19 else None,
        )

    @property
    def is_own(self) -> bool:
        """Whether it shows the columns of one person only, who sees no others."""
        return bool(self.own)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.branch.time_zone)

    @property
    def days(self) -> list[date]:
        """Return the dates that are shown: one, or those of its week from Monday on."""
        if not self.is_week:
            return [self.day]
        monday = self.day - self.day.weekday() * _A_DAY
        return [monday + number * _A_DAY for number in range(_A_WEEK)]

    @property
    def first(self) -> datetime:
        return datetime.combine(self.days[0], time(), tzinfo=self.zone)

    @property
    def last(self) -> datetime:
        return datetime.combine(self.days[-1] + _A_DAY, time(), tzinfo=self.zone)

    @property
    def title(self) -> str:
        if not self.is_week:
            # Translators: a date as Django's template filter formats it, such as Tuesday, 1 December 2026
            return formats.date_format(self.day, _("l, j F Y"))
        return _("Week %(number)s of %(year)s") % {
            "number": self.day.isocalendar().week,
            "year": self.day.isocalendar().year,
        }

    @property
    def is_today(self) -> bool:
        return self.today in self.days

    @property
    def address(self) -> str:
        """Return the address of this view, without what is as usual."""
        asked = {
            "branch": self.branch.pk,
            "day": self.day.isoformat() if self.day != self.today else None,
            "view": "week" if self.is_week else None,
            "cancelled": 1 if self.with_cancelled else None,
            "person": self.person,
        }
        return f"{reverse('admin:index')}?{urlencode({name: each for name, each in asked.items() if each})}"

    @property
    def step(self) -> timedelta:
        return _A_WEEK * _A_DAY if self.is_week else _A_DAY

    @property
    def earlier(self) -> str:
        return replace(self, day=self.day - self.step).address

    @property
    def later(self) -> str:
        return replace(self, day=self.day + self.step).address

    @property
    def now(self) -> str:
        return replace(self, day=self.today).address

    @property
    def as_day(self) -> str:
        return replace(self, is_week=False).address

    @property
    def as_week(self) -> str:
        return replace(self, is_week=True).address

    @property
    def other_cancelled(self) -> str:
        return replace(self, with_cancelled=not self.with_cancelled).address

    @property
    def of_everyone(self) -> str:
        return replace(self, person=None).address

    def of_day(self, day: date) -> str:
        return replace(self, day=day, is_week=False).address

    def of_person(self, host_id: int) -> str:
        return replace(self, person=host_id).address


@dataclass(frozen=True, slots=True)
class Shown:
    """An appointment on the board, in the words of the desk."""

    appointment: Appointment
    start: str
    end: str
    who: str
    what: str
    person: str
    dial: str
    phone: str
    is_conflict: bool

    @property
    def css(self) -> str:
        """Return the classes by which it is coloured."""
        return f"is-{self.appointment.state}{' is-conflict' if self.is_conflict else ''}"

    @property
    def address(self) -> str:
        return reverse("admin:bookings_appointment_change", args=[self.appointment.pk])


@dataclass(frozen=True, slots=True)
class Column:
    """A person's day, or in the view of a week a day of the branch."""

    title: str
    address: str
    blocks: Sequence[Block[Shown]]
    closed: Sequence[Span]
    taken: Sequence[Span]
    """Time that is not free though no appointment of the branch is shown there: buffers, other branches, Cal.com."""
    is_today: bool

    @property
    def count(self) -> int:
        return sum(block.content.appointment.state != AppointmentState.CANCELLED for block in self.blocks)


@dataclass(frozen=True, slots=True)
class Board:
    """What the template draws."""

    scale: Scale
    columns: Sequence[Column]
    now: float | None
    """The position of the line for the present moment, where today is shown."""
    is_capped: bool = False

    @property
    def count(self) -> int:
        return sum(column.count for column in self.columns)


def read_board(view: View, now: datetime) -> Board:
    """Read the appointments of the view and the time that else is taken, in three statements."""
    people = list(people_of(view))
    shown = list(appointments_of(view, now, [each.host_id for each in people])[: MOST_SHOWN + 1])
    hosts = _hosts(view, people, shown)
    claims = list(claims_of(hosts, view, now))
    return _Drawing(view, now, hosts, shown[:MOST_SHOWN], claims).board(is_capped=len(shown) > MOST_SHOWN)


def people_of(view: View) -> QuerySet[Staff]:
    """Return the people of the branch, or only the one who sees no others."""
    people = Staff.objects.filter(branch=view.branch, active=True)
    if view.is_own:
        people = people.filter(pk__in=view.own)
    return people.select_related("host").order_by("name", "pk")


def appointments_of(view: View, now: datetime, host_ids: Collection[int]) -> QuerySet[Appointment]:
    """Return the appointments that begin on the shown dates; holds only while they last."""
    states = [*SHOWN, AppointmentState.CANCELLED] if view.with_cancelled else SHOWN
    rows = Appointment.objects.filter(
        ~Q(state=AppointmentState.HELD) | Q(expires_at__gt=now),
        branch=view.branch,
        state__in=states,
        start__gte=view.first,
        start__lt=view.last,
    )
    if view.is_own:
        rows = rows.filter(host__in=host_ids)
    if view.person is not None:
        rows = rows.filter(host=view.person)
    return rows.select_related("service", "host", "event_type").order_by("start", "pk")


def claims_of(hosts: Mapping[int, str], view: View, now: datetime) -> QuerySet[Claim]:
    """Return the time of the hosts that is taken on the shown dates."""
    taken = Claim.objects.overlapping([host for host in hosts if host], view.first, view.last)
    return taken.standing(now).order_by("start", "pk")


def _hosts(view: View, people: Sequence[Staff], shown: Sequence[Appointment]) -> dict[int, str]:
    """Return the hosts with a column, by name: the people of the branch, then others with an appointment there."""
    hosts = {each.host_id: each.name for each in people}
    for each in shown:
        if each.host is not None:
            hosts.setdefault(each.host_id, each.host.name)  # type: ignore[arg-type]
    if view.person is not None:
        return {host: name for host, name in hosts.items() if host == view.person}
    if any(each.host_id is None for each in shown):
        hosts[_NOBODY] = _("Not decided yet")
    return hosts


@dataclass(frozen=True)
class _Drawing:
    """Draws the board of what was read."""

    view: View
    now: datetime
    hosts: Mapping[int, str]
    appointments: Sequence[Appointment]
    claims: Sequence[Claim]

    def board(self, *, is_capped: bool) -> Board:
        # What spans midnight is drawn on the day on which it begins.
        columns = self._days() if self.view.is_week else self._people()
        minute = minute_of(self.now, self.view.today, self.view.zone)
        is_now = self.view.is_today and self.scale.first <= minute <= self.scale.last
        return Board(self.scale, columns, self.scale.at(minute) if is_now else None, is_capped)

    @cached_property
    def scale(self) -> Scale:
        spans = [(each.start, each.end) for entries in self.entries.values() for each in entries]
        opened = [span for day in self.view.days for span in self.opened[day]]
        is_always_open = opened == [(0, 1440)] * len(self.view.days)
        return Scale.around([*spans, *([(8 * 60, 18 * 60)] if is_always_open else opened)])

    @cached_property
    def opened(self) -> dict[date, list[tuple[int, int]]]:
        branch = self.view.branch
        hours = branch.hours()
        return {day: hours.on_clock(day) for day in self.view.days}

    @cached_property
    def entries(self) -> dict[tuple[date, int], list[Entry[Shown]]]:
        """The appointments by date and host."""
        found: dict[tuple[date, int], list[Entry[Shown]]] = defaultdict(list)
        for each in self.appointments:
            day = each.start.astimezone(self.view.zone).date()
            start, end = (minute_of(instant, day, self.view.zone) for instant in (each.start, each.end))
            found[day, each.host_id or _NOBODY].append(Entry(start, max(end, start + 1), self._shown(each)))
        return found

    @cached_property
    def conflicts(self) -> set[int]:
        """The appointments that overlap another one of the same host, as far as one of the two is marked for it."""
        marked = [each for each in self.claims if each.conflicting]
        return {
            other.appointment_id
            for claim in marked
            for other in self.claims
            if other.host_id == claim.host_id and other.start < claim.end and other.end > claim.start
            if other.appointment_id is not None
        }

    def _shown(self, appointment: Appointment) -> Shown:
        zone, host = self.view.zone, appointment.host_id or _NOBODY
        return Shown(
            appointment=appointment,
            start=f"{appointment.start.astimezone(zone):%H:%M}",
            end=f"{appointment.end.astimezone(zone):%H:%M}",
            who=appointment.attendee_name or _("No name"),
            what=appointment.service.name if appointment.service else appointment.event_type.title,
            person=self.hosts.get(host, ""),
            dial=appointment.attendee_phone or "",
            phone=readable(appointment.attendee_phone, self.view.branch.phone_region),
            is_conflict=appointment.pk in self.conflicts,
        )

    def _people(self) -> list[Column]:
        day = self.view.day
        return [
            Column(
                title=name,
                address=self.view.of_person(host) if host and self.view.person is None else self.view.of_everyone,
                blocks=self.scale.place(self.entries[day, host]),
                closed=self.scale.outside(self.opened[day]),
                taken=self._taken(day, host),
                is_today=day == self.view.today,
            )
            for host, name in self.hosts.items()
        ]

    def _days(self) -> list[Column]:
        return [
            Column(
                # Translators: a date as Django's template filter formats it, such as Tue 1 Dec
                title=formats.date_format(day, _("D j M")),
                address=self.view.of_day(day),
                blocks=self.scale.place([each for host in self.hosts for each in self.entries[day, host]]),
                closed=self.scale.outside(self.opened[day]),
                taken=self._taken(day, self.view.person) if self.view.person else [],
                is_today=day == self.view.today,
            )
            for day in self.view.days
        ]

    def _taken(self, day: date, host: int) -> list[Span]:
        midnight = datetime.combine(day, time(), tzinfo=self.view.zone)
        its = [each for each in self.claims if each.host_id == host]
        within = [each for each in its if each.end > midnight and each.start < midnight + _A_DAY]
        zone = self.view.zone
        return [self.scale.span(minute_of(each.start, day, zone), minute_of(each.end, day, zone)) for each in within]
