"""
Whether an agent told a caller of a booking: read in the transcript of a call that is over.

A sentence counts where it says that something is done (a participle with its auxiliary, or a set phrase) and neither
denies it, nor asks, nor speaks of what can or will be done, nor of a time that others have.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
_WORD = re.compile(r"[\w']+")
_TURN = re.compile(
    r"^\s*(?:\[[^\]]*\]\s*)?(agent|assistant|ai|bot|user|caller|customer|human)\s*:\s*(.*)$", re.IGNORECASE
)
_AGENT = frozenset({"agent", "assistant", "ai", "bot"})
_LONGEST_CRY = 5  # words of a sentence like "Super, gebucht!"


@dataclass(frozen=True, slots=True)
class _Words:
    """What a language says it with, in small letters."""

    done: frozenset[str]
    auxiliary: frozenset[str]
    set_phrases: tuple[str, ...]
    denied: frozenset[str]
    open: frozenset[str]
    """Words of what can, shall or will be done."""
    of_others: frozenset[str]
    """Words that go with a time that is taken, where no one is addressed."""
    addressed: frozenset[str]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DE = _Words(
    done=_words(
        "gebucht eingebucht eingetragen reserviert bestätigt bestaetigt vereinbart fixiert festgemacht umgebucht"
        " verschoben verlegt eingeplant"
    ),
    auxiliary=_words("habe hab haben ist sind wurde wurden bin"),
    set_phrases=(
        "termin steht", "steht fest", "termin ist fest", "ihr termin ist am", "sie haben den termin",
        "sie haben einen termin am", "wir sehen uns dann", "wir sehen sie dann", "dann bis", "wir erwarten sie",
        "wir freuen uns auf sie am", "ihre buchungsnummer", "ihre referenz lautet", "hat geklappt",
    ),
    denied=_words("nicht nichts kein keine keinen keiner nie niemals ohne leider fehlgeschlagen unmöglich"),
    open=_words(
        "kann können könnte könnten soll sollte sollen möchte möchten würde würden werde wird werden wenn sobald falls"
        " darf dürfte muss müsste versuche wäre wären bevor damit ob gerade probiere lassen hätte hätten"
    ),
    of_others=_words("schon bereits anderweitig ausgebucht belegt vergeben komplett voll"),
    addressed=_words("sie ihnen ihr ihren ihre dich dir dein deinen"),
)  # fmt: skip
_EN = _Words(
    done=_words("booked scheduled confirmed reserved rescheduled moved"),
    auxiliary=_words(
        "is are am have has been got i've you're you've it's that's we've i'm everything's appointment's"
    ),
    set_phrases=(
        "you're all set", "you are all set", "all set for", "see you on", "see you then", "see you tomorrow",
        "see you next", "we'll see you", "your appointment is on", "your appointment is at",
        "you have an appointment on", "you're in for", "you are in for", "your confirmation number",
        "your reference is", "put you down for", "got you down for", "have you down for",
        "look forward to seeing you on",
    ),
    denied=_words(
        "not no n't never cannot can't couldn't didn't isn't wasn't haven't hasn't unable failed without unfortunately"
        " sorry won't aren't don't nothing"
    ),
    open=_words(
        "can could would should shall will if once when let may might like want going try trying before whether until"
        " i'll we'll i'd let's about"
    ),
    of_others=_words("already fully taken completely else"),
    addressed=_words("you your you're i've"),
)  # fmt: skip
_BY_LANGUAGE = {"de": _DE, "en": _EN}


def told_booked(transcript: str, language: str) -> bool:
    """Return whether the agent said in "de" or "en" that an appointment is made or moved, and never took it back."""
    words, told = _BY_LANGUAGE[language], False
    for sentence in _sentences(transcript):
        if _is_told(sentence, words):
            told = True
        elif told and _takes_back(sentence, words):
            told = False
    return told


def _sentences(transcript: str) -> Iterator[str]:
    """Yield what the agent said, sentence by sentence; all of it where no speaker is named."""
    turns = [found.groups() for line in transcript.splitlines() if (found := _TURN.match(line))]
    said = [text for speaker, text in turns if speaker.lower() in _AGENT] if turns else [transcript]
    for text in said:
        yield from (found[0].strip() for found in _SENTENCE.finditer(text.replace("\u2019", "'")))


def _is_told(sentence: str, words: _Words) -> bool:
    lower = sentence.casefold()
    said = _WORD.findall(lower)
    unsure = words.denied | words.open
    if sentence.endswith("?") or any(word in words.denied for word in said):
        return False
    if any(phrase in " ".join(said) or phrase in lower for phrase in words.set_phrases):
        return not (set(said) & (unsure - {"we'll", "i'll", "will"}))
    done = [word for word in said if word in words.done]
    if not done or set(said) & words.open:
        return False
    if set(said) & words.of_others and not set(said) & words.addressed:
        return False
    return bool(set(said) & words.auxiliary) or len(said) <= _LONGEST_CRY


def _takes_back(sentence: str, words: _Words) -> bool:
    """Return whether a sentence denies a booking that was told of: "Nein, das hat nicht geklappt."."""
    said = set(_WORD.findall(sentence.casefold()))
    about_it = said & (words.done | {"geklappt", "worked", "termin", "appointment", "buchung", "booking"})
    return bool(said & words.denied) and bool(about_it) and not sentence.endswith("?")
