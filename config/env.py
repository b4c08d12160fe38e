"""Typed reads of the environment that fail at start, by name."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from django.core.exceptions import ImproperlyConfigured
from limits import parse

T = TypeVar("T")

LOCAL = Path(__file__).resolve().parent.parent / ".local"
"""What one checkout makes and keeps; git ignores it."""


@dataclass(frozen=True)
class Env:
    """
    The environment, read by name and type.

    `NAME_FILE` may name a file that holds the value of `NAME`: the way container platforms hand over secrets.
    A variable that is set but empty counts as not set.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def text(self, name: str, default: str | None = None) -> str:
        """Return `NAME`, or what the file `NAME_FILE` holds, or the default; without any of them, refuse to start."""
        path = self.environ.get(f"{name}_FILE")
        value = self._file(name, path) if path else self.environ.get(name, "")
        if value:
            return value
        if default is None:
            raise ImproperlyConfigured(f"Set {name} (or {name}_FILE) in the environment: it has no default.")
        return default

    def integer(self, name: str, default: int) -> int:
        """Return `NAME` as a whole number."""
        return self._parsed(name, default, int, "a whole number such as 4")

    def number(self, name: str, default: float) -> float:
        """Return `NAME` as a decimal number."""
        return self._parsed(name, default, float, "a number such as 2.5")

    def flag(self, name: str, default: bool = False) -> bool:
        """Return `NAME` as yes or no: 1, true, yes, on against 0, false, no, off."""
        return self._parsed(name, default, _yes_or_no, "one of 1, true, yes, on, 0, false, no, off")

    def rate(self, name: str, default: str) -> str:
        """Return `NAME` as a rate of one or more per unit of time, in the notation of the library `limits`."""
        return self._parsed(name, default, _rate, "a rate such as 60/minute")

    def words(self, name: str, default: str = "") -> list[str]:
        """Return `NAME` split at commas, without blanks."""
        return [word.strip() for word in self.text(name, default).split(",") if word.strip()]

    def _parsed(self, name: str, default: T, parse: Callable[[str], T], expected: str) -> T:
        text = self.text(name, "")
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as exc:
            raise ImproperlyConfigured(f"{name} must be {expected}.") from exc

    @staticmethod
    def _file(name: str, path: str) -> str:
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as exc:
            raise ImproperlyConfigured(f"{name}_FILE names a file that cannot be read: {exc.strerror}.") from exc


def _rate(text: str) -> str:
    if not parse(text).amount:
        raise ValueError(text)
    return text


def _yes_or_no(text: str) -> bool:
    answers = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    try:
        return answers[text.lower()]
    except KeyError:
        raise ValueError(text) from None
