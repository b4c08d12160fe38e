"""
Tenants, what they offer, who called, and what was booked.

Tenancy by construction: each query starts with `Model.objects.of(company)`, and the company comes from the API key.
What is true of one row lives here: constraints and transitions. Appointments change in `wish` and `mirror` only.
"""

import hashlib
import secrets
import time
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Self, TypeVar
from zoneinfo import available_timezones

import phonenumbers
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField, RangeOperators
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchQuery
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Exists, F, Func, OuterRef, Q, Value
from django.db.models.functions import Now

from bookings import figures
from bookings.constraints import LANGUAGES, AreClosures, AreHours, IsTimeZone
from bookings.hours import Hours
from bookings.names import NameWords, ReversedDigits, digits_of, prefixes
from bookings.said import NameField
from cachectl.infra import wakeups
from cachectl.infra.outbox import OutboxQuerySet, OutboxRow
from calcom.crypto import EncryptedTextField
from calcom.models import Account, EventType, Host
from calcom.types import PHONE_FIELDS, Obstacle, RemoteBooking, RemoteState, RequiredField

ID_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford base32: no I, L, O, U
MAX_FOUND = 1_000
"""Rows that a search looks through on its way to the rows it is about."""
REFERENCE_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # what can be said on a phone: no 0, O, 1, I


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def appointment_id() -> str:
    """Return a new public id of an appointment, such as bk_7K3QX9M2TA4PWJ5R."""
    return f"bk_{_random(ID_ALPHABET, 16)}"


def conversation_id() -> str:
    """Return a new public id of a conversation."""
    return f"cv_{_random(ID_ALPHABET, 16)}"


def operation_id() -> str:
    """Return a new public id of a change, under which its outcome can be asked for."""
    return f"op_{_random(ID_ALPHABET, 16)}"


def callback_id() -> str:
    """Return a new public id of a callback."""
    return f"cb_{_random(ID_ALPHABET, 16)}"


def token() -> str:
    """Return a new token: what an agent is given to name an offer or a hold by. Nobody can guess one."""
    return _random(ID_ALPHABET, 10)


def reference() -> str:
    """Return a new reference that a caller can say and an agent can hear."""
    return _random(REFERENCE_ALPHABET, 6)


def digest_of(key: str) -> str:
    """Return what is stored of an agent's key. A plain hash will do: the key is random, nobody can guess at it."""
    return hashlib.sha256(key.encode()).hexdigest()


def _adopt(row: models.Model, fields: dict[str, Any]) -> None:
    """Give `row` what an UPDATE gave it; what the database worked out is read when somebody asks for it."""
    for name, value in fields.items():
        if hasattr(value, "resolve_expression"):
            row.__dict__.pop(name, None)
        else:
            setattr(row, name, value)


class ClockTimestamp(Func):
    """The database's clock this moment. `Now()` is when the statement began, which may have waited for a lock since."""

    function = "clock_timestamp"
    output_field = models.DateTimeField()


M = TypeVar("M", bound=models.Model)


class TenantQuerySet(models.QuerySet[M]):
    """A query that starts at the company. `path` says how the model reaches it."""

    path = "company"

    def of(self, company: "Company | int") -> "TenantQuerySet[M]":
        """Return the rows of `company` only, which may be named by its primary key."""
        return self.filter(**{self.path: company})


class BranchTenantQuerySet(TenantQuerySet[M]):
    """The same for models that belong to a branch."""

    path = "branch__company"


class Company(models.Model):
    """A tenant: one business, its branches, its customers, its agents."""

    name = models.CharField(max_length=100)
    slug = models.SlugField(unique=True)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name="Cal.com account")
    active = models.BooleanField(default=True)
    cancel_notice_hours = models.PositiveSmallIntegerField(
        default=0, help_text="how long before its start an appointment can still be cancelled or moved by phone"
    )
    max_moves = models.PositiveSmallIntegerField(default=5, help_text="how often one appointment may be moved by phone")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "companies"

    def __str__(self) -> str:
        return self.name


def valid_zone(name: str) -> None:
    """Refuse what is no IANA name of a time zone."""
    if name not in available_timezones():
        raise ValidationError("It must be an IANA name such as Europe/Berlin.")


def valid_region(code: str) -> None:
    """Refuse what is no region that telephone numbers are known of."""
    if code not in phonenumbers.SUPPORTED_REGIONS:
        raise ValidationError("It must be the two letters of a country, such as DE.")


class Branch(models.Model):
    """A place with its own time zone, hours and language."""

    company = models.ForeignKey(Company, models.CASCADE, related_name="branches")
    name = models.CharField(max_length=100)
    time_zone = models.CharField(
        max_length=64, validators=[valid_zone], help_text="IANA name, such as Europe/Berlin; decides what “today” is"
    )
    language = models.CharField(
        max_length=10, default="en", choices=LANGUAGES, help_text="what callers hear unless they ask"
    )
    phone_region = models.CharField(
        max_length=2,
        default="DE",
        validators=[valid_region],
        help_text="how numbers without country code are read: two letters, such as DE",
    )
    opening_hours = models.JSONField(
        default=dict,
        blank=True,
        help_text='by weekday, local times: {"mon": [["09:00", "18:00"]]}; empty = whatever Cal.com offers',
    )
    closures = models.JSONField(
        default=list, blank=True, help_text='local dates, inclusive: [{"first": "2026-12-24", "last": "2026-12-26"}]'
    )

    objects = TenantQuerySet["Branch"].as_manager()

    class Meta:
        verbose_name_plural = "branches"
        constraints = [
            models.UniqueConstraint(fields=["company", "name"], name="branch_name_once"),
            # What would be a 500 in the middle of a call, or an answer in another language, whoever wrote it.
            models.CheckConstraint(condition=IsTimeZone("time_zone"), name="branch_time_zone_known"),
            models.CheckConstraint(
                condition=Q(language__in=[tag for tag, _ in LANGUAGES]), name="branch_language_known"
            ),
            models.CheckConstraint(condition=Q(phone_region__regex="^[A-Z]{2}$"), name="branch_phone_region_code"),
            models.CheckConstraint(condition=AreHours("opening_hours"), name="branch_hours_readable"),
            models.CheckConstraint(condition=AreClosures("closures"), name="branch_closures_readable"),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse hours that cannot be read, or that overlap."""
        try:
            Hours.parse("UTC", self.opening_hours, self.closures)
        except ValueError as exc:
            raise ValidationError(str(exc)) from exc


class Service(models.Model):
    """What callers ask for, and the event type that books it."""

    branch = models.ForeignKey(Branch, models.CASCADE, related_name="services", db_index=False)
    event_type = models.ForeignKey(EventType, models.PROTECT, related_name="+")
    name = models.CharField(max_length=100, help_text="as it is spoken")
    aliases = ArrayField(models.CharField(max_length=100), default=list, blank=True, help_text="what callers also say")
    duration_minutes = models.PositiveIntegerField()
    notice_minutes = models.PositiveIntegerField(default=0, help_text="how soon a caller may come, at the earliest")
    horizon_days = models.PositiveIntegerField(default=90, help_text="how far ahead a caller may book")
    field_defaults = models.JSONField(
        default=dict,
        blank=True,
        help_text="one answer for all callers to booking fields that Cal.com requires: {slug: value}. Callers are asked"
        " for the other ones; fields for the caller's phone number get the caller's",
    )
    active = models.BooleanField(default=True)

    objects = BranchTenantQuerySet["Service"].as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["branch", "name"], name="service_name_once"),
        ]
        indexes = [
            models.Index(
                fields=["branch", "duration_minutes"],
                include=["id"],
                condition=Q(active=True),
                name="service_active_by_length",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse an event type that is somebody else's, or of another length than what is spoken."""
        if self.event_type.account_id != self.branch.company.account_id:
            raise ValidationError({"event_type": "It belongs to another company's Cal.com account."})
        if self.event_type.length_minutes != self.duration_minutes:
            raise ValidationError(
                {"duration_minutes": f"The event type takes {self.event_type.length_minutes} minutes."}
            )

    def obstacle(self, event_type: EventType | None = None) -> str:
        """
        Return in one sentence for staff why it cannot be booked through us; empty if it can.

        `event_type` is what books it with one person, where that is meant.
        """
        event_type = event_type or self.event_type
        if not (self.active and event_type.active):
            return f"“{self}” is switched off, here or at Cal.com."
        if event_type.cannot_serve:
            reasons = "; ".join(Obstacle(reason).sentence for reason in event_type.cannot_serve)
            return f"“{self}” cannot be booked by phone: {reasons}."
        wrong = [field["slug"] for field in event_type.required_fields if not self._may_answer(field)]
        if wrong:
            return f"Cal.com does not accept the answer that “{self}” gives to {', '.join(wrong)}: change or remove it."
        return ""

    def _may_answer(self, field: RequiredField) -> bool:
        """Return whether staff's answer to the field is one; without any, the caller is asked."""
        slug, options = field["slug"], field.get("options")
        if slug in PHONE_FIELDS or slug not in self.field_defaults:
            return True
        answer = self.field_defaults[slug]
        chosen = answer if isinstance(answer, list) else [answer]
        return bool(chosen) and all(each in options if options else each not in (None, "") for each in chosen)


class Staff(models.Model):
    """A person that callers ask for by name, and the host that Cal.com books."""

    branch = models.ForeignKey(Branch, models.CASCADE, related_name="staff")
    host = models.ForeignKey(Host, models.PROTECT, related_name="+")
    name = models.CharField(max_length=100, help_text="as it is spoken")
    aliases = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    active = models.BooleanField(default=True)

    objects = BranchTenantQuerySet["Staff"].as_manager()

    class Meta:
        verbose_name_plural = "staff"
        constraints = [
            models.UniqueConstraint(fields=["branch", "host"], name="staff_host_once"),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse a host that is somebody else's."""
        if self.host.account_id != self.branch.company.account_id:
            raise ValidationError({"host": "It belongs to another company's Cal.com account."})


class StaffService(models.Model):
    """The event type that books a service with one person only, where Cal.com has one."""

    staff = models.ForeignKey(Staff, models.CASCADE, related_name="own_services")
    service = models.ForeignKey(Service, models.CASCADE, related_name="by_staff")
    event_type = models.ForeignKey(EventType, models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["service", "staff"], name="staff_service_once"),
        ]

    def __str__(self) -> str:
        return f"{self.service} with {self.staff}"

    def clean(self) -> None:
        """Refuse what would book another person, or another branch's service."""
        if self.staff.branch_id != self.service.branch_id:
            raise ValidationError({"service": "It is another branch's."})
        if list(self.event_type.hosts.values_list("pk", flat=True)) != [self.staff.host_id]:
            raise ValidationError({"event_type": f"It is not served by {self.staff} alone."})


class CustomerQuerySet(TenantQuerySet["Customer"]):
    """Filters over customers."""

    def search(self, text: str) -> "CustomerQuerySet":
        """Return those that staff mean by `text`: an ending of their number, a beginning of their address or name."""
        if "@" in text:
            return self.filter(email__startswith=text.lower())
        if digits := digits_of(text).lstrip("0"):
            return self.alias(digits=ReversedDigits("phone")).filter(digits__startswith=digits[::-1])
        by_name = SearchQuery(prefixes(text), search_type="raw", config="simple")
        return self.alias(name_words=NameWords("name")).filter(name_words=by_name)


class Customer(models.Model):
    """Somebody who called, as one company knows them."""

    company = models.ForeignKey(Company, models.CASCADE, related_name="customers")
    name = NameField(max_length=200, blank=True, default="")
    phone = models.CharField(max_length=20, null=True, blank=True, help_text="E.164")
    email = models.EmailField(null=True, blank=True)
    language = models.CharField(max_length=10, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())

    objects = CustomerQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["email"], opclasses=["text_pattern_ops"], name="customer_by_email"),
            GinIndex(NameWords("name"), fastupdate=False, name="customer_by_name_words"),
            models.Index(ReversedDigits("phone"), name="customer_by_digits"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["company", "phone"], condition=Q(phone__isnull=False), name="customer_phone_once"
            ),
            models.UniqueConstraint(
                fields=["company", "email"], condition=Q(email__isnull=False), name="customer_email_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name or f"customer {self.pk}"


class AgentKeyQuerySet(TenantQuerySet["AgentKey"]):
    """Filters over keys."""

    def issue(self, *, key: str = "", **fields: Any) -> "tuple[AgentKey, str]":
        """Create a key with `fields`; return it and its text, which nobody can read again."""
        agent_key = self.model(**fields)
        text = agent_key.give_text(key)
        agent_key.save(using=self.db)
        return agent_key, text

    def valid(self, key: str) -> "AgentKeyQuerySet":
        """Return the one that `key` names, unless it is revoked or its company is no longer served."""
        return self.filter(digest=digest_of(key), revoked_at__isnull=True, company__active=True)


class AgentKey(models.Model):
    """What a voice agent shows us. The key itself is shown once and stored as a digest."""

    class Scope(models.TextChoices):
        """What a key may do."""

        READ = "availability:read", "ask for services and free slots"
        BOOK = "bookings:write", "book, move and cancel"
        SEE = "bookings:read", "read bookings"
        CALL_BACK = "callbacks:write", "ask that a person calls back"
        VOUCH = "callers:identify", "say who is calling: the number comes from the network, never from a model"

    company = models.ForeignKey(Company, models.CASCADE, related_name="agent_keys")
    branch = models.ForeignKey(Branch, models.CASCADE, null=True, blank=True, help_text="empty = all branches")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12, editable=False, help_text="its first characters, to recognise it by")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = ArrayField(models.CharField(max_length=30, choices=Scope), default=list)
    platform_secrets = EncryptedTextField(
        blank=True, default="", help_text="JSON: what voice platforms sign with; stored encrypted"
    )
    created_at = models.DateTimeField(db_default=Now())
    revoked_at = models.DateTimeField(null=True, blank=True)

    shown_once = ""
    """The key itself, on an object that was just given one; it is stored nowhere."""

    objects = AgentKeyQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def give_text(self, text: str = "") -> str:
        """Give it a text of its own and return it: the row keeps only what recognises it."""
        text = text or f"sl_{secrets.token_urlsafe(32)}"
        self.prefix, self.digest = text[:8], digest_of(text)
        return text


class ConversationQuerySet(TenantQuerySet["Conversation"]):
    """Filters over conversations."""

    def search(self, text: str) -> "ConversationQuerySet":
        """Return those that staff mean by `text`: one of its ids, an ending of the caller's number, or their name."""
        if digits := digits_of(text).lstrip("0"):
            return self.alias(digits=ReversedDigits("caller_phone")).filter(digits__startswith=digits[::-1])
        found = self.filter(Q(public_id=text) | Q(call_id=text))
        return found if found.exists() else self.filter(customer__in=Customer.objects.search(text)[:MAX_FOUND])


class Conversation(models.Model):
    """One phone call."""

    public_id = models.CharField(max_length=20, unique=True, default=conversation_id, editable=False)
    company = models.ForeignKey(Company, models.CASCADE, related_name="conversations", db_index=False)
    branch = models.ForeignKey(Branch, models.SET_NULL, null=True, blank=True)
    agent_key = models.ForeignKey(AgentKey, models.SET_NULL, null=True, blank=True)
    customer = models.ForeignKey(Customer, models.SET_NULL, null=True, blank=True)
    platform = models.CharField(max_length=20, blank=True, default="")
    call_id = models.CharField(max_length=120, blank=True, default="", help_text="what the platform calls it")
    caller_phone = models.CharField(max_length=20, null=True, blank=True, help_text="E.164, from a trusted source")
    language = models.CharField(max_length=10, blank=True, default="")
    failed_proofs = models.PositiveSmallIntegerField(
        default=0, help_text="how often its caller said something wrong about who they are"
    )
    started_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(
        db_default=Now(), editable=False, help_text="when its agent last asked something, a minute early at most"
    )
    ended_at = models.DateTimeField(null=True, blank=True, help_text="from then on it opens no appointments")

    objects = ConversationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["company", "platform", "call_id"], condition=~Q(call_id=""), name="conversation_call_once"
            ),
        ]
        indexes = [
            models.Index(fields=["company", "-started_at"], name="conversation_newest"),
            models.Index(fields=["last_seen_at"], condition=Q(ended_at__isnull=True), name="conversation_silent"),
            models.Index(fields=["call_id"], name="conversation_by_call_id"),
            models.Index(ReversedDigits("caller_phone"), name="conversation_by_digits"),
        ]

    def __str__(self) -> str:
        return self.public_id


class ToolCall(models.Model):
    """What an agent asked in a conversation, what it was told, how long it took and where the data came from."""

    company = models.ForeignKey(Company, models.CASCADE, related_name="+", db_index=False)
    conversation = models.ForeignKey(Conversation, models.CASCADE, null=True, blank=True, related_name="tool_calls")
    operation = models.CharField(max_length=60)
    asked = models.JSONField(default=dict)
    answered = models.JSONField(default=dict)
    status = models.PositiveSmallIntegerField()
    cache_status = models.CharField(max_length=80, blank=True, default="")
    took = models.DurationField()
    called_at = models.DateTimeField(db_default=Now())

    objects = TenantQuerySet["ToolCall"].as_manager()

    class Meta:
        indexes = [models.Index(fields=["company", "-called_at"], name="tool_call_newest")]

    def __str__(self) -> str:
        return f"{self.operation} → {self.status}"


class AppointmentState(models.TextChoices):
    """Where an appointment is. Held, pending, awaiting and confirmed are live: they take a host's time."""

    HELD = "held", "held while the caller decides"
    PENDING = "pending", "being entered at Cal.com"
    AWAITING = "awaiting_confirmation", "waits for its host to confirm it"
    CONFIRMED = "confirmed", "confirmed by Cal.com"
    REJECTED = "rejected", "refused by Cal.com"
    CANCELLED = "cancelled", "cancelled"
    EXPIRED = "expired", "hold ran out, or not confirmed in time"
    COMPLETED = "completed", "took place"
    NO_SHOW = "no_show", "the caller did not come"


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

        AGENT = "agent", "by a voice agent"
        CALCOM = "calcom", "at Cal.com"

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
    answers = models.JSONField(
        default=dict, db_default={}, blank=True, help_text="the caller's answers to booking fields, by slug"
    )
    wish = models.CharField(max_length=64, blank=True, default="", help_text="identity of what was asked for; see Note")
    confirm_token = models.CharField(
        max_length=10,
        null=True,
        blank=True,
        unique=True,
        editable=False,
        help_text="what turns its hold into a booking",
    )
    remote_uid = models.CharField(max_length=100, blank=True, default="", help_text="a secret: never log or show it")
    earlier_remote_uids = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    merged_into = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="twins",
        help_text="the appointment that began its chain of uids, and has all of it now",
    )
    moves = models.PositiveSmallIntegerField(default=0)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="when a hold ends")
    created_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(db_default=Now(), help_text="last time its host's time changed; database clock")

    objects = AppointmentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(end__gt=F("start")), name="appointment_ends_after_start"),
            # Note [One wish, one appointment]: a wish binds while its appointment lives. After cancelling, the same
            # slot is booked again under a new key.
            models.UniqueConstraint(
                fields=["company", "wish"],
                condition=~Q(wish="") & Q(state__in=LIVE_STATES),
                name="appointment_wish_once",
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
            # A new hold replaces the old one, so whoever holds ends the old one first, run out or not.
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

    def move_on(self, *, to: AppointmentState, **fields: Any) -> bool:
        """
        Change the state from what this object says to `to`, and set `fields`; return whether we won.

        Compare-and-set: of two that try, one wins. The loser's object is stale and must be read again.
        """
        won = Appointment.objects.filter(pk=self.pk, state=self.state).update(state=to, **fields) == 1
        if won:
            _adopt(self, {"state": to, **fields})
        return won

    def become(self, remote: RemoteBooking, host_ids: Sequence[int], **fields: Any) -> bool:
        """
        Be the booking that has replaced its own at Cal.com, and set `fields`; return whether we won.

        One that waits for its host makes the appointment wait, too, and an accepted one confirms it. One that does not
        stand there any more has no time: then the appointment keeps its own.

        Compare-and-set on the uid: of two that hear of the same move, one wins. Earlier uids stay known, because late
        messages name them.
        """
        chain = dict.fromkeys([*self.earlier_remote_uids, self.remote_uid, remote.moved_from_uid])
        become: dict[str, Any] = {
            "remote_uid": remote.uid,
            "earlier_remote_uids": [uid for uid in chain if uid and uid != remote.uid],
            "changed_at": Now(),
            **fields,
        }
        if remote.state.takes_time or remote.moved_to_uid:
            host_id = host_ids[0] if len(host_ids) == 1 else None
            become |= {"start": remote.start, "end": remote.end, "host_id": host_id}
        if remote.state.takes_time:
            is_accepted = remote.state is RemoteState.ACCEPTED
            become["state"] = AppointmentState.CONFIRMED if is_accepted else AppointmentState.AWAITING
        same = Appointment.objects.filter(pk=self.pk, state=self.state, remote_uid=self.remote_uid)
        same = same.filter(state__in=PLACED_STATES)
        won = same.update(**become) == 1
        if won:
            _adopt(self, become)
        return won

    def consume(self, **fields: Any) -> bool:
        """Turn a hold that stands this very moment into a pending appointment, and set `fields`; return if it did."""
        booked = {"state": AppointmentState.PENDING, "expires_at": None, "changed_at": Now(), **fields}
        won = Appointment.objects.standing().filter(pk=self.pk).update(**booked) == 1
        if won:
            _adopt(self, booked)
        return won


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
        Appointment, models.CASCADE, null=True, blank=True, related_name="offers", help_text="what it led to last"
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
    user. The account that asked has the appointment; the other knows this: times and hosts, and nobody who comes. A row
    that has ended is kept, so that a late message does not claim its time again.
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
        QUEUED = "queued", "waiting for a write that may leave time"
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
    changed_at = models.DateTimeField(db_default=Now(), help_text="since when it is what it is; database clock")
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


class ChangeState(models.TextChoices):
    """
    How far a change is. Only `sending` (after a crash) and `unknown` need a look-up; `queued` may simply be sent.

    `awaiting` is not open: Cal.com has answered, and its host will, by webhook or poll. It ends at the start.
    """

    QUEUED = "queued", "not sent yet"
    SENDING = "sending", "sent, no answer yet"
    DONE = "done", "done"
    REFUSED = "refused", "refused"
    UNKNOWN = "unknown", "nobody knows yet"
    AWAITING = "awaiting", "waits for the host to confirm"


OPEN_STATES = (ChangeState.QUEUED, ChangeState.SENDING, ChangeState.UNKNOWN)
# Absence at Cal.com is proven only by a look-up that began this long after the last send: a slow receiver of webhooks
# alone made a booking take 20 s (recorded 2026-11-21).
SILENCE = timedelta(seconds=30)


class ChangeQuerySet(TenantQuerySet["Change"], OutboxQuerySet["Change"]):  # type: ignore[override]  # as_manager
    """Filters over changes; they chain."""

    def open(self) -> Self:
        """Return those whose outcome is not known."""
        return self.filter(state__in=OPEN_STATES)

    def pending(self) -> Self:
        """Return those that are open, and those that their host has not decided."""
        return self.filter(state__in=(*OPEN_STATES, ChangeState.AWAITING))

    def judged_now(self) -> "ChangeQuerySet":
        """Return them with what the database's clock says of them: see the attributes of `Change`."""
        in_line = Claim.objects.filter(appointment=OuterRef("appointment"), kind=Claim.Kind.QUEUED)
        return self.annotate(  # type: ignore[no-redef]  # declared on `Change`, for all who get such rows
            is_silent=Q(sent_at__isnull=False, sent_at__lte=Now() - SILENCE),
            is_late=Q(new_start__lte=Now()) | Q(new_start__isnull=True, appointment__start__lte=Now()),
            is_in_line=Exists(in_line),
            is_awaited=Q(answer_by__isnull=False, answer_by__gt=Now()),
        )


class Change(OutboxRow):
    """
    One create, move or cancel of an appointment: who asked, how far it is, what came of it.

    Audit trail and outbox in one: a row that is not final is worked off until it is.
    """

    State = ChangeState

    class Operation(models.TextChoices):
        """What is asked of Cal.com."""

        CREATE = "create", "book"
        MOVE = "move", "move"
        CANCEL = "cancel", "cancel"

    public_id = models.CharField(max_length=20, unique=True, default=operation_id, editable=False)
    company = models.ForeignKey(Company, models.CASCADE, related_name="+", db_index=False)
    appointment = models.ForeignKey(Appointment, models.CASCADE, related_name="changes", db_index=False)
    operation = models.CharField(max_length=10, choices=Operation)
    state = models.CharField(max_length=10, choices=ChangeState, default=ChangeState.QUEUED)
    new_start = models.DateTimeField(null=True, blank=True, help_text="for a move")
    reason = models.CharField(max_length=300, blank=True, default="")
    asked_by = models.ForeignKey(AgentKey, models.SET_NULL, null=True, blank=True, related_name="+")
    idempotency_key = models.CharField(max_length=255, blank=True, default="")
    request_digest = models.CharField(max_length=64, blank=True, default="", help_text="what came with that key")
    attempts = models.PositiveSmallIntegerField(default=0, help_text="times it was sent")
    inconclusive_answers = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="answers of Cal.com after which it had to be tried again; only so many"
    )
    asked_at = models.DateTimeField(db_default=Now())
    answer_by = models.DateTimeField(null=True, blank=True, help_text="until when the one who asked waits for it")
    sent_at = models.DateTimeField(null=True, blank=True, help_text="last time it left for Cal.com")
    finished_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=60, blank=True, default="", help_text="why it was refused, if it was")
    took = models.DurationField(null=True, blank=True, help_text="Cal.com's share of the time")

    # On rows from `judged_now` only.
    is_silent: bool
    """The last send is so long ago that a look-up proves absence."""
    is_late: bool
    """What it asks for should have begun."""
    is_in_line: bool
    """It waits for another write to be answered, and may not be sent before."""
    is_awaited: bool
    """Whoever asked for it still waits for the answer."""
    written_at: float | None = None
    """When this process wrote it down, on its monotonic clock; None where it read it."""

    objects = ChangeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["appointment"],
                condition=Q(state__in=["queued", "sending", "unknown"]),
                name="change_open_once",
            ),
            models.UniqueConstraint(
                fields=["appointment"],
                condition=Q(operation="cancel") & ~Q(state="refused"),
                name="change_cancel_once",
            ),
            models.UniqueConstraint(
                fields=["company", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="change_idempotency_key_once",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(state__in=["queued", "sending", "unknown", "awaiting"]),
                name="change_open_by_time",
            ),
            models.Index(fields=["appointment", "asked_at"], name="change_of_appointment"),
            models.Index(fields=["company", "-asked_at"], name="change_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.get_operation_display()} ({self.get_state_display()})"

    def move_on(self, *, to: ChangeState, **fields: Any) -> bool:
        """
        Change the state from what this object says to `to`, and set `fields`; return whether we won.

        Compare-and-set. Attempts are compared too: a change that was sent once more meanwhile is not the same any more.
        """
        same = Change.objects.filter(pk=self.pk, state=self.state, attempts=self.attempts)
        won = same.update(state=to, **fields) == 1
        if won:
            _adopt(self, {"state": to, **fields})
            if to not in OPEN_STATES:
                self._announce_end()
        return won

    def close(self, *, to: ChangeState, **fields: Any) -> bool:
        """End it from whatever open state it is in, and set `fields`; return whether it was open."""
        ended = {"state": to, "finished_at": Now(), **fields}
        won = Change.objects.open().filter(pk=self.pk).update(**ended) == 1
        if won:
            _adopt(self, ended)
            self._announce_end()
        return won

    def _announce_end(self) -> None:
        """Count the end, and wake the threads that wait for it, when it is committed."""
        figures.count_end(self)
        transaction.on_commit(lambda: wakeups.wake(self.public_id), robust=True)

    def just_written(self, *, in_line: bool) -> Self:
        """Say of itself what `judged_now` would say of a row that was written a moment ago."""
        self.is_silent, self.is_late, self.is_in_line, self.is_awaited = False, False, in_line, True
        self.written_at = time.monotonic()
        return self


class CallbackRequest(models.Model):
    """
    A person shall call back: the way out that always works.

    What is the same concern is asked for once while it is open (`wish`); afterwards it may be asked for again.
    """

    class State(models.TextChoices):
        """Whether somebody took care of it."""

        OPEN = "open", "open"
        DONE = "done", "done"

    public_id = models.CharField(max_length=20, unique=True, default=callback_id, editable=False)
    company = models.ForeignKey(Company, models.CASCADE, related_name="callbacks", db_index=False)
    branch = models.ForeignKey(Branch, models.SET_NULL, null=True, blank=True)
    conversation = models.ForeignKey(Conversation, models.SET_NULL, null=True, blank=True)
    appointment = models.ForeignKey(Appointment, models.SET_NULL, null=True, blank=True)
    asked_by = models.ForeignKey(
        AgentKey, models.SET_NULL, null=True, blank=True, related_name="+", help_text="empty = Slotline itself"
    )
    name = NameField(max_length=200, blank=True, default="")
    phone = models.CharField(max_length=20, help_text="E.164")
    language = models.CharField(max_length=10, blank=True, default="", help_text="what the caller spoke")
    topic = models.TextField(blank=True, default="")
    wish = models.CharField(max_length=64, blank=True, default="", editable=False, help_text="which concern it is")
    idempotency_key = models.CharField(max_length=255, blank=True, default="", editable=False)
    request_digest = models.CharField(
        max_length=64, blank=True, default="", editable=False, help_text="what came with that key"
    )
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    asked_at = models.DateTimeField(db_default=Now())
    done_at = models.DateTimeField(null=True, blank=True)
    done_by = models.CharField(max_length=150, blank=True, default="")

    objects = TenantQuerySet["CallbackRequest"].as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["company", "wish"], condition=~Q(wish="") & Q(state="open"), name="callback_open_once"
            ),
            models.UniqueConstraint(
                fields=["company", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="callback_idempotency_key_once",
            ),
        ]
        indexes = [models.Index(fields=["company", "state", "asked_at"], name="callback_open_first")]

    def __str__(self) -> str:
        return self.name or self.phone
