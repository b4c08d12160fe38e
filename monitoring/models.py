"""What monitoring keeps: a sample of each gauge a minute, and the alerts that fired."""

from django.db import models
from django.db.models.functions import Now


class Sample(models.Model):
    """The value of one gauge at one minute, for the charts."""

    gauge = models.CharField(max_length=80)
    taken_at = models.DateTimeField(db_default=Now())
    value = models.FloatField()

    class Meta:
        indexes = [
            models.Index(fields=["gauge", "taken_at"], include=["value"], name="sample_of_gauge_by_time"),
            models.Index(fields=["taken_at"], name="sample_prune_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.gauge} = {self.value:g}"


class Alert(models.Model):
    """Something that a person should know: fired, notified, acknowledged, resolved."""

    class Severity(models.TextChoices):
        """Who is woken."""

        WARNING = "warning", "warning"
        CRITICAL = "critical", "critical"

    name = models.CharField(max_length=80)
    subject = models.CharField(max_length=120, blank=True, default="", help_text="which account or queue, by its id")
    severity = models.CharField(max_length=10, choices=Severity)
    message = models.CharField(max_length=300)
    fired_at = models.DateTimeField(db_default=Now())
    notified_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["name", "subject"], condition=models.Q(resolved_at__isnull=True), name="alert_open_once"
            ),
        ]
        indexes = [models.Index(fields=["-fired_at"], name="alert_newest")]

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"
