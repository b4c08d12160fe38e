"""German: the words of time, with their Austrian and Swiss forms, as tokens of de.lark."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import cast

from bookings.language.expressions import (
    AFTERNOON,
    EARLY_AFTERNOON,
    EARLY_EVENING,
    EARLY_MORNING,
    EVENING,
    LATE_AFTERNOON,
    LATE_EVENING,
    LATE_MORNING,
    MORNING,
    NOON,
    Band,
    Bound,
    Clock,
    DayOfMonth,
    Edge,
    Joint,
    OfferShift,
    Span,
    Unit,
    Which,
)
from bookings.language.german import number
from bookings.language.grammar.de_fillers import FILLERS
from bookings.language.tokens import UNKNOWN, Lexicon, Scanner, Typed

GRAMMAR = "de"
_WORD = r"[0-9]{4}-[0-9]{2}-[0-9]{2} | [0-9]+(?:[.:/h][0-9]+)*[.h]? | [^\W\d_]+(?:['\u2019-][^\W\d_]+)* | ,"
_ASCII = str.maketrans(dict(zip("äöüß", ("ae", "oe", "ue", "ss"), strict=True)))
_RANGE = re.compile(r"(?<=\d)(?: ?uhr)? ?[\u2013-] ?(?=\d)")
_HAS_ONE = re.compile(r"\bich hab(?:e)?\b(?!.*\b(?:zeit|frei)\b).*\btermin\b")
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ONES = {*map(number, range(2, 10)), "ein", "fuenf", "zwo"}
_TENS = re.compile(r"(zwanzig|drei(ß|ss)ig|vierzig|f(ü|ue)nfzig)(st\w+)?$")
_WEEKDAYS = ("montag", "dienstag", "mittwoch", "donnerstag", "freitag", "samstag|sonnabend", "sonntag")
_SHORT = ("mo", "di", "mi", "do", "fr", "sa", "so")
_MONTHS = (
    "januar|jänner|jaenner|jan", "februar|feber|feb", "märz|maerz", "april", "mai", "juni|juno", "juli|julei",
    "august", "september|sept", "oktober|okt", "november|nov", "dezember|dez",
)  # fmt: skip
_ORDINAL_STEMS = {1: "erst", 3: "dritt", 7: "siebt", 8: "acht"}
_ADJECTIVE = ("e", "en", "er", "em", "es")

_ABOUT = (30, 30)
_NIGHT = Band(0, 5 * 60)

_HOLIDAYS = {
    "neujahr": "neujahr|neujahrstag|silvester nächsten tag",
    "epiphany": "heilige drei könige|heiligen drei königen|dreikönig|dreikönigstag",
    "good_friday": "karfreitag",
    "easter_sunday": "ostersonntag",
    "easter_monday": "ostermontag",
    "easter": "ostern",
    "labour_day": "tag der arbeit|ersten mai feiertag|maifeiertag",
    "ascension": "himmelfahrt|christi himmelfahrt|vatertag|auffahrt",
    "whit_sunday": "pfingstsonntag",
    "whit_monday": "pfingstmontag",
    "pentecost": "pfingsten",
    "corpus_christi": "fronleichnam",
    "national_day": "nationalfeiertag|bundesfeiertag|tag der deutschen einheit",
    "assumption": "mariä himmelfahrt|maria himmelfahrt",
    "reformation": "reformationstag",
    "all_saints": "allerheiligen",
    "christmas_eve": "heiligabend|heiliger abend|heiligen abend|weihnachtsabend",
    "christmas_day": "erster weihnachtstag|ersten weihnachtstag|erster weihnachtsfeiertag|"
    "ersten weihnachtsfeiertag|christtag",
    "boxing_day": "zweiter weihnachtstag|zweiten weihnachtstag|zweiter weihnachtsfeiertag|"
    "zweiten weihnachtsfeiertag|stefanitag|stephanstag",
    "christmas": "weihnachten|den weihnachtsfeiertagen|den weihnachtstagen",
    "new_years_eve": "silvester",
    "between_the_years": "zwischen den jahren|zwischen den feiertagen|zwischen weihnachten und neujahr|altjahrswoche|"
    "zwischen weihnachten und silvester",
    "advent_1": "erster advent|ersten advent", "advent_2": "zweiter advent|zweiten advent",
    "advent_3": "dritter advent|dritten advent", "advent_4": "vierter advent|vierten advent",
    "st_nicholas": "nikolaus|nikolaustag",
    "rose_monday": "rosenmontag",
    "ash_wednesday": "aschermittwoch",
}  # fmt: skip


def prepare(phrase: str) -> list[str]:
    """Return the words of a phrase as they are looked up."""
    words = _scanner().words(_RANGE.sub(" bis ", phrase.lower()) if not _ISO.search(phrase) else phrase)
    return _whole_numbers(words)


def _whole_numbers(words: list[str]) -> list[str]:
    """Put numbers together that a transcript has in three words: fünf und zwanzig."""
    whole: list[str] = []
    for word in words:
        whole.append(word)
        if len(whole) > 2 and whole[-2] == "und" and whole[-3] in _ONES and _TENS.match(word):
            whole[-3:] = ["".join(whole[-3:])]
    return whole


def tokens(words: Sequence[str], language: str) -> list[Typed]:
    """Return the tokens of the words, as de.lark wants them; `language` is de, de-AT or de-CH."""
    found = _refined(_scanner().scan(words, _figures))
    if _HAS_ONE.search(" ".join(words)):
        found.append(Typed(UNKNOWN, "ich habe einen termin", "ich habe einen termin"))
    sure = "sure" if language == "de-AT" else None
    return [each._replace(value=sure) if each.type == "QUARTER" else each for each in found]


@cache
def _scanner() -> Scanner:
    return Scanner(_lexicon(), _WORD, {"\u2019": "'"})


def _figures(words: Sequence[str], begin: int) -> tuple[int, tuple[Typed, ...]] | None:
    """Read what has digits: 14, 14., 14:30, 14.30, 14h30, 1.12., 1.12.2026, 2026-12-01."""
    word = words[begin]
    if word[0] not in "0123456789":
        return None
    following = words[begin + 1] if begin + 1 < len(words) else ""
    if _ISO.fullmatch(word):
        year, month, day = (int(each) for each in word.split("-"))
        return 1, (Typed("DATE", DayOfMonth(day, month, year)),)
    numbers = [int(each) for each in re.findall(r"[0-9]+", word)]
    if any(each > 9999 for each in numbers):
        return None
    if len(numbers) == 1:
        return 1, (_single(numbers[0], word, following),)
    return 1, (_several(numbers, word, words[begin - 1] if begin else "", following),)


def _single(value: int, word: str, following: str) -> Typed:
    if word.endswith("h"):
        return Typed("CLOCK", Clock(value, exact=value > 12)) if value < 24 else Typed(UNKNOWN, word)
    if following in {"uhr", "h"} and 100 <= value < 2400 and value % 100 < 60:  # 1430 Uhr
        return Typed("CLOCK", Clock(value // 100, value % 100, exact=True))
    if word.endswith(".") and 1 <= value <= 31 and following != "uhr":
        return Typed("ORD", value)
    if value >= 2000:
        return Typed("YEAR", value) if value < 2100 else Typed(UNKNOWN, word)
    return Typed("NUM", value) if value < 60 else Typed(UNKNOWN, word)


def _several(numbers: Sequence[int], word: str, before: str, following: str) -> Typed:
    first, second, *rest = numbers
    is_date = 1 <= first <= 31 and 1 <= second <= 12
    is_clock = first < 24 and second < 60 and len(re.split(r"[.:/h]", word.rstrip("."))[1]) == 2
    if rest:
        year = rest[0] + 2000 if rest[0] < 100 else rest[0]
        return Typed("DATE", DayOfMonth(first, second, year)) if is_date and len(rest) == 1 else Typed(UNKNOWN, word)
    said_as_clock = ":" in word or "h" in word or following == "uhr" or (before == "um" and not word.endswith("."))
    if is_clock and (said_as_clock or not is_date) and not word.endswith("."):
        exact = first > 12 or first == 0 or (word.startswith("0") and said_as_clock)
        return Typed("CLOCK", Clock(first, second, exact))
    if is_date and (
        word.endswith(".") or not is_clock or following == "um" or before in {"am", "den", "der", "dem", "vom", "zum"}
    ):
        return Typed("DATE", DayOfMonth(first, second))
    return Typed(UNKNOWN, word)


_BOUNDED = {
    "NUM", "CLOCK", "ORD", "DATE", "RELDAY", "WEEKDAY", "WEEK", "WEEKEND", "MONTH", "MONTHWORD", "WHICH", "EDGE",
    "HOLIDAY", "BAND", "HALF", "QUARTER", "THREEQ", "SPAN", "IN", "HABITDAY", "WORKDAYS",
}  # fmt: skip
_TOWARD = {Bound.BEFORE: "TO", Bound.AFTER: "PAST", Bound.FROM: "PAST"}  # Swiss: Viertel ab zehn
_NOT_BEFORE = {Bound.BEFORE: Bound.FROM, Bound.AFTER: Bound.LATEST, Bound.UNTIL: Bound.FROM, Bound.FROM: Bound.BEFORE}


def _refined(given: Sequence[Typed]) -> list[Typed]:
    """Decide what a word is by its neighbours."""
    result: list[Typed] = []
    for place in range(len(given)):
        before = result[-1] if result else Typed("")
        result.extend(_in_place(given, place, before, result))
    return result


def _in_place(given: Sequence[Typed], place: int, before: Typed, result: list[Typed]) -> Iterable[Typed]:
    token, after = given[place], given[place + 1] if place + 1 < len(given) else Typed("")
    if token.type == "LIMIT":
        return _limit(token, before, after, result)
    if token.type == "EDGE" and after.type in {"JOINT", "AND"}:  # the beginning or the middle of December
        return (token, *_rest_of_edge(given[place + 2 :]))
    if token.type == "WHICH" and after.type in {"JOINT", "AND"}:  # this or next week
        noun = next((each for each in given[place + 2 :] if each.type != "WHICH"), Typed(""))
        return (token, noun) if noun.type in {"WEEK", "WEEKDAY", "WEEKEND", "MONTHWORD"} else (token,)
    found = _by_neighbours(token, before, after)
    return () if found is None else (found,)


def _rest_of_edge(following: Sequence[Typed]) -> Iterator[Typed]:
    if following and following[0].type == "EDGE":
        for token in following[1:]:
            if token.type not in {"WHICH", "MONTH", "MONTHWORD", "WEEK", "YEAR"}:
                return
            yield token


_CLOCKS = {"NUM", "HALF", "QUARTER", "THREEQ", "CLOCK"}


def _by_neighbours(token: Typed, before: Typed, after: Typed) -> Typed | None:
    """Return what a word is between these two; None where it says nothing."""
    if _says_nothing(token, before, after):
        return None
    if _is_unclear(token, before, after):
        return Typed(UNKNOWN, token.text, token.text)
    match token.type:
        case "MORGEN":
            is_part = before.type in {"WEEKDAY", "RELDAY"} and before.value != -1
            token = Typed("BAND", MORNING, token.text) if is_part else Typed("RELDAY", 1, token.text)
        case "FROM?":
            token = Typed("LIMIT", Bound.FROM, token.text)
        case "WHICH_ONE":  # the second: of the month, or of what was offered
            alone = before.type in {"", "JOINT"} and after.type not in {*_BOUNDED, "YEAR"}
            token = Typed("OFFER" if alone else "ORD", token.value, token.text)
        case "MIN" if after.type not in {"TO", "PAST", "LIMIT"}:
            token = Typed("UNIT", Unit.MINUTE, token.text)
    return token


def _says_nothing(token: Typed, before: Typed, after: Typed) -> bool:
    silent = False
    match token.type:
        case "FROM?":
            silent = after.type not in _BOUNDED
        case "ABOUT":
            silent = after.type not in _CLOCKS and token.value == _ABOUT
        case "UM":
            silent = bool(after.type)
        case "NUM":  # null fünf
            silent = token.value == 0 and after.type == "NUM" and after.value in range(10)
        case "COUNTED":
            silent = before.type != "NUM"
        case "IN":
            silent = after.type not in {"NUM", "WHICH", "WEEK", "MONTH", "MONTHWORD", "EDGE"}
    return silent


def _is_unclear(token: Typed, before: Typed, after: Typed) -> bool:
    """Return whether a word is asked about here: a phrase that was cut off, or what is counted is not time."""
    if token.type == "ABOUT":
        return after.type not in _CLOCKS
    return token.type in {"UM", "COUNTED"} or (token.type == "MIN" and before.type != "NUM")


def _limit(token: Typed, before: Typed, after: Typed, result: list[Typed]) -> Iterable[Typed]:
    minutes = before.type in {"QUARTER", "MIN"} or (before.type == "NUM" and before.value in {5, 10, 20, 25})
    hour_said = len(result) > 1 and result[-2].type == "UHR"
    bound = cast("Bound", token.value)
    toward = _TOWARD.get(bound) if bound is not Bound.FROM or before.type == "QUARTER" else None
    if toward and minutes and not hour_said and after.type in {"NUM", "HALF", "CLOCK"}:
        return (Typed(toward, None, token.text),)
    if before.type == "JOINT" and before.value in {Joint.NOT, Joint.NOT_THAT} and bound in _NOT_BEFORE:
        result.pop()
        bound = _NOT_BEFORE[bound]
    elif before.type == "LIMIT":  # spätestens bis, ab frühestens
        result.pop()
        bound = Bound.LATEST if before.value is Bound.LATEST else bound
    elif after.type not in {*_BOUNDED, "LIMIT", "FROM?", "MORGEN"}:
        return (_at_the_end(token, before),)
    return (Typed("LIMIT", bound, token.text),)


def _at_the_end(token: Typed, before: Typed) -> Typed:
    """Return what a limit means that has nothing after it: at ten at the latest."""
    if token.value in {Bound.LATEST, Bound.FROM} and before.type in {"NUM", "UHR", "CLOCK", "WEEKDAY", "RELDAY"}:
        return Typed("JOINT", Joint.OR_EARLIER if token.value is Bound.LATEST else Joint.OR_LATER, token.text)
    return Typed(UNKNOWN, token.text, token.text)


@cache
def _lexicon() -> Lexicon:
    lexicon = Lexicon()
    lexicon.add(FILLERS)
    for add in (_add_numbers, _add_days, _add_parts, _add_clock_words, _add_limits, _add_joints, _add_offers):
        add(lexicon)
    for key, names in _HOLIDAYS.items():
        lexicon.add(names, Typed("HOLIDAY", key))
    return lexicon


def _add_numbers(lexicon: Lexicon) -> None:
    for value in range(60):
        lexicon.add(_ascii_too(number(value)), Typed("NUM", value))
    lexicon.add("zwo", Typed("NUM", 2))
    lexicon.add("ein uhr", Typed("NUM", 1), Typed("UHR"))
    lexicon.add("fuffzehn", Typed("NUM", 15))
    for value in range(1, 32):
        stem = _ORDINAL_STEMS.get(value) or number(value) + ("t" if value < 20 else "st")
        lexicon.add([spelt for end in _ADJECTIVE for spelt in _ascii_too(stem + end)], Typed("ORD", value))
    for year in range(24, 40):
        lexicon.add(_ascii_too("zweitausend" + number(year)), Typed("YEAR", 2000 + year))
    for year in range(24, 40):
        lexicon.add([f"zwanzig {spelt}" for spelt in _ascii_too(number(year))], Typed("YEAR", 2000 + year))
        lexicon.add([f"zwanzig{spelt}" for spelt in _ascii_too(number(year))], Typed("YEAR", 2000 + year))
    for value, names in enumerate(_MONTHS, 1):
        lexicon.add(names, Typed("MONTH", value))
        lexicon.add([f"{name}s" for name in names.split("|")], Typed("MONTH", value))
    lexicon.add("heuer|dieses jahr|in diesem jahr|dieses jahres")
    for unit, names in {
        Unit.HOUR: "stunde|stunden",
        Unit.DAY: "tag|tage|tagen",
        Unit.WEEK: "wochen",
        Unit.MONTH: "monate|monaten",
    }.items():
        lexicon.add(names, Typed("UNIT", unit))
    lexicon.add("minute|minuten", Typed("MIN"))


def _add_days(lexicon: Lexicon) -> None:
    _add_relative_days(lexicon)
    for index, names in enumerate(_WEEKDAYS):
        for name in names.split("|"):
            lexicon.add([name, *([_SHORT[index]] if index != 6 else [])], Typed("WEEKDAY", index))
            lexicon.add([f"{name}s", f"immer {name}", f"immer {name}s", f"jeden {name}", f"immer am {name}",
                         f"immer den {name}", f"jeder {name}", f"an einem {name}",
                         f"irgendein {name}", f"irgendeinen {name}", f"an irgendeinem {name}"], Typed("HABITDAY",
                         index))  # fmt: skip
            for spelt, band in _PARTS_IN_COMPOUNDS.items():
                lexicon.add(name + spelt, Typed("WEEKDAY", index), Typed("BAND", band))
    lexicon.add("wochenende|wochenendes", Typed("WEEKEND"))
    lexicon.add("unter der woche|wochentags|werktags|an einem werktag|an werktagen|an einem wochentag|an wochentagen|"
                "während der woche|"
                "montag bis freitag|montags bis freitags|an einem arbeitstag", Typed("WORKDAYS"))  # fmt: skip
    lexicon.add("woche", Typed("WEEK"))
    lexicon.add("monat|monats|monates", Typed("MONTHWORD"))
    for which, stems in {
        Which.THIS: "dies",
        Which.COMING: "kommend|folgend",
        Which.NEXT: "nächst|naechst",
        Which.AFTER_NEXT: "übernächst|uebernaechst",
    }.items():
        lexicon.add([stem + end for stem in stems.split("|") for end in _ADJECTIVE], Typed("WHICH", which))
    for edge, names in {
        Edge.START: "anfang|anfangs|zu beginn|beginn|am anfang|zum anfang|gleich anfang",
        Edge.MIDDLE: "mitte|in der mitte|zur mitte",
        Edge.END: "ende|am ende|zum ende|gegen ende|zu ende|bis ende hin",
    }.items():
        lexicon.add(names, Typed("EDGE", edge))
    for edge, stem in {Edge.START: "anfang", Edge.MIDDLE: "mitte", Edge.END: "ende"}.items():
        lexicon.add(f"{stem} dezember", Typed("EDGE", edge), Typed("MONTH", 12))
    lexicon.add("zum wochenende hin", Typed("EDGE", Edge.END), Typed("WEEK"))
    lexicon.add("wochenanfang|am wochenanfang|zu wochenbeginn|wochenbeginn", Typed("EDGE", Edge.START), Typed("WEEK"))
    lexicon.add("wochenmitte", Typed("EDGE", Edge.MIDDLE), Typed("WEEK"))
    lexicon.add("monatsanfang", Typed("EDGE", Edge.START), Typed("MONTHWORD"))
    lexicon.add("monatsmitte", Typed("EDGE", Edge.MIDDLE), Typed("MONTHWORD"))
    lexicon.add("monatsende", Typed("EDGE", Edge.END), Typed("MONTHWORD"))


def _add_relative_days(lexicon: Lexicon) -> None:
    for days, names in {0: "heute|heit|heut", 1: "morgen", 2: "übermorgen|uebermorgen|über morgen",
                        3: "überübermorgen|über übermorgen|"
                            "überüber morgen", -1: "gestern", -2: "vorgestern"}.items():  # fmt: skip
        relative = Typed("RELDAY", days)
        for name in names.split("|"):
            lexicon.add(name, relative)
            for spelt, band in _PARTS.items():
                lexicon.add(f"{name} {spelt}", relative, Typed("BAND", band))
    lexicon.add("morgen", Typed("MORGEN"))
    lexicon.add("heute morgen|heut morgen", Typed("RELDAY", 0), Typed("BAND", MORNING))
    lexicon.add("heute nacht", Typed(UNKNOWN, "heute Nacht"))
    for days in range(2, 60):
        if days != 8:
            lexicon.add([f"in {spelt} tagen" for spelt in _ascii_too(number(days))],
                        Typed("SPAN", Span(days, Unit.DAY, vague=False)))  # fmt: skip
    lexicon.add("in 14 tagen", Typed("SPAN", Span(14, Unit.DAY, vague=False)))
    for unit, names in {
        Unit.DAY: "in einem tag", Unit.WEEK: "in einer woche|in 1 woche|über eine woche", Unit.MONTH: "in einem monat",
        Unit.HOUR: "in einer stunde|in 1 stunde|in einem stündchen"}.items():  # fmt: skip
        lexicon.add(names, Typed("SPAN", Span(1, unit)))
    lexicon.add("in einer halben stunde|in ner halben stunde", Typed("SPAN", Span(30, Unit.MINUTE)))
    lexicon.add("in einer viertelstunde", Typed("SPAN", Span(15, Unit.MINUTE)))
    lexicon.add("in eineinhalb stunden|in anderthalb stunden", Typed("SPAN", Span(90, Unit.MINUTE)))


_PARTS = {
    "früh": MORNING, "frueh": MORNING, "vormittag": MORNING, "vormittags": MORNING, "mittag": NOON, "mittags": NOON,
    "nachmittag": AFTERNOON, "nachmittags": AFTERNOON, "abend": EVENING, "abends": EVENING, "in der früh": MORNING,
    "am vormittag": MORNING, "am nachmittag": AFTERNOON, "am abend": EVENING, "am morgen": MORNING, "morgens": MORNING,
}  # fmt: skip
_PARTS_IN_COMPOUNDS = {
    spelt: band for spelt, band in ({"morgen": MORNING, "früh": MORNING, **_PARTS}).items() if " " not in spelt
}


def _add_parts(lexicon: Lexicon) -> None:
    for band, names in {
        MORNING: "vormittag|vormittags|am vormittag|morgens|am morgen|früh|frueh|in der früh|in der frühe|"
        "am frühen morgen|frühmorgens|des morgens|den vormittag|irgendwann vormittags|am vormittag|vormittagstermin|"
        "morgends|in den vormittagsstunden|den ganzen vormittag",
        EARLY_MORNING: "am frühen vormittag|früher vormittag|früh am morgen|ganz früh|früh morgens|frühen vormittag|"
        "gleich in der früh|gleich früh|gleich morgens|früh am vormittag",
        LATE_MORNING: "am späten vormittag|später vormittag|spät vormittags|späten vormittag",
        NOON: "mittag|mittags|am mittag|über mittag|um die mittagszeit|in der mittagspause|zu mittag|zur mittagszeit|"
        "gegen mittag|um mittag|mittagszeit|um die mittagsstunde|während der mittagspause",
        AFTERNOON: "nachmittag|nachmittags|am nachmittag|den nachmittag|nachmittagstermin|nachmittgas|"
        "in den nachmittagsstunden|den ganzen nachmittag",
        EARLY_AFTERNOON: "am frühen nachmittag|früher nachmittag|frühen nachmittag|früh am nachmittag|"
        "frühnachmittags",
        LATE_AFTERNOON: "am späten nachmittag|später nachmittag|späten nachmittag|spätnachmittag|spätnachmittags|"
        "spät am nachmittag|spät nachmittags",
        EVENING: "abend|abends|am abend|den abend|abendtermin|in den abendstunden|feierabend termin",
        EARLY_EVENING: "am frühen abend|früher abend|frühen abend|vorabend",
        LATE_EVENING: "am späten abend|später abend|späten abend|spätabends|spät abends|spät am abend",
        _NIGHT: "nachts|in der nacht|nacht",
        Band(12 * 60, 24 * 60): "zweite tageshälfte|in der zweiten tageshälfte",
        Band(0, 12 * 60): "erste tageshälfte|in der ersten tageshälfte",
        Band(13 * 60, 24 * 60): "nach der mittagspause|nach dem mittagessen|nach mittag|nach dem mittag|"
        "nach der mittagszeit|ab nach der mittagspause|nach der pause",
        Band(0, 12 * 60, None): "vor der mittagspause|vor mittag|vor dem mittag|vor dem mittagessen|vorm mittagessen|"
        "vorm mittag|bis mittag|bis mittags|vor der mittagszeit|bis zum mittag|bis zur mittagspause",
        Band(17 * 60, 24 * 60): "nach feierabend|nach der arbeit|nach arbeitsschluss|nach büroschluss|"
        "nach dienstschluss|nach der schicht",
        Band(0, 9 * 60): "vor der arbeit|vor arbeitsbeginn|vor dem büro",
    }.items():  # fmt: skip
        lexicon.add(names, Typed("BAND", band))
    lexicon.add("mittags um zwölf|punkt zwölf mittags|zwölf uhr mittags", Typed("CLOCK", Clock(12, exact=True)))
    lexicon.add("tagsüber|untertags|den ganzen tag|ganztägig|den ganzen tag über|ganztags")


def _add_clock_words(lexicon: Lexicon) -> None:
    lexicon.add("uhr|h", Typed("UHR"))
    lexicon.add("uhrzeit")
    lexicon.add("um", Typed("UM"))
    lexicon.add("halb|halber|halbe", Typed("HALF"))
    lexicon.add("viertel", Typed("QUARTER"))
    lexicon.add("dreiviertel|drei viertel|dreiviertl", Typed("THREEQ"))
    lexicon.add("punkt mittag|high noon", Typed("CLOCK", Clock(12, exact=True)))
    lexicon.add("so gegen|gegen|ungefähr um|ungefähr|circa|zirka|ca|etwa|etwa um|so um|so circa|so ungefähr|"
                "ungefähr gegen|so etwa|so etwa um|um circa|um ungefähr|um etwa|so ungefähr um|circa um|rund um|"
                "so zirka|so gegen circa|schätzungsweise|um die", Typed("ABOUT", _ABOUT))  # fmt: skip
    lexicon.add("herum|rum|plus minus|circa ungefähr", Typed("HEREUM", _ABOUT))
    lexicon.add("kurz vor|knapp vor|etwas vor|bissl vor|ein bisschen vor", Typed("ABOUT", (15, 0)))
    lexicon.add("kurz nach|knapp nach|etwas nach|ein bisschen nach", Typed("ABOUT", (-1, 15)))
    for year_word in ("punkt", "genau", "exakt", "schlag", "genau um", "punkt um"):
        lexicon.add(year_word)


def _add_limits(lexicon: Lexicon) -> None:
    for bound, names in {
        Bound.FROM: "ab|erst ab|frühestens|frühestens ab|ab frühestens|frühestens um|nicht vor|nicht früher als|"
        "nicht vorher als|nicht eher als|erst|erst um|erst am|nicht vor dem|von ab|erst ab dem|nicht vorm|"
        "fruehestens|frühstens|nicht unter|ab ca|ab circa|ab etwa|ab so|so ab|ab ungefähr|irgendwann ab|"
        "nicht bevor",
        Bound.AFTER: "nach|erst nach|irgendwann nach|ab nach|später als",
        Bound.UNTIL: "bis|bis um|bis zum|bis zu|bis maximal|bis ca|bis circa|bis etwa|bis ungefähr|bis so",
        Bound.BEFORE: "vor|vorm|noch vor|irgendwann vor|früher als|eher als",
        Bound.LATEST: "spätestens|spätestens um|spätestens bis|bis spätestens|bis allerspätestens|nicht nach|"
        "nicht später als|maximal bis|höchstens bis|spaetestens|allerspätestens|längstens bis|"
        "bis inklusive|bis einschließlich|nicht länger als bis",
    }.items():
        lexicon.add(names, Typed("LIMIT", bound))
    lexicon.add("von|vom", Typed("FROM?"))
    lexicon.add("zwischen|irgendwann zwischen|so zwischen", Typed("BETWEEN"))
    lexicon.add("in", Typed("IN"))
    lexicon.add("innerhalb von|innerhalb|binnen", Typed("LIMIT", Bound.UNTIL), Typed("IN"))
    lexicon.add("innerhalb der", Typed("IN"))
    lexicon.add("im neuen jahr|nächstes jahr|im nächsten jahr|kommendes jahr|im kommenden jahr",
                Typed("LIMIT", Bound.FROM), Typed("HOLIDAY", "neujahr"))  # fmt: skip
    lexicon.add("noch dieses jahr|dieses jahr noch|heuer noch|noch heuer|in diesem jahr noch",
                Typed("LIMIT", Bound.UNTIL), Typed("HOLIDAY", "new_years_eve"))  # fmt: skip


def _add_joints(lexicon: Lexicon) -> None:
    for joint, names in {
        Joint.OR: "wenn das nicht geht|oder wenn das nicht geht|wenn nicht|wenn nicht dann|oder wenn nicht|falls nicht|"
        "und wenn nicht|und wenn das nicht geht|falls das nicht geht|oder falls das nicht geht|wenn das nicht klappt|"
        "falls das nicht klappt|wenn es nicht geht|wenn's nicht geht|wenn das nicht passt|oder|oder auch|bzw|"
        "beziehungsweise|ansonsten|sonst|notfalls|oder sonst|oder aber|zur not|oder eben|"
        "alternativ|oder lieber|ersatzweise|wahlweise|oder vielleicht|und sonst|und ansonsten|oder notfalls|"
        "oder ansonsten|oder zur not|oder alternativ|oder halt|oder eventuell|entweder|oder dann|und wenn nicht dann",
        Joint.BUT: "aber|allerdings|jedoch|sondern|nur|bloß|dafür|aber nur|sondern lieber|aber bitte|"
        "aber dann|dann aber|"
        "und zwar|am besten aber|aber lieber|aber eher|dann lieber|dann eher",
        Joint.NOT: "weder|keinesfalls|nicht|kein|keine|keinen|keinem|außer|ausser|ausgenommen|nur nicht|"
        "bloß nicht|aber nicht|"
        "auf keinen fall|auf gar keinen fall|bitte nicht|lieber nicht|nicht am|nicht im|nicht an|mit ausnahme von|"
        "ungern|nie|niemals|bis auf|schlecht|und nicht|außer am|außer im|abgesehen von|ohne|aber kein|aber keinen|"
        "aber bitte nicht|aber bloß nicht|aber nur nicht|aber auf keinen fall|alles außer|leider nicht|gar nicht|"
        "überhaupt nicht|unmöglich|aber nicht am|nicht so gern|nicht so gerne|nicht gern|nicht gerne|"
        "auch nicht|und auch nicht|und kein|und keinen",
        Joint.NOT_THAT: "geht nicht|geht leider nicht|geht gar nicht|geht es nicht|geht's nicht|geht bei mir nicht|"
        "passt nicht|passt mir nicht|passt leider nicht|passt mir leider nicht|passt mir gar nicht|passt es mir nicht|"
        "kann ich nicht|kann ich leider nicht|kann ich gar nicht|da kann ich nicht|da geht es nicht|da geht's nicht|"
        "da passt es nicht|klappt nicht|klappt leider nicht|klappt es nicht|klappt's nicht|schaffe ich nicht|"
        "schaff ich nicht|habe ich keine zeit|hab ich keine zeit|habe ich leider keine zeit|kann ich auch nicht|"
        "geht auch nicht|passt auch nicht|bin ich nicht da|da bin ich nicht da|ist schlecht|ist ganz schlecht|"
        "ist nicht möglich|ist leider nicht möglich|passt schlecht|passt mir schlecht|geht schlecht|wäre schlecht|"
        "ist blöd|fällt aus|fällt weg|scheidet aus|ist ungünstig|wäre ungünstig",
        Joint.IF: "wenn|falls|sofern|nur wenn|und wenn|und falls|oder wenn|oder falls|aber wenn|außer wenn",
        Joint.CORRECTION: "nein|nee|ne|ach nein|ach ne|nein nein|quatsch|ich meine|ich meinte|moment|vielmehr|"
        "besser gesagt|oder nein|pardon|falsch|stimmt nicht|nein doch|doch lieber|oder doch lieber|oder doch|"
        "ach quatsch|äh nein|ähm nein|halt nein|nein halt|nein moment|ach nee|nee warte|warte|nein warte|nein quatsch|"
        "nein entschuldigung|ich korrigiere|korrigiere|korrektur|nein lieber|nein ich meine|nein ich meinte|"
        "quatsch ich meine|quatsch ich meinte|entschuldigung ich meine|sorry ich meine|ich meine natürlich|"
        "nein besser|doch besser|ach doch lieber|nein sorry|doch eher|will sagen|beziehungsweise nein|"
        "entschuldigung nein|moment nein|ach was|das heißt",
        Joint.EARLIEST: "so bald wie möglich|sobald wie möglich|so schnell wie möglich|schnellstmöglich|"
        "baldmöglichst|möglichst bald|möglichst schnell|so früh wie möglich|möglichst früh|sofort|ab sofort|dringend|"
        "so schnell es geht|so bald es geht|so früh es geht|am schnellsten|nächstmöglichen|nächstmöglicher|"
        "nächstmögliche|den nächsten termin|der nächste termin|den nächsten freien termin|der nächste freie termin|"
        "der nächste freie|den nächsten freien|am frühesten|nächsten freien termin|nächsten termin|"
        "nächster freier termin|ehestmöglich|frühestmöglich|den frühesten termin|der früheste termin|"
        "frühestmöglichen|frühestmöglicher|ehebaldigst|so rasch wie möglich|rasch|ehestens|bald|zeitnah|demnächst|"
        "bald mal|jetzt gleich|gleich jetzt|jetzt|jetzt sofort|umgehend|schnell|so schnell wie es geht|"
        "so früh wie's geht|so früh wie es geht|ab jetzt|so bald wie's geht|zum nächstmöglichen zeitpunkt|"
        "zum frühestmöglichen zeitpunkt|so schnell wie's geht|asap|eilig|"
        "am ehesten|den ersten freien termin|der erste freie termin|möglichst zeitnah|kurzfristig|"
        "möglichst kurzfristig|ganz kurzfristig|spontan|"
        "nächste freie termin|"
        "das früheste|das nächste freie|das früheste was sie haben|möglichst rasch|schleunigst|den nächstbesten termin|"
        "wann ist der nächste termin frei|nächsten freien|heute noch wenn es geht",
        Joint.OPEN: "egal wann|irgendwann|ist mir egal|mir egal|egal|jederzeit|wann auch immer|ganz egal|"
        "zu jeder zeit|wann immer|immer|völlig egal|ich bin flexibel|flexibel|ganz flexibel|bin da flexibel|"
        "wann sie wollen|wann es ihnen passt|wie es ihnen passt|wann sie möchten|zeitlich flexibel|jeden tag|"
        "jeder tag|täglich|an jedem tag|alle tage|alles|ist egal|an irgendeinem tag|irgendein tag|einen tag|"
        "an einem tag|"
        "wann sie zeit haben|wann sie was frei haben|wann es bei ihnen passt|ist mir gleich|mir gleich",
        Joint.OR_LATER: "oder später|oder danach|oder nachher|und später|oder auch später|oder etwas später|aufwärts|"
        "oder eben später|oder halt später",
        Joint.OR_EARLIER: "oder früher|oder vorher|oder davor|oder eher|und früher|oder auch früher|oder etwas früher",
    }.items():
        lexicon.add(names, Typed("JOINT", joint))
    lexicon.add("und|sowie|und auch|und dann|plus|als auch|sowohl|und vielleicht", Typed("AND", Joint.AND))
    lexicon.add("termine|terminen|personen|leute|kinder", Typed("COUNTED"))
    lexicon.add(",", Typed("JOINT", Joint.COMMA))
    lexicon.add("wann|wann denn|zu welcher zeit|welche termine|was haben sie frei|was hätten sie frei|"
                "welche zeiten|was ist frei|was wäre frei|was hätten sie denn frei|was haben sie denn frei|"
                "was gibt es|was gibt's|was geht|was hätten sie noch frei|was haben sie noch frei|"
                "was haben sie noch|was haben sie anzubieten|was können sie mir anbieten|was können sie anbieten|"
                "haben sie irgendwas frei|hätten sie irgendwas frei|haben sie überhaupt was frei|um wie viel uhr|"
                "wie viel uhr", Typed("JOINT", Joint.OPEN), Typed("JOINT", Joint.EARLIEST))  # fmt: skip
    lexicon.add("hätten sie nicht|haben sie nicht|gibt es nicht|könnte ich nicht|geht nicht auch|"
                "ginge nicht|ginge es nicht|könnten wir nicht|wäre es nicht|nicht nur|nicht erst|"
                "noch nicht|mein termin ist",
                Typed(UNKNOWN, "nicht"))  # fmt: skip
    for vague in ("mitternacht", "zwölf uhr nachts", "zwölf nachts", "zu früh", "zu spät", "zu kurzfristig",
    "nicht so früh", "nicht zu früh", "nicht so spät",
    "nicht zu spät", "nicht allzu früh",
                  "nicht allzu spät", "möglichst spät", "so spät wie möglich", "spät", "später", "früher", "vorher",
                  "danach", "nachher", "alle zwei wochen", "jede woche", "jede zweite woche", "regelmäßig",
                  "jeden monat", "alle vier wochen", "feiertag", "feiertags", "an einem feiertag",
                  "irgendwann später", "schon was", "was vor", "schon was vor", "schon einen termin", "schon etwas",
                  "schon etwas vor", "bereits einen termin", "mein termin am", "dienstagstermin", "mindestens",
                  "höchstens", "als erstes", "als letztes"):  # fmt: skip
        lexicon.add(vague, Typed(UNKNOWN, vague))


def _add_offers(lexicon: Lexicon) -> None:
    nouns = ("", " termin", " vorschlag", " option", " angebot", " zeit", " variante", " möglichkeit")
    for value, stem in {1: "erst", 2: "zweit", 3: "dritt", -1: "letzt"}.items():
        neutral = [f"{article} {stem}{end}{noun}" for article in ("das", "die") for end in ("e",) for noun in nouns]
        named = [f"{article} {stem}{end}{noun}" for article, end in (("der", "e"), ("den", "en"), ("vom", "en"))
                 for noun in (" termin", " vorschlag", " genannte", " genannten", " der beiden")]  # fmt: skip
        lexicon.add([*neutral, *named], Typed("OFFER", value))
    for value, stem in {1: "erst", 2: "zweit", 3: "dritt"}.items():
        lexicon.add(f"der {stem}e|den {stem}en", Typed("WHICH_ONE", value))
    lexicon.add("den letzten|der letzte", Typed("OFFER", -1))
    lexicon.add("das frühere|der frühere|den früheren|den früheren termin|die frühere|die frühere zeit|das erste davon|"
                "der frühere termin|den früheren von beiden", Typed("OFFER", -2))  # fmt: skip
    lexicon.add("das spätere|der spätere|den späteren|den späteren termin|die spätere|der spätere termin|"
                "den späteren von beiden", Typed("OFFER", -3))  # fmt: skip
    for direction, words in {1: ("später", "danach", "nachher"), -1: ("früher", "vorher", "davor", "eher")}.items():
        for word in words:
            for amount, minutes in (("eine stunde", 60), ("eine halbe stunde", 30), ("ne stunde", 60), ("etwas", None),
                                    ("ne halbe stunde", 30), ("eine viertelstunde", 15), ("einen tag", 1440),
                                    ("eine woche", 10080), ("ein bisschen", None), ("ein wenig", None), ("bissl", None),
                                    ("noch", None), ("am tag", 1440), ("den tag", 1440), ("lieber", None),
                                    ("anderthalb stunden", 90), ("was", None), ("ein paar stunden", None)):  # fmt: skip
                lexicon.add(f"{amount} {word}", Typed("SHIFT", OfferShift(direction, minutes)))
        lexicon.add(words[0], Typed("SHIFT", OfferShift(direction)))


def _ascii_too(word: str) -> list[str]:
    """Return a word and how it is written without the letters of German, or with a Swiss ss."""
    plain = word.translate(_ASCII)
    return list(dict.fromkeys((word, plain, word.replace("ß", "ss"), word.replace("ß", "s"))))
