"""
Cleaning of what callers say and platforms pass on: placeholders for nothing, phone numbers, names, notes.

A model may read later what is stored, so all of it is cleaned here.
"""

import re
import unicodedata
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import phonenumbers
from django.db import models
from phonenumbers import PhoneNumberType

from bookings.errors import PhoneAmbiguous
from bookings.spelling import phone_digits

MAX_NAME = 60
MAX_NOTE = 1_000

# --- placeholders for nothing -----------------------------------------------------------------------------------

_NOTHING = frozenset({"null", "none", "n/a", "nil", "nan", "undefined", "(null)", "<none>"})
_TEMPLATE = re.compile(r"\{\{.*\}\}|\$\{.*\}|\{%.*%\}", re.DOTALL)
# A withheld number: as words, and as platforms dial them on a keypad (ANONYMOUS, RESTRICTED, UNAVAILABLE).
_WITHHELD = frozenset({"anonymous", "unknown", "private", "restricted", "withheld", "unavailable", "blocked"})
_WITHHELD_DIALLED = frozenset({"266696687", "7378742833", "86282452253"})


def is_absent(value: object) -> bool:
    """Return whether a text says that there is nothing: null, none, n/a, or a template that was not filled in."""
    if not isinstance(value, str):
        return False
    text = value.strip()
    return text.casefold() in _NOTHING or _TEMPLATE.fullmatch(text) is not None


# --- telephone numbers -------------------------------------------------------------------------------------------

_SCHEME = re.compile(r"(?:sips?|tel|callto|whatsapp):", re.IGNORECASE)
_WRITTEN = re.compile(r"\+?[\d\s()./\-\u2010-\u2015]+")
_PLUS = re.compile(r"\s*plus(?=[\s\d])", re.IGNORECASE)


def phone_number(text: str | None, region: str | None) -> str | None:
    """
    Return a number, written or spoken, as E.164; None where the caller withheld it.

    `region` says how one without country code is read.

    A number without plus may be an international one whose plus was lost. It is taken for that where only this reading
    is plausible: a number without the zero that its region dials is national only if it is a mobile one.

    Raises:
        ValueError: it is no telephone number; the message is for a developer.
        PhoneAmbiguous: it may be two numbers; carries both.
    """
    plain = _plain(text or "")
    if not plain or is_absent(plain) or plain.casefold() in _WITHHELD or plain.lstrip("+") in _WITHHELD_DIALLED:
        return None
    if not _WRITTEN.fullmatch(plain):
        plain = phone_digits(plain) or ""
    if not plain:
        raise ValueError("It is not a phone number.")
    readings = _readings(plain, region)
    if not readings:
        raise ValueError("There is no such number." if region else "It must begin with + and the country code.")
    if len(readings) > 1:
        raise PhoneAmbiguous("The number may be read in two ways.", readings=readings)
    return readings[0]


def _plain(text: str) -> str:
    """Return the number of a SIP address or a link, and in digits what was spelled in words or percent signs."""
    text = unquote(text).strip()
    text = _SCHEME.sub("", text, count=1)
    return _PLUS.sub("+", re.split(r"[@;]", text, maxsplit=1)[0], count=1).strip()


def _readings(plain: str, region: str | None) -> list[str]:
    national = _parsed(plain, region)
    if plain.startswith(("+", "0")):
        return [_e164(national)] if national else []
    international = _parsed(f"+{plain}", None)
    if national is None or international is None or _e164(national) == _e164(international):
        return [_e164(each) for each in (national or international,) if each]
    if region is not None and international.country_code == phonenumbers.country_code_for_region(region):
        return [_e164(international)]
    if phonenumbers.ndd_prefix_for_region(region or "", strip_non_digits=True) != "0":
        return [_e164(national)]  # where no zero is dialled, numbers are said without it
    is_mobile = phonenumbers.number_type(national) == PhoneNumberType.MOBILE
    return [_e164(international), *([_e164(national)] if is_mobile else [])]


def _parsed(text: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    return number if phonenumbers.is_valid_number(number) else None


def _e164(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


# --- names and notes ---------------------------------------------------------------------------------------------


def clean_name(text: str) -> str:
    """Return a name in one line of at most `MAX_NAME` characters, cut at a word, without what cannot be seen."""
    line = " ".join(_visible(text).split())
    if len(line) <= MAX_NAME:
        return line
    head, _, rest = line[: MAX_NAME + 1].rpartition(" ")
    return head or rest[:MAX_NAME]


def clean_note(text: str) -> str:
    """Return a note of at most `MAX_NOTE` characters, without what cannot be seen; its lines stay lines."""
    lines = (" ".join(_visible(line).split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)[:MAX_NOTE].rstrip()


# Letters and marks that show nothing.
_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\u2800"


def _visible(text: str) -> str:
    """
    Return the text in composed form, with plain apostrophes, without control, bidirectional and invisible characters.

    Separators of lines become blanks; a joiner inside an emoji goes, too, and the emoji is two.
    """
    composed = unicodedata.normalize("NFC", text).replace("\u2019", "'")
    return "".join(_shown(character) for character in composed)


def _shown(character: str) -> str:
    kind = unicodedata.category(character)
    if kind in {"Zl", "Zp", "Zs"} or character in "\t\n\r\v\f\x85":
        return " "
    is_invisible = kind in {"Cc", "Cf", "Cs", "Co", "Cn"} or character in _BLANK or "\ufe00" <= character <= "\ufe0f"
    return "" if is_invisible else character


if TYPE_CHECKING:
    _Char = models.CharField[str, str]
else:
    _Char = models.CharField


class NameField(_Char):
    """A person's name as it is stored: `clean_name` on every way to the database."""

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Clean the row's own value as well: it is used after it was saved."""
        setattr(model_instance, self.attname, self.get_prep_value(super().pre_save(model_instance, add)))
        return getattr(model_instance, self.attname)

    def get_prep_value(self, value: Any) -> Any:
        """Clean on the way to the database, updates and conditions included."""
        prepared = super().get_prep_value(value)
        return clean_name(prepared) if isinstance(prepared, str) else prepared
