"""Two companies to try Slotline with: a salon in Berlin, a practice in New York. Their Cal.com is the simulator."""

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db.models.functions import Now

from bookings.models import AgentKey, Branch, Company, Service, Staff, digest_of
from calcom.models import Account, EventType, Host

LOGIN = "demo"
AGENT = "demo agent"


@dataclass(frozen=True)
class Offer:
    """A service as it is spoken, and the event type that books it: its slug and length at Cal.com."""

    name: str
    aliases: tuple[str, ...]
    event_type: str
    minutes: int
    field_defaults: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Business:
    """A company with one branch; `credential` is its API key in the simulator's world."""

    slug: str
    name: str
    credential: str
    branch: Mapping[str, Any]
    staff: tuple[str, ...]
    offers: tuple[Offer, ...]


SALON = Business(
    slug="salon",
    name="Salon Berlin",
    credential="cal_demo_salon",
    branch={
        "name": "Mitte",
        "time_zone": "Europe/Berlin",
        "language": "de",
        "phone_region": "DE",
        "opening_hours": {day: [["09:00", "18:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat")},
    },
    staff=("Emma", "Ben"),
    offers=(
        Offer("Haarschnitt", ("Herrenhaarschnitt", "Damenhaarschnitt", "Haircut"), "haircut", 30),
        Offer("Farbe", ("Färben", "Colour"), "colour", 60),
        Offer("Bartpflege", ("Bart trimmen", "Beard trim"), "beard-trim", 15),
    ),
)
PRACTICE = Business(
    slug="practice",
    name="Practice New York",
    credential="cal_demo_practice",
    branch={"name": "Midtown", "time_zone": "America/New_York", "language": "en", "phone_region": "US"},
    staff=("Practice New York",),
    offers=(
        Offer("Check-up", ("Examination", "Physical"), "check-up", 30, {"insurance": "None"}),
        Offer("Follow-up", ("Second visit",), "follow-up", 15),
        Offer("Long follow-up", ("Long second visit",), "follow-up", 30),
    ),
)


class Command(BaseCommand):
    """Write the demo's companies, services, agent keys and login. Safe to run again."""

    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Say where the simulator is and where the secrets are."""
        parser.add_argument("--calcom-url", required=True, help="where the simulator answers, with the world “demo”")
        parser.add_argument(
            "--secrets",
            type=Path,
            default=settings.BASE_DIR / ".local" / "secrets.json",
            help="the file that script/demo makes: DEMO_SALON_KEY, DEMO_PRACTICE_KEY, DEMO_PASSWORD",
        )

        parser.add_argument("--empty", action="store_true", help="only the login, no company")

    def handle(
        self, *, calcom_url: str, secrets: Path, verbosity: int, empty: bool = False, **_options: object
    ) -> None:
        """Seed both companies and the login."""
        if not settings.CALCOM_LOOPBACK_ONLY:
            raise CommandError("The demo has a login of its own: it is only for where CALCOM_LOOPBACK_ONLY=1.")
        try:
            known = json.loads(secrets.read_text(encoding="utf-8"))
            opened = [(SALON, known["DEMO_SALON_KEY"]), (PRACTICE, known["DEMO_PRACTICE_KEY"])]
            password = known["DEMO_PASSWORD"]
        except (OSError, ValueError, KeyError) as exc:
            raise CommandError(f"{secrets} cannot be read; script/demo makes it.") from exc
        for business, key in () if empty else opened:
            _open(business, calcom_url, key, verbosity)
        _let_in(password)
        companies = "no company" if empty else f"{SALON.name}, {PRACTICE.name}"
        self.stdout.write(f"The demo is seeded: {companies}, and the login “{LOGIN}”.")


def _open(business: Business, calcom_url: str, key: str, verbosity: int) -> None:
    account, _ = Account.objects.update_or_create(
        name=f"{business.name} (demo)", defaults={"base_url": calcom_url, "api_key": business.credential}
    )
    call_command("sync_calcom", account=account.pk, verbosity=verbosity)
    company, _ = Company.objects.update_or_create(
        slug=business.slug, defaults={"name": business.name, "account": account}
    )
    branch, _ = Branch.objects.update_or_create(
        company=company, name=business.branch["name"], defaults=dict(business.branch)
    )
    for name in business.staff:
        host = Host.objects.get(account=account, name=name)
        Staff.objects.update_or_create(branch=branch, host=host, defaults={"name": name})
    for offer in business.offers:
        _offer(branch, account, offer)
    _hand_out(company, key)


def _offer(branch: Branch, account: Account, offer: Offer) -> None:
    event_type = EventType.objects.get(account=account, slug=offer.event_type, length_minutes=offer.minutes)
    Service.objects.update_or_create(
        branch=branch,
        name=offer.name,
        defaults={
            "event_type": event_type,
            "aliases": list(offer.aliases),
            "duration_minutes": offer.minutes,
            "field_defaults": dict(offer.field_defaults),
        },
    )


def _hand_out(company: Company, key: str) -> None:
    """Let `key` be the demo's only one: an earlier one belonged to another .local."""
    demo_keys = AgentKey.objects.filter(company=company, name=AGENT)
    demo_keys.exclude(digest=digest_of(key)).update(revoked_at=Now())
    if not demo_keys.filter(digest=digest_of(key)).exists():
        AgentKey.objects.issue(key=key, company=company, name=AGENT, scopes=list(AgentKey.Scope.values))
    agent_key = demo_keys.get(digest=digest_of(key))
    if not agent_key.secrets_of("retell"):
        agent_key.add_secret("retell", secret=key)  # the demo plays Retell and signs with it
        agent_key.save(update_fields=["platform_secrets"])


def _let_in(password: str) -> None:
    user, _ = get_user_model().objects.get_or_create(username=LOGIN, defaults={"is_staff": True, "is_superuser": True})
    if not user.check_password(password):
        user.set_password(password)
        user.save()
