"""
Numbers and codes as they are spelled over the telephone, in German and English, as digits and letters. Pure.

A word that belongs to no spelling makes the whole text none: nothing is left out, and nothing is guessed.
"""

import re
from collections.abc import Iterator, Sequence

from bookings.names import folded

FEWEST_DIGITS = 4
"""So many or fewer are no telephone number."""
_DIGITS = {
    "0": "null zero oh o nought naught", "1": "eins ein eine one", "2": "zwei zwo two", "3": "drei three",
    "4": "vier four", "5": "funf fuenf five", "6": "sechs six", "7": "sieben seven", "8": "acht eight",
    "9": "neun nine niner",
}  # fmt: skip
_TEENS = {
    "10": "zehn ten", "11": "elf eleven", "12": "zwolf zwoelf twelve", "13": "dreizehn thirteen",
    "14": "vierzehn fourteen", "15": "funfzehn fuenfzehn fifteen", "16": "sechzehn sixteen",
    "17": "siebzehn seventeen", "18": "achtzehn eighteen", "19": "neunzehn nineteen",
}  # fmt: skip
_TENS = {
    "20": "zwanzig twenty", "30": "dreissig thirty", "40": "vierzig forty fourty", "50": "funfzig fuenfzig fifty",
    "60": "sechzig sixty", "70": "siebzig seventy", "80": "achtzig eighty", "90": "neunzig ninety",
}  # fmt: skip
_TIMES = {"doppel": 2, "doppelt": 2, "double": 2, "zweimal": 2, "triple": 3, "treble": 3, "dreimal": 3, "viermal": 4}
_SKIPPED = ", und and dann then die der das the a bitte please ist is also so um uh ah ahm danke thanks"
_NUMBER_WORDS = (
    "meine nummer telefonnummer handynummer mobilnummer rufnummer lautet my number phone mobile it's it es vorwahl "
    "durchwahl area code your"
)
# The alphabets of ICAO, of DIN 5009 in its forms of 1983 and 2022, and Austrian and Swiss names.
_LETTERS = {
    "A": "alfa alpha anton aachen anna adam apple", "B": "bravo berta berlin bertha boy",
    "C": "charlie casar caesar chemnitz cottbus", "D": "delta dora dusseldorf duesseldorf daniel david dog",
    "E": "echo emil essen edward easy", "F": "foxtrot friedrich frankfurt frank fox", "G": "golf gustav goslar george",
    "H": "hotel heinrich hamburg hannover harry henry", "I": "india ida ingelheim isidor",
    "J": "juliett juliet julius jena jakob john", "K": "kilo kaufmann koln koeln konrad king",
    "L": "lima ludwig leipzig love", "M": "mike martha munchen muenchen marie mary",
    "N": "november nordpol nurnberg nuernberg nathan nancy niklaus", "O": "oscar otto offenbach oskar",
    "P": "papa paula potsdam paul peter", "Q": "quebec quelle quickborn queen",
    "R": "romeo richard rostock rosa robert roger", "S": "sierra samuel siegfried salzwedel sugar sam",
    "T": "tango theodor tubingen tuebingen thomas tom theodore", "U": "uniform ulrich unna uncle",
    "V": "victor viktor volkingen voelklingen vogel", "W": "whiskey whisky wilhelm wuppertal william",
    "X": "x-ray xray xanthippe xanten xaver", "Y": "yankee ypsilon yellow",
    "Z": "zulu zacharias zeppelin zwickau zurich zuerich zebra zed zee",
}  # fmt: skip
# Letters as a transcript spells their names; what is also a digit, as O, is decided by what is asked for.
_SPOKEN_LETTERS = {
    "B": "be bee", "C": "ce cee", "D": "de dee", "F": "ef eff", "G": "ge gee", "H": "ha aitch haitch", "J": "jot jay",
    "K": "ka kay", "L": "el ell", "M": "em", "N": "en", "P": "pe pee", "Q": "ku cue queue", "R": "er ar", "S": "es ess",
    "T": "te tee", "U": "you", "V": "vau vee fau", "W": "we", "X": "ix ex", "Y": "why",
}  # fmt: skip
_LIKE = frozenset({"wie", "like", "for", "fur", "fuer", "in", "as"})


def _by_word(table: dict[str, str]) -> dict[str, str]:
    return {word: value for value, words in table.items() for word in words.split()}


_DIGIT_OF = _by_word(_DIGITS)
_TEEN_OF, _TEN_OF = _by_word(_TEENS), _by_word(_TENS)
_LETTER_OF = _by_word(_SPOKEN_LETTERS) | _by_word(_LETTERS)
_UNITS = "|".join(sorted((word for word in _DIGIT_OF if word != "o"), key=len, reverse=True))
_GERMAN_TENS = re.compile(f"({_UNITS})und({'|'.join(_TEN_OF)})")
_JOINED = re.compile(f"({'|'.join(_TIMES)})(?:die)?({_UNITS})")


def phone_digits(text: str) -> str | None:
    """Return a spoken telephone number in digits, with a plus where one was said; None where a word is none of it."""
    found: list[str] = []
    words = _words(text)
    for value in _read(words, letters=False):
        if value is None or (value == "+" and any(found)):
            return None
        found.append(value)
    number = "".join(found)
    return number if sum(map(str.isdigit, number)) > FEWEST_DIGITS else None


def characters(text: str) -> str | None:
    """Return a spelled code, such as a reference, in capitals and digits; None where a word is none of it."""
    found = list(_read(_words(text), letters=True))
    return "".join(each for each in found if each) if found and None not in found else None


def _words(text: str) -> list[str]:
    plain = folded(text.replace("\u2019", "'").replace("+", " plus "))
    return re.findall(r"x-ray|[a-z'\d]+|,", plain)


def _read(words: Sequence[str], *, letters: bool) -> Iterator[str | None]:
    """Yield what each group of words stands for; None for a word that stands for nothing."""
    place = 0
    while place < len(words):
        word = words[place]
        if word in _TIMES or (joined := _JOINED.fullmatch(word)):
            count, value = 1, None
            if word in _TIMES:
                count = 2 + (place + 1 < len(words) and words[place + 1] in {"die", "the"})
                value = _one(words[place + count - 1], letters=letters) if place + count <= len(words) else None
                times = _TIMES[word]
            else:
                assert joined is not None  # noqa: S101
                times, value = _TIMES[joined[1]], _DIGIT_OF[joined[2]]
            yield value * times if value and len(value) == 1 else None
            place += count
        else:
            count, value = _group(words, place, letters=letters)
            yield value
            place += count


def _group(words: Sequence[str], place: int, *, letters: bool) -> tuple[int, str | None]:
    word, after = words[place], words[place + 1] if place + 1 < len(words) else ""
    if word in _TEN_OF:
        is_english = word.endswith("ty")  # German says twenty-two in one word
        digit = _DIGIT_OF.get(after, "0") if is_english else "0"
        return (2, _TEN_OF[word][0] + digit) if digit != "0" else (1, _TEN_OF[word])
    if word in _DIGIT_OF and after in {"hundert", "hundred"}:
        return 2, _DIGIT_OF[word] + "00"
    if letters and after in _LIKE and (spelled := _spelled(words, place)):
        return spelled
    if word in _SKIPPED.split() and not (letters and word == "a"):
        return 1, ""
    return 1, _one(word, letters=letters)


def _spelled(words: Sequence[str], place: int) -> tuple[int, str | None] | None:
    """Read K wie Kaufmann, K as in king: any word with that letter will do, another contradicts it."""
    end = place + 1
    while end < len(words) and words[end] in _LIKE:
        end += 1
    letter = _one(words[place], letters=True)
    if end == len(words) or not letter or len(letter) != 1 or letter.isdigit():
        return None
    return end + 1 - place, letter if words[end][0] == letter.lower() else None


def _one(word: str, *, letters: bool) -> str | None:
    """Return what one word stands for; empty where it says nothing, None where it is unknown."""
    if word.isdigit():
        return word
    number = _DIGIT_OF.get(word) or _TEEN_OF.get(word) or _tens(word)
    return (_letter(word) or number) if letters else (number or _of_numbers(word))


def _letter(word: str) -> str | None:
    if len(word) == 1 or re.fullmatch(r"[a-z]*\d[a-z\d]*", word):
        return word.upper()
    return _LETTER_OF.get(word)


def _of_numbers(word: str) -> str | None:
    return "+" if word == "plus" else "" if word in _NUMBER_WORDS.split() else None


def _tens(word: str) -> str | None:
    """Return a German number such as twenty-two, one word with its units first."""
    found = _GERMAN_TENS.fullmatch(word)
    return _TEN_OF[found[2]][0] + _DIGIT_OF[found[1]] if found else None
