"""Invalidations (an outbox) and warming runs, pruned after 14 days."""

from datetime import timedelta
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from cachectl.infra.outbox import OutboxQuerySet, OutboxRow, RetryPolicy


class CacheInvalidationQuerySet(OutboxQuerySet["CacheInvalidation"]):
    """Filters; they chain."""

    def pending(self) -> Self:
        return self.filter(done_at__isnull=True)


class CacheInvalidation(OutboxRow):
    """
    Days that must be invalidated because something changed.

    The row is written in the transaction of the change, so a crash, a lost message or an unavailable Redis only delays
    the invalidation.
    """

    # Until it is done, however long Redis is away; soon after Redis is back.
    retry_policy = RetryPolicy(longest=timedelta(seconds=20))

    class Cause(models.TextChoices):
        """Why the days changed. Only `OWN` leaves them usable: the change is an appointment we know."""

        OWN = "own", "an appointment of ours"
        ELSEWHERE = "elsewhere", "a change at Cal.com that we do not know in full"
        RULE = "rule", "an appointment of ours, in a list that rules of the event type decide, too"
        REFUSED = "refused", "Cal.com refused a slot it had listed"
        EVENT_TYPE = "event_type", "the event type was changed or deleted at Cal.com"
        COMMAND = "command", "a command or the admin"

    account_id = models.BigIntegerField()  # calcom.Account; cachectl knows no Cal.com
    event_type_ids = ArrayField(models.BigIntegerField())
    first = models.DateField(help_text="UTC date")
    last = models.DateField(help_text="UTC date, inclusive")
    cause = models.CharField(max_length=16, choices=Cause)
    freed = models.BooleanField(
        default=False, db_default=False, help_text="an appointment gave time back, which a cached list may not have"
    )
    created_at = models.DateTimeField(db_default=Now())
    done_at = models.DateTimeField(null=True, blank=True)
    keys_invalidated = models.PositiveIntegerField(null=True, blank=True)
    duration = models.DurationField(null=True, blank=True, help_text="time in Redis")

    objects = CacheInvalidationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(last__gte=models.F("first")), name="cache_invalidation_range_in_order"
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=models.Q(done_at__isnull=True), name="cache_invalidation_pending"
            ),
            models.Index(fields=["account_id", "-created_at"], name="cache_invalidation_newest"),
            models.Index(fields=["created_at"], name="cache_invalidation_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.first} to {self.last}, {len(self.event_type_ids)} event types ({self.get_cause_display()})"

    @property
    def days(self) -> int:
        """Number of days to invalidate, of all its event types."""
        return ((self.last - self.first).days + 1) * len(self.event_type_ids)

    @property
    def age_when_done(self) -> timedelta | None:
        """Time from the change to the invalidation; None while it is pending."""
        return self.done_at - self.created_at if self.done_at else None


class Warming(models.Model):
    """One run of `warm_calcom_cache` on one account."""

    class Stop(models.TextChoices):
        """Why a run ended before it had loaded everything."""

        BUDGET = "budget", "callers needed the budget of requests"
        TIME = "time", "its time was over"
        ANOTHER = "another", "another warming of the account was running"
        SOURCE = "source", "the calendar could not be asked"
        REDIS = "redis", "Redis did not answer"
        INTERRUPTED = "interrupted", "it was interrupted"
        KILLED = "killed", "it was killed"

    started_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)
    account_id = models.BigIntegerField(null=True, blank=True)
    planned = models.PositiveIntegerField(default=0, help_text="event types that were worth a request")
    event_types = models.PositiveIntegerField(default=0, help_text="of these, the ones that are fresh now")
    days = models.PositiveIntegerField(default=0, help_text="days that were loaded")
    requests = models.PositiveIntegerField(default=0, help_text="requests that were answered")
    failures = models.PositiveIntegerField(default=0, help_text="event types that could not be loaded")
    stopped_early = models.CharField(max_length=100, choices=Stop, blank=True, default="", help_text="why, if it was")

    class Meta:
        indexes = [models.Index(fields=["-started_at"], name="warming_newest")]

    def __str__(self) -> str:
        return f"{self.event_types} event types, {self.requests} requests"

    @property
    def broke(self) -> bool:
        """Whether something failed, beyond loading less than planned."""
        return self.failures > 0 or self.stopped_early in _BROKEN


_BROKEN = {Warming.Stop.SOURCE, Warming.Stop.REDIS, Warming.Stop.INTERRUPTED, Warming.Stop.KILLED}
