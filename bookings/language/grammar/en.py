"""English: the words of time, with their British and American forms, as tokens of en.lark."""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import cast

from bookings.language.expressions import Bound, Clock, DayOfMonth, EitherDate, Joint, Unit, Which
from bookings.language.grammar.en_words import HALVES, SHADES, lexicon
from bookings.language.tokens import UNKNOWN, Scanner, Typed

GRAMMAR = "en"
_WORD = r"\d{4}-\d\d-\d\d | \d+(?:[.:/]\d+)*[a-z]* | [^\W\d_]+(?:'[^\W\d_]+)* | ,"
_ISO = re.compile(r"\d{4}-\d\d-\d\d")
_SPELLINGS: Sequence[tuple[re.Pattern[str], str]] = tuple(
    (re.compile(pattern), by)
    for pattern, by in (
        (r"[\u2019\u02bc`]", "'"),
        (r"\b([ap])\.\s?m\b\.?", r"\1m "),
        (r"(?<=\d)\s?([ap]) ?m\b", r" \1m "),
        (r"(?<=\d)([ap])\b", r" \1m "),
        (r"\bo[ '.]*clock\b", " o'clock "),
        (r"\ba\.?s\.?a\.?p\b\.?", " asap "),
        (r"(?<=\d)h\b", ":00"),
        (r"(?<=\d)\s?(?:[\u2013\u2014]|-)\s?(?=\d)", " until "),
        (r"\b(am|pm|noon|midday)\s?[\u2013\u2014-]\s?(?=\d|noon|midday)", r"\1 until "),
        (r"(?<=[a-z])-(?=[a-z])", " "),
        (r"(?<=[a-z0-9])ish\b", " ish "),
        (r"\b(engl|br|f|p|fin) ish\b", r"\1ish"),
        (r"\.{2,}|\u2026", " "),
        (r"[.;!?:](?=\s|$)|\s[\u2013\u2014-]+\s", " , "),
    )
)
_CLOCKLIKE = {"NUM", "CLOCK", "UHR", "HALF", "QUARTER", "TO", "PAST", "MIN"}
_AFTER_LIMITS = {
    "NUM", "CLOCK", "ORD", "DATE", "RELDAY", "WEEKDAY", "HABITDAY", "WEEK", "WEEKEND", "WORKDAYS", "MONTH", "MONTHWORD",
    "WHICH", "EDGE", "HOLIDAY", "BAND", "HALF", "QUARTER", "SPAN", "IN", "PLURAL", "PART", "DAYPART",
}  # fmt: skip
_DAYLIKE = {"WEEKDAY", "RELDAY", "ORD", "DATE", "MONTH", "YEAR", "HOLIDAY", "HABITDAY", "WEEK", "SPAN"}
_NOT_BEFORE = {Bound.BEFORE: Bound.FROM, Bound.AFTER: Bound.LATEST, Bound.UNTIL: Bound.FROM}
_MINUTES_SAID = {5, 10, 20, 25}
_COMMA = Typed("JOINT", Joint.COMMA)


def prepare(phrase: str) -> list[str]:
    """Return the words of a phrase as they are looked up."""
    text = phrase.lower()
    for pattern, by in _SPELLINGS if not _ISO.search(text) else _SPELLINGS[:6]:
        text = pattern.sub(by, text)
    return _scanner().words(text)


def tokens(words: Sequence[str], language: str) -> list[Typed]:
    """Return the tokens of the words, as en.lark wants them; `language` is en, en-GB or en-US."""
    figures = _Figures(language)
    return _Refinement(language, _scanner().scan(words, figures.read)).result()


@cache
def _scanner() -> Scanner:
    return Scanner(lexicon(), _WORD, {})


class _Figures:
    """Reads what has digits: 3, 3rd, 14:30, 2.30, 1430, 12/3, 12/3/2026, 2026-12-01."""

    def __init__(self, language: str) -> None:
        self._language = language

    def read(self, words: Sequence[str], begin: int) -> tuple[int, tuple[Typed, ...]] | None:
        """Return how many words it read, and their tokens; None where the first has no digits."""
        word = words[begin]
        if not word[0].isdigit():
            return None
        following = words[begin + 1] if begin + 1 < len(words) else ""
        if _ISO.fullmatch(word):
            year, month, day = (int(each) for each in word.split("-"))
            return 1, (Typed("DATE", DayOfMonth(day, month, year)),)
        found = re.fullmatch(r"(\d{1,4}(?:[.:/]\d{1,4})*)(st|nd|rd|th)?", word)
        if not found:
            return 1, (Typed(UNKNOWN, word),)
        numbers = [int(each) for each in re.findall(r"\d+", found[1])]
        if found[2]:
            is_day = len(numbers) == 1 and 1 <= numbers[0] <= 31
            return 1, (Typed("ORD", numbers[0]) if is_day else Typed(UNKNOWN, word),)
        if len(numbers) == 1:
            return 1, (self._single(numbers[0], word, following, words[begin - 1] if begin else ""),)
        return 1, (self._date(numbers, word) if "/" in word or len(numbers) > 2 else _colon(numbers, word),)

    def _single(self, value: int, word: str, following: str, before: str) -> Typed:
        if len(word) >= 3:
            said_as_clock = following in {"hours", "hrs", "am", "pm"} or before in {"at", "by", "after", "before"}
            if said_as_clock and value // 100 < 24 and value % 100 < 60:
                exact = following in {"hours", "hrs"} or word.startswith("0")
                return _clock(value // 100, value % 100, exact=exact, text=word)
            return Typed("YEAR", value) if 2000 <= value < 2100 else Typed(UNKNOWN, word)
        return Typed("NUM", value) if value < 60 else Typed(UNKNOWN, word)

    def _date(self, numbers: Sequence[int], word: str) -> Typed:
        first, second, *rest = numbers
        year = rest[0] + (2000 if rest[0] < 100 else 0) if rest else None
        if len(rest) > 1 or not ("/" in word or rest):
            return Typed(UNKNOWN, word)
        british, american = DayOfMonth(first, second, year), DayOfMonth(second, first, year)
        possible = [each for each in (british, american) if 1 <= each.day <= 31 and 1 <= (each.month or 0) <= 12]
        if len(possible) == 2 and british != american:
            chosen = {"en-GB": british, "en-US": american}.get(self._language)
            return Typed("DATE", chosen or EitherDate(british, american))
        return Typed("DATE", possible[0]) if possible else Typed(UNKNOWN, word)


def _colon(numbers: Sequence[int], word: str) -> Typed:
    hour, minute = numbers
    two_digits = len(re.split(r"[.:]", word)[1]) == 2
    if two_digits and hour <= 24 and minute < 60:
        return _clock(hour, minute, exact=word.startswith("0"), text=word)
    return Typed(UNKNOWN, word)


def _clock(hour: int, minute: int, *, text: str, exact: bool = False) -> Typed:
    return Typed("CLOCK", Clock(hour % 24, minute, exact or hour > 12 or hour == 0), text)


class _Refinement:
    """Decides what a word is by its neighbours."""

    def __init__(self, language: str, given: Sequence[Typed]) -> None:
        self._language = language
        self._given = [*given, Typed(""), Typed("")]
        self._place = 0
        self._done: list[Typed] = []

    def result(self) -> list[Typed]:
        """Return the tokens of the grammar."""
        while self._place < len(self._given) - 2:
            token = self._given[self._place]
            read = getattr(self, f"_read_{token.type.lower()}", None)
            self._done.extend(read(token) if read else (token,))
            self._place += 1
        return _week_first(self._done)

    @property
    def _before(self) -> Typed:
        return self._done[-1] if self._done else Typed("")

    @property
    def _after(self) -> Typed:
        return self._given[self._place + 1]

    def _after_preposition(self) -> Typed:
        return self._given[self._place + 2] if self._after.type in {"AT", "ON"} else self._after

    def _read_at(self, token: Typed) -> Iterable[Typed]:
        """At, on, in or for: nothing, but they part an hour from a month."""
        if token.type == "AT" and not self._after.type:
            return (Typed(UNKNOWN, token.text, token.text),)
        parts = self._before.type == "MONTH" and self._after.type == "NUM"
        return (_COMMA,) if parts or (self._before.type in _CLOCKLIKE and self._after.type == "MONTH") else ()

    _read_on = _read_at

    def _read_in(self, token: Typed) -> Iterable[Typed]:
        counts = self._after.type == "NUM" and self._given[self._place + 2].type in {"UNIT", "MIN"}
        return (token,) if counts or self._after.type == "WHICH" else self._read_at(token)

    def _read_part(self, token: Typed) -> Iterable[Typed]:
        """In the morning: after a clock time, its half of the day; else a part of the day."""
        hours, band = cast("tuple[tuple[int, int], object]", token.value)
        if self._before.type in _CLOCKLIKE - {"TO", "PAST"}:
            return self._half_of_day(hours, token.text)
        return (Typed("BAND", band, token.text),)

    def _read_plural(self, token: Typed) -> Iterable[Typed]:
        return (Typed("BAND", token.value, token.text),)

    def _read_halfday(self, token: Typed) -> Iterable[Typed]:
        if self._before.type in _CLOCKLIKE - {"TO", "PAST"}:
            return self._half_of_day(cast("tuple[int, int]", token.value), token.text)
        if self._before.type in _DAYLIKE:
            return (Typed("BAND", HALVES[token.text], token.text),)
        return () if token.text == "am" else (Typed(UNKNOWN, token.text, token.text),)

    def _half_of_day(self, hours: tuple[int, int], text: str) -> Iterable[Typed]:
        """Give the clock times that were said before, as in eight to ten in the evening, the same half of the day."""
        begin = self._clock_begins(len(self._done))
        joint = self._done[begin - 1] if begin else Typed("")
        first = self._clock_begins(begin - 1) if begin else 0
        joins = joint.type == "AND" or (joint.type == "JOINT" and joint.value in {Joint.OR, Joint.COMMA})
        joins |= joint.type == "LIMIT" and joint.value is Bound.UNTIL
        if joins and first < begin - 1:
            one, two = (_minute_of(self._done[a:b], hours) for a, b in ((first, begin - 1), (begin, len(self._done))))
            if one is not None and two is not None and one < two:
                self._done.insert(begin - 1, Typed("HALFDAY", hours, text))
        return (Typed("HALFDAY", hours, text),)

    def _clock_begins(self, end: int) -> int:
        while end > 0 and self._done[end - 1].type in _CLOCKLIKE:
            end -= 1
        return end

    def _read_ish(self, token: Typed) -> Iterable[Typed]:
        begin = self._clock_begins(len(self._done) - (self._before.type == "HALFDAY"))
        if begin == len(self._done):
            return (Typed(UNKNOWN, token.text, token.text),)
        if not (begin and self._done[begin - 1].type == "ABOUT"):
            self._done.insert(begin, Typed("ABOUT", (30, 30), token.text))
        return ()

    def _read_about(self, token: Typed) -> Iterable[Typed]:
        if self._before.type == "ABOUT":
            return ()
        if self._after.type in {"BAND", "PART", *_DAYLIKE}:
            near = self._after.type in {"BAND", "PART"} and token.value == (30, 30)
            return () if near else (Typed(UNKNOWN, token.text, token.text),)
        return (token,)

    def _read_half(self, token: Typed) -> Iterable[Typed]:
        british = self._language == "en-GB"
        if self._after.type != "NUM" or british:
            return (token,)
        self._place += 1
        hour = cast("int", self._given[self._place].value)
        return (Typed("CLOCK", Clock((hour - 1) % 12 or 12, 30, unsure=True), f"half {hour}"),)

    def _read_of(self, token: Typed) -> Iterable[Typed]:
        """Ten of three, a quarter of three; elsewhere it says nothing."""
        minutes = self._before.type == "QUARTER" or (
            self._before.type == "NUM" and self._before.value in _MINUTES_SAID and self._after.type in {"NUM", "CLOCK"}
        )
        return (Typed("TO", None, token.text),) if minutes else ()

    def _read_num(self, token: Typed) -> Iterable[Typed]:
        """Ten oh five is a time; two three is neither a time nor a date."""
        minute = cast("int", token.value)
        previous = self._given[self._place - 1] if self._place else Typed("")
        alone = previous.type != "NUM" or self._before.type != "NUM"
        dated = self._after.type == "MONTH" or (len(self._done) > 1 and self._done[-2].type == "MONTH")
        if alone or dated or minute > 10:
            return (token,)
        hour = cast("int", self._before.value)
        if hour > 23 or not (minute == 10 or re.match("oh? |zero |0", token.text)):
            return (Typed(UNKNOWN, token.text, token.text),)
        self._done.pop()
        return (_clock(hour, minute, text=f"{previous.text} {token.text}"),)

    def _read_ord(self, token: Typed) -> Iterable[Typed]:
        if self._after.type in {"WEEKDAY", "WEEK", "HABITDAY"} and self._before.type != "WEEKDAY":
            return (Typed(UNKNOWN, token.text, token.text),)  # the first Monday of a month
        return (token,)

    def _read_year(self, token: Typed) -> Iterable[Typed]:
        if self._before.type in {"MONTH", "ORD", "NUM"}:
            return (token,)
        return (Typed(UNKNOWN, token.text, token.text),)

    def _read_min(self, token: Typed) -> Iterable[Typed]:
        if self._after.type in {"TO", "PAST", "TO?", "LIMIT", "OF"}:
            return (token,)
        return (Typed("UNIT", Unit.MINUTE, token.text),)

    def _read_unit(self, token: Typed) -> Iterable[Typed]:
        """1500 hours."""
        return () if self._before.type == "CLOCK" and token.value is Unit.HOUR else (token,)

    def _read_clock(self, token: Typed) -> Iterable[Typed]:
        """Twelve noon, twelve midnight."""
        while token.text in {"noon", "midnight", "midday"} and self._before.type in {"NUM", "UHR"}:
            self._done.pop()
        return (token,)

    def _read_edge(self, token: Typed) -> Iterable[Typed]:
        """Late Friday afternoon is the late afternoon of Friday."""
        following = self._given[self._place + 2]
        named = SHADES.get((token.text, following.text))
        if named and self._after.type in {"WEEKDAY", "RELDAY"}:
            self._given[self._place + 2] = Typed("BAND", named, following.text)
            return ()
        return (token,)

    def _read_joint(self, token: Typed) -> Iterable[Typed]:
        if token.value is Joint.COMMA and self._before.type in _DAYLIKE and self._after.type in {"NUM", "CLOCK", "AT"}:
            return ()  # tomorrow, four or later
        if token.value in {Joint.OR_LATER, Joint.OR_EARLIER} and self._before == _COMMA._replace(text=","):
            self._done.pop()
        if token.value is Joint.OR and self._before.type == "SPAN" and self._after.type == "NUM":
            return (Typed(UNKNOWN, token.text, token.text),)  # in an hour or two
        excludes = token.text == "but" and self._after.type in {"WEEKDAY", "HABITDAY", "PLURAL", "RELDAY"}
        if excludes and any(each.value is Joint.OPEN for each in self._done):
            return (Typed("JOINT", Joint.NOT, token.text),)  # any day but Monday
        return (token,)

    def _read_weekday(self, token: Typed) -> Iterable[Typed]:
        """Monday or next Monday."""
        again = any(each.type == "WEEKDAY" and each.value == token.value for each in self._done)
        if again and self._before.type == "WHICH" and self._before.value is Which.NEXT:
            return (Typed(UNKNOWN, token.text, token.text),)
        return (token,)

    def _read_uhr(self, token: Typed) -> Iterable[Typed]:
        return (token,) if self._before.type in {"NUM", "CLOCK"} else ()

    def _read_past(self, token: Typed) -> Iterable[Typed]:
        if self._before.type in {"HALF", "QUARTER", "NUM", "MIN"}:
            return (token,)
        return self._limit(Bound.AFTER, token.text)

    def _read_no(self, token: Typed) -> Iterable[Typed]:
        """No mornings; Tuesday, no, Wednesday."""
        excludes = self._after.type in {"PLURAL", "HABITDAY", "BAND"}
        return (Typed("JOINT", Joint.NOT if excludes else Joint.CORRECTION, token.text),)

    def _read_latest(self, token: Typed) -> Iterable[Typed]:
        """At the latest, at the earliest: after a time or before it."""
        at_the_end = self._after_preposition().type not in _AFTER_LIMITS | {"LIMIT"}
        bound = cast("Bound", token.value)
        limited = any(each.type == "LIMIT" for each in self._done[-5:])
        if at_the_end and limited:
            return ()
        if at_the_end:
            later = Joint.OR_LATER if bound is Bound.FROM else Joint.OR_EARLIER
            return (Typed("JOINT", later, token.text),)
        return () if self._after.type == "LIMIT" else (Typed("LIMIT", bound, token.text),)

    def _read_limit(self, token: Typed) -> Iterable[Typed]:
        bound = cast("Bound", token.value)
        if bound in {Bound.AFTER, Bound.BEFORE, Bound.UNTIL} and (toward := self._toward(bound)):
            return (Typed(toward, None, token.text),)
        return self._limit(bound, token.text)

    def _toward(self, bound: Bound) -> str:
        """Return what after, before and till are between minutes and an hour; empty where they are limits."""
        minutes = self._before.type in {"QUARTER", "MIN"}
        minutes |= self._is_minutes() and bound is not Bound.UNTIL
        return ("PAST" if bound is Bound.AFTER else "TO") if minutes and self._after.type in {"NUM", "CLOCK"} else ""

    def _is_minutes(self) -> bool:
        hour_said = len(self._done) > 1 and self._done[-2].type in {"NUM", "CLOCK"}
        return self._before.type == "NUM" and self._before.value in _MINUTES_SAID and not hour_said

    def _limit(self, bound: Bound, text: str) -> Iterable[Typed]:
        if self._before.type == "JOINT" and self._before.value is Joint.NOT and bound in _NOT_BEFORE:
            self._done.pop()
            bound = _NOT_BEFORE[bound]
        elif self._before.type == "LIMIT":
            self._done.pop()
            bound = Bound.LATEST if self._before.value is Bound.LATEST else bound
        if self._after_preposition().type in _AFTER_LIMITS or self._after.type in {"LIMIT", "ABOUT"}:
            if self._after.type == "ABOUT":
                del self._given[self._place + 1]
            return (Typed("LIMIT", bound, text),)
        return (Typed(UNKNOWN, text, text),)

    def _read_from(self, token: Typed) -> Iterable[Typed]:
        if self._before.type == "SPAN" or self._after.type not in _AFTER_LIMITS | {"ABOUT"}:
            return ()
        return self._limit(Bound.FROM, token.text)

    def _read_to(self, token: Typed) -> Iterable[Typed]:
        """Ten to three is a time, nine to five two of them, and ten to twelve may be either."""
        if self._before.type == "NUM" and self._after.type == "NUM" and len(self._done) > 1:
            following = self._given[self._place + 2]
            if self._done[-2].type == "MONTH" and following.type not in {"HALFDAY", "UHR", "PART"}:
                self._given[self._place + 1] = Typed("ORD", self._after.value, self._after.text)
                return (Typed("LIMIT", Bound.UNTIL, token.text),)  # December 7 to 11
        if self._before.type in {"QUARTER", "MIN"}:
            return (Typed("TO", None, token.text),)
        if self._before.type in _CLOCKLIKE and self._after.type in {"NUM", "CLOCK"} and self._is_minutes():
            earlier = self._done[-2] if len(self._done) > 1 else Typed("")
            opened = self._given[self._place - 2] if self._place > 1 else Typed("")
            if earlier.type == "LIMIT" and earlier.value is Bound.FROM:
                return (Typed("LIMIT", Bound.UNTIL, token.text),)
            digits = self._before.text[:1].isdigit()
            hour = self._after.value if self._after.type == "NUM" else 0
            sure = earlier.type in {"ABOUT", "LIMIT"} or opened.type == "AT"
            sure |= cast("int", self._before.value) > 12 or (not digits and cast("int", hour) < self._before.value)  # type: ignore[operator]
            said = f"{self._before.text} to {self._after.text}"
            return (Typed("TO", None, token.text),) if sure else (Typed(UNKNOWN, said, said),)
        if self._before.type in _CLOCKLIKE | _DAYLIKE | {"HALFDAY"} and self._after.type in _AFTER_LIMITS:
            return (Typed("LIMIT", Bound.UNTIL, token.text),)
        return ()


def _week_first(said: list[Typed]) -> list[Typed]:
    """Any day but Friday next week: the week is that of all of it."""
    types = [each.type for each in said]
    for end in ("WHICH WEEK", "WHICH MONTHWORD"):
        tail = end.split()
        day = said[-3] if len(said) > 3 else Typed("")
        excluded = types[-2:] == tail and day.type in {"WEEKDAY", "HABITDAY"} and said[-4].value is Joint.NOT
        if excluded and any(each.value is Joint.OPEN for each in said[:-4]):
            return [*said[-2:], *said[:-2]]
    return said


def _minute_of(said: Sequence[Typed], hours: tuple[int, int]) -> int | None:
    """Return the minute of the day that a simple clock time is in that half of the day."""
    numbers = [cast("int", each.value) for each in said if each.type == "NUM"]
    clock = next((cast("Clock", each.value) for each in said if each.type == "CLOCK"), None)
    if clock is not None:
        if clock.exact:
            return None
        numbers = [clock.hour, clock.minute]
    if not numbers or any(each.type in {"TO", "PAST", "HALF", "QUARTER"} for each in said):
        numbers = numbers[-1:]
    if not numbers or numbers[0] > 12:
        return None
    fitting = [each for each in (numbers[0] % 12, numbers[0] % 12 + 12) if hours[0] <= each < hours[1]]
    return fitting[0] * 60 + (numbers[1] if len(numbers) > 1 else 0) if len(fitting) == 1 else None


__all__ = ["GRAMMAR", "prepare", "tokens"]
