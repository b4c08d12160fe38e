"""
One clock for Python, PostgreSQL and Redis, which tests set and advance.

It runs like the real one from wherever it is set. `time.monotonic` keeps measuring real time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from cachectl import store
from cachectl.infra import lua
from cachectl.infra.redis import redis_client
from calcom.resilience import circuit_breaker, rate_limiter

_AHEAD = "test:ahead"
# Beyond this, a process drops what it knows of Cal.com's limit and health.
_WINDOW = timedelta(seconds=60)

# The search path names the schema before `pg_catalog`, so its functions are the ones that unqualified calls find.
_SCHEMA = """
    CREATE SCHEMA test;
    CREATE TABLE test.clock (ahead interval NOT NULL);
    INSERT INTO test.clock VALUES ('0');
    CREATE FUNCTION test.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
        AS 'SELECT pg_catalog.statement_timestamp() + ahead FROM test.clock';
    CREATE FUNCTION test.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
        AS 'SELECT pg_catalog.clock_timestamp() + ahead FROM test.clock';
"""
_SEARCH_PATH = "test, public, pg_catalog"
_DEFAULTS = """
    SELECT format(
        'ALTER TABLE %%s ALTER COLUMN %%I SET DEFAULT %%I.statement_timestamp()', adrelid::regclass, attname, %s::text
    )
    FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
    WHERE pg_get_expr(adbin, adrelid) LIKE '%%statement_timestamp()%%'
"""
# Put before a script: `TIME` is that of Redis, moved on.
_REDIS = f"""
local server = redis
local redis = setmetatable({{call = function(verb, ...)
  if verb ~= 'TIME' then return server.call(verb, ...) end
  local time = server.call('TIME')
  local us = time[1] * 1000000 + time[2] + (server.call('GET', '{_AHEAD}') or 0)
  return {{math.floor(us / 1000000), us % 1000000}}
end}}, {{__index = server}})
"""
# Keys expire sooner by the time that has passed.
_PASS = f"""
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  if left > tonumber(ARGV[1]) then redis.call('PEXPIRE', key, left - ARGV[1])
  elseif left >= 0 then redis.call('DEL', key) end
end
redis.call('SET', '{_AHEAD}', ARGV[2])
"""


class Clock:
    def __init__(self) -> None:
        self.ahead = timedelta()
        self._pass = redis_client().register_script(_PASS)
        self._publish(0)

    def now(self) -> datetime:
        """Return the time now."""
        return datetime.now(UTC) + self.ahead

    def set(self, moment: datetime) -> None:
        """Go on from `moment`; keys in Redis do not age by that."""
        self.ahead = moment - datetime.now(UTC)
        self._publish(0)

    def advance(self, seconds: float) -> None:
        """Advance it."""
        self.ahead += timedelta(seconds=seconds)
        self._publish(seconds)
        if timedelta(seconds=seconds) >= _WINDOW:
            rate_limiter.limiter_for.cache_clear()
            circuit_breaker.breaker_for.cache_clear()

    def _publish(self, seconds: float) -> None:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE test.clock SET ahead = %s", [self.ahead])
        self._pass(args=[int(seconds * 1000), int(self.ahead / timedelta(microseconds=1))])


@contextmanager
def shared_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """Share one clock while the context lasts; a test may not hold a transaction open around it."""
    with_the_clock = cache(lambda folder: lua.Scripts(folder, clock=_REDIS + lua.CLOCK))
    for module in (store, rate_limiter, circuit_breaker):
        monkeypatch.setattr(module, "scripts_in", with_the_clock)
    with _replaced_in_postgres():
        clock = Clock()
        monkeypatch.setattr(timezone, "now", clock.now)
        rate_limiter.limiter_for.cache_clear()
        circuit_breaker.breaker_for.cache_clear()
        yield clock


@contextmanager
def _replaced_in_postgres() -> Iterator[None]:
    database = connection.ops.quote_name(str(connection.settings_dict["NAME"]))
    with connection.cursor() as cursor:
        cursor.execute(_SCHEMA)
        _set_defaults(cursor, "test")
        cursor.execute(f"ALTER DATABASE {database} SET search_path = {_SEARCH_PATH}")  # connections to come
        cursor.execute(f"SET search_path = {_SEARCH_PATH}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {database} RESET search_path")
            cursor.execute("SET search_path = public")
            _set_defaults(cursor, "pg_catalog")
            cursor.execute("DROP SCHEMA test CASCADE")
        connection.close()


def _set_defaults(cursor: CursorWrapper, schema: str) -> None:
    """Fill columns that default to the database's time from the clock of `schema`."""
    cursor.execute(_DEFAULTS, [schema])
    for (statement,) in cursor.fetchall():
        cursor.execute(statement)
