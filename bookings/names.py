"""Names and numbers as they are compared and searched: by what is heard, not by how it is spelled."""

import re
import unicodedata

from django.contrib.postgres.search import SearchVectorField
from django.db.models import Func, TextField

UMLAUTS: dict[str, str | int | None] = {
    "ä": "ae",
    "ö": "oe",
    "ü": "ue",
    "Ä": "ae",
    "Ö": "oe",
    "Ü": "ue",
    "ß": "ss",
    "ẞ": "ss",
    "ø": "o",
    "Ø": "o",
}


def folded(text: str) -> str:
    """
    Return `text` without case, accents and the two ways to write an umlaut: Müller and Mueller are one.

    `NameWords` does the same in PostgreSQL.
    """
    spelled = unicodedata.normalize("NFC", text).translate(str.maketrans(UMLAUTS))
    decomposed = unicodedata.normalize("NFKD", spelled)
    return "".join(each for each in decomposed if not "\u0300" <= each <= "\u036f").lower()


def words(text: str) -> list[str]:
    """Return the words of a name, folded: hyphens and apostrophes part them."""
    return re.findall(r"[^\W_]+", folded(text))


_TITLES = frozenset({"dipl", "doctor", "doktor", "dr", "frau", "herr", "ing", "mag", "med", "miss", "mister", "mr"})
_TITLES |= {"mrs", "ms", "mx", "prof", "professor", "rer", "nat"}


def same_name(one: str, other: str) -> bool:
    """Return whether two spellings are of one name: without case, accents, hyphens, apostrophes and titles."""
    return bool(_spoken(one)) and _spoken(one) == _spoken(other)


def _spoken(name: str) -> str:
    parts = words(name)
    return "".join([part for part in parts if part not in _TITLES] or parts)


def _replaced(expression: str) -> str:
    for letter, letters in UMLAUTS.items():
        expression = f"replace({expression}, '{letter}', '{letters}')"
    return expression


class NameWords(Func):
    """The words of a name, folded, as PostgreSQL searches them. Indexes are made of it: a change needs a migration."""

    template = (
        "to_tsvector('simple'::regconfig, lower(regexp_replace(regexp_replace(normalize("
        + _replaced("normalize(%(expressions)s, NFC)")
        + ", NFKD), '[\u0300-\u036f]', '', 'g'), '[-_./''\u2019]', ' ', 'g')))"
    )
    output_field = SearchVectorField()


class ReversedDigits(Func):
    """
    The digits of a number from its end to its beginning, so that an ending is found as a beginning.

    In the order of bytes, without which an index does not serve LIKE.
    """

    template = r"""(reverse(regexp_replace(%(expressions)s, '\D', '', 'g')) COLLATE "C")"""
    output_field = TextField()


def prefixes(text: str) -> str:
    """Return the query of PostgreSQL's text search for rows that have a word with each of these beginnings."""
    return " & ".join(f"{word}:*" for word in words(text))


_NUMBER = re.compile(
    r"(?:tel\.?:?)?[\d\s()+/.\-\u2010-\u2015\u00b7]*\d[\d\s()+/.\-\u2010-\u2015\u00b7]*", re.IGNORECASE
)


def digits_of(text: str) -> str:
    """
    Return the digits of what looks like a telephone number, as people write them; empty where it is none.

    The zero of +49 (0)30 is dialled in the country only, and no part of the number.
    """
    return re.sub(r"\D", "", text.replace("(0)", "")) if _NUMBER.fullmatch(text) else ""
