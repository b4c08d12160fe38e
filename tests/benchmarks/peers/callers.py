"""The same callers for everybody: a script of conversations, and how one of them is played."""

import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

CONVERSATIONS_A_SECOND = 1000 / 1800
DAYS = 14
# Of a hundred callers: whom the first day does not suit, who wants to hear of other days even where something is free
# (where nothing is, all do), who books, who cancels again.
ASK_TWICE, LOOK_FURTHER, BOOK, CANCEL = 35, 25, 60, 5
THINK_S = (1.0, 4.0)


@dataclass(frozen=True)
class Conversation:
    """One phone call, as it would go with anybody."""

    number: int
    at_s: float
    """Since the beginning."""
    slug: str
    days: Sequence[int]
    """How far ahead the days are that are asked for, one after the other."""
    looks_further: bool
    books: bool
    cancels: bool
    taste: float
    """Which of the offered times is liked, from 0 for the first to 1 for the last."""
    thinks_s: float


def script_of(slugs: Sequence[str], *, seconds: float, seed: int) -> list[Conversation]:
    """Return as many conversations as come in that time; most callers want one of the next days."""
    chance = random.Random(seed)
    starts = sorted(chance.uniform(0, seconds) for _ in range(round(seconds * CONVERSATIONS_A_SECOND)))
    return [
        Conversation(
            number=number,
            at_s=at_s,
            slug=chance.choice(slugs),
            days=[_some_day(chance) for _ in range(2 if chance.randrange(100) < ASK_TWICE else 1)],
            looks_further=chance.randrange(100) < LOOK_FURTHER,
            books=chance.randrange(100) < BOOK,
            cancels=chance.randrange(100) < CANCEL,
            taste=chance.random(),
            thinks_s=chance.uniform(*THINK_S),
        )
        for number, at_s in enumerate(starts)
    ]


def _some_day(chance: random.Random) -> int:
    return 1 + min(int(chance.expovariate(1 / 4)), DAYS - 2)


class Line(Protocol):
    """Whom an agent asks. Starts are aware instants; a time that is not to be had raises `Refused`."""

    def free_on(self, slug: str, day: datetime) -> list[datetime]:
        """Return the free slots of a UTC day, from midnight `day`."""
        ...

    def free_from(self, slug: str, day: datetime) -> list[datetime]:
        """Return at least three free slots from that day on, if there are any within two weeks."""
        ...

    def book(self, slug: str, start: datetime, caller: str) -> str:
        """Book, and return what cancels it."""
        ...

    def cancel(self, booking: str) -> None:
        """Cancel."""
        ...


class Refused(Exception):
    """The time that was offered is not to be had."""


class Unanswered(Exception):
    """There was no answer in time, or none that says anything."""


@dataclass
class Heard:
    """What the callers of one line heard."""

    questions: int = 0
    unanswered: int = 0
    booked: int = 0
    refused: int = 0
    """Of times that were offered a moment before."""
    waits_s: list[float] = field(default_factory=list)
    """Per question."""
    lock: threading.Lock = field(default_factory=threading.Lock)


def play(line: Line, conversations: Sequence[Conversation], *, callers: int = 48) -> Heard:
    """Play all conversations at their times on one line, and return what was heard."""
    heard, began = Heard(), time.monotonic()

    def call(conversation: Conversation) -> None:
        _call(line, conversation, heard)

    with ThreadPoolExecutor(callers, thread_name_prefix="caller") as pool:
        calls = []
        for conversation in conversations:
            time.sleep(max(0.0, began + conversation.at_s - time.monotonic()))
            calls.append(pool.submit(call, conversation))
        for each in calls:
            each.result()
    return heard


def _call(line: Line, conversation: Conversation, heard: Heard) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    offered: list[datetime] = []
    for ahead in conversation.days:
        offered = _ask(line, "free_on", conversation.slug, today + timedelta(days=ahead), heard)
        time.sleep(conversation.thinks_s)
    if conversation.looks_further or not offered:
        offered = _ask(line, "free_from", conversation.slug, today + timedelta(days=conversation.days[-1]), heard)
        time.sleep(conversation.thinks_s)
    if conversation.books and offered:
        _book(line, conversation, offered[int(conversation.taste * (len(offered) - 1))], heard)


def _ask(line: Line, verb: str, slug: str, day: datetime, heard: Heard) -> list[datetime]:
    began = time.monotonic()
    offered: list[datetime] = []
    unanswered = 0
    try:
        offered = getattr(line, verb)(slug, day)
    except Unanswered:
        unanswered = 1
    with heard.lock:
        heard.questions += 1
        heard.unanswered += unanswered
        heard.waits_s.append(time.monotonic() - began)
    return offered


def _book(line: Line, conversation: Conversation, start: datetime, heard: Heard) -> None:
    booked = refused = unanswered = 0
    try:
        booking = line.book(conversation.slug, start, f"Caller {conversation.number}")
        booked = 1
        if conversation.cancels:
            time.sleep(conversation.thinks_s)
            line.cancel(booking)
    except Refused:
        refused = 1
    except Unanswered:
        unanswered = 1
    with heard.lock:
        heard.booked += booked
        heard.refused += refused
        heard.unanswered += unanswered
