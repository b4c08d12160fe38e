"""`manage.py try_phrase`: show what is understood of a caller's words about time."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import BaseCommand, CommandError

from bookings.language.understanding import Understanding, understand


class Command(BaseCommand):
    """Understand one phrase, or one per line of standard input."""

    help = (
        "Show what is understood of PHRASE. With --json and no phrase, read lines "
        '{"lang", "now", "phrase", "zone"} from standard input (now is local and naive), and write one line for each.'
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Describe the arguments."""
        parser.add_argument("phrase", nargs="?", help="what the caller said")
        parser.add_argument("--lang", default="de", help="de, de-AT, de-CH, en, en-GB or en-US; default de")
        parser.add_argument("--zone", default="Europe/Berlin", help="time zone of the branch; default Europe/Berlin")
        parser.add_argument("--now", help="what its clocks show, such as 2026-11-24T10:00; default now")
        parser.add_argument("--json", action="store_true", help="write JSON")

    def handle(self, *_args: Any, phrase: str | None, json: bool, **options: Any) -> None:
        """Answer the phrase, or every line."""
        if phrase is None and not json:
            raise CommandError("Give a phrase, or --json and lines on standard input.")
        if phrase is not None:
            given = {"phrase": phrase, "lang": options["lang"], "zone": options["zone"], "now": options["now"]}
            self._answer(given, as_json=json)
            return
        for line in sys.stdin:
            if line.strip():
                self._answer(_read(line), as_json=True)

    def _answer(self, given: Mapping[str, Any], *, as_json: bool) -> None:
        try:
            zone = ZoneInfo(given.get("zone") or "Europe/Berlin")
            now = datetime.fromisoformat(given["now"]) if given.get("now") else datetime.now(zone)
            language, phrase = str(given.get("lang") or "de"), str(given["phrase"])
        except (KeyError, ValueError, TypeError, OSError) as exc:
            raise CommandError(f"This cannot be read: {given}.") from exc
        found = understand(phrase, language=language, now=now.replace(tzinfo=None), zone=zone)
        if as_json:
            members = {"lang": language, "now": given.get("now") or _spelt(now), "phrase": phrase, "zone": str(zone)}
            self.stdout.write(json.dumps({**members, **members_of(found)}, ensure_ascii=False))
        else:
            self.stdout.write(_described(found))


def members_of(found: Understanding) -> dict[str, Any]:
    """Return an understanding as it is written in JSON."""
    return {
        "ask": found.ask,
        "question": found.question or None,
        "code": found.code or None,
        "earliest": found.earliest,
        "windows": [[_spelt(first), last and _spelt(last)] for first, last in found.windows],
        "unknown": list(found.unknown),
        "spoken": found.spoken,
    }


def _read(line: str) -> Mapping[str, Any]:
    try:
        given = json.loads(line)
    except ValueError as exc:
        raise CommandError(f"This line is no JSON: {line.strip()}") from exc
    if not isinstance(given, dict):
        raise CommandError(f"This line is no object: {line.strip()}")
    return given


def _spelt(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat(timespec="minutes")


def _described(found: Understanding) -> str:
    lines = [f"Understood: {found.spoken or '-'}{' (the soonest)' if found.earliest else ''}"]
    lines += [f"  {_spelt(first)} to {_spelt(last) if last else 'open'}" for first, last in found.windows]
    if found.ask:
        lines.append(f"Ask: {found.question} ({found.code})")
    return "\n".join(lines)
