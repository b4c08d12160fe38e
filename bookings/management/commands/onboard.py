"""`manage.py onboard`: set up a company, from an API key of Cal.com's to an agent that can book."""

import getpass
import io
import json
import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from bookings import onboarding
from bookings.errors import BookingError
from bookings.models import Branch, Company, Membership, Role
from bookings.onboarding import Line, Proposal
from calcom.accounts import Connected, connect
from calcom.errors import CalcomError, KeyRefused
from calcom.models import Account
from calcom.resilience.rate_limiter import Throttled
from calcom.service import CalcomService
from calcom.sync import sync
from calcom.types import RemoteHost
from monitoring import heartbeats

HOSTED = "https://api.cal.com"
LONGEST_WAIT = 120.0
"""Seconds. A key that Slotline has not used before is used with care for one window, a minute and a half."""
T = TypeVar("T")


class Command(BaseCommand):
    """Ask for two things, propose the rest, and set it up."""

    help = (
        "Set up a company: ask for an API key of Cal.com's and for Slotline's public address, and propose everything"
        " else from Cal.com's own profile. Safe to repeat: nothing is made twice. The key is read from CALCOM_API_KEY,"
        " or asked for: a command line can be read by others."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Describe the arguments."""
        parser.add_argument("--public-url", default="", help="where Cal.com and voice platforms reach Slotline")
        parser.add_argument("--base-url", default=HOSTED, help=f"of Cal.com's API, default {HOSTED}")
        parser.add_argument("--name", help="of the company and its branch, instead of the name at Cal.com")
        parser.add_argument("--time-zone", help="IANA name, instead of that at Cal.com")
        parser.add_argument("--language", help="what callers hear: de, de-AT, de-CH, en, en-GB, en-US")
        parser.add_argument("--phone-region", help="how numbers without country code are read, such as DE")
        parser.add_argument("--new-key", action="store_true", help="give the agent another key beside an earlier one")
        parser.add_argument("--yes", action="store_true", help="ask nothing: what is missing is an error")
        parser.add_argument("--json", action="store_true", help="write the result as JSON; implies --yes")

    def handle(self, *_args: Any, base_url: str, public_url: str, **options: Any) -> None:
        """Set it up; raise `CommandError` with what to do where a step fails."""
        self._quiet, began = options["json"], time.monotonic()
        asks = not (options["yes"] or options["json"])
        public_url = _public_url(public_url, asks=False) if public_url or not asks else ""
        key = _api_key(asks=asks)
        connected = self._patiently(lambda: _connected(base_url, key))
        account = connected.account
        self._say(f"The key is that of {connected.owner.name} ({connected.owner.username}) at {account.base_url}.")
        proposal = _changed(onboarding.propose(connected.owner), options)
        known = onboarding.company_of(account)
        self._say(_proposed(proposal, known))
        public_url = public_url or _public_url("", asks=asks)
        try:
            result = self._set_up(connected, proposal, public_url, renew=options["new_key"])
        except KeyRefused as exc:
            raise CommandError(f"{exc} Make a new key at Cal.com, and run this again.") from exc
        except (CalcomError, BookingError) as exc:
            raise CommandError(f"{exc} What is done stays; run this again.") from exc
        except ValidationError as exc:
            raise CommandError(" ".join(exc.messages)) from exc
        result["took_s"] = round(time.monotonic() - began, 1)
        if options["json"]:
            self.stdout.write(json.dumps(result, ensure_ascii=False, indent=1))

    def _set_up(self, connected: Connected, proposal: Proposal, public_url: str, *, renew: bool) -> dict[str, Any]:
        account = connected.account
        self._patiently(lambda: sync(account=account, now=timezone.now()))
        heartbeats.job_succeeded("sync", account.pk)
        branch = onboarding.open_company(account=account, proposal=proposal)
        company = branch.company
        self._say(f"Company “{company}” ({company.slug}), {branch.time_zone}, {branch.language}.")
        lines, people = onboarding.add_services(branch=branch), onboarding.add_staff(branch=branch)
        self._show(lines, people)
        webhook = self._patiently(lambda: CalcomService(account).subscribe_webhooks(public_url=public_url))
        self._say(f"Webhooks of Cal.com: {webhook}.")
        self._import_bookings(account)
        tried = self._patiently(lambda: onboarding.try_call(company=company, now=timezone.now()))
        self._say(_call(tried, branch))
        warmed = onboarding.warm(company=company, now=timezone.now())
        self._say(f"Cached {warmed.days} days of free times{_failures(warmed.failures)}.")
        login, password = self._owner_login(company, connected.owner)
        row, key = onboarding.give_key(company=company, renew=renew)
        self._say(_to_paste(public_url, company, branch, key, row.prefix))
        if login:
            self._say(f"Owner's login at {public_url}/admin/: {login}{f', password {password}' if password else ''}")
        return {
            "company": company.slug,
            "owner": connected.owner.name,
            "time_zone": branch.time_zone,
            "language": branch.language,
            "services": [asdict(line) for line in lines],
            "staff": people,
            "webhook": webhook.value,
            "days_cached": warmed.days,
            "call": {"service": tried.service, "start": tried.start and tried.start.isoformat()},
            "owner_login": login,
            "owner_password": password,
            "agent_key": key,
            "agent_key_prefix": row.prefix,
            "mcp_url": f"{public_url}/mcp",
            "tools_url": f"{public_url}/v1/tools",
        }

    def _import_bookings(self, account: Account) -> None:
        """Read the bookings that Cal.com has already; the nightly comparison reads what cannot be read now."""
        try:
            call_command("reconcile_bookings", account=account.pk, stdout=io.StringIO())
        except CommandError as exc:
            self._say(f"Bookings that Cal.com has already are compared tonight: {exc}")

    def _patiently(self, step: Callable[[], T]) -> T:
        """Take a step of which nothing is done while it is refused for want of budget; wait for that, within limits."""
        until = time.monotonic() + LONGEST_WAIT
        while True:
            try:
                return step()
            except Throttled as exc:
                pause = min(max(exc.retry_after or 0.0, 1.0), 15.0)
                if time.monotonic() + pause > until:
                    raise
                self._say(f"Cal.com's budget of requests is used up; going on in {pause:.0f} s.")
                time.sleep(pause)

    def _owner_login(self, company: Company, owner: RemoteHost) -> tuple[str, str]:
        """Return the name of an owner's login, and its password where it is made now: by the address at Cal.com."""
        standing = Membership.objects.of(company).filter(role=Role.OWNER).order_by("pk").first()
        if standing is not None:
            return standing.user.get_username(), ""
        said, name = io.StringIO(), owner.email or owner.username
        options = {"role": Role.OWNER.value, "company": company.slug, "full_name": owner.name}
        try:
            call_command("create_staff", name, stdout=said, **options)
        except CommandError as exc:
            self._say(f"No login was made for {name}: {exc} Give one with manage.py create_staff.")
            return "", ""
        return name, said.getvalue().partition("shown this once: ")[2].strip()

    def _show(self, lines: Sequence[Line], people: Sequence[str]) -> None:
        for line in lines:
            state = "new " if line.is_new else "kept" if line.service else "no  "
            remark = f": {line.remark}" if line.remark else ""
            self._say(f"  {state}  {line.service or line.event_type}{remark}")
        if not any(line.service for line in lines):
            raise CommandError("No event type can be booked by phone. Change one at Cal.com, and run this again.")
        self._say(f"People that callers may ask for: {', '.join(people)}.")

    def _say(self, text: str) -> None:
        if not self._quiet:
            self.stdout.write(text)
            self.stdout.flush()


def _api_key(*, asks: bool) -> str:
    key = os.environ.get("CALCOM_API_KEY", "").strip()
    if not key and asks:
        prompt = "API key of Cal.com (Settings, Developer, API keys): "
        key = (getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline()).strip()
    if not key:
        raise CommandError("Give Cal.com's API key in CALCOM_API_KEY.")
    return key


def _connected(base_url: str, key: str) -> Connected:
    try:
        return connect(base_url=base_url, api_key=key)
    except KeyRefused as exc:
        raise CommandError("Cal.com refuses the key. Make one at Settings, Developer, API keys.") from exc
    except Throttled:
        raise
    except CalcomError as exc:
        raise CommandError(f"{exc} Nothing was stored; is {base_url} right?") from exc
    except (ValidationError, ValueError) as exc:
        raise CommandError(" ".join(getattr(exc, "messages", [str(exc)]))) from exc


def _public_url(given: str, *, asks: bool) -> str:
    if not given and asks:
        print("Slotline's public address (https://…): ", end="", file=sys.stderr, flush=True)
        given = sys.stdin.readline().strip()
    if not given:
        raise CommandError("Give Slotline's public address: --public-url https://slotline.example")
    try:
        return onboarding.public_address(given)
    except ValueError as exc:
        raise CommandError(str(exc)) from exc


def _changed(proposal: Proposal, options: dict[str, Any]) -> Proposal:
    names = ("name", "time_zone", "language", "phone_region")
    return replace(proposal, **{name: options[name] for name in names if options[name]})


def _proposed(proposal: Proposal, known: Company | None) -> str:
    if known is not None:
        return f"It serves “{known}” already: what is missing is added, nothing is changed."
    return (
        f"Proposed: company “{proposal.name}”, {proposal.time_zone}, language {proposal.language}, telephone numbers of"
        f" {proposal.phone_region}, callers without e-mail at {settings.BOOKINGS_ATTENDEE_DOMAIN}."
        " --name, --time-zone, --language and --phone-region say otherwise."
    )


def _call(tried: onboarding.Tried, branch: Branch) -> str:
    if tried.start is None:
        return "A call was tried: no service has a free time in the next four weeks. Look at the hours at Cal.com."
    return f"A call was tried: {tried.service}, {_local(tried.start, branch)}, was found, held and given back."


def _local(start: datetime, branch: Branch) -> str:
    return f"{start.astimezone(ZoneInfo(branch.time_zone)):%A %d %B, %H:%M}"


def _failures(failures: Sequence[str]) -> str:
    return f", not all ({', '.join(failures)}): the rest is loaded when callers ask" if failures else ""


def _to_paste(public_url: str, company: Company, branch: Branch, key: str, prefix: str) -> str:
    shown = key or f"the one that begins with {prefix} (another one: --new-key)"
    language = branch.language[:2]
    return f"""
For the voice platform{", shown this once" if key else ""}:
  agent key   {shown}
  MCP         {public_url}/mcp        Authorization: Bearer <agent key>
  tools       curl -H 'Authorization: Bearer <agent key>' '{public_url}/v1/tools?format=retell&language={language}'
  guides      docs/guides/voice
Check it at any time: python manage.py check_company {company.slug}"""
