"""Cal.com accounts, their synced hosts and event types, and the outboxes of webhooks and deferred bookings."""

from datetime import timedelta
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from cachectl.infra.outbox import DEAD_LETTER, OutboxQuerySet, OutboxRow, RetryPolicy
from calcom.day_ranges import SlotFootprint
from calcom.fields import EncryptedTextField, credential_hash
from calcom.http import url_policy
from calcom.types import ListReach, RemoteBooking


class Account(models.Model):
    """A Cal.com account: its URL, credentials and rate limit."""

    name = models.CharField(max_length=100)
    base_url = models.URLField(default="https://api.cal.com")
    api_key = EncryptedTextField(help_text="cal_…; stored encrypted, never shown again")
    webhook_secret = EncryptedTextField(blank=True, default="", help_text="stored encrypted, never shown again")
    requests_per_minute = models.PositiveIntegerField(default=120, help_text="what Cal.com allows this key")
    active = models.BooleanField(default=True)
    owner_calcom_id = models.BigIntegerField(
        null=True, blank=True, editable=False, help_text="whose key it was when the account was last synced or compared"
    )
    owner_checked_for = models.CharField(
        max_length=16, blank=True, default="", db_default="", editable=False, help_text="hash of that key"
    )
    synced_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse a base URL to which no key may be sent, and normalise it."""
        if complaint := url_policy.objection_after_resolution(self.base_url):
            raise ValidationError({"base_url": complaint})
        self.base_url = url_policy.normalised(self.base_url)


class RateLimit(Account):
    """An account on the page of rate limits; a model of its own, for permissions of its own."""

    class Meta:
        proxy = True
        verbose_name = "rate limit and breakers"
        verbose_name_plural = "rate limits and breakers"


class RateLimitPause(models.Model):
    """Until when no request with a credential may be sent (after a 429, or with none remaining)."""

    credential = models.CharField(max_length=16, primary_key=True, help_text="hash of the API key")
    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.credential} until {self.until:%H:%M:%S}"


class KeyRefusal(models.Model):
    """
    Cal.com refuses an account's API key, for reads or for writes.

    A row counts while the account has the key whose hash it stores; a new key is used at once.
    """

    class Kind(models.TextChoices):
        """What is refused: an expired key can still read."""

        READS = "reads", "reads"
        WRITES = "writes", "writes"

    account = models.ForeignKey(Account, models.CASCADE, related_name="key_refusals", db_index=False)
    kind = models.CharField(max_length=6, choices=Kind)
    credential = models.CharField(max_length=16, help_text="hash of the API key")
    refused_at = models.DateTimeField(help_text="first refusal since the key was last accepted")
    next_attempt_at = models.DateTimeField(help_text="until then nothing of this kind is sent")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "kind"], name="key_refusal_by_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of account {self.account_id}"

    @property
    def is_current(self) -> bool:
        """Whether the account still has this key."""
        return self.credential == credential_hash(self.account.api_key)


class HostQuerySet(models.QuerySet["Host"]):
    def named_by(self, booking: RemoteBooking) -> "HostQuerySet":
        """Return the hosts that a booking names, by id or by the address of an attendee."""
        addresses = {person.email for person in booking.people if person.id is None and person.email}
        return self.filter(models.Q(calcom_id__in=booking.host_ids) | models.Q(email__in=addresses))


class Host(models.Model):
    """A person at Cal.com whose time is booked."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="hosts")
    calcom_id = models.BigIntegerField(verbose_name="id at Cal.com")
    name = models.CharField(max_length=200)
    username = models.CharField(max_length=200, blank=True, default="")
    email = models.EmailField(
        blank=True,
        default="",
        db_default="",
        help_text="lower case; recognises a host among attendees",
    )
    time_zone = models.CharField(max_length=64, default="UTC")

    objects = HostQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "calcom_id"], name="host_by_calcom_id"),
        ]

    def __str__(self) -> str:
        return self.name


class EventTypeQuerySet(models.QuerySet["EventType"]):
    def on_hosts(self, host_ids: "models.QuerySet[Host, int] | list[int] | set[int]") -> "EventTypeQuerySet":
        """Return the event types of at least one of the hosts."""
        shared = EventTypeHost.objects.filter(host_id__in=host_ids)
        return self.filter(id__in=shared.values("event_type_id"))


class EventType(models.Model):
    """
    An event type of Cal.com at one length.

    A type with several lengths has a row for each, because the slots depend on the length.
    """

    account = models.ForeignKey(Account, models.CASCADE, related_name="event_types")
    calcom_id = models.BigIntegerField(verbose_name="id at Cal.com")
    length_minutes = models.PositiveIntegerField()
    has_several_lengths = models.BooleanField(
        default=False, help_text="then, and only then, the length is sent along with a booking"
    )
    title = models.CharField(max_length=200)
    slug = models.CharField(max_length=200)
    before_buffer_minutes = models.PositiveIntegerField(default=0)
    after_buffer_minutes = models.PositiveIntegerField(default=0)
    notice_minutes = models.PositiveIntegerField(default=0)
    required_fields = models.JSONField(
        default=list,
        blank=True,
        help_text='booking fields that Cal.com insists on: [{"slug": …, "type": …, "options": […]}]',
    )
    unsupported_reasons = ArrayField(
        models.CharField(max_length=40), default=list, blank=True, help_text="why it cannot be booked through us, if so"
    )
    list_reach = models.CharField(
        max_length=8,
        blank=True,
        default=ListReach.NONE.value,
        db_default="",
        choices=[(reach.value, reach.value or "none") for reach in ListReach],
        help_text="how far around a booking Cal.com's list changes by rules of the event type, such as limits per day",
    )
    limits_each_booker = models.BooleanField(
        default=False, db_default=False, help_text="Cal.com allows each address so many bookings only"
    )
    booking_limits = models.JSONField(
        default=dict,
        db_default={},
        blank=True,
        help_text='how much a period allows: {"count": {"day": 4}, "duration": {"week": 600}}; duration in minutes',
    )
    cancelling_disabled = models.BooleanField(default=False, db_default=False, help_text="Cal.com cancels none of them")
    rescheduling_disabled = models.BooleanField(
        default=False, db_default=False, help_text="callers may not reschedule; Cal.com does not keep us from it"
    )
    rescheduling_notice_minutes = models.PositiveIntegerField(
        default=0, db_default=0, help_text="how long before their start callers may still reschedule"
    )
    active = models.BooleanField(default=True)
    hosts: "models.ManyToManyField[Host, EventTypeHost]" = models.ManyToManyField(
        Host, through="EventTypeHost", related_name="event_types"
    )

    objects = EventTypeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "calcom_id", "length_minutes"], name="event_type_by_calcom_id_and_length"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.title} ({self.length_minutes} min)"

    @property
    def footprint(self) -> SlotFootprint:
        """How much of a host's time a booking takes."""
        return SlotFootprint(self.length_minutes, self.before_buffer_minutes, self.after_buffer_minutes)


class EventTypeHost(models.Model):
    """A host who can serve an event type."""

    event_type = models.ForeignKey(EventType, models.CASCADE, db_index=False)
    host = models.ForeignKey(Host, models.CASCADE, db_index=False)
    fixed = models.BooleanField(
        default=False, db_default=False, help_text="attends each booking, instead of taking turns with others"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["event_type", "host"], include=["fixed"], name="event_type_hosts_of_type"),
        ]
        indexes = [
            models.Index(fields=["host", "event_type"], name="event_type_sharing_host"),
        ]

    def __str__(self) -> str:
        return f"{self.host} serves {self.event_type}"


class WebhookDeliveryQuerySet(OutboxQuerySet["WebhookDelivery"]):
    def pending(self) -> Self:
        """Return those that will be processed."""
        return self.filter(state__in=[WebhookDelivery.State.RECEIVED, WebhookDelivery.State.FAILED])

    def next_of_bookings(self) -> Self:
        """Return those without an earlier pending delivery about the same booking."""
        earlier = WebhookDelivery.objects.pending().filter(
            account=OuterRef("account"), remote_uid=OuterRef("remote_uid"), pk__lt=OuterRef("pk")
        )
        return self.filter(Q(remote_uid="") | ~Exists(earlier))


class WebhookDelivery(OutboxRow):
    """A webhook, stored as received. The rows are the inbox."""

    # 5, 10, 20 s and so on: the last attempt is some ten minutes after the first.
    retry_policy = RetryPolicy(max_attempts=8)

    class State(models.TextChoices):
        RECEIVED = "received", "received"
        DONE = "done", "done"
        IGNORED = "ignored", "kept, nothing to do"
        FAILED = "failed", "will be tried again"
        DEAD_LETTER = DEAD_LETTER, "given up, needs a person"

    account = models.ForeignKey(Account, models.CASCADE, related_name="webhook_deliveries")
    received_at = models.DateTimeField(db_default=Now())
    trigger = models.CharField(max_length=60)
    remote_uid = models.CharField(max_length=100, blank=True, default="", help_text="a secret: never log it")
    identity = models.CharField(
        max_length=64, help_text="SHA-256 over trigger, uid, start, status, seat and earlier uid: one event, one row"
    )
    body = models.JSONField(help_text="without one-time passwords")
    state = models.CharField(max_length=12, choices=State, default=State.RECEIVED)
    finished_at = models.DateTimeField(null=True, blank=True)
    note = models.CharField(max_length=200, blank=True, default="", help_text="what came of it")

    objects = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "webhook deliveries"
        constraints = [
            models.UniqueConstraint(fields=["account", "identity"], name="webhook_delivery_once"),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=models.Q(state__in=["received", "failed"]),
                name="webhook_delivery_pending",
            ),
            models.Index(
                fields=["received_at"],
                condition=models.Q(state="dead_letter"),
                name="webhook_delivery_dead_letter",
            ),
            models.Index(fields=["account", "remote_uid", "received_at"], name="webhook_delivery_of_booking"),
            models.Index(fields=["account", "-received_at"], name="webhook_delivery_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.trigger} {self.pk}"


class Cursor(models.Model):
    """How far polling has read the changes of an account's bookings."""

    account = models.OneToOneField(Account, models.CASCADE, primary_key=True, related_name="cursor")
    read_until = models.DateTimeField(help_text="all changes up to here were read, by Cal.com's clock")
    polled_at = models.DateTimeField(null=True, blank=True, help_text="last time it answered")
    next_poll_at = models.DateTimeField(db_default=Now())
    untold_changes = models.PositiveIntegerField(
        db_default=0, default=0, help_text="changes in a row that polling found and no webhook had told"
    )
    untold_since = models.DateTimeField(null=True, blank=True, help_text="when the first of them was found")

    def __str__(self) -> str:
        return f"cursor {self.pk}"


class DeferredBookingQuerySet(OutboxQuerySet["DeferredBooking"]):
    def pending(self) -> Self:
        """Return those that will be read again."""
        return self.filter(state=DeferredBooking.State.WAITING)


class DeferredBooking(OutboxRow):
    """
    A booking that was read and cannot be applied yet. It is read again, at growing intervals.

    So a poll always advances, and no booking is lost.
    """

    # 30 s, 1, 2, 4 minutes …: the last of ten attempts is some four hours after the first, which the poll made.
    retry_policy = RetryPolicy(first=timedelta(seconds=30), max_attempts=10)

    class State(models.TextChoices):
        WAITING = "waiting", "will be read again"
        DEAD_LETTER = DEAD_LETTER, "given up, needs a person"

    account = models.ForeignKey(Account, models.CASCADE, related_name="deferred_bookings", db_index=False)
    remote_uid = models.CharField(max_length=100, help_text="a secret: never log or show it")
    state = models.CharField(max_length=12, choices=State, default=State.WAITING)
    remote_changed_at = models.DateTimeField(null=True, blank=True, help_text="its last change when it was read, there")
    deferred_at = models.DateTimeField(db_default=Now())

    objects = DeferredBookingQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "remote_uid"], name="deferred_booking_once"),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=models.Q(state="waiting"), name="deferred_booking_by_time"
            ),
        ]

    def __str__(self) -> str:
        return f"deferred booking {self.pk}"
