"""Customers, and their phone calls with the tool calls of each."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchQuery
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from bookings.caller_input import NameField
from bookings.models.access import AgentKey
from bookings.models.base import MAX_FOUND
from bookings.models.ids import conversation_id
from bookings.models.tenants import Branch, Company, TenantQuerySet
from bookings.names import NameWords, ReversedDigits, digits_of, prefixes


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
    """A caller, as one company knows them."""

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

    class Outcome(models.TextChoices):
        """What a call came to."""

        BOOKED = "booked", _("booked")
        RESCHEDULED = "rescheduled", _("rescheduled")
        CANCELLED = "cancelled", _("cancelled")
        CALLBACK = "callback", _("call back requested")
        ONLY_ASKED = "only_asked", _("only asked")
        GAVE_UP = "gave_up", _("gave up")

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
        default=0, help_text="failed attempts of its caller to prove who they are"
    )
    started_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(
        db_default=Now(), editable=False, help_text="when its agent last asked something, a minute early at most"
    )
    ended_at = models.DateTimeField(null=True, blank=True, help_text="from then on it gives no access to appointments")

    duration = models.DurationField(null=True, blank=True, help_text="as the platform told it")
    cost_cents = models.DecimalField(
        max_digits=10, decimal_places=3, null=True, blank=True, help_text="as the platform told it, US cents"
    )
    outcome = models.CharField(max_length=20, choices=Outcome, blank=True, db_default="", default="")
    told_booked = models.BooleanField(
        db_default=False, default=False, help_text="the caller was told of a booking, and this call made none"
    )

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
    endpoint = models.CharField(max_length=60)
    request = models.JSONField(default=dict)
    response = models.JSONField(default=dict)
    status = models.PositiveSmallIntegerField()
    cache_status = models.CharField(max_length=80, blank=True, default="")
    duration = models.DurationField()
    called_at = models.DateTimeField(db_default=Now())

    objects = TenantQuerySet["ToolCall"].as_manager()

    class Meta:
        indexes = [models.Index(fields=["company", "-called_at"], name="tool_call_newest")]

    def __str__(self) -> str:
        return f"{self.endpoint} → {self.status}"
