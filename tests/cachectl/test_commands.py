"""Parse, one call, one sentence out."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from cachectl import conf
from cachectl.freshness import Freshness
from cachectl.models import CacheInvalidation
from script.lib.servers import free_port
from tests.cachectl.conftest import ACCOUNT, CUT, CountingLoader, ask

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("known_redis")]


def run(*words: object) -> str:
    """Run a command, and return what it prints."""
    out = StringIO()
    call_command(*map(str, words), stdout=out)
    return out.getvalue()


def test_inspect_cache_prints_what_would_be_answered(loader: CountingLoader) -> None:
    """It loads nothing."""
    ask()

    lines = run("inspect_cache", ACCOUNT, CUT, "2026-11-23", "--days", conf.prefetch_days() + 1).splitlines()

    assert lines[0] == "2026-11-23  fresh  loaded 0 s ago  1 slots (UTC)  09:00"
    in_berlin = run("inspect_cache", ACCOUNT, CUT, "2026-11-23", "--zone", "Europe/Berlin")
    assert "1 slots (Europe/Berlin)  10:00" in in_berlin
    assert [line.endswith("missing") for line in lines[-2:]] == [False, True]
    assert len(loader.loads) == 1


def test_invalidate_cache_leaves_a_row_and_makes_the_days_old(loader: CountingLoader) -> None:
    """What a person knows about a day counts at once."""
    ask()

    assert run("invalidate_cache", ACCOUNT, CUT, "2026-11-23", "2026-11-24") == "Invalidated 2 days.\n"

    assert ask().freshness is Freshness.EXPIRED
    assert CacheInvalidation.objects.get().cause == CacheInvalidation.Cause.COMMAND


def test_invalidate_cache_refuses_what_makes_no_sense() -> None:
    """FM-26: a clear sentence, and nothing is changed."""
    for first, last in (("2026-11-24", "2026-11-23"), ("2026-11-24", "2099-01-01")):
        with pytest.raises(CommandError, match="Invalidate 1 to 4000 days"):
            run("invalidate_cache", ACCOUNT, CUT, first, last)
    with pytest.raises(CommandError, match="argument first"):
        run("invalidate_cache", ACCOUNT, CUT, "24.11.2026")

    assert not CacheInvalidation.objects.exists()


def test_cache_stats_shows_demand_bands_and_debts(loader: CountingLoader) -> None:
    """Demand, freshness of the next days, pending invalidations."""
    ask()
    ask()
    CacheInvalidation.objects.create(
        account_id=ACCOUNT, event_type_ids=[1], first="2026-11-23", last="2026-11-23", cause="own"
    )

    header, asked, pending = run("cache_stats", ACCOUNT, "--days", 3).splitlines()

    assert header.split() == ["event", "type", "searches", "fresh", "stale", "expired", "missing"]
    assert asked.split()[:2] == [str(CUT), "2"]
    assert sum(map(int, asked.split()[2:])) == 3
    assert pending == "Pending invalidations: 1"
    assert "99" in run("cache_stats", ACCOUNT, "--event-types", 99)


@pytest.mark.parametrize(
    "words",
    [
        ("inspect_cache", ACCOUNT, CUT, "2026-11-23"),
        ("cache_stats", ACCOUNT),
        ("invalidate_cache", ACCOUNT, CUT, "2026-11-23"),
    ],
)
def test_without_redis_a_command_says_so(settings: Settings, words: tuple[object, ...]) -> None:
    """A clear sentence instead of a trace."""
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"

    with pytest.raises(CommandError, match="Redis did not answer"):
        run(*words)


def test_wrong_numbers_are_refused() -> None:
    """Bounds are said, not found out."""
    with pytest.raises(CommandError, match="1 to 400"):
        run("inspect_cache", ACCOUNT, CUT, "2026-11-23", "--days", 0)
    with pytest.raises(CommandError, match="1 to 48"):
        run("cache_stats", ACCOUNT, "--hours", 49)
