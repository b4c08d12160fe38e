"""The same callers for every peer: conversations drawn from a seed, and what their callers experience."""

import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from script.lib.environment import midnight

CONVERSATIONS_A_SECOND = 1000 / 1800
DAYS = 14
# Of a hundred callers: who ask for a second day, who search further although there are offers (without offers, all do),
# who book, and who cancel again.
ASK_TWICE, SEARCH_FURTHER, BOOK, CANCEL = 35, 25, 60, 5
THINK_S = (1.0, 4.0)


@dataclass(frozen=True)
class Conversation:
    """One phone call, the same with every peer."""

    number: int
    at_s: float
    """Since the beginning."""
    slug: str
    days: Sequence[int]
    """How far ahead the days are that are asked for, one after the other."""
    searches_further: bool
    books: bool
    cancels: bool
    preference: float
    """Which of the offered slots is taken, from 0 for the first to 1 for the last."""
    thinks_s: float


def draw_conversations(slugs: Sequence[str], *, seconds: float, seed: int) -> list[Conversation]:
    """Return the conversations that begin in that time; most callers want one of the next days."""
    chance = random.Random(seed)

    def day() -> int:
        return 1 + min(int(chance.expovariate(1 / 4)), DAYS - 2)

    starts = sorted(chance.uniform(0, seconds) for _ in range(round(seconds * CONVERSATIONS_A_SECOND)))
    return [
        Conversation(
            number=number,
            at_s=at_s,
            slug=chance.choice(slugs),
            days=[day() for _ in range(2 if chance.randrange(100) < ASK_TWICE else 1)],
            searches_further=chance.randrange(100) < SEARCH_FURTHER,
            books=chance.randrange(100) < BOOK,
            cancels=chance.randrange(100) < CANCEL,
            preference=chance.random(),
            thinks_s=chance.uniform(*THINK_S),
        )
        for number, at_s in enumerate(starts)
    ]


class Peer(Protocol):
    """What an agent asks. Starts are aware instants; `Unanswered` may be raised by all methods."""

    def free_on(self, slug: str, day: datetime) -> list[datetime]:
        """Return the free slots of a UTC day, from midnight `day`."""

    def free_from(self, slug: str, day: datetime) -> list[datetime]:
        """Return at least three free slots from that day on, if there are any within two weeks."""

    def book(self, slug: str, start: datetime, caller: str) -> str:
        """Book, and return what cancels it. Raises `Refused` where the slot is not free."""

    def cancel(self, booking: str) -> None:
        """Cancel."""


class Refused(Exception):
    """The slot is not free."""


class Unanswered(Exception):
    """There was no answer in time, or none that says anything."""


@dataclass
class Experience:
    """What the callers of one peer experienced."""

    questions: int = 0
    unanswered: int = 0
    booked: int = 0
    refused: int = 0
    """Of slots that were offered a moment before."""
    waits_s: list[float] = field(default_factory=list)
    """Per question."""
    lock: threading.Lock = field(default_factory=threading.Lock)


def run(peer: Peer, conversations: Sequence[Conversation], *, callers: int = 48) -> Experience:
    """Have all conversations at their times with one peer."""
    experience, began = Experience(), time.monotonic()
    with ThreadPoolExecutor(callers) as pool:
        calls = []
        for conversation in conversations:
            time.sleep(max(0.0, began + conversation.at_s - time.monotonic()))
            calls.append(pool.submit(_converse, peer, conversation, experience))
        for each in calls:
            each.result()
    return experience


def _converse(peer: Peer, conversation: Conversation, experience: Experience) -> None:
    offered: list[datetime] = []
    for ahead in conversation.days:
        offered = _ask(peer, "free_on", conversation.slug, midnight(ahead), experience)
        time.sleep(conversation.thinks_s)
    if conversation.searches_further or not offered:
        offered = _ask(peer, "free_from", conversation.slug, midnight(conversation.days[-1]), experience)
        time.sleep(conversation.thinks_s)
    if conversation.books and offered:
        _book(peer, conversation, offered[int(conversation.preference * (len(offered) - 1))], experience)


def _ask(peer: Peer, verb: str, slug: str, day: datetime, experience: Experience) -> list[datetime]:
    began, unanswered = time.monotonic(), 0
    offered: list[datetime] = []
    try:
        offered = getattr(peer, verb)(slug, day)
    except Unanswered:
        unanswered = 1
    with experience.lock:
        experience.questions += 1
        experience.unanswered += unanswered
        experience.waits_s.append(time.monotonic() - began)
    return offered


def _book(peer: Peer, conversation: Conversation, start: datetime, experience: Experience) -> None:
    booked = refused = unanswered = 0
    try:
        booking = peer.book(conversation.slug, start, f"Caller {conversation.number}")
        booked = 1
        if conversation.cancels:
            time.sleep(conversation.thinks_s)
            peer.cancel(booking)
    except Refused:
        refused = 1
    except Unanswered:
        unanswered = 1
    with experience.lock:
        experience.booked += booked
        experience.refused += refused
        experience.unanswered += unanswered
