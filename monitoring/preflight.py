"""
What must be so before callers are sent to a deployment: settings, the probes of `/health`, and what apps register.

A check returns what it found, or raises `Unhealthy` with what is wrong and what to do about it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.conf import settings
from django.core import checks

from monitoring import collectors
from monitoring.collectors import Unhealthy
from monitoring.models import Alert, Heartbeat, JobRun


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the list."""

    name: str
    ok: bool
    detail: str


_CHECKS: dict[str, Callable[[], str]] = {}


def register_check(name: str, check: Callable[[], str]) -> None:
    """Register a check of an app, in place of one of that name."""
    _CHECKS[name] = check


def items() -> Iterator[Item]:
    """Yield every line in order: settings, the probes, then the checks."""
    yield _settings()
    for answer in collectors.PROBES.answers():
        yield Item(answer.name, not answer.problem, answer.problem or "answers")
    for name, check in _CHECKS.items():
        try:
            yield Item(name, True, check())
        except Unhealthy as exc:
            yield Item(name, False, str(exc))


def _settings() -> Item:
    found = [
        f"{message.id}: {message.msg.split('. ')[0]}"
        for message in checks.run_checks(include_deployment_checks=True)
        if not message.is_silenced() and message.level >= checks.WARNING
    ]
    return Item("settings", not found, "; ".join(found) or "in order for production (check --deploy)")


def alert_channels() -> str:
    """Tell how many channels alerts go to."""
    if not settings.ALERT_URLS:
        raise Unhealthy("no one is told of alerts: set ALERT_URLS, then try it with manage.py test_alerts")
    return f"{len(settings.ALERT_URLS)} configured; manage.py test_alerts tries them"


def figures() -> str:
    """Tell whether Prometheus can read metrics through the proxy."""
    if settings.BEHIND_TLS_PROXY and not settings.MONITORING_TOKEN:
        raise Unhealthy("behind a proxy /metrics needs MONITORING_TOKEN: script/secrets makes one")
    return "/metrics and /performance-metrics can be read"


def signs_of_life() -> str:
    """Tell that beat and the workers of every queue have ever run against this database."""
    seen = set(Heartbeat.objects.values_list("part", flat=True))
    if not seen:
        raise Unhealthy("neither beat nor a worker has run: start them, each queue has its own (docs/operations.md)")
    return f"seen: {', '.join(sorted(seen))}"


def nightly_jobs() -> str:
    """Tell whether sync and reconciliation have succeeded for every account they were expected for."""
    never = JobRun.objects.filter(succeeded_at__isnull=True).order_by("account_id", "job")
    if missing := [str(row) for row in never]:
        raise Unhealthy(
            f"never succeeded: {', '.join(missing)}; install docs/deploy/crontab, and run them once by hand"
        )
    return f"{JobRun.objects.count()} have succeeded at least once"


def open_alerts() -> str:
    """Tell of alerts that are firing now."""
    firing = sorted(Alert.objects.filter(resolved_at__isnull=True).values_list("name", flat=True))
    if firing:
        raise Unhealthy(f"firing: {', '.join(firing)}; docs/runbooks has a page for each")
    return "none is firing"


def register() -> None:
    register_check("alert channels", alert_channels)
    register_check("metrics", figures)
    register_check("processes", signs_of_life)
    register_check("nightly jobs", nightly_jobs)
    register_check("alerts", open_alerts)
