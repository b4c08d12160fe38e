"""Operations on appointments: create, reschedule, cancel; audit trail and outbox in one."""

import time
from datetime import timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models, transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from bookings.models.access import AgentKey
from bookings.models.appointments import Appointment, Claim
from bookings.models.base import assign
from bookings.models.ids import operation_id
from bookings.models.tenants import Company, TenantQuerySet
from cachectl.infra import wakeups
from cachectl.infra.outbox import OutboxQuerySet, OutboxRow


class OperationState(models.TextChoices):
    """
    The state of an operation. Only `sending` (after a crash) and `unknown` need a look-up; `queued` can be sent.

    `awaiting` is not open: Cal.com has answered, and the host decides, told by webhook or poll. It ends at the start.
    """

    QUEUED = "queued", "not sent yet"
    SENDING = "sending", "sent, no answer yet"
    DONE = "done", "done"
    REFUSED = "refused", "refused"
    UNKNOWN = "unknown", "outcome not known yet"
    AWAITING = "awaiting", "waits for the host to confirm"


OPEN_STATES = (OperationState.QUEUED, OperationState.SENDING, OperationState.UNKNOWN)


# Absence at Cal.com is proven only by a look-up that began this long after the last send: a slow receiver of webhooks
# alone made a booking take 20 s (recorded 2026-11-21).
LOOKUP_DELAY = timedelta(seconds=30)


class OperationQuerySet(TenantQuerySet["Operation"], OutboxQuerySet["Operation"]):  # type: ignore[override]  # as_manager
    """Filters over operations; they chain."""

    def open(self) -> Self:
        """Return those whose outcome is not known."""
        return self.filter(state__in=OPEN_STATES)

    def pending(self) -> Self:
        """Return those that are open, and those that their host has not decided."""
        return self.filter(state__in=(*OPEN_STATES, OperationState.AWAITING))

    def with_timing(self) -> "OperationQuerySet":
        """Annotate what follows from the database's clock: see the attributes of `Operation`."""
        in_line = Claim.objects.filter(appointment=OuterRef("appointment"), kind=Claim.Kind.QUEUED)
        return self.annotate(  # type: ignore[no-redef]  # declared on `Operation`
            is_silent=Q(sent_at__isnull=False, sent_at__lte=Now() - LOOKUP_DELAY),
            is_late=Q(new_start__lte=Now()) | Q(new_start__isnull=True, appointment__start__lte=Now()),
            is_in_line=Exists(in_line),
            is_awaited=Q(client_deadline_at__isnull=False, client_deadline_at__gt=Now()),
        )


class Operation(OutboxRow):
    """
    One creation, reschedule or cancellation of an appointment: who requested it, its state and its outcome.

    Audit trail and outbox in one: a row that is not final is processed until it is.
    """

    State = OperationState

    class Kind(models.TextChoices):
        """What is requested of Cal.com."""

        CREATE = "create", "create"
        RESCHEDULE = "reschedule", "reschedule"
        CANCEL = "cancel", "cancel"

    public_id = models.CharField(max_length=20, unique=True, default=operation_id, editable=False)
    company = models.ForeignKey(Company, models.CASCADE, related_name="+", db_index=False)
    appointment = models.ForeignKey(Appointment, models.CASCADE, related_name="operations", db_index=False)
    kind = models.CharField(max_length=10, choices=Kind)
    state = models.CharField(max_length=10, choices=OperationState, default=OperationState.QUEUED)
    new_start = models.DateTimeField(null=True, blank=True, help_text="the time to reschedule to")
    reason = models.CharField(max_length=300, blank=True, default="")
    requested_by = models.ForeignKey(AgentKey, models.SET_NULL, null=True, blank=True, related_name="+")
    person = models.ForeignKey(
        *(settings.AUTH_USER_MODEL, models.SET_NULL),
        null=True,
        blank=True,
        related_name="+",
        help_text="who requested it in the admin",
    )
    idempotency_key = models.CharField(max_length=255, blank=True, default="")
    request_digest = models.CharField(
        max_length=64, blank=True, default="", help_text="SHA-256 of the request sent with that key"
    )
    attempts = models.PositiveSmallIntegerField(default=0, help_text="number of times it was sent")
    inconclusive_answers = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="responses that did not settle it; their number is bounded"
    )
    requested_at = models.DateTimeField(db_default=Now())
    client_deadline_at = models.DateTimeField(
        null=True, blank=True, help_text="until when the client waits for the outcome"
    )
    sent_at = models.DateTimeField(null=True, blank=True, help_text="last time it was sent to Cal.com")
    finished_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=60, blank=True, default="", help_text="why it was refused, if it was")
    duration = models.DurationField(null=True, blank=True, help_text="time that Cal.com took")

    # On rows from `with_timing` only.
    is_silent: bool
    """The last send is so long ago that a look-up proves absence."""
    is_late: bool
    """The appointment should have begun."""
    is_in_line: bool
    """It is queued behind another write, and may not be sent before that is answered."""
    is_awaited: bool
    """The client still waits for the answer."""
    written_at: float | None = None
    """When this process committed it, on its monotonic clock; None for a row that it read."""

    objects = OperationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["appointment"],
                condition=Q(state__in=["queued", "sending", "unknown"]),
                name="operation_open_once",
            ),
            models.UniqueConstraint(
                fields=["appointment"],
                condition=Q(kind="cancel") & ~Q(state="refused"),
                name="operation_cancel_once",
            ),
            models.UniqueConstraint(
                fields=["company", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="operation_idempotency_key_once",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(state__in=["queued", "sending", "unknown", "awaiting"]),
                name="operation_open_by_time",
            ),
            models.Index(fields=["appointment", "requested_at"], name="operation_of_appointment"),
            models.Index(fields=["company", "-requested_at"], name="operation_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} ({self.get_state_display()})"

    @property
    def requester(self) -> str:
        """The name of the person or of the agent's key that requested it; empty if neither is known any more."""
        if self.person is not None:
            return self.person.get_full_name() or self.person.get_username()
        return self.requested_by.name if self.requested_by else ""

    def transition(self, *, to: OperationState, **fields: Any) -> bool:
        """
        Change the state from what this object says to `to`, and set `fields`. Returns False if another writer won.

        Compare-and-set. Attempts are compared, too: an operation that was sent again is another one. Call it through
        `scheduling.settling`, which counts operations that end.
        """
        same = Operation.objects.filter(pk=self.pk, state=self.state, attempts=self.attempts)
        won = same.update(state=to, **fields) == 1
        if won:
            assign(self, {"state": to, **fields})
            if to not in OPEN_STATES:
                self._wake_waiting()
        return won

    def close(self, *, to: OperationState, **fields: Any) -> bool:
        """End it from whichever open state it is in, and set `fields`. Returns False if it was not open."""
        ended = {"state": to, "finished_at": Now(), **fields}
        won = Operation.objects.open().filter(pk=self.pk).update(**ended) == 1
        if won:
            assign(self, ended)
            self._wake_waiting()
        return won

    def _wake_waiting(self) -> None:
        transaction.on_commit(lambda: wakeups.wake(self.public_id), robust=True)

    def just_written(self, *, in_line: bool) -> Self:
        """Set on a row that was just committed what `with_timing` would annotate."""
        self.is_silent, self.is_late, self.is_in_line, self.is_awaited = False, False, in_line, True
        self.written_at = time.monotonic()
        return self
