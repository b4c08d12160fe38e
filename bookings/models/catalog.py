"""What a branch offers: services, and the staff who give them."""

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from bookings.models.tenants import Branch, BranchTenantQuerySet
from calcom.models import EventType, Host
from calcom.types import PHONE_FIELDS, RequiredField, UnsupportedReason


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
        """Refuse an event type of another account, or of another length than callers are told."""
        if self.event_type.account_id != self.branch.company.account_id:
            raise ValidationError({"event_type": "It belongs to another company's Cal.com account."})
        if self.event_type.length_minutes != self.duration_minutes:
            raise ValidationError(
                {"duration_minutes": f"The event type takes {self.event_type.length_minutes} minutes."}
            )

    def unsupported_reason(self, event_type: EventType | None = None) -> str:
        """
        Return in one sentence for staff why it cannot be booked through us; empty if it can.

        `event_type` is what books it with one person, where that is meant.
        """
        event_type = event_type or self.event_type
        if not (self.active and event_type.active):
            return f"“{self}” is switched off, here or at Cal.com."
        if event_type.unsupported_reasons:
            reasons = "; ".join(UnsupportedReason(reason).sentence for reason in event_type.unsupported_reasons)
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
        """Refuse a host of another account."""
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
        return f"staff service {self.pk}"

    def clean(self) -> None:
        """Refuse what would book another person, or another branch's service."""
        if self.staff.branch_id != self.service.branch_id:
            raise ValidationError({"service": "It is another branch's."})
        if list(self.event_type.hosts.values_list("pk", flat=True)) != [self.staff.host_id]:
            raise ValidationError({"event_type": f"It is not served by {self.staff} alone."})
