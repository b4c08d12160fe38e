"""What monitoring keeps: samples, alerts and what is sent about them, signs of life of processes and jobs."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class Sample(models.Model):
    """The value of one metric with one set of labels at one minute, for alerts and charts; counters as they stand."""

    gauge = models.CharField(max_length=80)
    labels = models.JSONField(default=dict, db_default={}, blank=True)
    taken_at = models.DateTimeField(db_default=Now())
    value = models.FloatField()

    class Meta:
        indexes = [
            models.Index(fields=["gauge", "taken_at"], include=["value"], name="sample_of_gauge_by_time"),
            models.Index(fields=["taken_at"], name="sample_prune_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.gauge} = {self.value:g}"


class AlertQuerySet(models.QuerySet["Alert"]):
    """Filters over alerts; they chain."""

    def open(self) -> Self:
        """Return those that are not resolved, the pending ones too."""
        return self.filter(resolved_at=None)

    def firing(self) -> Self:
        """Return those that fired and are not resolved."""
        return self.open().exclude(fired_at=None)


class Alert(models.Model):
    """Something that a person should know: pending, fired, notified, acknowledged, resolved."""

    class Severity(models.TextChoices):
        """Who is woken."""

        WARNING = "warning", "warning"
        CRITICAL = "critical", "critical"

    name = models.CharField(max_length=80)
    subject = models.CharField(max_length=120, blank=True, default="", help_text="which account or queue, by its id")
    severity = models.CharField(max_length=10, choices=Severity)
    message = models.CharField(max_length=300)
    began_at = models.DateTimeField(db_default=Now(), help_text="since when it has held")
    clear_since = models.DateTimeField(null=True, blank=True, help_text="since when it has not held any more")
    fired_at = models.DateTimeField(
        null=True, blank=True, db_default=Now(), help_text="empty while it has not held for long enough"
    )
    notified_at = models.DateTimeField(null=True, blank=True, help_text="when a message was last written about it")
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=150, blank=True, default="", db_default="")
    resolved_at = models.DateTimeField(null=True, blank=True)

    objects = AlertQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["name", "subject"], condition=models.Q(resolved_at__isnull=True), name="alert_open_once"
            ),
        ]
        indexes = [models.Index(fields=["-fired_at"], name="alert_newest")]

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"

    @property
    def runbook(self) -> str:
        """Where it stands what to do."""
        return f"{settings.RUNBOOKS_URL.rstrip('/')}/{self.name}.md"


class Silence(models.Model):
    """Until when no message is sent about an alert. It is evaluated and shown all the same."""

    name = models.CharField(max_length=80, blank=True, default="", help_text="of the alert; empty = all of them")
    subject = models.CharField(max_length=120, blank=True, default="", help_text="empty = all of them")
    until = models.DateTimeField()
    reason = models.CharField(max_length=200, blank=True, default="")
    created_by = models.CharField(max_length=150, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["until"], name="silence_by_end")]

    def __str__(self) -> str:
        return f"{self.name or 'all alerts'} until {self.until:%Y-%m-%d %H:%M} UTC"

    def covers(self, alert: Alert) -> bool:
        """Return whether no message is sent about the alert."""
        return self.name in {"", alert.name} and self.subject in {"", alert.subject}


class Notification(models.Model):
    """A message about alerts to one channel. An outbox row: it is tried again until it is delivered."""

    channel = models.CharField(max_length=16, help_text="hash of the channel's URL, which is a secret")
    severity = models.CharField(max_length=10, choices=Alert.Severity)
    title = models.CharField(max_length=200)
    body = models.TextField()
    created_at = models.DateTimeField(db_default=Now())
    next_attempt_at = models.DateTimeField(db_default=Now())
    attempts = models.PositiveIntegerField(default=0)
    delivered_at = models.DateTimeField(null=True, blank=True)
    given_up_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=models.Q(delivered_at__isnull=True, given_up_at__isnull=True),
                name="notification_pending",
            ),
            models.Index(fields=["created_at"], name="notification_prune_by_age"),
        ]

    def __str__(self) -> str:
        return self.title


class Turn(models.Model):
    """When alerts were last evaluated, of each pace. The process that sets it when it is due evaluates them."""

    pace = models.CharField(max_length=10, primary_key=True)
    taken_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.pace


class Heartbeat(models.Model):
    """The last sign of life of beat, or of a worker of a queue."""

    part = models.CharField(max_length=20, primary_key=True)
    seen_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.part


class JobRun(models.Model):
    """How a job of an account ran last."""

    job = models.CharField(max_length=20)
    account_id = models.BigIntegerField()
    due_since = models.DateTimeField(db_default=Now(), help_text="when it was first expected")
    succeeded_at = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True)
    differences = models.PositiveIntegerField(default=0, help_text="what it found to differ")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "account_id"], name="job_run_once")]

    def __str__(self) -> str:
        return f"{self.job} of account {self.account_id}"
