"""Free times for a person at a desk: three offers by the same search that agents use, and all of one day."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import formats
from django.utils.translation import gettext as _

from bookings.admin.refusals import sentence_of
from bookings.availability.calendar_view import Calendar, open_times
from bookings.availability.criteria import TimeCriteria
from bookings.availability.search import AvailabilityQuery, Status, search
from bookings.errors import BookingError
from bookings.models import Service
from cachectl.infra.deadline import Deadline
from calcom.day_ranges import EPOCH, MINUTE
from calcom.service import CalcomService

_A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Choice:
    """A start that can be chosen."""

    start: datetime
    words: str
    clock: str

    @property
    def value(self) -> str:
        return self.start.isoformat()


@dataclass(frozen=True, slots=True)
class FreeTimes:
    """What can be chosen, and what is said about it where that is not all."""

    offers: Sequence[Choice] = ()
    of_day: Sequence[Choice] = ()
    day: date | None = None
    problem: str = ""
    unverified: bool = field(default=False)
    """Cal.com could not be asked: the times were free when last known."""


def find(
    service: Service,
    calendar: Calendar,
    *,
    near: datetime | None,
    day: date | None,
    calcom: CalcomService,
    now: datetime,
) -> FreeTimes:
    """
    Return three offers near an instant, or soon, and all times of a day where one is asked for.

    At the deadline it is what is known; it never fails because Cal.com does not answer.
    """
    zone, deadline = ZoneInfo(service.branch.time_zone), Deadline.after(settings.BOOKINGS_READ_WAIT)
    if day is not None:
        criteria = TimeCriteria.on([day], zone)
    elif near is not None and near > now:
        criteria = TimeCriteria.at(near)
    else:
        criteria = TimeCriteria.between([(now, now + 14 * _A_DAY)])
    try:
        found = search(AvailabilityQuery(service, [calendar], criteria), now=now, calcom=calcom, deadline=deadline)
        of_day = _starts_of(service, calendar, day, zone, calcom=calcom, deadline=deadline, now=now) if day else []
    except BookingError as exc:
        return FreeTimes(day=day, problem=sentence_of(exc))
    offers = [choice(each.start, zone, now) for each in found.offers]
    problem = ""
    if not offers:
        is_unknown = found.status is Status.DEGRADED
        problem = _("Cal.com could not be asked, so no free times are known.") if is_unknown else _("Nothing is free.")
    return FreeTimes(
        offers, [choice(each, zone, now) for each in of_day], day, problem, unverified=found.status is Status.DEGRADED
    )


def _starts_of(
    service: Service,
    calendar: Calendar,
    day: date,
    zone: ZoneInfo,
    *,
    calcom: CalcomService,
    deadline: Deadline,
    now: datetime,
) -> list[datetime]:
    first, last = (datetime.combine(each, time(), tzinfo=zone) for each in (day, day + _A_DAY))
    view = open_times(
        service=service, calendar=calendar, first=first, last=last, now=now, calcom=calcom, deadline=deadline
    )
    return [EPOCH + start * MINUTE for start in view.starts]


def choice(start: datetime, zone: ZoneInfo, now: datetime) -> Choice:
    """Return a start in words: the day as people name it, and the clock of the branch."""
    local, today = start.astimezone(zone), now.astimezone(zone).date()
    return Choice(start, f"{day_words(local.date(), today)}, {local:%H:%M}", f"{local:%H:%M}")


def day_words(day: date, today: date) -> str:
    """Return a date as people name it: today, tomorrow, else weekday and date."""
    # Translators: a date as Django's template filter formats it, such as Tue 1 Dec
    written = formats.date_format(day, _("D j M"))
    near = {today: _("today"), today + _A_DAY: _("tomorrow")}.get(day)
    return f"{near}, {written}" if near else written
