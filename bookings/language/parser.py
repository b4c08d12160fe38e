"""
From tokens to the parts of speech about time: a grammar per language, one builder for all.

Grammars are LALR, so a phrase takes time in proportion to its words. Rules of the same name mean the same in every
language; what a rule is made of, and in which order, is the language's own business.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

from lark import Lark, Token, Transformer, UnexpectedInput
from lark.lexer import Lexer

from bookings.language.expressions import (
    Around,
    Band,
    Between,
    Bound,
    Clock,
    DayOfMonth,
    Edge,
    Holiday,
    Item,
    Limit,
    Month,
    OfferChoice,
    OfferShift,
    RelativeDay,
    Span,
    Unit,
    Week,
    Weekday,
    Weekend,
    Which,
    Workdays,
)
from bookings.language.tokens import Typed

_WEEKS_AHEAD = {Which.PLAIN: 0, Which.THIS: 0, Which.COMING: 1, Which.NEXT: 1, Which.AFTER_NEXT: 2}
_MINUTES = {Unit.MINUTE: 1, Unit.HOUR: 60, Unit.DAY: 1440, Unit.WEEK: 10080}
A_DAY = 1440


class NotGrammatical(Exception):
    """The words are known, their order is not."""


class _Given(Lexer):
    """The words have their types before the grammar sees them."""

    __future_interface__ = 0

    def __init__(self, _conf: object) -> None:
        pass

    def lex(self, lexer_state: Any, *_: Any) -> Iterator[Token]:
        return (Token(each.type, cast("Any", each.value)) for each in cast("Iterable[Typed]", lexer_state))


class _Builder(Transformer[Token, Any]):
    """Makes an expression of each rule. Terminals come in any order; a rule is told what it has by their names."""

    def start(self, items: list[Any]) -> tuple[Item, ...]:
        return tuple(each.value if isinstance(each, Token) else each for each in items)

    def relative(self, parts: list[Token]) -> RelativeDay:
        return RelativeDay(_named(parts)["RELDAY"])

    def weekday(self, parts: list[Token]) -> Weekday:
        named = _named(parts)
        return Weekday(named["WEEKDAY"], named.get("WHICH", Which.PLAIN))

    def habit(self, parts: list[Token]) -> Weekday:
        return Weekday(_named(parts)["HABITDAY"], habit=True)

    def week(self, parts: list[Token]) -> Week:
        named = _named(parts)
        return Week(_WEEKS_AHEAD[named.get("WHICH", Which.PLAIN)], named.get("EDGE"))

    def weekend(self, parts: list[Token]) -> Weekend:
        return Weekend(_named(parts).get("WHICH", Which.PLAIN))

    def workdays(self, _parts: list[Token]) -> Workdays:
        return Workdays()

    def date(self, parts: list[Token]) -> Any:
        """ORD, of the day; ORD or MONTH, of the month; YEAR. Or DATE, which is complete."""
        named = _named(parts)
        if "DATE" in named:
            return named["DATE"]
        numbers = [part.value for part in parts if part.type in {"ORD", "NUM"}]
        month = named.get("MONTH") or (numbers[1] if len(numbers) > 1 else None)
        return DayOfMonth(cast("int", numbers[0]), month, named.get("YEAR"))

    def month(self, parts: list[Token]) -> Month:
        """MONTH, by name, or one counted from this one by WHICH; EDGE; YEAR."""
        named = _named(parts)
        edge: Edge | None = named.get("EDGE")
        which = named.get("WHICH", Which.PLAIN)
        if "MONTH" in named:
            return Month(named["MONTH"], edge=edge, year=named.get("YEAR"))
        return Month(ahead=_WEEKS_AHEAD[which], edge=edge)

    def span(self, parts: list[Token]) -> Span:
        named = _named(parts)
        return named["SPAN"] if "SPAN" in named else Span(named["NUM"], named["UNIT"])

    def next_days(self, parts: list[Token]) -> Limit:
        """From now for so many units."""
        named = _named(parts)
        return Limit(Bound.UNTIL, Span(named["NUM"], named["UNIT"], vague=False))

    def holiday(self, parts: list[Token]) -> Holiday:
        return Holiday(_named(parts)["HOLIDAY"])

    def clock(self, parts: list[Token]) -> Clock:
        """CLOCK, or NUM of the hour and, where it was said, of the minute."""
        named = _named(parts)
        if "CLOCK" in named:
            return cast("Clock", named["CLOCK"])
        hour, *rest = (cast("int", part.value) for part in parts if part.type == "NUM")
        if rest and "UHR" not in named and (rest[0] < 10 or max(hour, rest[0]) <= 12):
            raise NotGrammatical("Two small numbers are no time of day.")
        return clock_at(hour, rest[0] if rest else 0)

    def half_to(self, parts: list[Token]) -> Clock:
        """Half an hour before the hour."""
        return _moved(_hour_in(parts), -30)

    def half_past(self, parts: list[Token]) -> Clock:
        return _moved(_hour_in(parts), 30)

    def quarter_of(self, parts: list[Token]) -> Clock:
        """A quarter of the hour that ends then; for others, a quarter past it."""
        clock = _moved(_hour_in(parts), -45)
        return Clock(clock.hour, clock.minute, clock.exact, _named(parts)["QUARTER"] != "sure")

    def three_quarters(self, parts: list[Token]) -> Clock:
        return _moved(_hour_in(parts), -15)

    def offset(self, parts: list[Any]) -> Clock:
        """Minutes TO or PAST a clock time."""
        *minutes, toward, clock = [part for part in parts if getattr(part, "type", "") not in {"MIN", "UHR"}]
        return _moved(clock, (minutes[0].value if minutes else 0) * (-1 if toward.type == "TO" else 1))

    def quarter_offset(self, parts: list[Any]) -> Clock:
        """A quarter TO or PAST a clock time."""
        toward, clock = [part for part in parts if getattr(part, "type", "") not in {"QUARTER", "UHR"}]
        return _moved(clock, -15 if toward.type == "TO" else 15)

    def meridiem(self, parts: list[Any]) -> Clock:
        """A clock time and, as HALFDAY, the first and last hour that it may be."""
        clock = next(part for part in parts if isinstance(part, Clock))
        first, last = _named(parts)["HALFDAY"]
        hours = {clock.hour} if clock.exact else {clock.hour % 12, clock.hour % 12 + 12}
        fitting = [hour for hour in hours if first <= hour < last]
        if len(fitting) != 1:
            raise NotGrammatical("The hour is not in that half of the day.")
        return Clock(fitting[0], clock.minute, exact=True)

    def around(self, parts: list[Any]) -> Around:
        """ABOUT or HEREUM, with the minutes before and after, and a clock time."""
        clock = next(part for part in parts if isinstance(part, Clock))
        named = _named(parts)
        before, after = named.get("ABOUT") or named["HEREUM"]
        return Around(clock, before, after)

    def band(self, parts: list[Token]) -> Band:
        return cast("Band", _named(parts)["BAND"])

    def limit(self, parts: list[Any]) -> Limit:
        """LIMIT and what it names, in either order."""
        of = next(part for part in parts if not isinstance(part, Token))
        if isinstance(of, Span):  # a limit needs a day, so none of the week around it
            of = Span(of.count, of.unit, vague=False)
        return Limit(_named(parts)["LIMIT"], of)

    def between(self, parts: list[Any]) -> Between:
        first, last = [part for part in parts if not isinstance(part, Token)]
        return Between(first, last)

    def offer(self, parts: list[Token]) -> OfferChoice:
        return OfferChoice(_named(parts)["OFFER"])

    def shift(self, parts: list[Token]) -> OfferShift:
        """SHIFT, or NUM UNIT with the direction of SHIFT."""
        named = _named(parts)
        given: OfferShift = named["SHIFT"]
        if "NUM" not in named:
            return given
        return OfferShift(given.direction, named["NUM"] * _MINUTES.get(named["UNIT"], A_DAY * 30))


def clock_at(hour: int, minute: int = 0, *, exact: bool = False) -> Clock:
    """
    Return a time of day as a clock shows it.

    Raises:
        NotGrammatical: no clock shows it.
    """
    if not (0 <= hour < 24 and 0 <= minute < 60):  # 24 o'clock is of this day to some, of the next to others
        raise NotGrammatical(f"No clock shows {hour}:{minute}.")
    return Clock(hour, minute, exact or hour > 12 or hour == 0)


class Grammar:
    """The grammar of a language, from the file of its name."""

    def __init__(self, language: str) -> None:
        path = Path(__file__).parent / "grammar" / f"{language}.lark"
        self._lark = Lark(path.read_text("utf-8"), parser="lalr", lexer=_Given, maybe_placeholders=False)
        self._builder = _Builder()

    def parse(self, tokens: Sequence[Typed]) -> tuple[Item, ...]:
        """
        Return the items in the order in which they were said.

        Raises:
            NotGrammatical: the tokens do not go together.
        """
        try:
            tree = self._lark.parse(cast("Any", tokens))
        except UnexpectedInput as exc:
            raise NotGrammatical("The words do not go together.") from exc
        try:
            return cast("tuple[Item, ...]", self._builder.transform(tree))
        except Exception as exc:
            if isinstance(exc.__context__, NotGrammatical):
                raise NotGrammatical(str(exc.__context__)) from exc
            raise


@cache
def grammar_of(language: str) -> Grammar:
    """Return the grammar of a language; made once per process."""
    return Grammar(language)


def _named(parts: Sequence[Any]) -> dict[str, Any]:
    return {part.type: part.value for part in parts if isinstance(part, Token)}


def _hour_in(parts: Sequence[Any]) -> Clock:
    return clock_at(_named(parts)["NUM"])


def _moved(clock: Clock, minutes: int) -> Clock:
    at = (clock.hour * 60 + clock.minute + minutes) % A_DAY
    if not clock.exact and at < 60:  # half past twelve is said of a clock of twelve hours
        at += 720
    return Clock(at // 60, at % 60, clock.exact, clock.unsure)
