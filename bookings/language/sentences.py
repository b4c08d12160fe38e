"""
What a caller hears when times were looked up: one line, at most 250 characters, with a question at the end.

A language is a module, which knows how times and days are said, and a set of phrases. Names of staff are the only words
that come from elsewhere; characters in them that cannot be spoken are left out.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import groupby
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from bookings.availability.criteria import PartOfDay, TimeCriteria, Window
from bookings.availability.rules import Reason
from bookings.availability.search import Status
from bookings.language import english, german
from bookings.language.dates import Day, called, dated, joined
from bookings.language.phrases import ENGLISH, GERMAN, Phrases

LONGEST = 250  # characters
_LONGEST_NAME = 40
_UNSPEAKABLE = re.compile(r"[^\w\s.'\u2019-]|[\d_]")
_MIDNIGHT = time()


class Language(Protocol):
    """How times and days are said in a language."""

    OR: str
    AND: str

    def clock(self, at: time) -> str:
        """Return a time of day."""

    def at_clocks(self, times: Sequence[time], conjunction: str) -> str:
        """Return times of one day."""

    def on(self, day: Day) -> str:
        """Return on which day."""

    def up_to(self, day: Day) -> str:
        """Return until which day."""

    def alone(self, day: Day) -> str:
        """Return a day by itself."""


LANGUAGES: Mapping[str, tuple[Language, Phrases]] = {"de": (german, GERMAN), "en": (english, ENGLISH)}


class Time(NamedTuple):
    """A free time, as the branch's clocks show it."""

    start: datetime
    with_other: bool = False
    """With another person than the caller asked for."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The outcome of a search, as far as it is spoken about."""

    status: Status
    times: Sequence[Time]
    today: date
    """At the branch."""
    until: date
    """The last day that was searched."""
    reason: Reason | None = None
    staff: str = ""
    """The person the caller asked for."""
    exact: bool = False
    """Whether the caller asked for one start."""
    held: bool = False
    further: bool = False
    """Whether later days can still be searched."""
    access_refused: bool = False
    """Whether Cal.com could not be asked because it refuses us."""


def search_result(found: SearchResult, language: str) -> str:
    """Return what is said about the times that were found."""
    wording = _Wording(*LANGUAGES[language], found.today, speakable(found.staff))
    if found.status is Status.NONE:
        return wording.nothing(found)
    if found.status is Status.DEGRADED:
        return _fitting(found.times, [wording.uncertain]) if found.times else wording.unknown(found)
    if found.status is Status.AVAILABLE and found.exact:
        return wording.yes(found)
    offer = (
        wording.phrases.otherwise if found.status is Status.ALTERNATIVES and not found.reason else wording.phrases.offer
    )
    why = wording.why(found.reason)
    return _fitting(
        found.times,
        [lambda times: f"{why}{wording.offer(offer, times)}", lambda times: wording.offer(offer, times)],
    )


def which_person(names: Sequence[str], *, several: bool, language: str) -> str:
    """Return the question whom the caller means: no one has the name that was said, or `several` have."""
    words, phrases = LANGUAGES[language]
    known = [name for name in map(speakable, names) if name][:3]
    question = phrases.do_you_mean.format(names=joined(known, words.OR)) if known else phrases.who
    return f"{phrases.several_people if several else phrases.unknown_person} {question}"


def any_person(language: str) -> str:
    """Return the question whether any person will do: the service cannot be booked with one alone."""
    return LANGUAGES[language][1].no_certain_person


def one_time(start: datetime, today: date, language: str) -> str:
    """Return a time by itself, such as Dienstag um elf Uhr dreißig."""
    words, _ = LANGUAGES[language]
    (day,) = called([start.date()], today)
    return f"{words.alone(day)}{',' if day.dated else ''} {words.at_clocks([start.time()], words.OR)}"


def understood(criteria: TimeCriteria, zone: ZoneInfo, today: date, language: str) -> str:
    """Return what was asked for, so that an agent can notice a mistake: Dienstag, erster Dezember, ab neun Uhr."""
    wording = _CriteriaWording(*LANGUAGES[language], zone, today)
    if criteria.start is not None:
        return wording.start(criteria.start)
    windows = criteria.windows
    if len(windows) > 2:  # say only where they begin and end
        windows = (Window(windows[0].first, windows[-1].last),)
    return joined([wording.window(window, criteria.part) for window in windows], wording.words.OR)


def speakable(name: str) -> str:
    """Return the speakable characters of a name, empty without a letter; of a long one the first word only."""
    words = [word for word in _UNSPEAKABLE.sub(" ", name).lstrip(" .'\u2019-").split() if any(map(str.isalpha, word))]
    whole = " ".join(words)
    return whole if len(whole) <= _LONGEST_NAME else words[0][:_LONGEST_NAME]


def _fitting(times: Sequence[Time], ways: Sequence[Callable[[Sequence[Time]], str]]) -> str:
    """Return the longest sentence that fits: with all times rather than with an explanation."""
    for count in range(len(times), 0, -1):
        for way in ways:
            spoken = way(times[:count])
            if len(spoken) <= LONGEST:
                return spoken
    raise ValueError("No sentence is short enough.")


@dataclass(frozen=True)
class _Wording:
    """Sentences in one language, on one day, about `staff` or, where that is empty, any person."""

    words: Language
    phrases: Phrases
    today: date
    staff: str

    def yes(self, found: SearchResult) -> str:
        phrase = self.phrases.yes_with_person if self.staff else self.phrases.yes
        sentences = [phrase.format(times=self._grouped(found.times), staff=self.staff)]
        if found.held:
            sentences.append(self.phrases.held)
        return " ".join((*sentences, self.phrases.book))

    def offer(self, phrase: str, times: Sequence[Time]) -> str:
        return f"{self._put(phrase, times)} {self.phrases.which[len(times) - 1]}"

    def uncertain(self, times: Sequence[Time]) -> str:
        return f"{self._put(self.phrases.uncertain, times)} {self.phrases.which_to_try[len(times) > 1]}"

    def nothing(self, found: SearchResult) -> str:
        why = "" if found.reason is Reason.FULLY_BOOKED else self.why(found.reason)
        until = self.words.up_to(dated(found.until, self.today))
        nothing = _opened(self.phrases.nothing_up_to.format(until=until)).replace(",.", ".")
        return f"{why}{nothing} {self.phrases.look_further if found.further else self.phrases.call_back}"

    def unknown(self, found: SearchResult) -> str:
        what = self.phrases.no_access if found.access_refused else self.phrases.no_answer
        return f"{self.why(found.reason)}{what} {self.phrases.call_back}"

    def why(self, reason: Reason | None) -> str:
        if reason is None:
            return ""
        if reason is Reason.FULLY_BOOKED and self.staff:
            return f"{self.phrases.not_free_with_person.format(staff=self.staff)} "
        return f"{self.phrases.reasons[reason]} "

    def _put(self, phrase: str, times: Sequence[Time]) -> str:
        with_person = self.phrases.with_person if self.staff else self.phrases.with_anyone
        parts = [
            template.format(times=self._grouped(those), staff=self.staff)
            for template, with_other in ((with_person, False), (self.phrases.with_other, True))
            if (those := [each for each in times if each.with_other == with_other])
        ]
        return _opened(phrase.format(parts=joined(parts, self.words.AND)))

    def _grouped(self, times: Sequence[Time]) -> str:
        """Return times by day: one on Tuesday and another, or one on Wednesday."""
        groups = [(day, list(those)) for day, those in groupby(times, key=lambda each: each.start.date())]
        within = self.words.OR if len(groups) == 1 else self.words.AND
        spoken = [
            f"{self.words.on(day)} {self.words.at_clocks([each.start.time() for each in those], within)}"
            for day, (_, those) in zip(called([day for day, _ in groups], self.today), groups, strict=True)
        ]
        return joined(spoken, self.words.OR)


def _opened(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


@dataclass(frozen=True)
class _CriteriaWording:
    """Says criteria in one language, in one zone, on one day."""

    words: Language
    phrases: Phrases
    zone: ZoneInfo
    today: date

    def start(self, minute: int) -> str:
        start = self._local(minute)
        return f"{self._days(start, start)}, {self.words.at_clocks([start.time()], self.words.OR)}"

    def window(self, window: Window, part: PartOfDay | None) -> str:
        first, last, phrases = self._local(window.first), self._local(window.last), self.phrases
        opens = time(part.hours[0]) if part else _MIDNIGHT
        bounds = [
            phrases.parts[part] if part else "",
            phrases.since.format(clock=self.words.clock(first.time())) if first.time() != opens else "",
            phrases.until.format(clock=self.words.clock(last.time())) if not part and last.time() != _MIDNIGHT else "",
        ]
        days = self._days(first, self._local(window.last - 1))
        return ", ".join(filter(None, (days, " ".join(filter(None, bounds)))))

    def _days(self, first: datetime, last: datetime) -> str:
        days = sorted({first.date(), last.date()})
        return f" {self.phrases.to} ".join(self.words.alone(dated(day, self.today)) for day in days)

    def _local(self, minute: int) -> datetime:
        return datetime.fromtimestamp(minute * 60, self.zone)
