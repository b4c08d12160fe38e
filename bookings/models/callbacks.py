"""Requests of callers that a person calls them back."""

from datetime import datetime

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from bookings.caller_input import NameField
from bookings.models.access import AgentKey
from bookings.models.appointments import Appointment
from bookings.models.conversations import Conversation
from bookings.models.ids import callback_id
from bookings.models.tenants import Branch, Company, TenantQuerySet
from bookings.names import digits_of

WAITS_SINCE = Coalesce(F("again_at"), F("opened_at"), F("requested_at"))


class CallbackQuerySet(TenantQuerySet["CallbackRequest"]):
    """Filters over callback requests; they chain."""

    def open(self) -> "CallbackQuerySet":
        """Return those that staff have not finished."""
        return self.filter(state=CallbackRequest.State.OPEN)

    def due(self, now: datetime) -> "CallbackQuerySet":
        """Return the open ones that are not put off."""
        return self.open().filter(Q(again_at__isnull=True) | Q(again_at__lte=now))

    def by_waiting(self, *before: str) -> "CallbackQuerySet":
        """Order them by the instant from which they wait, after the columns `before`."""
        return self.order_by(*before, WAITS_SINCE, "pk")

    def search(self, text: str) -> "CallbackQuerySet":
        """Return those that staff mean by `text`: an ending of the number, an id, a reference, or words."""
        if digits := digits_of(text).lstrip("0"):
            return self.filter(phone__endswith=digits)
        by_id = Q(public_id=text) | Q(appointment__reference=text.upper())
        return self.filter(by_id | Q(name__icontains=text) | Q(topic__icontains=text))


class CallbackRequest(models.Model):
    """
    A request that staff calls back.

    There is one open request for each `deduplication_key`; once it is done, another may follow.
    """

    class State(models.TextChoices):
        """Whether staff have called."""

        OPEN = "open", _("open")
        WAITING = "waiting", _("waits for an earlier time")
        DONE = "done", _("done")

    public_id = models.CharField(max_length=20, unique=True, default=callback_id, editable=False)
    company = models.ForeignKey(Company, models.CASCADE, related_name="callbacks", db_index=False)
    branch = models.ForeignKey(Branch, models.SET_NULL, null=True, blank=True)
    conversation = models.ForeignKey(Conversation, models.SET_NULL, null=True, blank=True)
    appointment = models.ForeignKey(Appointment, models.SET_NULL, null=True, blank=True)
    requested_by = models.ForeignKey(
        AgentKey, models.SET_NULL, null=True, blank=True, related_name="+", help_text="empty = Slotline itself"
    )
    held = models.ForeignKey(
        *(Appointment, models.SET_NULL),
        null=True,
        blank=True,
        related_name="+",
        help_text="the earlier time that is held for a caller of the waiting list",
    )
    opened_at = models.DateTimeField(null=True, blank=True, help_text="when an earlier time opened for them")
    name = NameField(max_length=200, blank=True, default="")
    phone = models.CharField(max_length=20, help_text="E.164")
    language = models.CharField(max_length=10, blank=True, default="", help_text="what the caller spoke")
    topic = models.TextField(blank=True, default="")
    deduplication_key = models.CharField(
        max_length=64, blank=True, default="", editable=False, help_text="equal for repeats of one request"
    )
    idempotency_key = models.CharField(max_length=255, blank=True, default="", editable=False)
    request_digest = models.CharField(
        max_length=64, blank=True, default="", editable=False, help_text="SHA-256 of the request sent with that key"
    )
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    requested_at = models.DateTimeField(db_default=Now())
    taken_at = models.DateTimeField(null=True, blank=True)
    taken_by = models.CharField(max_length=150, blank=True, default="", db_default="", help_text="who calls")
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0, help_text="calls in which no one answered")
    again_at = models.DateTimeField(null=True, blank=True, help_text="when they are called again; not before")
    done_at = models.DateTimeField(null=True, blank=True)
    done_by = models.CharField(max_length=150, blank=True, default="")
    note = models.CharField(max_length=300, blank=True, default="", db_default="", help_text="what came of it")

    objects = CallbackQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["company", "deduplication_key"],
                condition=~Q(deduplication_key="") & Q(state="open"),
                name="callback_open_once",
            ),
            models.UniqueConstraint(
                fields=["company", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="callback_idempotency_key_once",
            ),
        ]
        indexes = [
            models.Index(fields=["company", "state", "requested_at"], name="callback_open_first"),
            models.Index(fields=["requested_at"], condition=Q(state="waiting"), name="callback_waiting_first"),
        ]

    def __str__(self) -> str:
        return self.name or self.phone

    @property
    def waits_since(self) -> datetime:
        """When staff had to call first: when it was made, a time opened for it, or it is to be called again."""
        return self.again_at or self.opened_at or self.requested_at
