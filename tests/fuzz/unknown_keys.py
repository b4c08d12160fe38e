"""
An attacker tries a thousand keys a second from one address, while agents with a key ask from there and from elsewhere.

The attacker also names other addresses as theirs. Now and then a valid key is sent where it does not belong: in the
path, in the request id, as a signature.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import urlsplit

from script.lib.measurements import percentile
from script.lib.processes import HarnessError
from tests.chaos.open_loop import Connection, encode

PER_SECOND = 1000.0
CONNECTIONS = 16
REQUESTS_PER_SECOND = 20.0
"""Of each agent with a key."""
HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"
THROTTLED_AFTER_S = 1.0
"""From then on unknown keys are expected to be refused without a look-up."""
_MISPLACED_EVERY = 50


@dataclass
class UnknownKeyAttack:
    """The keys that were tried, and the responses."""

    url: str
    rate: float
    """Unknown keys a second that are looked up for one address."""
    in_use: str
    """A key that was used before, from the attacker's address."""
    new: str
    """A key that was never used; its agent asks from elsewhere."""
    tried: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    late: Counter[int] = field(default_factory=Counter)
    """The same, after `THROTTLED_AFTER_S`."""
    answered: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """Status and seconds of every response to agents with a key, by their address."""
    duration: float = 0.0

    def run(self, seconds: float) -> None:
        """Run the attack for so long."""
        asyncio.run(self._run(seconds))

    @property
    def unthrottled(self) -> int:
        """Return how many unknown keys too many were looked up."""
        looked_up = sum(number for status, number in self.late.items() if status != 429)
        return max(0, looked_up - round(self.rate * (self.duration - THROTTLED_AFTER_S)) - 1)

    def refused(self) -> int | None:
        """Return how often an agent with a key was refused; None where none asked."""
        statuses = [status for each in self.answered.values() for status, _ in each]
        return sum(status != 200 for status in statuses) if len(self.answered) == 2 and statuses else None

    def p95_ms(self) -> float | None:
        """Return the 95th percentile of the responses to agents with a key; None where none asked."""
        slow = percentile([duration for each in self.answered.values() for _, duration in each], 0.95)
        return None if slow is None else slow * 1000

    async def _run(self, seconds: float) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        until, numbers = began + seconds, count()
        attackers = [self._attack(began, until, numbers) for _ in range(CONNECTIONS)]
        agents = [self._ask(self.in_use, HERE, until), self._ask(self.new, ELSEWHERE, until)]
        await asyncio.gather(*attackers, *agents)
        self.duration = clock() - began

    async def _attack(self, began: float, until: float, numbers: Iterator[int]) -> None:
        """Try one key after the other, as fast as responses come, but all connections no faster than `PER_SECOND`."""
        clock = asyncio.get_running_loop().time
        connection = await self._connect(HERE)
        while (now := clock()) < until:
            number = next(numbers)
            await asyncio.sleep(max(0.0, began + number / PER_SECOND - now))
            key = f"sl_{secrets.token_urlsafe(32)}"
            self.tried.append(key)
            if number % _MISPLACED_EVERY == 0:
                await connection.send(self._misplaced())
            headers = {"X-Forwarded-For": f"203.0.113.{number % 250}"} if number % 2 else {}
            status, _ = await connection.send(encode(self.url, key, "/v1/services", headers=headers))
            self.statuses[status] += 1
            if clock() - began > THROTTLED_AFTER_S:
                self.late[status] += 1
        connection.close()

    async def _ask(self, key: str, address: str, until: float) -> None:
        clock = asyncio.get_running_loop().time
        answered = self.answered.setdefault(address, [])
        connection = await self._connect(address)
        while (began := clock()) < until:
            status, _ = await connection.send(encode(self.url, key, "/v1/services"))
            answered.append((status, clock() - began))
            await asyncio.sleep(1 / REQUESTS_PER_SECOND)
        connection.close()

    async def _connect(self, address: str) -> Connection:
        parts = urlsplit(self.url)
        try:
            return await Connection.open(parts.hostname or "", parts.port or 80, from_=address)
        except OSError as exc:
            raise HarnessError(f"No connection can be made from {address}: {exc}.") from exc

    def _misplaced(self) -> bytes:
        """Return a request with a valid key where it belongs, and everywhere else."""
        everywhere = {
            "X-Request-Id": f"by-{self.in_use}"[:64],
            "Cookie": f"key={self.in_use}",
            "User-Agent": self.in_use,
            "Referer": f"http://127.0.0.1/?key={self.in_use}",
            "X-Cal-Signature-256": self.in_use,
            "Idempotency-Key": self.in_use,
        }
        return encode(self.url, self.in_use, f"/v1/{self.in_use}?key={self.in_use}", headers=everywhere)


def counts(metrics: str) -> dict[str, float]:
    """Return by outcome how many unknown keys our metrics have counted."""
    lines = [line for line in metrics.splitlines() if line.startswith("slotline_unknown_keys_total{")]
    return {line.partition('outcome="')[2].partition('"')[0]: float(line.rpartition(" ")[2]) for line in lines}
