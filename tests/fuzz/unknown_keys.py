"""
Keys are tried, a thousand a second, from one address; from there and from elsewhere others ask who have one.

Whoever tries keys also names other addresses as theirs. Now and then a key is shown where none belongs: in the address
of a page, in the id of a request, as a signature.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import urlsplit

from script.lib.measurements import percentile
from script.lib.processes import StageError
from tests.chaos import open_loop
from tests.chaos.open_loop import Line

PER_SECOND = 1000.0
LINES = 16
ASKS_PER_SECOND = 20.0
"""Of each of those who have a key."""
HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"
BITES_AFTER_S = 1.0
"""From then on guesses are expected to be refused unseen."""
_SHOWN_ELSEWHERE = 50
"""After so many guesses a key is shown where none belongs."""


@dataclass
class Guessing:
    """What was tried, and what came of it."""

    url: str
    rate: float
    """Guesses a second that are looked up for one address."""
    in_use: str
    """A key that asks from where somebody guesses, and was in use before."""
    new: str
    """A key that nobody has shown yet; it asks from elsewhere."""
    guessed: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    """Of guesses."""
    late: Counter[int] = field(default_factory=Counter)
    """The same, of those that came when they should have been refused unseen."""
    asked: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """Status and seconds of every answer to those who have a key, by their address."""
    took: float = 0.0

    def run(self, seconds: float) -> None:
        """Guess and ask for so long."""
        asyncio.run(self._run(seconds))

    @property
    def unthrottled(self) -> int:
        """Return how many guesses too many were answered after the throttle should have bitten."""
        let_through = sum(number for status, number in self.late.items() if status != 429)
        return max(0, let_through - round(self.rate * (self.took - BITES_AFTER_S)) - 1)

    def refused(self) -> int | None:
        """Return how often somebody with a key was not served; None where nobody asked."""
        answers = [status for each in self.asked.values() for status, _ in each]
        return sum(status != 200 for status in answers) if len(self.asked) == 2 and answers else None

    def p95_ms(self) -> float | None:
        """Return within what time 95 of 100 of them were served."""
        slow = percentile([took for each in self.asked.values() for _, took in each], 0.95)
        return None if slow is None else slow * 1000

    async def _run(self, seconds: float) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        until, numbers = began + seconds, count()
        guessers = [self._guess(began, until, numbers) for _ in range(LINES)]
        askers = [self._ask(self.in_use, HERE, until), self._ask(self.new, ELSEWHERE, until)]
        await asyncio.gather(*guessers, *askers)
        self.took = clock() - began

    async def _guess(self, began: float, until: float, numbers: Iterator[int]) -> None:
        """Try one key after the other, as fast as answers come, but all lines together no faster than they should."""
        clock = asyncio.get_running_loop().time
        line = await self._line(HERE)
        while (now := clock()) < until:
            number = next(numbers)
            await asyncio.sleep(max(0.0, began + number / PER_SECOND - now))
            key = f"sl_{secrets.token_urlsafe(32)}"
            self.guessed.append(key)
            if number % _SHOWN_ELSEWHERE == 0:
                await line.ask(self._misplaced())
            status, _ = await line.ask(open_loop.request(self.url, key, "/v1/services", headers=_headers(number)))
            self.statuses[status] += 1
            if clock() - began > BITES_AFTER_S:
                self.late[status] += 1
        line.close()

    async def _ask(self, key: str, address: str, until: float) -> None:
        clock = asyncio.get_running_loop().time
        heard = self.asked.setdefault(address, [])
        line = await self._line(address)
        while (began := clock()) < until:
            status, _ = await line.ask(open_loop.request(self.url, key, "/v1/services"))
            heard.append((status, clock() - began))
            await asyncio.sleep(1 / ASKS_PER_SECOND)
        line.close()

    async def _line(self, address: str) -> Line:
        parts = urlsplit(self.url)
        try:
            return await Line.to(parts.hostname or "", parts.port or 80, from_=address)
        except OSError as exc:
            raise StageError(f"Nobody can ask from {address} here: {exc}.") from exc

    def _misplaced(self) -> bytes:
        """Return a request that shows a valid key where it belongs, and everywhere else."""
        everywhere = {
            "X-Request-Id": f"by-{self.in_use}"[:64],
            "Cookie": f"key={self.in_use}",
            "User-Agent": self.in_use,
            "Referer": f"http://127.0.0.1/?key={self.in_use}",
            "X-Cal-Signature-256": self.in_use,
            "Idempotency-Key": self.in_use,
        }
        return open_loop.request(self.url, self.in_use, f"/v1/{self.in_use}?key={self.in_use}", headers=everywhere)


def _headers(number: int) -> dict[str, str]:
    return {"X-Forwarded-For": f"203.0.113.{number % 250}"} if number % 2 else {}


def counted(figures: str) -> dict[str, float]:
    """Return how many unknown keys were looked up, and not, by our own count."""
    lines = [line for line in figures.splitlines() if line.startswith("slotline_unknown_keys_total{")]
    return {line.partition('outcome="')[2].partition('"')[0]: float(line.rpartition(" ")[2]) for line in lines}


def said(guessing: Guessing) -> Sequence[str]:
    """Return the lines of the ledger."""
    spelled = ", ".join(f"{status}: {number}" for status, number in sorted(guessing.statuses.items()))
    asked = {address: Counter(status for status, _ in each) for address, each in guessing.asked.items()}
    return [
        f"{sum(guessing.statuses.values())} keys tried in {guessing.took:.1f} s; {spelled}",
        *(f"beside them, from {address}: {dict(each)}" for address, each in asked.items()),
    ]
