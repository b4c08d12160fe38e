"""Alerts that are evaluated on real rows, and the messages about them, at a local webhook and a local mail server."""

import json
import socket
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.db.models import F
from django.utils import timezone

from calcom.resilience import circuit_breaker
from monitoring import alerting, collectors, heartbeats, metrics, notifications, sampling, tasks, watch
from monitoring.models import Alert, Heartbeat, JobRun, Notification, Sample, Silence, Turn
from script.lib.servers import free_port
from tests.factories import Salon
from tests.sinks import Sink, mail_server, webhook

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hook(settings) -> Iterator[Sink]:
    """A webhook that is a channel."""
    with webhook() as sink:
        settings.ALERT_URLS = [*settings.ALERT_URLS, sink.url]
        yield sink


@pytest.fixture
def mail(settings) -> Iterator[Sink]:
    """A mail server that is a channel."""
    with mail_server() as sink:
        settings.ALERT_URLS = [*settings.ALERT_URLS, sink.url]
        yield sink


@pytest.fixture
def account(salon: Salon) -> str:
    """The salon's account, with an open circuit."""
    circuit_breaker.breaker_for(salon.account.api_key, salon.account.pk, circuit_breaker.Kind.READS).open()
    return f"account={salon.account.pk} kind=reads"


def close_circuit(salon: Salon) -> None:
    circuit_breaker.breaker_for(salon.account.api_key, salon.account.pk, circuit_breaker.Kind.READS).close()


def evaluate(*, urgent: bool = True, after: timedelta = timedelta()) -> None:
    """Evaluate once more, as `after` had passed since all that is stored."""
    Turn.objects.update(taken_at=F("taken_at") - timedelta(hours=1))
    for name in ("began_at", "clear_since", "fired_at", "notified_at"):
        Alert.objects.open().update(**{name: F(name) - after})
    collectors.COLLECTORS.clear_cache()
    assert alerting.evaluate(urgent=urgent)
    notifications.deliver()


def test_open_circuit_is_told_once_and_once_more_when_it_is_over(salon: Salon, account: str, hook: Sink) -> None:
    evaluate()
    evaluate()
    close_circuit(salon)
    evaluate()
    evaluate(after=timedelta(minutes=2))

    fired, resolved = map(json.loads, hook.received)
    assert fired["title"] == "[CRITICAL] Slotline: circuit_open"
    assert f"CRITICAL circuit_open ({account}): Cal.com does not answer" in fired["message"]
    assert "docs/runbooks/circuit_open.md" in fired["message"]
    assert resolved["title"] == "[RESOLVED] Slotline: circuit_open"
    alert = Alert.objects.get()
    assert alert.resolved_at is not None
    assert alert.subject == account


def test_message_reaches_a_mail_server(account: str, mail: Sink) -> None:
    evaluate()

    assert len(mail.received) == 1
    assert "Subject: [CRITICAL] Slotline: circuit_open" in mail.received[0]


def test_alert_does_not_end_because_redis_cannot_be_read(account: str, hook: Sink, settings) -> None:
    """An open circuit that cannot be read is not closed."""
    evaluate()
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"

    for _ in range(3):
        evaluate(after=timedelta(minutes=10))

    assert Alert.objects.firing().filter(name="circuit_open", subject=account).exists()


def test_alerts_of_one_moment_are_one_message(salon: Salon, account: str, hook: Sink) -> None:
    for kind in circuit_breaker.Kind:
        circuit_breaker.breaker_for(salon.account.api_key, salon.account.pk, kind).open()

    evaluate()

    assert len(hook.received) == 1
    assert hook.received[0].count("circuit_open (") == 2


def test_failing_channel_loses_no_message_and_delays_no_other(account: str, hook: Sink, mail: Sink) -> None:
    hook.is_down = True
    evaluate()
    assert (len(hook.received), len(mail.received)) == (0, 1)

    hook.is_down = False
    Notification.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    delivered = notifications.deliver()

    assert delivered == 1
    assert (len(hook.received), len(mail.received)) == (1, 1)


def test_failed_attempts_are_further_and_further_apart(account: str, hook: Sink) -> None:
    hook.is_down = True
    waits = []
    for _ in range(4):
        evaluate()
        message = Notification.objects.get()
        waits.append(round((message.next_attempt_at - timezone.now()).total_seconds()))
        Notification.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))

    assert waits == [pytest.approx(each, abs=2) for each in (5, 10, 20, 40)]


def test_message_that_no_channel_took_for_a_day_is_given_up(account: str, hook: Sink) -> None:
    hook.is_down = True
    evaluate()
    Notification.objects.update(created_at=F("created_at") - timedelta(days=2), next_attempt_at=F("created_at"))

    notifications.deliver()

    assert Notification.objects.get().given_up_at is not None


def test_alert_that_lasts_is_told_again_unless_it_is_acknowledged(account: str, hook: Sink) -> None:
    evaluate()
    evaluate(after=timedelta(minutes=30))
    assert len(hook.received) == 1

    evaluate(after=timedelta(minutes=31))
    assert len(hook.received) == 2

    Alert.objects.update(acknowledged_at=timezone.now())
    evaluate(after=timedelta(hours=2))
    assert len(hook.received) == 2


def test_silenced_alert_is_told_when_the_silence_ends(account: str, hook: Sink) -> None:
    Silence.objects.create(name="circuit_open", until=timezone.now() + timedelta(hours=1))
    evaluate()
    assert Alert.objects.firing().exists()
    assert hook.received == []

    Silence.objects.update(until=timezone.now())
    evaluate()

    assert len(hook.received) == 1


@pytest.mark.parametrize(
    ("name", "subject", "covers"),
    [("", "", True), ("a", "", True), ("a", "x=1", True), ("b", "", False), ("a", "x=2", False)],
)
def test_silence_covers_what_it_names(name: str, subject: str, covers: bool) -> None:
    assert Silence(name=name, subject=subject).covers(Alert(name="a", subject="x=1")) is covers


def test_url_of_a_channel_is_in_no_row_and_no_log_line(account: str, hook: Sink, caplog) -> None:
    hook.is_down = True

    evaluate()

    assert Notification.objects.get().attempts == 1
    said = "\n".join(str(record.__dict__) for record in caplog.records)
    assert "alert.notification_failed" in said
    assert "secret" not in said + str(Notification.objects.values())


def test_counter_fires_from_stored_samples(account: str, hook: Sink) -> None:
    """A counter of another process counts: samples are sums."""
    evaluate(urgent=False)
    Sample.objects.update(taken_at=F("taken_at") - timedelta(minutes=1))
    metrics.CALCOM_RATE_LIMITED.inc()

    evaluate(urgent=False)

    alert = Alert.objects.get(name="calcom_rate_limited")
    assert alert.fired_at is not None
    assert Sample.objects.filter(gauge="slotline_calcom_rate_limited_total").count() == 2


def test_healthy_slotline_has_no_alert(salon: Salon, hook: Sink) -> None:
    for _ in range(3):
        evaluate()
        evaluate(urgent=False, after=timedelta(minutes=1))

    assert list(Alert.objects.values_list("name", "subject")) == []
    assert hook.received == []


def test_two_processes_take_turns(salon: Salon) -> None:
    assert alerting.evaluate(urgent=True)

    assert not alerting.evaluate(urgent=True)
    assert alerting.evaluate(urgent=False)


def test_web_evaluates_what_no_worker_has(account: str, hook: Sink) -> None:
    """The broker, beat or all workers are away."""
    alerting.evaluate(urgent=True)
    alerting.evaluate(urgent=False)
    Alert.objects.all().delete()
    Notification.objects.all().delete()
    collectors.COLLECTORS.clear_cache()

    watch.Watch().look()
    assert not Alert.objects.exists()

    Turn.objects.update(taken_at=F("taken_at") - timedelta(seconds=13))
    watch.Watch().look()
    notifications.deliver()
    assert Alert.objects.get().name == "circuit_open"
    assert len(hook.received) == 1


def test_web_goes_on_watching_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> bool:
        raise RuntimeError("PostgreSQL is away")

    web = watch.Watch()
    with monkeypatch.context() as patch:
        patch.setattr(alerting, "evaluate", fail)
        web.look()

    web.look()

    assert set(Turn.objects.values_list("pace", flat=True)) == {"urgent", "minute"}


def test_database_that_is_away_is_told_by_one_process_and_so_is_its_return(
    hook: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> bool:
        raise OperationalError("PostgreSQL is away")

    processes = [watch.Watch(), watch.Watch()]
    with monkeypatch.context() as patch:
        patch.setattr(alerting, "evaluate", fail)
        for _ in range(watch.AWAY_AFTER - 1):
            processes[0].look()
        assert hook.received == []
        for process in processes * watch.AWAY_AFTER:
            process.look()
    for process in processes:
        process.look()

    assert [json.loads(each)["title"] for each in hook.received] == [
        "[CRITICAL] Slotline: database_away",
        "[RESOLVED] Slotline: database_away",
    ]


def test_channel_that_hangs_keeps_no_other_waiting(account: str, hook: Sink, settings) -> None:
    """The channel that hangs comes first, and is waited for by itself."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        settings.ALERT_URLS = [f"json://127.0.0.1:{port}/?rto=1", *settings.ALERT_URLS]
        began = time.monotonic()
        evaluate()

    assert hook.times[0] - began < time.monotonic() - began - 0.5
    assert Notification.objects.filter(delivered_at=None).count() == 1


def test_silent_beat_and_silent_worker_are_told_apart(salon: Salon) -> None:
    for queue in ("cache", "refresh", "bookings", "webhooks", "default"):
        tasks.note_heartbeat(queue=queue)
    Heartbeat.objects.filter(part="refresh").update(seen_at=F("seen_at") - timedelta(minutes=3))

    evaluate(urgent=False)
    assert list(Alert.objects.values_list("name", "subject")) == [("worker_silent", "part=refresh")]

    Heartbeat.objects.update(seen_at=F("seen_at") - timedelta(minutes=3))
    evaluate(urgent=False)
    assert "part=beat" in set(Alert.objects.filter(name="beat_silent").values_list("subject", flat=True))


def test_job_that_failed_or_never_ran_is_told(salon: Salon) -> None:
    heartbeats.job_failed("sync", salon.account.pk)
    heartbeats.job_succeeded("reconciliation", salon.account.pk, differences=3)
    JobRun.objects.update(
        due_since=F("due_since") - timedelta(hours=27), succeeded_at=F("succeeded_at") - timedelta(hours=25)
    )

    evaluate(urgent=False)

    assert set(Alert.objects.values_list("name", flat=True)) == {"sync_failed", "drift", "job_overdue"}


def test_old_samples_messages_and_alerts_are_pruned(salon: Salon, account: str, hook: Sink) -> None:
    evaluate()
    evaluate(urgent=False)
    Alert.objects.update(resolved_at=timezone.now())

    alerting.prune(now=timezone.now() + timedelta(days=1))
    assert (Sample.objects.exists(), Alert.objects.exists(), Notification.objects.exists()) == (True, True, True)
    alerting.prune(now=timezone.now() + timedelta(days=91))

    assert (Sample.objects.exists(), Alert.objects.exists(), Notification.objects.exists()) == (False, False, False)


def test_alert_whose_rule_is_gone_ends(db) -> None:
    for name in ("of_an_earlier_release", "circuit_open"):
        Alert.objects.create(name=name, severity="warning", message="")

    alerting.prune(now=timezone.now())

    assert list(Alert.objects.firing().values_list("name", flat=True)) == ["circuit_open"]


def test_history_holds_the_sample_before_a_window(db) -> None:
    now = timezone.now()
    for minutes in (30, 12, 7, 1):
        Sample.objects.create(
            gauge="slotline_x", labels={"a": "1"}, value=minutes, taken_at=now - timedelta(minutes=minutes)
        )

    history = sampling.history({"slotline_x": timedelta(minutes=10)}, at=now)

    [series] = history["slotline_x"]
    assert series.labels == {"a": "1"}
    assert list(series.values) == [12, 7, 1]
