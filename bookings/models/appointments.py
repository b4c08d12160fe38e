"""Appointments, the offers they came from, and the claims on hosts' time."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField, RangeOperators
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchQuery
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from bookings.caller_input import NameField
from bookings.models.base import ClockTimestamp, assign
from bookings.models.catalog import Service, Staff
from bookings.models.conversations import Conversation, Customer
from bookings.models.ids import appointment_id, reference, token
from bookings.models.tenants import Branch, Company, TenantQuerySet
from bookings.names import NameWords, ReversedDigits, digits_of, prefixes
from calcom.models import Account, EventType, Host
from calcom.types import RemoteBooking, RemoteState


class AppointmentState(models.TextChoices):
    """Where an appointment is. Held, pending, awaiting and confirmed are live: they take a host's time."""

    HELD = "held", _("held while the caller decides")
    PENDING = "pending", _("being entered at Cal.com")
    AWAITING = "awaiting_confirmation", _("waits for its host to confirm it")
    CONFIRMED = "confirmed", _("confirmed by Cal.com")
    REJECTED = "rejected", _("refused by Cal.com")
    CANCELLED = "cancelled", _("cancelled")
    EXPIRED = "expired", _("hold ran out, or not confirmed in time")
    COMPLETED = "completed", _("took place")
    NO_SHOW = "no_show", _("the caller did not come")


PLACED_STATES = (AppointmentState.AWAITING, AppointmentState.CONFIRMED)
"""Cal.com has a booking for it that stands."""


LIVE_STATES = (AppointmentState.HELD, AppointmentState.PENDING, *PLACED_STATES)


class AppointmentQuerySet(TenantQuerySet["Appointment"]):
    """Filters over appointments; they chain."""

    def live(self) -> "AppointmentQuerySet":
        """Return those that take a host's time."""
        return self.filter(state__in=LIVE_STATES)

    def held(self) -> "AppointmentQuerySet":
        """Return the holds, also those that ran out and were not swept."""
        return self.filter(state=AppointmentState.HELD)

    def search(self, text: str) -> "AppointmentQuerySet":
        """
        Return those that staff mean by `text`, each by an index.

        A number finds the endings of telephone numbers, an id or a reference its appointment, an address the beginnings
        of addresses, and whatever else the beginnings of words of names.
        """
        if text.startswith("bk_"):
            return self.filter(public_id=text)
        if "@" in text:
            return self.filter(attendee_email__startswith=text.lower())
        if digits := digits_of(text).lstrip("0"):
            return self.alias(digits=ReversedDigits("attendee_phone")).filter(digits__startswith=digits[::-1])
        by_name = Q(name_words=SearchQuery(prefixes(text), search_type="raw", config="simple"))
        return self.alias(name_words=NameWords("attendee_name")).filter(by_name | Q(reference=text.upper()))

    def called(self, *uids: str) -> "AppointmentQuerySet":
        """
        Return those that Cal.com calls so now, or called so before they were moved.

        Fetch them; do not ask whether one `exists()`. For one row, where few were ever moved, PostgreSQL expects to
        meet it soon and reads the table from its beginning: 250 ms of a million rows, not 0.1 (measured 2026-11).
        """
        return self.filter(Q(remote_uid__in=uids) | Q(earlier_remote_uids__overlap=uids))

    def standing(self) -> "AppointmentQuerySet":
        """Return the holds that have not run out this very moment, even if the statement had to wait for a lock."""
        return self.held().filter(expires_at__gt=ClockTimestamp())


class Appointment(models.Model):
    """One appointment, from the hold to the day after."""

    State = AppointmentState

    class Origin(models.TextChoices):
        """Where it was made."""

        AGENT = "agent", _("by a voice agent")
        CALCOM = "calcom", _("at Cal.com")
        STAFF = "staff", _("at the desk")

    public_id = models.CharField(max_length=20, unique=True, default=appointment_id, editable=False)
    reference = models.CharField(max_length=6, default=reference, editable=False, help_text="what a caller can say")
    company = models.ForeignKey(Company, models.CASCADE, related_name="appointments", db_index=False)
    branch = models.ForeignKey(Branch, models.PROTECT, related_name="+", db_index=False)
    service = models.ForeignKey(Service, models.PROTECT, null=True, blank=True, related_name="+", db_index=False)
    event_type = models.ForeignKey(EventType, models.PROTECT, related_name="+")
    host = models.ForeignKey(
        Host, models.PROTECT, null=True, blank=True, related_name="+", help_text="whom Cal.com chose"
    )
    customer = models.ForeignKey(Customer, models.PROTECT, null=True, blank=True, related_name="+", db_index=False)
    conversation = models.ForeignKey(Conversation, models.SET_NULL, null=True, blank=True, related_name="appointments")
    state = models.CharField(max_length=24, choices=AppointmentState)
    origin = models.CharField(max_length=10, choices=Origin, default=Origin.AGENT)
    start = models.DateTimeField()
    end = models.DateTimeField()
    attendee_name = NameField(max_length=200, blank=True, default="")
    attendee_email = models.EmailField(blank=True, default="", help_text="what Cal.com was told; may be synthetic")
    attendee_phone = models.CharField(max_length=20, null=True, blank=True, help_text="E.164")
    language = models.CharField(max_length=10, blank=True, default="")
    notes = models.TextField(blank=True, default="")
    staff_note = models.TextField(blank=True, default="", db_default="", help_text="staff's own; Cal.com is not told")
    answers = models.JSONField(
        default=dict, db_default={}, blank=True, help_text="the caller's answers to booking fields, by slug"
    )
    deduplication_key = models.CharField(
        max_length=64, blank=True, default="", help_text="equal for repeats of one request"
    )
    confirm_token = models.CharField(
        max_length=10,
        null=True,
        blank=True,
        unique=True,
        editable=False,
        help_text="token that confirms its hold",
    )
    remote_uid = models.CharField(max_length=100, blank=True, default="", help_text="a secret: never log or show it")
    earlier_remote_uids = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    merged_into = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="duplicates",
        help_text="the appointment that this duplicate was merged into",
    )
    reschedules = models.PositiveSmallIntegerField(default=0)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="when a hold ends")
    created_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(db_default=Now(), help_text="last time its host's time changed; database clock")

    objects = AppointmentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(end__gt=F("start")), name="appointment_ends_after_start"),
            # Note [One request, one appointment]: a deduplication key binds while its appointment lives. After
            # cancelling, the same slot is booked again under a new idempotency key.
            models.UniqueConstraint(
                fields=["company", "deduplication_key"],
                condition=~Q(deduplication_key="") & Q(state__in=LIVE_STATES),
                name="appointment_deduplication_key_once",
            ),
            models.UniqueConstraint(
                fields=["company", "reference"],
                condition=Q(state__in=LIVE_STATES),
                name="appointment_reference_once",
            ),
            # Not once for all companies: two accounts may see one remote booking, and neither may keep the other from
            # writing its own down.
            models.UniqueConstraint(
                fields=["remote_uid", "company"], condition=~Q(remote_uid=""), name="appointment_by_remote_uid"
            ),
            # A new hold replaces the old one, which is ended first, expired or not.
            models.UniqueConstraint(
                fields=["conversation"], condition=Q(state="held"), name="appointment_held_once_a_conversation"
            ),
        ]
        indexes = [
            models.Index(
                fields=["service", "start"],
                include=["end", "state"],
                condition=Q(state__in=LIVE_STATES),
                name="appointment_live_of_service",
            ),
            models.Index(fields=["branch", "state", "start"], include=["id"], name="appointment_of_branch_by_state"),
            models.Index(
                fields=["customer", "start"],
                include=["id", "state"],
                condition=Q(state__in=LIVE_STATES),
                name="appointment_live_of_customer",
            ),
            models.Index(fields=["company", "-start"], name="appointment_of_company"),
            # Without a list of what is still to be entered: each look-up would read all of it.
            GinIndex(fields=["earlier_remote_uids"], fastupdate=False, name="appointment_by_earlier_uids"),
            models.Index(fields=["expires_at"], condition=Q(state="held"), name="appointment_held_by_expiry"),
            # What the staff's list needs: the newest first, of one state, and what is typed into its search box.
            models.Index(fields=["-start", "-id"], name="appointment_newest"),
            models.Index(fields=["state", "-start", "-id"], name="appointment_newest_by_state"),
            models.Index(fields=["reference"], name="appointment_by_reference"),
            models.Index(fields=["attendee_email"], opclasses=["text_pattern_ops"], name="appointment_by_email"),
            GinIndex(NameWords("attendee_name"), fastupdate=False, name="appointment_by_name_words"),
            models.Index(ReversedDigits("attendee_phone"), name="appointment_by_digits"),
        ]

    def __str__(self) -> str:
        return f"{self.reference} ({self.get_state_display()})"

    @property
    def is_live(self) -> bool:
        """Return whether it takes a host's time."""
        return self.state in LIVE_STATES

    def transition(self, *, to: AppointmentState, **fields: Any) -> bool:
        """
        Change the state from what this object says to `to`, and set `fields`; return whether we won.

        Compare-and-set: of two that try, one wins. The loser's object is stale and must be read again.
        """
        won = Appointment.objects.filter(pk=self.pk, state=self.state).update(state=to, **fields) == 1
        if won:
            assign(self, {"state": to, **fields})
        return won

    def replace_remote(self, remote: RemoteBooking, host_ids: Sequence[int], **fields: Any) -> bool:
        """
        Be the booking that has replaced its own at Cal.com, and set `fields`; return whether we won.

        One that waits for its host makes the appointment wait, too, and an accepted one confirms it. One that does not
        stand there any more has no time: then the appointment keeps its own.

        Compare-and-set on the uid: of two that hear of the same move, one wins. Earlier uids stay known, because late
        messages name them.
        """
        chain = dict.fromkeys([*self.earlier_remote_uids, self.remote_uid, remote.rescheduled_from_uid])
        replaced: dict[str, Any] = {
            "remote_uid": remote.uid,
            "earlier_remote_uids": [uid for uid in chain if uid and uid != remote.uid],
            "changed_at": Now(),
            **fields,
        }
        if remote.state.takes_time or remote.rescheduled_to_uid:
            host_id = host_ids[0] if len(host_ids) == 1 else None
            replaced |= {"start": remote.start, "end": remote.end, "host_id": host_id}
        if remote.state.takes_time:
            is_accepted = remote.state is RemoteState.ACCEPTED
            replaced["state"] = AppointmentState.CONFIRMED if is_accepted else AppointmentState.AWAITING
        same = Appointment.objects.filter(pk=self.pk, state=self.state, remote_uid=self.remote_uid)
        same = same.filter(state__in=PLACED_STATES)
        won = same.update(**replaced) == 1
        if won:
            assign(self, replaced)
        return won

    def confirm_hold(self, **fields: Any) -> bool:
        """Turn a hold that stands this very moment into a pending appointment, and set `fields`; return if it did."""
        booked = {"state": AppointmentState.PENDING, "expires_at": None, "changed_at": Now(), **fields}
        won = Appointment.objects.standing().filter(pk=self.pk).update(**booked) == 1
        if won:
            assign(self, booked)
        return won


def with_buffers(event_type: EventType, start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """Return the time that an appointment takes from its host, buffers included."""
    before = timedelta(minutes=event_type.before_buffer_minutes)
    after = timedelta(minutes=event_type.after_buffer_minutes)
    return start - before, end + after


class SlotToken(models.Model):
    """
    An offer: one slot that an agent was told of, and may hold or book.

    It binds what was offered, from the offer to the booking: company, conversation, service, event type and start; the
    event type has one length. It leads to one booking; while it has not, it may be held again.
    """

    token = models.CharField(max_length=10, unique=True, default=token, editable=False)
    company = models.ForeignKey(Company, models.CASCADE, related_name="+", db_index=False)
    conversation = models.ForeignKey(Conversation, models.CASCADE, null=True, blank=True, related_name="+")
    service = models.ForeignKey(Service, models.CASCADE, related_name="+", db_index=False)
    staff = models.ForeignKey(Staff, models.SET_NULL, null=True, blank=True, related_name="+", db_index=False)
    event_type = models.ForeignKey(EventType, models.CASCADE, related_name="+", db_index=False)
    start = models.DateTimeField()
    issued_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    appointment = models.ForeignKey(
        Appointment,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="offers",
        help_text="the hold or booking made from it last",
    )

    objects = TenantQuerySet["SlotToken"].as_manager()

    class Meta:
        verbose_name = "offer"
        indexes = [models.Index(fields=["expires_at"], name="slot_token_by_expiry")]

    def __str__(self) -> str:
        return f"offer {self.pk}"

    @property
    def end(self) -> datetime:
        """When the appointment would end."""
        return self.start + timedelta(minutes=self.event_type.length_minutes)


class SharedBooking(models.Model):
    """
    A remote booking that another account asked for, and that takes time of this account's hosts.

    Two accounts see one remote booking where their users serve one team event type, or where they are of one Cal.com
    user. The account that asked has the appointment; the other has this row with times and hosts, without attendee. A
    row that has ended is kept, so that a late message does not claim its time again.
    """

    account = models.ForeignKey(Account, models.CASCADE, related_name="+", db_index=False)
    event_type = models.ForeignKey(EventType, models.CASCADE, related_name="+")
    remote_uid = models.CharField(max_length=100, help_text="a secret: never log or show it")
    start = models.DateTimeField()
    end = models.DateTimeField()
    ended = models.BooleanField(default=False, help_text="cancelled or rescheduled: it takes no time any more")
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "remote_uid"], name="shared_booking_by_remote_uid"),
            models.CheckConstraint(condition=Q(end__gt=F("start")), name="shared_booking_ends_after_start"),
        ]
        indexes = [models.Index(fields=["end"], name="shared_booking_by_end")]

    def __str__(self) -> str:
        return f"another account's booking {self.pk}"


class ClaimQuerySet(models.QuerySet["Claim"]):
    """Filters over claims; they chain."""

    def standing(self, now: "datetime | Func") -> "ClaimQuerySet":
        """Return those that hold at `now`: a hold that ran out claims nothing, swept or not."""
        return self.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now))

    def overlapping(
        self, host_ids: "Collection[int] | models.QuerySet[Any, Any]", first: datetime, last: datetime
    ) -> "ClaimQuerySet":
        """Return those that take time of one of the hosts between the instants."""
        return self.filter(host_id__in=host_ids, end__gt=first, start__lt=last)


class Claim(models.Model):
    """
    A host's time that a live appointment takes, buffers included; or a booking that another account has asked for.

    A pending appointment claims every host that Cal.com may choose, and afterwards only the chosen one. Two kinds stand
    outside the constraint: a queued claim, whose appointment waits for another write to be answered, and a claim marked
    `conflicting`, which records what is true at Cal.com although it overlaps, and alerts.
    """

    class Kind(models.TextChoices):
        """How certain it is that the host's time is taken."""

        HELD = "held", "held"
        QUEUED = "queued", "queued behind another write"
        PENDING = "pending", "pending"
        AWAITING = "awaiting", "waits for its host to confirm it"  # Cal.com's list may have it all the same
        CONFIRMED = "confirmed", "confirmed"

    appointment = models.ForeignKey(Appointment, models.CASCADE, null=True, blank=True, related_name="claims")
    shared_booking = models.ForeignKey(
        SharedBooking, models.CASCADE, null=True, blank=True, related_name="claims", help_text="another account's"
    )
    host = models.ForeignKey(Host, models.PROTECT, related_name="+", db_index=False)
    kind = models.CharField(max_length=10, choices=Kind)
    start = models.DateTimeField(help_text="buffer before included")
    end = models.DateTimeField(help_text="buffer after included")
    expires_at = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField(db_default=Now(), help_text="last change of kind or time; database clock")
    conflicting = models.BooleanField(default=False)

    objects = ClaimQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(end__gt=F("start")), name="claim_ends_after_start"),
            models.CheckConstraint(
                condition=Q(appointment__isnull=True, shared_booking__isnull=False)
                | Q(appointment__isnull=False, shared_booking__isnull=True),
                name="claim_of_one",
            ),
            # int8range instead of `host WITH =`: that would need the extension btree_gist (measured 2026-11).
            ExclusionConstraint(
                name="claim_host_time_once",
                expressions=[
                    (Func(F("host_id"), F("host_id"), Value("[]"), function="int8range"), RangeOperators.OVERLAPS),
                    (
                        Func(F("start"), F("end"), function="tstzrange", output_field=DateTimeRangeField()),
                        RangeOperators.OVERLAPS,
                    ),
                ],
                condition=Q(conflicting=False) & ~Q(kind="queued"),
            ),
        ]
        indexes = [
            models.Index(
                fields=["host", "end"],
                include=["start", "kind", "expires_at", "changed_at", "appointment"],
                name="claim_of_host_by_end",
            ),
            models.Index(fields=["host", "start"], condition=Q(conflicting=True), name="claim_conflicting"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"
