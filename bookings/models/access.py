"""The keys of voice agents. Only their hash is stored."""

import hashlib
import json
import secrets
from datetime import timedelta
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now

from bookings.models.tenants import Branch, Company, TenantQuerySet
from calcom.fields import EncryptedTextField

SECRETS_AT_ONCE = 2
"""Of one platform: the one in use, and the one that takes its place."""


def digest_of(key: str) -> str:
    """Return the hash of a key that is stored instead of it. A plain one is enough because keys are random."""
    return hashlib.sha256(key.encode()).hexdigest()


class AgentKeyQuerySet(TenantQuerySet["AgentKey"]):
    """Filters over keys."""

    def issue(self, *, key: str = "", **fields: Any) -> "tuple[AgentKey, str]":
        """Create a key with `fields`; return it and its text, which is not stored."""
        agent_key = self.model(**fields)
        text = agent_key.give_text(key)
        agent_key.save(using=self.db)
        return agent_key, text

    def valid(self, key: str) -> "AgentKeyQuerySet":
        """Return the one that `key` names, unless it is revoked or its company is no longer served."""
        return self.unrevoked().filter(digest=digest_of(key), company__active=True)

    def unrevoked(self) -> "AgentKeyQuerySet":
        """Return those that are not revoked yet: a key that is replaced works for a while beside its successor."""
        return self.filter(Q(revoked_at__isnull=True) | Q(revoked_at__gt=Now()))

    def replace(self, old: "AgentKey", *, overlap: timedelta) -> "tuple[AgentKey, str]":
        """Issue a key that may do what `old` may, which ends after `overlap`; return it and its text."""
        fields = ("company", "branch", "name", "scopes", "platform_secrets")
        with transaction.atomic():
            issued = self.issue(**{name: getattr(old, name) for name in fields})
            self.filter(pk=old.pk).update(revoked_at=Now() + overlap)
        return issued


class AgentKey(models.Model):
    """What a voice agent shows us. The key itself is shown once and stored as a digest."""

    class Scope(models.TextChoices):
        """What a key may do."""

        AVAILABILITY_READ = "availability:read", "list services and search for slots"
        BOOKINGS_WRITE = "bookings:write", "book, reschedule and cancel"
        BOOKINGS_READ = "bookings:read", "read bookings"
        CALLBACKS_WRITE = "callbacks:write", "request a call back"
        CALLERS_IDENTIFY = (
            "callers:identify",
            "state the caller's number, which comes from the network, never from a model",
        )

    company = models.ForeignKey(Company, models.CASCADE, related_name="agent_keys")
    branch = models.ForeignKey(Branch, models.CASCADE, null=True, blank=True, help_text="empty = all branches")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12, editable=False, help_text="its first characters, to recognise it by")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = ArrayField(models.CharField(max_length=30, choices=Scope), default=list)
    platform_secrets = EncryptedTextField(
        blank=True, default="", help_text="JSON: what voice platforms sign with; stored encrypted"
    )
    """By platform, the newest first: {"retell": [{"secret": "…"}]}; Vapi's have members of `VapiPlan` beside it."""
    created_at = models.DateTimeField(db_default=Now())
    revoked_at = models.DateTimeField(null=True, blank=True)

    shown_once = ""
    """The key itself, on an object that was just given one; it is stored nowhere."""

    objects = AgentKeyQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def secrets_of(self, platform: str) -> list[dict[str, Any]]:
        """Return what a voice platform signs with: two secrets while one is being replaced."""
        known: dict[str, list[dict[str, Any]]] = json.loads(self.platform_secrets or "{}")
        return known.get(platform, [])

    def add_secret(self, platform: str, **secret: Any) -> None:
        """Accept a further secret of a platform, beside the one that was the newest so far. The row is not saved."""
        known = json.loads(self.platform_secrets or "{}")
        known[platform] = [secret, *self.secrets_of(platform)][:SECRETS_AT_ONCE]
        self.platform_secrets = json.dumps(known)

    def give_text(self, text: str = "") -> str:
        """Give it a text of its own and return it: the row keeps only what recognises it."""
        text = text or f"sl_{secrets.token_urlsafe(32)}"
        self.prefix, self.digest = text[:8], digest_of(text)
        return text
