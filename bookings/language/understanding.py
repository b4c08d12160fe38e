"""
What a caller's words say about time: windows, or one question.

Every word is understood, is known to say nothing about time, or is asked about; of two readings neither is guessed. The
way: words, typed tokens, the language's grammar, clauses, windows. Pure: the moment, the zone and what was offered
before are arguments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import ModuleType
from zoneinfo import ZoneInfo

from bookings.availability.criteria import PartOfDay
from bookings.language.clauses import Phrase, phrase_of
from bookings.language.expressions import Band, Item
from bookings.language.grammar import de, en
from bookings.language.parser import NotGrammatical, grammar_of
from bookings.language.questions import Speech
from bookings.language.resolver import Resolved, Resolver, Window
from bookings.language.tokens import LONGEST_PHRASE, MOST_WORDS, UNKNOWN, Typed

DEFAULT_HOURS: Sequence[Sequence[tuple[int, int]]] = (((8 * 60, 20 * 60),),) * 7
"""Opening hours by weekday, in minutes since midnight, where no branch is known."""
NOT_UNDERSTOOD, AMBIGUOUS, NONEXISTENT, IN_PAST = (
    "time_not_understood", "time_ambiguous", "time_nonexistent", "date_in_past",
)  # fmt: skip
_GRAVEST_FIRST = (IN_PAST, NONEXISTENT, NOT_UNDERSTOOD, AMBIGUOUS)
_LANGUAGES: Mapping[str, ModuleType] = {"de": de, "en": en}
_COUNTRIES = {"de": "DE", "de-AT": "AT", "de-CH": "CH", "en-GB": "GB", "en-US": "US"}

for _module in _LANGUAGES.values():  # made when a process starts, not while a caller waits
    grammar_of(_module.GRAMMAR)
    _module.prepare("")


@dataclass(frozen=True, slots=True)
class Understanding:
    """What was understood."""

    windows: tuple[Window, ...] = ()
    """Local and naive, [first, last); None is open, one minute an exact start. Ascending, apart, not in the past."""
    ask: bool = False
    """Whether the caller has to be asked: the windows are then the readings, as far as there are any."""
    question: str = ""
    """One sentence in the caller's language, to be spoken as it stands."""
    code: str = ""
    """The problem code of the question."""
    earliest: bool = False
    """Whether the caller wants the soonest of the windows."""
    part: PartOfDay | None = None
    """The part of the day that was named, where it was one."""
    unknown: tuple[str, ...] = ()
    """Words that have no meaning here."""
    spoken: str = ""
    """What was understood, said back."""
    other_language: str = ""
    """Another language in which every word is known, where in this one some are not: the caller may have changed it."""


@dataclass
class _Heard:
    items: tuple[Item, ...] = ()
    unknown: list[str] = field(default_factory=list)
    grammatical: bool = True


def understand(
    phrase: str,
    *,
    language: str,
    now: datetime,
    zone: ZoneInfo,
    hours: Sequence[Sequence[tuple[int, int]]] = DEFAULT_HOURS,
    region: str | None = None,
    offered: Sequence[datetime] = (),
) -> Understanding:
    """
    Return what a phrase says about time.

    Args:
        language: BCP 47; of unknown variants the language's own, of an unknown language nothing is understood.
        now: what the clocks of the branch show; naive.
        hours: opening hours by weekday, in minutes since midnight.
        region: a country, perhaps with its subdivision, for holidays: DE-BY. By default that of the language.
        offered: the starts the caller was offered last, in that order; naive.
    """
    short, region = language.partition("-")[0].lower(), region or _COUNTRIES.get(language)
    now = _next_minute(now)
    speech = Speech(short if short in _LANGUAGES else "en", now.date())
    if short not in _LANGUAGES:
        return Understanding(ask=True, question=speech.questions.when, code=NOT_UNDERSTOOD)
    heard = _hear(phrase, short, language)
    clauses = phrase_of(heard.items)
    resolver = Resolver(now, zone, hours, region, offered)
    try:
        resolved = resolver.resolve(clauses)
    except (OverflowError, ValueError):  # years that calendars do not have
        resolved = Resolved(doubts=[NOT_UNDERSTOOD])
    found = _answer(heard, clauses, resolved, speech)
    return replace(found, other_language=_other_language(phrase, short)) if heard.unknown else found


def _other_language(phrase: str, short: str) -> str:
    heard = {other: _hear(phrase, other, other) for other in _LANGUAGES if other != short}
    return next((other for other, said in heard.items() if said.items and not said.unknown), "")


def _hear(phrase: str, short: str, language: str) -> _Heard:
    module = _LANGUAGES[short]
    words: list[str] = module.prepare(phrase[:LONGEST_PHRASE])
    if len(phrase) > LONGEST_PHRASE or len(words) > MOST_WORDS:
        return _Heard(grammatical=False)
    tokens: list[Typed] = module.tokens(words, language)
    unknown = [each.text or str(each.value) for each in tokens if each.type == UNKNOWN]
    known = [each for each in tokens if each.type != UNKNOWN]
    try:
        return _Heard(grammar_of(module.GRAMMAR).parse(known), unknown)
    except NotGrammatical:
        return _Heard(unknown=unknown, grammatical=False)


def _answer(heard: _Heard, phrase: Phrase, resolved: Resolved, speech: Speech) -> Understanding:
    windows = tuple(resolved.windows)
    found = Understanding(
        windows,
        earliest=phrase.earliest and not phrase.choice,
        part=_part(heard.items),
        unknown=tuple(heard.unknown),
        spoken=_said(windows, phrase, speech),
    )
    if heard.unknown:
        return _asked(found, NOT_UNDERSTOOD, speech.unknown(heard.unknown))
    if not heard.grammatical or (not windows and not resolved.doubts and not resolved.which_offer):
        return _asked(found, NOT_UNDERSTOOD, speech.questions.when)
    for code in _GRAVEST_FIRST:
        if code in resolved.doubts:
            return _asked(found, code, _doubt(code, resolved, speech))
    if resolved.which_offer or resolved.which_day:
        questions = speech.questions
        return _asked(found, AMBIGUOUS, questions.which_offer if resolved.which_offer else questions.which_day)
    return found


def _doubt(code: str, resolved: Resolved, speech: Speech) -> str:
    questions, windows = speech.questions, resolved.windows
    if code == IN_PAST:
        return questions.past.format(understood=speech.spoken(windows)) if windows else questions.only_past
    if code == NONEXISTENT:
        return questions.nonexistent
    if code == NOT_UNDERSTOOD:
        return questions.when
    if resolved.twice:
        return questions.twice
    return speech.which(windows)


def _asked(found: Understanding, code: str, question: str) -> Understanding:
    return replace(found, ask=True, code=code, question=question)


def _said(windows: Sequence[Window], phrase: Phrase, speech: Speech) -> str:
    if phrase.earliest and not phrase.positive:
        return speech.questions.earliest
    if phrase.open and not phrase.positive:
        return speech.questions.open
    return speech.spoken(windows)


def _part(items: Sequence[Item]) -> PartOfDay | None:
    parts = {each.part for each in items if isinstance(each, Band) and each.part}
    return parts.pop() if len(parts) == 1 else None


def _next_minute(now: datetime) -> datetime:
    whole = now.replace(second=0, microsecond=0)
    return whole if whole == now else whole + timedelta(minutes=1)
