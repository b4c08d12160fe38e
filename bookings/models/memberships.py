"""Who works for whom, and as what: it decides what a person sees and does in the admin."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from bookings.models.catalog import Staff
from bookings.models.tenants import Branch, Company, TenantQuerySet


class Role(models.TextChoices):
    """What a person is, the least rights first."""

    PROVIDER = "provider", _("gives appointments")
    RECEPTION = "reception", _("reception")
    OWNER = "owner", _("owner")
    OPERATOR = "operator", _("operator")


class Membership(models.Model):
    """A person's role in a company, or in one of its branches; operators belong to none."""

    Role = Role

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships", verbose_name=_("person")
    )
    company = models.ForeignKey(
        Company, models.CASCADE, null=True, blank=True, related_name="memberships", help_text=_("empty = an operator")
    )
    branch = models.ForeignKey(
        Branch, models.CASCADE, null=True, blank=True, related_name="+", help_text=_("empty = all branches")
    )
    role = models.CharField(max_length=10, choices=Role)
    staff = models.ForeignKey(
        *(Staff, models.CASCADE),
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("own calendar"),
        help_text=_("of a person who gives appointments, and sees their own only"),
    )
    created_at = models.DateTimeField(db_default=Now())

    objects = TenantQuerySet["Membership"].as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(role="operator", company__isnull=True, branch__isnull=True)
                | ~Q(role="operator") & Q(company__isnull=False),
                name="membership_operators_of_no_company",
                violation_error_message=_("An operator belongs to no company, everyone else to one."),
            ),
            models.CheckConstraint(
                condition=~Q(role="owner") | Q(branch__isnull=True),
                name="membership_owners_of_all_branches",
                violation_error_message=_("An owner has all branches of the company."),
            ),
            models.CheckConstraint(
                condition=Q(role="provider", staff__isnull=False) | ~Q(role="provider") & Q(staff__isnull=True),
                name="membership_providers_have_a_calendar",
                violation_error_message=_(
                    "A person who gives appointments needs their own calendar, everyone else has none."
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user}, {self.get_role_display()}"

    def clean(self) -> None:
        """Refuse a branch or a calendar of another company, and a second role of one person."""
        if self.branch and self.branch.company_id != self.company_id:
            raise ValidationError({"branch": _("It is another company's.")})
        if self.staff and self.staff.branch.company_id != self.company_id:
            raise ValidationError({"staff": _("It is another company's.")})
        others = Membership.objects.filter(user_id=self.user_id).exclude(pk=self.pk).exclude(role=self.role)
        if self.user_id and others.exists():
            raise ValidationError({"role": _("This person has another role already. Two roles need two logins.")})
