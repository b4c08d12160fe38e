"""From the caller's words to typed tokens: a longest match of known phrases, which leaves unknown words unknown."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

LONGEST_PHRASE = 300  # characters
MOST_WORDS = 80

UNKNOWN = "UNKNOWN"


class Typed(NamedTuple):
    """A token of the grammar: the name of its terminal, what it stands for, and how it was said."""

    type: str
    value: object = None
    text: str = ""


@dataclass
class _Node:
    then: dict[str, "_Node"] = field(default_factory=dict)
    tokens: tuple[Typed, ...] | None = None


Reader = Callable[[Sequence[str], int], "tuple[int, tuple[Typed, ...]] | None"]
"""Reads what no lexicon lists, such as figures: how many words from a place on, and their tokens; None: not its own."""


class Lexicon:
    """Phrases of one or more words, each with the tokens it stands for. None of them: a filler."""

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, phrases: str | Iterable[str], *tokens: Typed) -> None:
        """Add phrases of the same meaning; a string has several between bars. A later meaning replaces an earlier."""
        for phrase in phrases.split("|") if isinstance(phrases, str) else phrases:
            node = self._root
            for word in phrase.split():
                node = node.then.setdefault(word, _Node())
            node.tokens = tokens

    def knows(self, word: str) -> bool:
        """Return whether the word has a meaning by itself."""
        node = self._root.then.get(word)
        return node is not None and node.tokens is not None

    def match(self, words: Sequence[str], begin: int) -> tuple[int, tuple[Typed, ...]]:
        """Return how many words from there on the longest known phrase has, and its tokens; 0 if there is none."""
        node, best = self._root, 0
        found: tuple[Typed, ...] = ()
        for count, word in enumerate(words[begin:], 1):
            if (child := node.then.get(word)) is None:
                break
            node = child
            if node.tokens is not None:
                best, found = count, node.tokens
        return best, found


class Scanner:
    """
    Splits a phrase into words and gives each its tokens.

    Args:
        pattern: what a word looks like.
        spellings: characters that are written otherwise in the lexicon.
    """

    def __init__(self, lexicon: Lexicon, pattern: str, spellings: Mapping[str, str]) -> None:
        self._lexicon = lexicon
        self._pattern = re.compile(pattern, re.VERBOSE)
        self._spellings = str.maketrans(dict(spellings))

    def words(self, phrase: str) -> list[str]:
        """Return the words of a phrase, in lower case."""
        return self._pattern.findall(phrase.lower().translate(self._spellings))

    def scan(self, words: Sequence[str], read: Reader) -> list[Typed]:
        """Return the tokens of the words; `read` is asked first, for what is not written in letters."""
        tokens: list[Typed] = []
        begin = 0
        while begin < len(words):
            count, found = read(words, begin) or self._lexicon.match(words, begin)
            said = " ".join(words[begin : begin + max(count, 1)])
            if count:
                tokens.extend(each._replace(text=each.text or said) for each in found)
            elif any(letter.isalnum() for letter in said):
                tokens.append(Typed(UNKNOWN, said, said))
            begin += max(count, 1)
        return tokens
