"""`manage.py export_tools`: the definitions of the tools, to paste into a voice platform."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from bookings.language.sentences import LANGUAGES
from bookings.voice.formats import FORMATS, definitions


class Command(BaseCommand):
    """Write the tools of one platform as JSON."""

    help = "Write the definitions of the seven tools as JSON, as the platform FORMAT takes them."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Describe the arguments."""
        parser.add_argument("format", choices=list(FORMATS))
        parser.add_argument("--language", choices=list(LANGUAGES), default="de", help="of what callers hear meanwhile")
        parser.add_argument("--base-url", default="https://slotline.example", help="Slotline's public address")
        parser.add_argument("--company", default="<company>", help="the slug of the company")

    def handle(self, *_args: Any, format: str, language: str, base_url: str, company: str, **_options: Any) -> None:  # noqa: A002
        """Write them."""
        tools = definitions(format, language=language, base_url=base_url.rstrip("/"), company=company)
        self.stdout.write(json.dumps(tools, ensure_ascii=False, indent=2))
