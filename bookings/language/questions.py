"""What is asked back where a time was not understood, and how what was understood is said, in each language."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from bookings.language.dates import dated, joined
from bookings.language.sentences import LANGUAGES, LONGEST, speakable

_MOST_READINGS = 3
A_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Questions:
    """The questions of a language. Docstrings name the placeholders."""

    which: str
    """{readings}"""
    unsure: str
    """{understood}"""
    unknown: str
    """{words}"""
    when: str
    which_day: str
    which_offer: str
    past: str
    """{understood}"""
    only_past: str
    nonexistent: str
    twice: str
    open: str
    earliest: str
    between: str
    """{first} and {last}, clock times of one day."""


QUESTIONS: Mapping[str, Questions] = {
    "de": Questions(
        which="Meinen Sie {readings}?",
        unsure="Habe ich richtig verstanden, {understood}?",
        unknown="Was meinen Sie mit {words}?",
        when="Wann möchten Sie kommen?",
        which_day="An welchem Tag passt es Ihnen?",
        which_offer="Welche Zeit meinen Sie genau?",
        past="Diese Zeit ist schon vorbei. Meinen Sie {understood}?",
        only_past="Diese Zeit ist schon vorbei. Wann passt es Ihnen sonst?",
        nonexistent="Diese Uhrzeit gibt es wegen der Zeitumstellung nicht. Welche Zeit passt Ihnen sonst?",
        twice="Diese Uhrzeit gibt es wegen der Zeitumstellung zweimal. Meinen Sie vor oder nach der Umstellung?",
        open="jederzeit",
        earliest="so bald wie möglich",
        between="zwischen {first} und {last}",
    ),
    "en": Questions(
        which="Do you mean {readings}?",
        unsure="Did I get that right, {understood}?",
        unknown="What do you mean by {words}?",
        when="When would you like to come?",
        which_day="Which day would suit you?",
        which_offer="Which time do you mean?",
        past="That time has already passed. Do you mean {understood}?",
        only_past="That time has already passed. When else would suit you?",
        nonexistent="The clocks change then and skip that time. Which other time would suit you?",
        twice="The clocks change then and show that time twice. Do you mean before or after the change?",
        open="any time",
        earliest="as soon as possible",
        between="between {first} and {last}",
    ),
}


@dataclass(frozen=True)
class Speech:
    """Says windows in one language, on one day."""

    language: str
    today: date

    @property
    def questions(self) -> Questions:
        """Return the questions of the language."""
        return QUESTIONS[self.language]

    def spoken(self, windows: Sequence[tuple[datetime, datetime | None]]) -> str:
        """Return the windows as one list; of many, the first and the last."""
        words, phrases = LANGUAGES[self.language]
        if not windows:
            return ""
        if len(windows) > _MOST_READINGS:
            said = [self.window(*each) for each in windows]
            return f"{said[0]} {phrases.to} {said[-1]}"
        return joined([self.window(*each) for each in windows], words.OR)

    def window(self, first: datetime, last: datetime | None) -> str:
        """Return one window: Tuesday, the first of December, at ten."""
        words, phrases = LANGUAGES[self.language]
        day = words.alone(dated(first.date(), self.today))
        if last is None:
            since = [] if first.time() == time() else [phrases.since.format(clock=words.clock(first.time()))]
            return ", ".join([phrases.since.format(clock=day), *since])
        if last - first == A_MINUTE:
            return f"{day}, {words.at_clocks([first.time()], words.OR)}"
        end = (last - A_MINUTE).date()
        if end != first.date():
            named = f"{day} {phrases.to} {words.alone(dated(end, self.today))}"
            return named if last.time() == time() else f"{named}, {words.clock(_named_end(last).time())}"
        return ", ".join(filter(None, [day, self._hours(first.time(), last)]))

    def _hours(self, first: time, last: datetime) -> str:
        words, phrases = LANGUAGES[self.language]
        last = _named_end(last)
        if first == time() and last.time() == time():
            return ""
        if first == time():
            return phrases.until.format(clock=words.clock(last.time()))
        if last.time() == time():
            return phrases.since.format(clock=words.clock(first))
        return self.questions.between.format(first=words.clock(first), last=words.clock(last.time()))

    def which(self, windows: Sequence[tuple[datetime, datetime | None]]) -> str:
        """Return the question which of the windows is meant, or whether the one is."""
        if not windows:
            return self.questions.when
        form = self.questions.which if len(windows) > 1 else self.questions.unsure
        readings = self.spoken(windows[:_MOST_READINGS])
        asked = form.format(readings=readings, understood=readings)
        return asked if len(asked) <= LONGEST else self.questions.when

    def unknown(self, words: Sequence[str]) -> str:
        """Return the question what some words mean."""
        said = speakable(" ".join(words[:4]))
        spoken = any(letter.isalpha() for letter in said)
        return self.questions.unknown.format(words=said) if spoken else self.questions.when


def _named_end(last: datetime) -> datetime:
    """Return the end as it was said: of "until twelve at the latest" the minute itself fits."""
    return last - A_MINUTE if last.minute % 5 == 1 else last
