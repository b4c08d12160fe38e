"""What is said around times and names, in each language. Docstrings of fields name their placeholders."""

from collections.abc import Mapping
from dataclasses import dataclass

from bookings.availability.criteria import PartOfDay
from bookings.availability.rules import Reason


@dataclass(frozen=True)
class Phrases:
    """The phrases of a language. All but the parts of an offer are sentences."""

    with_anyone: str
    """{times}"""
    with_person: str
    """{times} and {staff}"""
    with_other: str
    """{times} with another person than the caller asked for."""
    offer: str
    """{times}, with whom: parts as above"""
    otherwise: str
    """The same, to a caller who declined what was offered before."""
    uncertain: str
    yes: str
    yes_with_person: str
    held: str
    book: str
    which: tuple[str, str, str]
    """By how many times there are."""
    which_to_try: tuple[str, str]
    """One, or several."""
    reasons: Mapping[Reason, str]
    not_free_with_person: str
    nothing_up_to: str
    """{until}"""
    look_further: str
    no_answer: str
    no_access: str
    """The calendar cannot be asked."""
    call_back: str
    unknown_person: str
    several_people: str
    do_you_mean: str
    """{names}"""
    who: str
    no_certain_person: str
    parts: Mapping[PartOfDay, str]
    since: str
    """{clock}"""
    until: str
    """{clock}"""
    to: str
    """Between the first and the last of several days."""


GERMAN = Phrases(
    with_anyone="{times}",
    with_person="bei {staff} {times}",
    with_other="bei jemand anderem {times}",
    offer="Ich hätte {parts} noch etwas frei.",
    otherwise="Sonst hätte ich {parts} noch etwas frei.",
    uncertain="Nach meinem letzten Stand wäre {parts} noch etwas frei, sicher ist das aber nicht.",
    yes="Ja, {times} ist noch frei.",
    yes_with_person="Ja, {times} ist bei {staff} noch frei.",
    held="Ich halte die Zeit kurz für Sie fest.",
    book="Soll ich das für Sie eintragen?",
    which=("Passt Ihnen das?", "Was passt Ihnen besser?", "Was passt Ihnen am besten?"),
    which_to_try=("Soll ich es versuchen?", "Was soll ich versuchen?"),
    reasons={
        Reason.DATE_IN_PAST: "Diese Zeit ist schon vorbei.",
        Reason.TOO_FAR: "So weit im Voraus kann ich noch nichts eintragen.",
        Reason.TOO_SOON: "So kurzfristig geht es leider nicht.",
        Reason.CLOSED: "Zu dieser Zeit haben wir geschlossen.",
        Reason.FULLY_BOOKED: "Da ist leider nichts mehr frei.",
    },
    not_free_with_person="Bei {staff} ist da leider nichts mehr frei.",
    nothing_up_to="{until} finde ich leider nichts Freies.",
    look_further="Soll ich noch weiter vorausschauen?",
    no_answer="Unser Kalender antwortet gerade nicht.",
    no_access="An unseren Kalender komme ich gerade nicht heran.",
    call_back="Soll Sie jemand zurückrufen?",
    unknown_person="Diese Person finde ich bei uns nicht.",
    several_people="Da kommen mehrere infrage.",
    do_you_mean="Meinen Sie {names}?",
    who="Zu wem möchten Sie?",
    no_certain_person="Mit wem der Termin ist, kann ich dabei nicht zusagen. Ist Ihnen auch jemand anders recht?",
    parts={
        PartOfDay.MORNING: "vormittags",
        PartOfDay.NOON: "mittags",
        PartOfDay.AFTERNOON: "nachmittags",
        PartOfDay.EVENING: "abends",
    },
    since="ab {clock}",
    until="bis {clock}",
    to="bis",
)

ENGLISH = Phrases(
    with_anyone="we are free {times}",
    with_person="{staff} is free {times}",
    with_other="someone else is free {times}",
    offer="{parts}.",
    otherwise="Otherwise {parts}.",
    uncertain="As far as I know {parts}, but I cannot be certain.",
    yes="Yes, we are free {times}.",
    yes_with_person="Yes, {staff} is free {times}.",
    held="I am keeping that time for you for a moment.",
    book="Shall I book it for you?",
    which=("Would that suit you?", "Which would suit you better?", "Which would suit you best?"),
    which_to_try=("Shall I try?", "Which one shall I try?"),
    reasons={
        Reason.DATE_IN_PAST: "That time has already passed.",
        Reason.TOO_FAR: "I cannot book that far ahead yet.",
        Reason.TOO_SOON: "I'm sorry, that is too soon.",
        Reason.CLOSED: "We are closed at that time.",
        Reason.FULLY_BOOKED: "I'm sorry, nothing is free then.",
    },
    not_free_with_person="I'm sorry, {staff} is not free then.",
    nothing_up_to="I'm sorry, I cannot find anything free {until}.",
    look_further="Shall I look further ahead?",
    no_answer="Our calendar is not answering right now.",
    no_access="I cannot get into our calendar right now.",
    call_back="Shall someone call you back?",
    unknown_person="I cannot find that person here.",
    several_people="There are several people by that name.",
    do_you_mean="Do you mean {names}?",
    who="Who would you like to see?",
    no_certain_person="I cannot promise who it will be with. Would someone else suit you as well?",
    parts={
        PartOfDay.MORNING: "in the morning",
        PartOfDay.NOON: "around noon",
        PartOfDay.AFTERNOON: "in the afternoon",
        PartOfDay.EVENING: "in the evening",
    },
    since="from {clock}",
    until="until {clock}",
    to="to",
)
