"""Where keys may not be: logs, Redis, figures; and, of those that are ours, the database."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

PIECE = 12
"""Characters of a key that are no chance; a key's name of eight may be shown."""
_WORDS = re.compile(rb"[A-Za-z0-9_-]{12,}")


class Wanted:
    """Keys, in pieces: whoever has a longer part of one somewhere has one of them."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._pieces = {
            key.encode()[start : start + PIECE] for key in keys for start in range(0, len(key) - PIECE + 1, PIECE)
        }

    def __len__(self) -> int:
        return len(self._pieces)

    def found_in(self, text: bytes) -> int:
        """Return how many words of a text have a part of a key in them."""
        return sum(self._has(word) for word in set(_WORDS.findall(text)))

    def _has(self, word: bytes) -> bool:
        return any(word[start : start + PIECE] in self._pieces for start in range(len(word) - PIECE + 1))


def logs(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the logs of all processes."""
    for path in sorted(folder.glob("*.log")):
        yield path.name, path.read_bytes()


def redis(url: str) -> Iterator[tuple[str, bytes]]:
    """Yield everything that a Redis holds, by database: keys and values of whatever kind."""
    from redis import Redis  # noqa: PLC0415  beside our own factory: what is read here nobody waits for

    with Redis.from_url(url) as client:
        held: Mapping[str, Any] = client.info("keyspace")
    for name in held:
        with Redis.from_url(url.rpartition("/")[0] + f"/{name.removeprefix('db')}") as client:
            texts = [part for key in client.scan_iter(count=1000) for part in (key, *_values(client, key))]
        yield f"Redis {name}", b"\n".join(texts)


def _values(client: Any, key: bytes) -> Iterable[bytes]:
    read: Mapping[bytes, Callable[[], Iterable[bytes]]] = {
        b"string": lambda: [client.get(key) or b""],
        b"hash": lambda: [part for pair in client.hgetall(key).items() for part in pair],
        b"list": lambda: client.lrange(key, 0, -1),
        b"set": lambda: client.smembers(key),
        b"zset": lambda: client.zrange(key, 0, -1),
        b"none": list,
    }
    return read[client.type(key)]()


def database() -> Iterator[tuple[str, bytes]]:
    """Yield the rows of every table as PostgreSQL writes them."""
    from django.db import connection  # noqa: PLC0415  needs the settings

    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT t::text FROM {connection.ops.quote_name(table)} t")
            yield table, "\n".join(text for (text,) in cursor.fetchall()).encode()
