"""English: what each word and phrase of time stands for."""

from functools import cache

from bookings.availability.criteria import PartOfDay
from bookings.language.english import number
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
    Edge,
    Joint,
    OfferShift,
    Span,
    Unit,
    Which,
)
from bookings.language.grammar.en_fillers import FILLERS
from bookings.language.tokens import UNKNOWN, Lexicon, Typed

_WEEKDAYS = (
    "monday|mon", "tuesday|tue|tues", "wednesday|wed|weds|wensday|wednsday", "thursday|thu|thur|thurs", "friday|fri",
    "saturday|sat", "sunday",
)  # fmt: skip
_MONTHS = (
    "january|jan", "february|feb", "march", "april|apr", "may", "june|jun", "july|jul", "august|aug",
    "september|sept|sep", "october|oct", "november|nov", "december|dec",
)  # fmt: skip
_ORDINALS = {1: "first", 2: "second", 3: "third", 5: "fifth", 8: "eighth", 9: "ninth", 12: "twelfth"}

_NIGHT = Band(20 * 60, 24 * 60)
_MID_MORNING = Band(9 * 60, 11 * 60, PartOfDay.MORNING)
_MID_AFTERNOON = Band(14 * 60, 16 * 60, PartOfDay.AFTERNOON)
HALVES = {"am": MORNING, "pm": Band(12 * 60, 24 * 60)}
_PARTS = {
    "morning": (MORNING, (1, 13)), "afternoon": (AFTERNOON, (12, 19)), "evening": (EVENING, (16, 24)),
    "night": (_NIGHT, (18, 24)),
}  # fmt: skip

SHADES = {
    ("early", "morning"): EARLY_MORNING, ("mid", "morning"): _MID_MORNING, ("late", "morning"): LATE_MORNING,
    ("early", "afternoon"): EARLY_AFTERNOON, ("mid", "afternoon"): _MID_AFTERNOON,
    ("late", "afternoon"): LATE_AFTERNOON, ("early", "evening"): EARLY_EVENING, ("late", "evening"): LATE_EVENING,
}  # fmt: skip
"""Early Friday morning: what the two words mean together."""

_HOLIDAYS = {
    "new_years_day": "new year's day|new years day|new year's|new years|new year",
    "valentines": "valentine's day|valentines day|valentine's|valentines",
    "good_friday": "good friday", "easter_sunday": "easter sunday|easter day", "easter_monday": "easter monday",
    "easter": "easter|the easter weekend|easter weekend",
    "whit_monday": "whit monday", "ascension": "ascension day",
    "independence_day": "independence day",
    "halloween": "halloween|hallowe'en", "veterans_day": "veterans day|veteran's day|veterans' day",
    "thanksgiving": "thanksgiving|thanksgiving day", "labor_day": "labor day|labour day",
    "memorial_day": "memorial day", "juneteenth": "juneteenth",
    "christmas_eve": "christmas eve|xmas eve", "christmas_day": "christmas day|xmas day",
    "boxing_day": "boxing day", "new_years_eve": "new year's eve|new years eve",
    "christmas": "christmas|xmas|over christmas|at christmas",
    "between_the_years": "between christmas and new year|between christmas and new year's|"
    "between christmas and new years|between xmas and new year|between the holidays|"
    "between christmas and new year's eve|in between christmas and new year",
}  # fmt: skip


@cache
def lexicon() -> Lexicon:
    """Return the words and phrases; made once per process."""
    words = Lexicon()
    words.add(FILLERS)
    for add in (_add_numbers, _add_days, _add_spans, _add_parts, _add_clock_words, _add_limits, _add_joints,
                _add_offers, _add_vague):  # fmt: skip
        add(words)
    for key, names in _HOLIDAYS.items():
        words.add(names, Typed("HOLIDAY", key))
    return words


def spoken_number(value: int) -> str:
    """Return a number from 0 to 99 as the words of a transcript."""
    return number(value).replace("-", " ")


def _ordinal(value: int) -> str:
    head, _, last = number(value).rpartition("-")
    ones = value if value < 20 else value % 10
    stem = _ORDINALS.get(ones) or (last[:-1] + "ieth" if last.endswith("y") else f"{last}th")
    return f"{head} {stem}".strip()


def _add_numbers(words: Lexicon) -> None:
    for value in range(60):
        words.add(spoken_number(value), Typed("NUM", value))
    for value in range(1, 10):
        words.add([f"{zero} {spoken_number(value)}" for zero in ("oh", "o", "zero")], Typed("NUM", value))
    for value in range(1, 10):
        words.add([f"{zero} {value}" for zero in ("oh", "o")], Typed("NUM", value, f"oh {value}"))
    words.add("forty five|fourty five", Typed("NUM", 45))
    for value in range(1, 32):
        words.add([_ordinal(value), _ordinal(value).replace(" ", "")], Typed("ORD", value))
    for year in range(24, 40):
        said = spoken_number(year)
        words.add([f"twenty {said}", f"two thousand and {said}", f"two thousand {said}"], Typed("YEAR", 2000 + year))
    for value, names in enumerate(_MONTHS, 1):
        words.add(names, Typed("MONTH", value))
    for hour in range(1, 24):
        said = spoken_number(hour)
        for before in ("", "oh ", "zero "):
            words.add([f"{before}{said} hundred hours", f"{before}{said} hundred"],
                      Typed("CLOCK", Clock(hour, exact=hour > 12 or bool(before))))  # fmt: skip
        words.add(f"{said} hundred hours", Typed("CLOCK", Clock(hour, exact=True)))
    for unit, names in {
        Unit.HOUR: "hour|hours|hrs", Unit.DAY: "day|days", Unit.WEEK: "weeks", Unit.MONTH: "months"
    }.items():  # fmt: skip
        words.add(names, Typed("UNIT", unit))
    words.add("minute|minutes|mins", Typed("MIN"))


def _add_days(words: Lexicon) -> None:
    for days, names in {
        0: "today|later today", 1: "tomorrow|tomorow|tommorow|tommorrow|2moro|tmrw|tomorrow's|the next day",
        2: "day after tomorrow|the day after tomorrow|overmorrow", -1: "yesterday",
        -2: "day before yesterday|the day before yesterday",
    }.items():  # fmt: skip
        words.add(names, Typed("RELDAY", days))
    words.add("later today", Typed(UNKNOWN, "later"), Typed("RELDAY", 0))
    words.add("the next day", Typed(UNKNOWN, "the next day"))
    for said, (band, _) in _PARTS.items():
        words.add([f"this {said}", f"today {said}", *(["tonight"] if said == "evening" else [])],
                  Typed("RELDAY", 0), Typed("BAND", band))  # fmt: skip
    words.add("this lunchtime", Typed("RELDAY", 0), Typed("BAND", NOON))
    for index, names in enumerate(_WEEKDAYS):
        for name in names.split("|"):
            words.add([name, f"{name}'s"], Typed("WEEKDAY", index))
            words.add([f"{name}s", f"every {name}", f"each {name}", f"any {name}", f"always {name}", f"all {name}s",
                       f"always on {name}", f"always on {name}s", f"usually {name}s", f"usually on {name}s",
                       f"usually on a {name}", f"usually {name}", f"always on a {name}", f"always {name}s",
                       f"on a {name}", f"on {name}s", f"normally {name}s", f"normally on {name}s", f"normally {name}",
                       f"normally on a {name}"],
                      Typed("HABITDAY", index))  # fmt: skip
            words.add(f"{name} week", Typed("WEEKDAY", index), Typed("SPAN", Span(1, Unit.WEEK, vague=False)))
            words.add(f"{name} fortnight", Typed("WEEKDAY", index), Typed("SPAN", Span(2, Unit.WEEK, vague=False)))
            words.add([f"{name} after next", f"{name} after this one"], Typed("WHICH", Which.AFTER_NEXT),
                      Typed("WEEKDAY", index))  # fmt: skip
            words.add([f"{name} coming", f"{name} coming up", f"coming {name}"], Typed("WHICH", Which.COMING),
                      Typed("WEEKDAY", index))  # fmt: skip
    words.add("mondays to fridays|monday to friday|monday through friday|weekday|weekdays|week day|week days|"
              "during the week|a weekday|any weekday|on weekdays|on a weekday|working day|working days|"
              "in the week|business day|business days", Typed("WORKDAYS"))  # fmt: skip
    words.add("weekend|the weekend|weekends|week end|at the weekend|on the weekend", Typed("WEEKEND"))
    words.add("week|weeks time", Typed("WEEK"))
    words.add("week after next|the week after next", Typed("WHICH", Which.AFTER_NEXT), Typed("WEEK"))
    words.add("weekend after next|the weekend after next", Typed("WHICH", Which.AFTER_NEXT), Typed("WEEKEND"))
    words.add("month after next", Typed("WHICH", Which.AFTER_NEXT), Typed("MONTHWORD"))
    words.add("month|months end|month's end", Typed("MONTHWORD"))
    words.add("month end|month's end", Typed("EDGE", Edge.END), Typed("MONTHWORD"))
    for which, names in {
        Which.THIS: "this|this here", Which.NEXT: "next|nxt", Which.COMING: "this coming|coming|this next|upcoming",
    }.items():  # fmt: skip
        words.add(names, Typed("WHICH", which))
    for edge, names in {
        Edge.START: "early|beginning of|start of|the beginning of|the start of|at the beginning of|at the start of|"
        "beginning|start|early in|early on in|towards the beginning of|the first part of|first part of|in early|"
        "right at the beginning of|right at the start of",
        Edge.MIDDLE: "mid|middle of|the middle of|in the middle of|around the middle of|midway through|middle|in mid|"
        "half way through|halfway through|towards the middle of",
        Edge.END: "late|end of|the end of|at the end of|towards the end of|toward the end of|late in|end|"
        "by the tail of|"
        "back end of|the back end of|the last part of|the latter part of|the tail end of|tail end of|in late|"
        "latter part of|near the end of|right at the end of",
    }.items():  # fmt: skip
        words.add(names, Typed("EDGE", edge))
    words.add("midweek|mid week", Typed("EDGE", Edge.MIDDLE), Typed("WEEK"))


def _add_spans(words: Lexicon) -> None:
    def sure(count: int, unit: Unit) -> Typed:
        return Typed("SPAN", Span(count, unit, vague=False))

    for count in range(1, 61):
        for said in {spoken_number(count), str(count), *(["a", "one"] if count == 1 else [])}:
            for unit, name in ((Unit.DAY, "day"), (Unit.WEEK, "week"), (Unit.MONTH, "month")):
                some = f"{said} {name}" + ("s" if count > 1 else "")
                words.add([f"{some} from today", f"{some} today", f"in {some} from today"], sure(count, unit))
                vague = Typed("SPAN", Span(count, unit, vague=unit is not Unit.DAY))
                words.add([f"in {some}", f"{some} from now", f"in {some} time", f"in {some}' time", f"in {some}'s time",
                           f"{some} time", f"{some}'s time"], vague)  # fmt: skip
            for unit, name in ((Unit.HOUR, "hour"), (Unit.MINUTE, "minute")):
                some = f"{said} {name}" + ("s" if count > 1 else "")
                words.add([f"in {some}", f"{some} from now", f"in {some} time"], sure(count, unit))
        if count < 9:
            for said in (spoken_number(count), str(count), *(["a"] if count == 1 else [])):
                weeks = f"{said} week" + ("s" if count > 1 else "")
                words.add([f"{weeks} from", f"{weeks} on", f"{weeks} after"], sure(count, Unit.WEEK))
                days = f"{said} day" + ("s" if count > 1 else "")
                words.add([f"{days} after"], sure(count, Unit.DAY))
                words.add([f"{weeks} from tomorrow", f"{weeks} tomorrow"], Typed("RELDAY", 1 + 7 * count))
                for index, names in enumerate(_WEEKDAYS):
                    for name in names.split("|"):
                        words.add([f"{weeks} {name}", f"{name} in {weeks}"], sure(count, Unit.WEEK),
                                  Typed("WEEKDAY", index))  # fmt: skip
    words.add("an hour from now|in an hour|in an hour's time|in 1 hour|an hour's time", sure(60, Unit.MINUTE))
    words.add("in half an hour|half an hour from now|in a half hour|in a half an hour", sure(30, Unit.MINUTE))
    words.add("in an hour and a half|in one and a half hours|in 90 minutes", sure(90, Unit.MINUTE))
    words.add("in a quarter of an hour", sure(15, Unit.MINUTE))
    words.add("a fortnight today|fortnight today|a fortnight from today|today fortnight", sure(2, Unit.WEEK))
    words.add("in a fortnight|in a fortnight's time|a fortnight from now|in a fortnights time|in a fortnight time",
              Typed("SPAN", Span(2, Unit.WEEK)))  # fmt: skip
    words.add("a fortnight on|a fortnight from|fortnight on", sure(2, Unit.WEEK))
    words.add("a fortnight tomorrow|tomorrow fortnight|a fortnight from tomorrow", Typed("RELDAY", 15))
    words.add("today week|a week today|this day week|week today|one week today", sure(1, Unit.WEEK))
    words.add("tomorrow week|a week tomorrow|week tomorrow", Typed("RELDAY", 8))
    words.add("the week after", Typed(UNKNOWN, "the week after"))


def _add_parts(words: Lexicon) -> None:
    for said, (band, hours) in _PARTS.items():
        words.add([f"in the {said}", f"at {said}", f"in the {said} time", f"of the {said}", f"during the {said}",
                   f"on the {said}"], Typed("PART", (hours, band)))  # fmt: skip
        words.add([said, f"{said} time", f"{said}time"], Typed("PART", (hours, band)))
        words.add([f"{said}s", f"in the {said}s", f"the {said}s"], Typed("PLURAL", band))
        words.add([f"some time in the {said}", f"sometime in the {said}", f"{said} appointment",
        f"a {said} appointment",
                   f"any time in the {said}", f"anytime in the {said}", f"{said} slot", f"a {said}", f"a {said} slot",
                   f"sometime during the {said}"], Typed("PLURAL", band))  # fmt: skip
    for band, names in {
        EARLY_MORNING: "early morning|early in the morning|in the early morning|early mornings|an early morning|"
        "bright and early|early in the a m",
        _MID_MORNING: "mid morning|midmorning|the middle of the morning|in the middle of the morning",
        LATE_MORNING: "late morning|late in the morning|late mornings|in the late morning|later in the morning",
        NOON: "lunch|lunchtime|lunch time|at lunch|over lunch|around lunch|during lunch|lunch hour|around lunchtime|"
        "at lunchtime|my lunch hour|in my lunch hour|in my lunch break|during my lunch break|on my lunch break|"
        "lunch break|around lunch time|about lunchtime|during my lunch|during my lunch hour|during the lunch hour|"
        "over the lunch hour|in the lunch hour|"
        "middle of the day|the middle of the day|in the middle of the day|on my lunch hour|at lunch time|midday ish",
        EARLY_AFTERNOON: "early afternoon|early in the afternoon|in the early afternoon|early afternoons",
        _MID_AFTERNOON: "mid afternoon|midafternoon|the middle of the afternoon|in the middle of the afternoon",
        LATE_AFTERNOON: "late afternoon|late in the afternoon|in the late afternoon|late afternoons|"
        "later in the afternoon|towards the end of the afternoon",
        EARLY_EVENING: "early evening|early in the evening|in the early evening|early evenings",
        LATE_EVENING: "late evening|late in the evening|in the late evening|late at night|late evenings|"
        "later in the evening",
        Band(13 * 60, 24 * 60): "after lunch|just after lunch|shortly after lunch|after lunchtime|after my lunch|"
            "after lunch time|after my lunch break|"
        "any time after lunch|sometime after lunch|after the lunch break|straight after lunch|right after lunch",
        Band(0, 12 * 60): "before lunch|just before lunch|before lunchtime|any time before lunch|before my lunch|"
            "sometime before lunch|"
        "before the lunch break|before lunch time",
        Band(17 * 60, 24 * 60): "after work|after i finish work|after working hours|after the office|"
        "once i finish work|straight after work|right after work|when i finish work|after i get off work|"
        "after business hours|after office hours",
        Band(0, 9 * 60): "before work|before i start work|on the way to work|on my way to work|before the office",
    }.items():  # fmt: skip
        words.add(names, Typed("BAND", band))
    for pieces in ("first thing", "first thing in the morning", "first thing in the a m"):
        words.add(pieces, Typed("JOINT", Joint.EARLIEST), Typed("BAND", MORNING))
    words.add("am", Typed("HALFDAY", (0, 12)))
    words.add("pm", Typed("HALFDAY", (12, 24)))


def _add_clock_words(words: Lexicon) -> None:
    words.add("o'clock|oclock|hours", Typed("UHR"))
    words.add("hours", Typed("UNIT", Unit.HOUR))
    words.add("half", Typed("HALF"))
    words.add("half past|half after|half passed|half path", Typed("HALF"), Typed("PAST"))
    words.add("quarter|a quarter", Typed("QUARTER"))
    words.add("past|passed|gone", Typed("PAST"))
    words.add("to", Typed("TO"))
    words.add("of", Typed("OF"))
    words.add("noon|12 noon|twelve noon|high noon|twelve midday|12 midday|at midday|12 o'clock noon|"
              "twelve o'clock noon", Typed("CLOCK", Clock(12, exact=True)))  # fmt: skip
    words.add("midnight|12 midnight|twelve midnight", Typed("CLOCK", Clock(0, exact=True)))
    words.add("midday|mid day|noontime", Typed("PART", ((11, 15), NOON)))
    for edge in ("before", "after", "by", "until", "till", "around", "about", "not before"):
        bound = {"before": Bound.BEFORE, "after": Bound.AFTER, "by": Bound.LATEST, "not before": Bound.FROM}
        kind = Typed("ABOUT", (30, 30)) if edge in {"around", "about"} else Typed(
            "LIMIT", bound.get(edge, Bound.UNTIL))  # fmt: skip
        words.add(f"{edge} midday", kind, Typed("CLOCK", Clock(12, exact=True)))
    words.add("around|about|roughly|approximately|approx|round about|some time around|sometime around|"
              "somewhere around|around about|circa|close to|near|near to|ish around|any time around|"
              "somewhere near|give or take|at around|at about|at roughly|"
              "at approximately", Typed("ABOUT", (30, 30)))  # fmt: skip
    words.add("ish|or so|or thereabouts|thereabouts|or around then|give or take|more or less", Typed("ISH"))
    words.add("just before|shortly before|a little before|a bit before|slightly before|just shy of|coming up to",
              Typed("ABOUT", (15, 0)))  # fmt: skip
    words.add("just after|shortly after|a little after|a bit after|slightly after|just gone|just past",
              Typed("ABOUT", (-1, 15)))  # fmt: skip


def _add_limits(words: Lexicon) -> None:
    for bound, names in {
        Bound.FROM: "not before|no earlier than|not earlier than|any time from|anytime from|starting|starting from|"
        "starting at|beginning at|not until|not till|only from|as of|earliest|no sooner than|not any earlier than|"
        "nothing before|nothing earlier than|never before|not sooner than|onwards from|from about|anything from|"
        "don't want anything before|can't do before|can't make it before|can't come before|can't be there before|"
        "not anything before|can't do anything before|nothing until|not available until|not free until|"
        "not free before|not available before|i'm not free until|not ready before|can't make anything before|"
        "can't get there before|can't until|can't do anything until|not by|couldn't do before|couldn't come before|"
        "won't be free until|busy until|i'm busy until|working until|at work until|i work until|won't be there before",
        Bound.AFTER: "after|any time after|anytime after|sometime after|some time after|later than|anything after|"
        "only after|something after|anywhere after|i can only do after|i'm free after|starting after",
        Bound.UNTIL: "until|till|til|up to|up until|up till|'til|through to",
        Bound.BEFORE: "before|any time before|anytime before|sometime before|some time before|earlier than|ahead of|"
        "prior to|anything before|only before|something before",
        Bound.LATEST: "by|no later than|not later than|not after|not any later than|nothing after|nothing later than|"
        "latest|at the very latest by|never after|can't do after|can't make it after|can't do anything after|"
        "no later then|by around|by about|have to be out by|can't come after|i have to leave by|not past|"
        "don't want anything after|can't do later than|can't make anything after",
    }.items():  # fmt: skip
        words.add(names, Typed("LIMIT", bound))
    words.add("by end of play|by the end of play|by close of play|by close of business|by the close of business|"
              "by end of business|by the end of business|by cob|by eob|by eod|by end of day|by the end of the day|"
              "by end of the day|before close of business|before the end of business|before the end of play|"
              "before end of play|by end of the working day|by the end of the working day|before the end of the day|"
              "by end of the day on|by the end of the day on|by the end of",
              Typed("LIMIT", Bound.LATEST))  # fmt: skip
    words.add("by the end of the week|by the end of this week|by end of week|before the end of the week|"
              "by the weekend|before the end of this week|by the week's end",
              Typed("LIMIT", Bound.LATEST), Typed("EDGE", Edge.END), Typed("WEEK"))  # fmt: skip
    words.add("by the end of next week|by end of next week|before the end of next week", Typed("LIMIT", Bound.LATEST),
              Typed("EDGE", Edge.END), Typed("WHICH", Which.NEXT), Typed("WEEK"))  # fmt: skip
    words.add("by the end of the month|by the end of this month|before the end of the month|by month end|"
              "by the month's end|before the end of this month|by end of month",
              Typed("LIMIT", Bound.LATEST), Typed("MONTHWORD"))  # fmt: skip
    words.add("by the end of next month|before the end of next month", Typed("LIMIT", Bound.LATEST),
              Typed("WHICH", Which.NEXT), Typed("MONTHWORD"))  # fmt: skip
    words.add("by the end of today|by the end of the day today|by end of play today|by close of business today|"
              "by end of business today|by eod today|by end of day today", Typed("LIMIT", Bound.LATEST),
              Typed("RELDAY", 0))  # fmt: skip
    words.add("after i finish work at|after i finish at|after i get off at|after i get off work at|once i finish at|"
              "when i finish at|when i finish work at|once i finish work at", Typed("LIMIT", Bound.AFTER))  # fmt: skip
    words.add("at the latest|at the very latest|the latest|tops", Typed("LATEST", Bound.LATEST))
    words.add("at the earliest|at the very earliest|the earliest i can do is", Typed("LATEST", Bound.FROM))
    words.add("from", Typed("FROM"))
    words.add("between|sometime between|some time between|anywhere between|any time between|anytime between|"
              "somewhere between|in between|betwixt|anything between", Typed("BETWEEN"))  # fmt: skip
    words.add("in|within the|within|over the|for the", Typed("IN"))
    words.add("for the|over the", Typed("ON"))
    words.add("at|@", Typed("AT"))
    words.add("on|for|on the|for a", Typed("ON"))
    words.add("through|thru", Typed("TO"))


def _add_joints(words: Lexicon) -> None:
    for joint, names in {
        Joint.OR: "or|or else|otherwise|alternatively|failing that|or maybe|or perhaps|or even|if not|or possibly|"
        "or alternatively|or otherwise|or failing that|or if not|else|either or|or if that's not possible|"
        "and failing that|"
        "if that doesn't work|or if that doesn't work|if that's not possible|or on|or at|and if not|or if need be",
        Joint.BUT: "but|only|however|although|though|but only|just not too|as long as it's|provided it's|"
        "but it has to be|but it must be|but it needs to be|preferably|ideally|but preferably|but ideally",
        Joint.NOT: "not|no good|not any good|not great|not good|not possible|is not good|are not good|except|"
        "except for|except on|but not|but not on|but not in the|other than|apart from|aside from|"
        "excluding|just not|not on|not in the|not at|anything but|never|can't|cannot|can't do|cannot do|"
        "can't make|couldn't|couldn't do|doesn't work|don't work|won't work|doesn't suit|don't suit|is no good|"
        "are no good|isn't good|aren't good|is out|are out|doesn't work for me|don't work for me|won't work for me|"
        "isn't possible|is not possible|i can't|i can't do|i can't make|i cannot do|not so good|isn't great|"
        "with the exception of|anything except|anything except for|i won't be able to do|is impossible|is bad|"
        "are bad|bar|barring|minus|besides|save for|avoid|avoiding|not available|unavailable|not free|i'm not free|"
        "i'm not available|i'm busy|busy|i'm away|is taken|are taken|is difficult|please not|anywhere but|"
        "can't be|unable to do|i'm unable to do|without|anything other than|but can't do|but i can't do|"
        "but i can't|but can't|but i can't make|but not at|but not on the|but not in|not in|won't do|isn't available|"
        "is full|is fully booked|but never|wouldn't work|not able to do|i'm not able to do|i can't come|can't come|"
        "i can't make it|can't make it|doesn't work so well|rather not|i'd rather not|preferably not|ideally not",
        Joint.IF: "if|in case|only if|but if|or if|and if|unless",
        Joint.CORRECTION: "sorry|no wait|no sorry|i mean|i meant|actually|make that|make it|scratch that|wait|"
        "no actually|no i mean|no i meant|i'm sorry|or rather|no make that|no hang on|hang on|"
        "hold on|no no|no hold on|correction|let me correct that|oh wait|oh sorry|"
        "my mistake|my bad|excuse me|sorry i mean|sorry i meant|sorry actually|actually make that|actually make it|"
        "oh wait no|no wait sorry|nope|strike that|that's wrong|pardon|i do apologise|no i'm sorry|"
        "no let's say|let's make it|let's make that|no let's make it|actually let's say|actually let's do|"
        "no let's do|or actually|sorry i do mean|apologies|i beg your pardon|on second thought|on second thoughts|"
        "no that's wrong|not that|what am i saying|no not that|sorry make that|i misspoke|rather|no rather|"
        "wait actually|no better|well actually|no sorry i mean|no sorry i meant|better make it|better make that",
        Joint.EARLIEST: "asap|as soon as possible|as soon as you can|soonest|the soonest|next available|"
        "the next available|first available|the first available|earliest available|the earliest available|"
        "earliest possible|the earliest possible|as early as possible|as quickly as possible|right away|"
        "straight away|immediately|urgently|urgent|it's urgent|next opening|the next opening|soonest possible|"
        "the soonest possible|the soonest you have|the earliest you have|the earliest you've got|"
        "the soonest you've got|the first thing you have|the first you have|next free|the next free|"
        "first opening|the first opening|your next available|your first available|your earliest|your soonest|"
        "your earliest available|your next opening|your next free|right now|now|at once|as fast as possible|"
        "at the earliest opportunity|at your earliest convenience|earliest convenience|the next possible|soon|"
        "the earliest one|the earliest appointment|earliest appointment|the soonest appointment|soonest available|"
        "the soonest available|next appointment|the next appointment|your next appointment|next one available|"
        "the next one available|the first one available|earliest slot|the earliest slot|next slot|the next slot|"
        "first slot|the first slot|your first opening|sooner the better|the sooner the better|whatever's soonest|"
        "whatever is soonest|whatever's first|as soon as|the earliest you can do|the soonest you can do|pronto|"
        "whatever's earliest|whatever is earliest|the earliest time|soonest slot|the soonest slot|quickly|"
        "as soon as you have something|as soon as there's something|at the earliest possible|first free|the first free|"
        "the earliest opening|earliest opening|the very next|the very next one|sometime soon|some time soon|"
        "when's the earliest|what's the earliest|what's the soonest|when's the soonest|the earliest you can|"
        "earliest you have|soonest you have|the first one you have|the first one you've got|the earliest",
        Joint.OPEN: "any time|anytime|whenever|any day|i'm flexible|flexible|i don't mind|i don't mind when|"
        "i don't care|i don't care when|don't care|don't care when|don't mind when|don't mind|doesn't matter|"
        "it doesn't matter|no preference|i have no preference|whenever you like|whenever suits|whenever suits you|"
        "whenever you can|any time at all|anytime at all|whatever you have|whatever you've got|whatever works|"
        "whatever works for you|whatever suits|whatever suits you|totally flexible|i'm easy|all day|any|anything|"
        "every day|everyday|any date|whenever is fine|any time is fine|anytime is fine|any time works|anytime works|"
        "any old time|when you have something|whenever works|whenever works for you|i'm free all day|"
        "any time of day|any time of the day|at any time|on any day|i'm pretty flexible|i'm quite flexible|"
        "i'm very flexible|i'm completely flexible|i'm totally flexible|pretty flexible|not fussed|i'm not fussed|"
        "it's all the same to me|up to you|doesn't matter when|whenever you have space|whenever you're free|"
        "whenever you have something|whenever you have time|whichever|some day|someday|one day|a day|some time|"
        "sometime|at some point|all day long|the whole day|whatever time|whatever day|any of them|all times|"
        "whenever there's space|whenever there's a slot|any slot|any appointment|any time you have|any time you like",
        Joint.OR_LATER: "or later|or after|or afterwards|onwards|onward|or after that|and later|and after|on wards|"
        "and onwards|or any time after|or anytime after|or any time after that|or beyond|forward|and beyond|"
        "or anything after|or anything later|or any later",
        Joint.OR_EARLIER: "or earlier|or before|or before that|or sooner|and earlier|or any time before|or before then|"
        "or anything earlier|or anything before",
    }.items():  # fmt: skip
        words.add(names, Typed("JOINT", joint))
    words.add("no", Typed("NO"))
    words.add("and|and also|as well as|and then|plus|also|&", Typed("AND", Joint.AND))
    words.add(",", Typed("JOINT", Joint.COMMA))
    words.add("any time but|anytime but|any day but|any time except|anytime except|any day except|whenever but|"
              "every day but|every day except|any time other than|any day other than|any time but not|all day except|"
              "any day apart from|any time apart from|anytime other than|anytime apart from|any time except for|"
              "any day except for|whenever except|any day but not|any day bar|any time bar",
              Typed("JOINT", Joint.OPEN), Typed("JOINT", Joint.NOT))  # fmt: skip
    words.add("anything but", Typed("JOINT", Joint.OPEN), Typed("JOINT", Joint.NOT))
    words.add("when|when are you free|what do you have|what have you got|what's available|what is available|"
              "what times do you have|when can i come|when can i come in|when could i come in|when do you have|"
              "what's free|when's good|what time|what times|what have you got available|what do you have available|"
              "when can you fit me in|when could you fit me in|when do you have something|when's your next available|"
              "when is your next available|when's your next opening|when is the next available|"
              "what's your next available|"
              "what's the next available|when's the next available|what do you have free|what can you offer|"
              "what slots do you have|when can you see me|when could you see me|when would you have something",
              Typed("JOINT", Joint.OPEN), Typed("JOINT", Joint.EARLIEST))  # fmt: skip


def _add_vague(words: Lexicon) -> None:
    """Words about time that leave open what they mean: they are asked about."""
    for vague in ("instead of", "over the next week", "in the next week", "within the next week", "within a week",
                  "within the week", "in the next month", "within a month", "not too early", "not too late",
                  "not so early", "not so late", "late as possible",
                  "as late as possible", "later", "earlier", "afterwards", "later on", "early on", "sooner",
                  "every week", "every other week", "every two weeks", "regularly", "every month", "bank holiday",
                  "a bank holiday", "the bank holiday", "bank holiday monday", "the holidays", "couple", "few",
                  "a couple of", "a few", "several", "last", "ago", "the other day", "payday", "spring",
                  "summer", "autumn", "fall", "winter", "once a week", "twice a week", "the following",
                  "following", "previous", "after school", "teatime", "tea time", "dinner time", "dinnertime",
                  "after dinner", "before dinner", "breakfast", "after breakfast", "later this week",
                  "later in the week",
                  "earlier in the week", "later this month", "later next week", "the same time", "same time",
                  "the same day", "same day", "usual time", "the usual time", "my usual time", "the usual",
                  "end of play", "close of play", "end of business", "close of business", "end of day", "eod", "cob",
                  "end of the day", "the end of the day", "season", "year", "next year", "quarter of an hour",
                  "every other", "half day", "not really", "the week before", "the day after", "the day before",
                  "day after", "day before", "the month after", "the next few days", "next few days",
                  "a day or two", "a week or two", "week or two", "day or two", "an hour or two",
                  "in an hour or two", "in an hour or so"):  # fmt: skip
        words.add(vague, Typed(UNKNOWN, vague, vague))


def _add_offers(words: Lexicon) -> None:
    nouns = ("one", "time", "slot", "option", "appointment", "suggestion", "choice", "offer", "of those", "of the two",
             "one please", "of them")  # fmt: skip
    for value, said in {1: "first", 2: "second", 3: "third", -1: "last"}.items():
        names = [f"{article}{said} {noun}" for article in ("the ", "your ", "that ", "") for noun in nouns]
        verbs = ("i'll take", "i'd take", "let's take", "i'll have", "let's go with", "i'll go with", "can i have",
                 "can i take", "give me", "take")  # fmt: skip
        words.add([*names, *(f"{verb} the {said}" for verb in verbs)], Typed("OFFER", value))
        words.add([f"option {spoken_number(max(value, 1))}", f"number {spoken_number(max(value, 1))}",
                   f"option {max(value, 1)}", f"number {max(value, 1)}"], Typed("OFFER", max(value, 1)))  # fmt: skip
    words.add("last time|your last time|that last time|last appointment|your last appointment", Typed(UNKNOWN, "last"))
    words.add("first time|first appointment|first slot|the first slot|the first appointment",
              Typed("JOINT", Joint.EARLIEST))  # fmt: skip
    words.add("option 2|number two|number 2|option two", Typed("OFFER", 2))
    words.add("the last", Typed("OFFER", -1))
    for value, said in {-2: "earlier", -3: "later"}.items():
        words.add([f"the {said} {noun}" for noun in (*nouns, "of the two")] + [f"the {said}", f"{said} one"],
                  Typed("OFFER", value))  # fmt: skip
    for direction, endings in {
        1: ("later", "after that", "afterwards"),
        -1: ("earlier", "before that", "sooner"),
    }.items():
        for name in endings:
            for amount, minutes in (("an hour", 60), ("half an hour", 30), ("a half hour", 30), ("a bit", None),
                                    ("a little", None), ("a little bit", None), ("quarter of an hour", 15),
                                    ("a quarter of an hour", 15), ("a day", 1440), ("a week", 10080), ("one hour", 60),
                                    ("any", None), ("anything", None), ("something", None), ("slightly", None),
                                    ("an hour and a half", 90), ("the day", 1440), ("one day", 1440),
                                    ("one week", 10080), ("much", None), ("somewhat", None)):  # fmt: skip
                words.add([f"{amount} {name}", f"about {amount} {name}"] if minutes else f"{amount} {name}",
                          Typed("SHIFT", OfferShift(direction, minutes)))  # fmt: skip
    words.add("later|later on|afterwards", Typed("SHIFT", OfferShift(1)))
    words.add("earlier|sooner", Typed("SHIFT", OfferShift(-1)))
