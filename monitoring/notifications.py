"""
Messages about alerts: e-mail, Slack, Teams, PagerDuty, webhooks and whatever else `apprise` knows by a URL.

A message is a row for each channel of ALERT_URLS, written with the alert's own and tried again until it is delivered.
So a channel that fails loses nothing and keeps no other waiting; nor does evaluation wait for one.
"""

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from datetime import datetime, timedelta
from functools import cache

import apprise
import structlog
from django.conf import settings
from django.db import connections
from django.db.models import F, Min, Q
from django.db.models.functions import Now

from monitoring import metrics
from monitoring.collectors import Reading
from monitoring.models import Alert, Notification, Silence

log = structlog.get_logger(__name__)

# After which time an alert that fires and is not acknowledged is told again.
REPEATED_AFTER = {Alert.Severity.CRITICAL: timedelta(hours=1), Alert.Severity.WARNING: timedelta(hours=4)}
# A channel that fails is tried again after 5, 10, 20 s and so on, at most this far apart, for a day.
FIRST_RETRY, LONGEST_RETRY = timedelta(seconds=5), timedelta(minutes=10)
GIVEN_UP_AFTER = timedelta(days=1)
# How long one process has for one attempt; then another may make it.
LEASE = timedelta(seconds=60)
KEPT = timedelta(days=14)
MOST_AT_ONCE = 16
_TYPES = {
    Alert.Severity.CRITICAL: apprise.NotifyType.FAILURE,
    Alert.Severity.WARNING: apprise.NotifyType.WARNING,
}


def write(changed: Sequence[Alert], *, now: datetime) -> None:
    """
    Write down what is to be told, in the transaction that is open: one message for all alerts of one moment.

    Alerts that have fired or are resolved are told, and those that fire for long again. A silenced alert is told when
    the silence ends, if it still fires; one that a person has acknowledged is not repeated.
    """
    silences = list(Silence.objects.filter(until__gt=now))
    open_alerts = Alert.objects.firing().filter(acknowledged_at=None)
    told = [each for each in open_alerts if _is_due(each, now) and not any(one.covers(each) for one in silences)]
    resolved = [each for each in changed if each.resolved_at and each.notified_at]
    resolved = [each for each in resolved if not any(one.covers(each) for one in silences)]
    if not (told or resolved):
        return
    Alert.objects.filter(pk__in=[each.pk for each in told]).update(notified_at=now)
    severity = max((each.severity for each in told), key=_rank, default=Alert.Severity.WARNING)
    title, body = _title(told, resolved), "\n\n".join(map(_paragraph, [*told, *resolved]))
    Notification.objects.bulk_create(
        [Notification(channel=channel, severity=severity, title=title[:200], body=body) for channel in channels()]
    )


def deliver_soon() -> None:
    """Deliver what is due on a thread of its own, without waiting for it; unless one still does."""
    if _latest and not _latest[-1].done():
        return
    _latest[:] = [_courier().submit(_deliver_quietly)]


def deliver() -> int:
    """Send what is due, and return how many messages were delivered. Safe to run in several processes at once."""
    due = Notification.objects.filter(_pending(), next_attempt_at__lte=Now()).order_by("pk")
    mine = [message for message in due[:MOST_AT_ONCE] if _claim(message)]
    with ThreadPoolExecutor(max_workers=MOST_AT_ONCE) as pool:  # none waits for a channel that hangs
        outcomes = {pool.submit(_send, channels().get(each.channel), each): each for each in mine}
        return sum(_finish(outcomes[future], delivered=future.result()) for future in as_completed(outcomes))


def tell_at_once(title: str, body: str) -> None:
    """Send a message to each channel without writing it down: for when PostgreSQL is away. Tried once."""
    message = Notification(severity=Alert.Severity.CRITICAL, title=title, body=body)
    for url in settings.ALERT_URLS:
        if not _send(url, message):
            log.warning("alert.notification_failed", kind=_kind(url), attempts=1)


def channels() -> dict[str, str]:
    """Return the URLs of all channels by their hash."""
    return {hashlib.sha256(url.encode()).hexdigest()[:16]: url for url in settings.ALERT_URLS}


def try_channels() -> list[tuple[str, bool]]:
    """Send a message to each channel at once; return the kind of each, and whether it took it."""
    message = Notification(
        severity=Alert.Severity.WARNING, title="[TEST] Slotline: alerts reach you", body="Nothing is to be done."
    )
    return [(_kind(url), _send(url, message)) for url in settings.ALERT_URLS]


def collect() -> Iterable[Reading]:
    """Read for how long the oldest message has not been delivered."""
    age = Notification.objects.filter(_pending()).aggregate(age=Now() - Min("created_at"))["age"]
    yield metrics.NOTIFICATIONS_OVERDUE_SECONDS.at(age.total_seconds() if age else 0)


def prune(*, now: datetime) -> None:
    """Delete messages that are of no use any more."""
    Notification.objects.filter(created_at__lt=now - KEPT).delete()


def _kind(url: str) -> str:
    """Return what may be shown of a channel: mailto, slack."""
    return url.partition(":")[0].lower()


def _pending() -> Q:
    return Q(delivered_at=None, given_up_at=None)


def _is_due(alert: Alert, now: datetime) -> bool:
    repeated_after = REPEATED_AFTER[Alert.Severity(alert.severity)]
    return alert.notified_at is None or alert.notified_at <= now - repeated_after


def _rank(severity: str) -> int:
    return list(Alert.Severity.values).index(severity)


def _title(told: Sequence[Alert], resolved: Sequence[Alert]) -> str:
    worst = max((each.severity for each in told), key=_rank, default="resolved").upper()
    names = dict.fromkeys(each.name for each in (told or resolved))
    return f"[{worst}] Slotline: {', '.join(names)}"


def _paragraph(alert: Alert) -> str:
    subject = f" ({alert.subject})" if alert.subject else ""
    if alert.resolved_at is not None:
        lasted = alert.resolved_at - (alert.fired_at or alert.began_at)
        return f"RESOLVED {alert.name}{subject} after {round(lasted.total_seconds() / 60)} min: {alert.message}"
    since = f"{alert.began_at:%Y-%m-%d %H:%M:%S} UTC"
    return (
        f"{alert.severity.upper()} {alert.name}{subject}: {alert.message}.\nSince {since}. What to do: {alert.runbook}"
    )


def _claim(message: Notification) -> bool:
    """Return whether this process makes the next attempt: compare-and-set."""
    same = Notification.objects.filter(_pending(), pk=message.pk, attempts=message.attempts)
    return same.update(attempts=F("attempts") + 1, next_attempt_at=Now() + LEASE) == 1


def _finish(message: Notification, *, delivered: bool) -> bool:
    """Write down what came of an attempt."""
    url = channels().get(message.channel)
    metrics.NOTIFICATIONS.labels("delivered" if delivered else "failed").inc()
    row = Notification.objects.filter(pk=message.pk)
    if delivered:
        row.update(delivered_at=Now())
    elif url is None:
        row.update(given_up_at=Now())  # the channel is not in use any more
    else:
        row.update(next_attempt_at=Now() + min(FIRST_RETRY * 2 ** min(message.attempts, 20), LONGEST_RETRY))
        row.filter(created_at__lt=Now() - GIVEN_UP_AFTER).update(given_up_at=Now())
        log.warning("alert.notification_failed", kind=_kind(url), attempts=message.attempts + 1)
    return delivered


def _send(url: str | None, message: Notification) -> bool:
    """Return whether the channel took it. Connecting and reading have time-outs of 4 s each, apprise's own."""
    if url is None:
        return False
    channel = apprise.Apprise()
    try:
        kind = _TYPES[Alert.Severity(message.severity)]
        resolved = message.title.startswith("[RESOLVED]")
        return channel.add(url) and bool(
            channel.notify(
                title=message.title,
                body=message.body,
                notify_type=apprise.NotifyType.SUCCESS if resolved else kind,
                body_format=apprise.NotifyFormat.TEXT,
            )
        )
    except Exception as exc:  # noqa: BLE001  whatever a channel raises, the message is tried again
        log.warning("alert.channel_raised", error_type=type(exc).__name__)
        return False


_latest: list[Future[None]] = []


@cache
def _courier() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="notifications")


def _deliver_quietly() -> None:
    try:
        deliver()
    except Exception as exc:  # noqa: BLE001  the next evaluation tries again
        log.warning("alert.notifications_not_sent", error_type=type(exc).__name__)
    finally:
        connections.close_all()
