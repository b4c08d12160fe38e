"""
One clock for everybody: Python, PostgreSQL and Redis read the same time, and the test says when it passes.

It runs as the real one does, from wherever it is set. `time.monotonic` is left alone: it measures waits: real ones.
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

_AHEAD = "stage:ahead"
# Beyond this, what a process remembers of Cal.com's limit and health is past.
_WINDOW = timedelta(seconds=60)

# The search path names the schema before `pg_catalog`, so its functions are the ones that unqualified calls find.
_SCHEMA = """
    CREATE SCHEMA stage;
    CREATE TABLE stage.clock (ahead interval NOT NULL);
    INSERT INTO stage.clock VALUES ('0');
    CREATE FUNCTION stage.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
        AS 'SELECT pg_catalog.statement_timestamp() + ahead FROM stage.clock';
    CREATE FUNCTION stage.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
        AS 'SELECT pg_catalog.clock_timestamp() + ahead FROM stage.clock';
"""
_SEARCH_PATH = "stage, public, pg_catalog"
_DEFAULTS = """
    SELECT format(
        'ALTER TABLE %%s ALTER COLUMN %%I SET DEFAULT %%I.statement_timestamp()', adrelid::regclass, attname, %s::text
    )
    FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
    WHERE pg_get_expr(adbin, adrelid) LIKE '%%statement_timestamp()%%'
"""
# Stands before the snippet that reads it: `TIME` is Redis' own, moved on.
_REDIS = f"""
local server = redis
local redis = setmetatable({{call = function(verb, ...)
  if verb ~= 'TIME' then return server.call(verb, ...) end
  local time = server.call('TIME')
  local us = time[1] * 1000000 + time[2] + (server.call('GET', '{_AHEAD}') or 0)
  return {{math.floor(us / 1000000), us % 1000000}}
end}}, {{__index = server}})
"""
# Whatever runs out by itself does so sooner by the time that has passed.
_PASS = f"""
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  if left > tonumber(ARGV[1]) then redis.call('PEXPIRE', key, left - ARGV[1])
  elseif left >= 0 then redis.call('DEL', key) end
end
redis.call('SET', '{_AHEAD}', ARGV[2])
"""


class Clock:
    """What time it is."""

    def __init__(self) -> None:
        self.ahead = timedelta()
        self._pass = redis_client().register_script(_PASS)
        self._tell(0)

    def now(self) -> datetime:
        """Return the instant that everybody reads now."""
        return datetime.now(UTC) + self.ahead

    def set(self, moment: datetime) -> None:
        """Go on from `moment`; nothing that Redis keeps grows older by that."""
        self.ahead = moment - datetime.now(UTC)
        self._tell(0)

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.ahead += timedelta(seconds=seconds)
        self._tell(seconds)
        if timedelta(seconds=seconds) >= _WINDOW:
            rate_limiter.limiter_for.cache_clear()
            circuit_breaker.breaker_for.cache_clear()

    def _tell(self, seconds: float) -> None:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE stage.clock SET ahead = %s", [self.ahead])
        self._pass(args=[int(seconds * 1000), int(self.ahead / timedelta(microseconds=1))])


@contextmanager
def shared_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """Give everybody one clock while the block lasts; no test may hold a transaction open around it."""
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
        _let_defaults_say(cursor, "stage")
        cursor.execute(f"ALTER DATABASE {database} SET search_path = {_SEARCH_PATH}")  # connections to come
        cursor.execute(f"SET search_path = {_SEARCH_PATH}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {database} RESET search_path")
            cursor.execute("SET search_path = public")
            _let_defaults_say(cursor, "pg_catalog")
            cursor.execute("DROP SCHEMA stage CASCADE")
        connection.close()


def _let_defaults_say(cursor: CursorWrapper, schema: str) -> None:
    """Let columns that are filled by the database's clock be filled by the one of `schema`."""
    cursor.execute(_DEFAULTS, [schema])
    for (statement,) in cursor.fetchall():
        cursor.execute(statement)
