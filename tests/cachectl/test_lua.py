"""The one loader of Lua scripts."""

from pathlib import Path

import pytest
from redis import ResponseError

from cachectl.infra import lua
from cachectl.infra.lua import Scripts
from cachectl.infra.redis import redis_client


def test_script_reads_the_included_clock_of_redis(tmp_path: Path) -> None:
    """In milliseconds."""
    (tmp_path / "now.lua").write_text("-- include cachectl/infra/clock.lua\nreturn clock()\n")

    now = Scripts(str(tmp_path)).run("now", keys=())

    seconds, _ = redis_client().time()
    assert seconds - 10 < now / 1000 < seconds + 1


def test_script_is_loaded_again_when_redis_lost_it() -> None:
    """After a restart or a fail-over."""
    scripts = Scripts("cachectl/lua")
    first = scripts.run("ensure_generation", keys=["epoch"], args=[100_000])
    redis_client().script_flush()

    assert scripts.run("ensure_generation", keys=["epoch"], args=[100_000]) == first


def test_script_that_redis_refuses_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By its name, without what it was given."""
    (tmp_path / "refused.lua").write_text("return redis.error_reply('OOM no room')")

    with pytest.raises(ResponseError):
        Scripts(str(tmp_path)).run("refused", keys=["secret"], args=["secret"])

    (line,) = (record.msg for record in caplog.records)
    assert (line["event"], line["operation"]) == ("redis.script_failed", "refused")
    assert "secret" not in str(line)


SCRIPTS = [path for app in ("cachectl", "calcom") for path in (lua.ROOT / app).rglob("*.lua") if path != lua.CLOCK_FILE]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_scripts_read_no_clock_but_the_included_one(path: Path) -> None:
    """Tests put their own time in its place."""
    assert "'TIME'" not in path.read_text("utf-8")
