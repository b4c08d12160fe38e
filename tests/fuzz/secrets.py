"""Searches for keys where none may be: logs, Redis, metrics; and, of our own keys, the database."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from django.db import connection
from redis import Redis

PIECE = 12
"""Characters of a key that cannot be chance; the first eight may be shown as its name."""
_WORDS = re.compile(rb"[A-Za-z0-9_-]{12,}")


class Keys:
    """Keys in pieces, so that parts of them are found as well."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._pieces = {
            key.encode()[start : start + PIECE] for key in keys for start in range(0, len(key) - PIECE + 1, PIECE)
        }

    def count_in(self, text: bytes) -> int:
        """Return how many words of a text contain a part of a key."""
        return sum(self._is_in(word) for word in set(_WORDS.findall(text)))

    def _is_in(self, word: bytes) -> bool:
        return any(word[start : start + PIECE] in self._pieces for start in range(len(word) - PIECE + 1))


def logs(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the logs of all processes."""
    for path in sorted(folder.glob("*.log")):
        yield path.name, path.read_bytes()


def redis(url: str) -> Iterator[tuple[str, bytes]]:
    """Yield everything in a Redis by database: keys and values of every type."""
    with Redis.from_url(url) as client:
        databases: Mapping[str, Any] = client.info("keyspace")
    for name in databases:
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
    """Yield the rows of every table as text."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT t::text FROM {connection.ops.quote_name(table)} t")
            yield table, "\n".join(text for (text,) in cursor.fetchall()).encode()
