"""Companies and their branches. Each query starts with `Model.objects.of(company)`; the API key decides the company."""

from typing import TypeVar
from zoneinfo import available_timezones

import phonenumbers
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from bookings.models.constraints import LANGUAGES, AreClosures, AreHours, IsTimeZone
from bookings.opening_hours import Hours
from calcom.models import Account

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
        default=0, help_text="how long before its start an appointment can still be cancelled or rescheduled by phone"
    )
    max_reschedules = models.PositiveSmallIntegerField(
        default=5, help_text="how often one appointment may be rescheduled by phone"
    )
    longest_hold_minutes = models.PositiveSmallIntegerField(
        db_default=10, default=10, help_text="how long a time may be held for one caller while the call goes on"
    )
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
    phone = models.CharField(
        max_length=20,
        blank=True,
        db_default="",
        default="",
        help_text="the number that callers dial, such as +493012345678; tells which branch was called",
    )
    transfer_phone = models.CharField(
        max_length=20,
        blank=True,
        db_default="",
        default="",
        help_text="where a voice agent hands a call over to a person, while the branch is open",
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
            # Other values would cause a 500 in a call, or an answer in another language.
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

    def hours(self) -> Hours:
        """Return when it is open; hours of a day that overlap are one."""
        return Hours.parse(self.time_zone, self.opening_hours, self.closures, strict=False)

    def clean(self) -> None:
        """Refuse hours that cannot be read, or that overlap."""
        try:
            Hours.parse("UTC", self.opening_hours, self.closures)
        except ValueError as exc:
            raise ValidationError(str(exc)) from exc
