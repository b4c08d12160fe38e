"""
What a caller hears when times were looked up: one line, at most 250 characters, with a question at the end.

A language is a module, which knows how times and days are said, and a set of phrases. Names of staff are the only words
that come from elsewhere; whatever in them is no word is left out.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from typing import NamedTuple

from bookings.availability.rules import Reason
from bookings.availability.search import Status
from bookings.language.dates import called, dated, joined
from bookings.language.languages import LANGUAGES, Tongue
from bookings.language.phrases import Phrases

LONGEST = 250  # characters
_LONGEST_NAME = 40
_UNSPEAKABLE = re.compile(r"[^\w\s.'\u2019-]|[\d_]")


class Time(NamedTuple):
    """A free time, as the branch's clocks show it."""

    start: datetime
    with_other: bool = False
    """With somebody else than the caller asked for."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a search, as far as it is spoken about."""

    status: Status
    times: Sequence[Time]
    today: date
    """At the branch."""
    until: date
    """The last day that was looked at."""
    reason: Reason | None = None
    staff: str = ""
    """Whom the caller asked for."""
    exact: bool = False
    """Whether one certain time was asked for."""
    held: bool = False
    further: bool = False
    """Whether later days can still be looked at."""
    access_refused: bool = False
    """Whether Cal.com could not be asked because it refuses us."""


def result(found: Result, language: str) -> str:
    """Return what is said about the times that were found."""
    voice = _Voice(*LANGUAGES[language], found.today, speakable(found.staff))
    if found.status is Status.NONE:
        return voice.nothing(found)
    if found.status is Status.DEGRADED:
        return _fitting(found.times, [voice.uncertain]) if found.times else voice.nobody_knows(found)
    if found.status is Status.AVAILABLE and found.exact:
        return voice.yes(found)
    offer = voice.phrases.otherwise if found.status is Status.ALTERNATIVES and not found.reason else voice.phrases.offer
    why = voice.why(found.reason)
    return _fitting(
        found.times,
        [lambda times: f"{why}{voice.offer(offer, times)}", lambda times: voice.offer(offer, times)],
    )


def which_person(names: Sequence[str], *, several: bool, language: str) -> str:
    """Ask whom the caller means: nobody is called what was said, or `several` are."""
    tongue, phrases = LANGUAGES[language]
    known = [name for name in map(speakable, names) if name][:3]
    question = phrases.do_you_mean.format(names=joined(known, tongue.OR)) if known else phrases.who
    return f"{phrases.several_people if several else phrases.unknown_person} {question}"


def nobody_in_particular(language: str) -> str:
    """Ask whether somebody else will do: this cannot be booked with one person alone."""
    return LANGUAGES[language][1].nobody_in_particular


def one_time(start: datetime, today: date, language: str) -> str:
    """Return a time by itself, such as Dienstag um elf Uhr dreißig."""
    tongue, _ = LANGUAGES[language]
    (day,) = called([start.date()], today)
    return f"{tongue.alone(day)}{',' if day.dated else ''} {tongue.at_clocks([start.time()], tongue.OR)}"


def speakable(name: str) -> str:
    """Return a name as far as it is words, and no more than its first one where it is too long to listen to."""
    words = _UNSPEAKABLE.sub(" ", name).split()
    whole = " ".join(words)
    return whole if len(whole) <= _LONGEST_NAME else words[0][:_LONGEST_NAME]


def _fitting(times: Sequence[Time], ways: Sequence[Callable[[Sequence[Time]], str]]) -> str:
    """Return the fullest sentence that is short enough: all times come before any explanation."""
    for count in range(len(times), 0, -1):
        for way in ways:
            spoken = way(times[:count])
            if len(spoken) <= LONGEST:
                return spoken
    raise ValueError("No sentence is short enough.")


@dataclass(frozen=True)
class _Voice:
    """Speaks one language, on one day, about one person or nobody in particular."""

    tongue: Tongue
    phrases: Phrases
    today: date
    staff: str

    def yes(self, found: Result) -> str:
        phrase = self.phrases.yes_with_person if self.staff else self.phrases.yes
        sentences = [phrase.format(times=self._grouped(found.times), staff=self.staff)]
        if found.held:
            sentences.append(self.phrases.held)
        return " ".join((*sentences, self.phrases.book))

    def offer(self, phrase: str, times: Sequence[Time]) -> str:
        return f"{self._put(phrase, times)} {self.phrases.which[len(times) - 1]}"

    def uncertain(self, times: Sequence[Time]) -> str:
        return f"{self._put(self.phrases.uncertain, times)} {self.phrases.which_to_try[len(times) > 1]}"

    def nothing(self, found: Result) -> str:
        why = "" if found.reason is Reason.FULLY_BOOKED else self.why(found.reason)
        until = self.tongue.up_to(dated(found.until, self.today))
        nothing = _opened(self.phrases.nothing_up_to.format(until=until)).replace(",.", ".")
        return f"{why}{nothing} {self.phrases.look_further if found.further else self.phrases.call_back}"

    def nobody_knows(self, found: Result) -> str:
        what = self.phrases.no_access if found.access_refused else self.phrases.no_answer
        return f"{self.why(found.reason)}{what} {self.phrases.call_back}"

    def why(self, reason: Reason | None) -> str:
        if reason is None:
            return ""
        if reason is Reason.FULLY_BOOKED and self.staff:
            return f"{self.phrases.not_free_with_person.format(staff=self.staff)} "
        return f"{self.phrases.reasons[reason]} "

    def _put(self, phrase: str, times: Sequence[Time]) -> str:
        with_person = self.phrases.with_person if self.staff else self.phrases.anybody
        parts = [
            template.format(times=self._grouped(those), staff=self.staff)
            for template, with_other in ((with_person, False), (self.phrases.with_other, True))
            if (those := [each for each in times if each.with_other == with_other])
        ]
        return _opened(phrase.format(parts=joined(parts, self.tongue.AND)))

    def _grouped(self, times: Sequence[Time]) -> str:
        """Return times by day: one on Tuesday and another, or one on Wednesday."""
        groups = [(day, list(those)) for day, those in groupby(times, key=lambda each: each.start.date())]
        within = self.tongue.OR if len(groups) == 1 else self.tongue.AND
        spoken = [
            f"{self.tongue.on(day)} {self.tongue.at_clocks([each.start.time() for each in those], within)}"
            for day, (_, those) in zip(called([day for day, _ in groups], self.today), groups, strict=True)
        ]
        return joined(spoken, self.tongue.OR)


def _opened(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
