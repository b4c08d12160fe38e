"""Requests of callers that a person calls them back."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from bookings.caller_input import NameField
from bookings.models.access import AgentKey
from bookings.models.appointments import Appointment
from bookings.models.conversations import Conversation
from bookings.models.ids import callback_id
from bookings.models.tenants import Branch, Company, TenantQuerySet


class CallbackRequest(models.Model):
    """
    A request that staff calls back.

    There is one open request for each `deduplication_key`; once it is done, another may follow.
    """

    class State(models.TextChoices):
        """Whether staff have called."""

        OPEN = "open", "open"
        DONE = "done", "done"

    public_id = models.CharField(max_length=20, unique=True, default=callback_id, editable=False)
    company = models.ForeignKey(Company, models.CASCADE, related_name="callbacks", db_index=False)
    branch = models.ForeignKey(Branch, models.SET_NULL, null=True, blank=True)
    conversation = models.ForeignKey(Conversation, models.SET_NULL, null=True, blank=True)
    appointment = models.ForeignKey(Appointment, models.SET_NULL, null=True, blank=True)
    requested_by = models.ForeignKey(
        AgentKey, models.SET_NULL, null=True, blank=True, related_name="+", help_text="empty = Slotline itself"
    )
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
    done_at = models.DateTimeField(null=True, blank=True)
    done_by = models.CharField(max_length=150, blank=True, default="")

    objects = TenantQuerySet["CallbackRequest"].as_manager()

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
        indexes = [models.Index(fields=["company", "state", "requested_at"], name="callback_open_first")]

    def __str__(self) -> str:
        return self.name or self.phone
