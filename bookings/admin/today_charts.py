"""The last 24 hours of a company as charts: from its own rows, and from the samples that alerts look at."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Count, Value
from django.db.models.functions import TruncHour
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from bookings.models import Company, Conversation, Operation, OperationState
from monitoring import sampling
from monitoring.alert_forms import History, Quantile, Ratio, Selector, of

HOURS = 24
OPTIONS = json.dumps(
    {
        "animation": False,
        "maintainAspectRatio": False,
        "plugins": {"legend": {"display": False}},
        "scales": {
            "x": {"grid": {"display": False}, "ticks": {"maxRotation": 0, "autoSkip": True, "maxTicksLimit": 7}},
            "y": {"beginAtZero": True, "ticks": {"precision": 0, "maxTicksLimit": 4}},
        },
    }
)
"""How Chart.js draws them; django-unfold's own options have no axis with figures."""
_HOUR = timedelta(hours=1)
# What is sampled each minute is read at these moments: enough for a line of a day.
_EVERY = timedelta(minutes=30)
_ANSWERS = of("slotline_availability_answers_total", source="fresh|stale|loaded|collapsed|expired|missing")
_WITHOUT_WAITING = of("slotline_availability_answers_total", source="fresh|stale")
# Levels that all values exceed: the forms of alerts return values only where they do.
_SHARE = Ratio(_WITHOUT_WAITING, _ANSWERS, _HOUR, ">", -1.0, least=1)
_P95 = Quantile(of("slotline_calcom_request_seconds", operation="create_booking"), 0.95, _HOUR, -1.0, least=1)


@dataclass(frozen=True, slots=True)
class Chart:
    """Figures of the last 24 hours, one an hour."""

    title: str | Promise
    newest: str
    """What is said beside the title."""
    kind: str
    """bar or line."""
    data: str
    """JSON, as Chart.js takes it."""
    is_empty: bool


def read(company: Company, zone: str, now: datetime) -> list[Chart]:
    """Return the charts, in two statements."""
    first = now.replace(minute=0, second=0, microsecond=0) - (HOURS - 1) * _HOUR
    hours = [first + number * _HOUR for number in range(HOURS)]
    counted = _counted(company, first)
    spent = of("slotline_rate_spent", account=str(company.account_id))
    history = sampling.at_moments(
        [*_SHARE.selectors, *_P95.selectors, spent], since=first - _HOUR, until=now, every=_EVERY
    )
    ends = [min(hour + _HOUR, now) for hour in hours]
    labels = [f"{hour.astimezone(ZoneInfo(zone)).hour}:00" for hour in hours]
    calls, bookings = ([counted.get((kind, hour), 0) for hour in hours] for kind in ("call", "booking"))
    share = [_percent(_value(_SHARE, history, end)) for end in ends]
    slowest = [_value(_P95, history, end) for end in ends]
    return [
        _bars(gettext_lazy("Calls"), labels, calls),
        _bars(gettext_lazy("Bookings"), labels, bookings),
        _line(gettext_lazy("Answers without waiting"), labels, share, "%"),
        _line(gettext_lazy("Cal.com's time for a booking (p95)"), labels, slowest, " s"),
        _line(gettext_lazy("Requests a minute"), labels, [_newest(spent, history, end) for end in ends], ""),
    ]


def _counted(company: Company, first: datetime) -> dict[tuple[str, datetime], int]:
    """Return the number of calls and of bookings by the hour in which they began."""
    calls = Conversation.objects.of(company).filter(started_at__gte=first)
    created = Operation.objects.of(company).filter(
        requested_at__gte=first, kind=Operation.Kind.CREATE, state__in=(OperationState.DONE, OperationState.AWAITING)
    )
    by_hour = [
        rows.order_by()
        .annotate(what=Value(kind), hour=TruncHour(at))
        .values("what", "hour")
        .annotate(number=Count("pk"))
        for rows, kind, at in ((calls, "call", "started_at"), (created, "booking", "requested_at"))
    ]
    both = (
        by_hour[0]
        .values_list("what", "hour", "number")
        .union(by_hour[1].values_list("what", "hour", "number"), all=True)
    )
    return {(what, hour): number for what, hour, number in both}


def _value(form: Ratio | Quantile, history: History, end: datetime) -> float | None:
    value = form.firing(history, end.timestamp()).get(())
    return None if value is None else round(value, 2)


def _newest(what: Selector, history: History, end: datetime) -> float | None:
    values = [series.newest(end.timestamp(), _HOUR) for series in what.of(history)]
    return max((value for value in values if value is not None), default=None)


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share)


def _bars(title: str | Promise, labels: Sequence[str], values: Sequence[int]) -> Chart:
    total = sum(values)
    return Chart(title, str(total), "bar", _data(title, labels, values), is_empty=not total)


def _line(title: str | Promise, labels: Sequence[str], values: Sequence[float | None], unit: str) -> Chart:
    known = [value for value in values if value is not None]
    newest = f"{known[-1]:g}{unit}" if known else _("nothing measured")
    return Chart(title, newest, "line", _data(title, labels, values), is_empty=not known)


def _data(title: str | Promise, labels: Sequence[str], values: Sequence[float | None]) -> str:
    drawn: Mapping[str, object] = {
        "label": str(title),
        "data": values,
        "backgroundColor": "var(--color-primary-500)",
        "borderColor": "var(--color-primary-500)",
        "spanGaps": True,
        "pointRadius": 2,
    }
    return json.dumps({"labels": labels, "datasets": [drawn]})
