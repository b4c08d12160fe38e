"""
Alerts are evaluated, kept and told of.

Beat has a worker do it; where none has for a while, a thread of web does (`monitoring/watch.py`). A row of PostgreSQL
says whose turn it is, so that two never do it at once, and Redis and the broker are not needed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from monitoring import metrics, notifications, sampling
from monitoring.alert_forms import Absence, History, Subject
from monitoring.alerts import EVERY, RULES, URGENT_EVERY, Rule
from monitoring.collectors import Reading
from monitoring.models import Alert, Turn

log = structlog.get_logger(__name__)

# Beat's ticks are not even: a turn is due a little before its time has passed.
_TOLERANCE = 0.8
KEPT = timedelta(days=90)


@dataclass(slots=True)
class Status:
    """Where an alert stands, as in Prometheus."""

    began_at: datetime
    fired_at: datetime | None = None
    clear_since: datetime | None = None
    resolved_at: datetime | None = None


def advance(rule: Rule, status: Status | None, *, holds: bool, now: datetime) -> Status | None:
    """Return where an alert stands after one more evaluation; None where there is none, or it never fired."""
    if holds:
        status = status or Status(began_at=now)
        status.clear_since = None
        if status.fired_at is None and now - status.began_at >= rule.lasting:
            status.fired_at = now
        return status
    if status is None or status.fired_at is None:
        return None
    status.clear_since = status.clear_since or now
    if now - status.clear_since >= rule.keeping:
        status.resolved_at = now
    return status


def evaluate(*, urgent: bool, unless_within: timedelta | None = None) -> bool:
    """
    Evaluate the alerts of one pace, and write down what is to be told. Returns False if it is not time.

    `unless_within`: not if another process has done so within that time.
    """
    every = URGENT_EVERY if urgent else EVERY
    pace = "urgent" if urgent else "minute"
    if not _take_turn(pace, unless_within or every * _TOLERANCE):
        return False
    rules = [rule for rule in RULES if rule.urgent == urgent]
    reading = sampling.read()
    with transaction.atomic():
        # The next turn waits here for this one.
        now = Turn.objects.select_for_update().annotate(now=Now()).get(pace=pace).now
        history = sampling.live(reading, at=now) if urgent else _recorded(reading, now)
        read = {each.metric for each in reading.values}
        known = [rule for rule in rules if reading.is_complete or _is_known(rule, read)]
        changed = [alert for rule in known for alert in _keep(rule, history, now)]
        notifications.write(changed, now=now)
    for alert in changed:
        log.warning("alert.resolved" if alert.resolved_at else "alert.fired", alert=alert.name)
    return True


def prune(*, now: datetime) -> None:
    """Delete alerts that were resolved long ago, and samples and messages of no use; end alerts without a rule."""
    Alert.objects.open().exclude(name__in=[rule.name for rule in RULES]).update(resolved_at=now)
    Alert.objects.filter(resolved_at__lt=now - KEPT).delete()
    sampling.prune(now=now)
    notifications.prune(now=now)


def collect() -> Iterable[Reading]:
    """Read how many alerts fire, and when they were last evaluated."""
    firing = list(Alert.objects.firing().values_list("severity", "acknowledged_at"))
    for severity in Alert.Severity.values:
        for taken in (False, True):
            count = sum(each == severity and (at is not None) == taken for each, at in firing)
            yield metrics.ALERTS.at(count, severity, "yes" if taken else "no")
    latest = Turn.objects.annotate(age=Now() - F("taken_at")).order_by("-taken_at").first()
    if latest is not None:
        yield metrics.ALERTS_EVALUATED_AGE_SECONDS.at(latest.age.total_seconds())
    yield from notifications.collect()


def spelled(subject: Subject) -> str:
    """Return a subject as it is stored and shown: account=1 kind=reads."""
    return " ".join(f"{name}={word}" for name, word in subject)[:120]


def _take_turn(pace: str, pause: timedelta) -> bool:
    due = Turn.objects.filter(pace=pace, taken_at__lte=Now() - pause)
    if due.update(taken_at=Now()):
        return True
    if Turn.objects.filter(pace=pace).exists():
        return False
    return bool(Turn.objects.bulk_create([Turn(pace=pace)], ignore_conflicts=True))


def _recorded(reading: sampling.Reading, now: datetime) -> History:
    """Store a sample of what is looked at, and return what is stored."""
    reaches: dict[str, timedelta] = {}
    for rule in RULES:
        for selector in rule.form.selectors:
            reaches[selector.metric] = max(rule.form.reach, reaches.get(selector.metric, timedelta()))
    sampling.store(reading, [selector for rule in RULES for selector in rule.form.selectors], at=now)
    return sampling.history(reaches, at=now)


def _is_known(rule: Rule, read: Iterable[str]) -> bool:
    """Return whether what a rule looks at could be read. Where it could not, its alerts stay as they are."""
    return isinstance(rule.form, Absence) or all(selector.metric in read for selector in rule.form.selectors)


def _keep(rule: Rule, history: History, now: datetime) -> Sequence[Alert]:
    """Bring the rows of a rule up to date, and return those that have fired or are resolved now."""
    firing = {spelled(subject): value for subject, value in rule.form.firing(history, now.timestamp()).items()}
    rows = {alert.subject: alert for alert in Alert.objects.open().filter(name=rule.name)}
    changed = []
    for subject in sorted({*firing, *rows}):
        alert = rows.get(subject) or Alert(name=rule.name, subject=subject, fired_at=None)
        had_fired = alert.fired_at is not None
        _move(rule, alert, now, firing.get(subject))
        if (alert.fired_at is not None) != had_fired or alert.resolved_at is not None:
            changed.append(alert)
    return changed


def _move(rule: Rule, alert: Alert, now: datetime, value: float | None) -> None:
    """Advance one alert; `value` is what fires it. What staff enter into a row at the same time is not touched."""
    before = Status(alert.began_at, alert.fired_at, alert.clear_since) if alert.pk else None
    status = advance(rule, before, holds=value is not None, now=now)
    if status is None:
        if alert.pk:
            alert.delete()
        return
    after: dict[str, Any] = {"severity": rule.severity, **asdict(status)}
    if value is not None and alert.fired_at is None:  # the value with which it fired
        after["message"] = f"{rule.summary} ({value:.4g})"[:300]
    after = {name: new for name, new in after.items() if alert.pk is None or getattr(alert, name) != new}
    for name, new in after.items():
        setattr(alert, name, new)
    if alert.pk is None:
        alert.save()
    elif after:
        alert.save(update_fields=list(after))
