"""`warm_calcom_cache`: what is loaded before anybody asks, and what becomes of a run that cannot go on."""

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from cachectl import conf, keys, store, warming
from cachectl.freshness import Freshness
from cachectl.infra.redis import redis_client
from cachectl.loaders import THROTTLED, LoadError, LoadPriority
from cachectl.models import Warming
from script.lib.servers import free_port
from tests.cachectl.conftest import ACCOUNT, COLOUR, CUT, CountingLoader, RedisTime, ask, invalidate

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("known_redis")]

BEARD, OTHER_ACCOUNT, OTHERS_CUT = 14, 8, 21


def today() -> date:
    return datetime.now(UTC).date()


@pytest.fixture
def offers() -> Iterator[dict[int, dict[int, int]]]:
    """By account, what is offered and how much of it is booked; a company of any name but `salon` does not exist."""
    before = warming._Registry.offers
    offered = {ACCOUNT: {CUT: 40, COLOUR: 20, BEARD: 0}}

    def offers(company: str | None) -> dict[int, dict[int, int]]:
        if company not in {None, "salon"}:
            raise LookupError(f"There is no company “{company}”.")
        return offered

    warming.register(offers)
    yield offered
    warming._Registry.offers = before


class Eventful(CountingLoader):
    """A source to which something happens when it is asked for the n-th time."""

    def __init__(self) -> None:
        super().__init__()
        self.events: dict[int, Callable[[], None]] = {}

    def load(self, **asked: object) -> dict[date, list[int]]:
        answer = super().load(**asked)
        self.events.get(len(self.loads), lambda: None)()
        return answer


@pytest.fixture
def eventful(loader: CountingLoader) -> Eventful:
    """Register it; `source` gives back the one that was there."""
    eventful = Eventful()
    warming.cache.loaders.register(eventful)
    return eventful


def fails(reason: str, retry_after: float | None = None) -> Callable[[], None]:
    def fail() -> None:
        raise LoadError(reason, retry_after)

    return fail


def run(*words: object) -> str:
    """Run the command, and return what it prints."""
    out = StringIO()
    call_command("warm_calcom_cache", *map(str, words), stdout=out)
    return out.getvalue()


def run_in_vain(*words: object) -> CommandError:
    """Run the command, and return what it complains of."""
    with pytest.raises(CommandError) as failed:
        run(*words)
    return failed.value


def loaded(loader: CountingLoader) -> list[int]:
    return [event_type for event_type, *_ in loader.loads]


def last_row() -> Warming:
    return Warming.objects.latest("id")


def test_what_is_booked_and_asked_for_is_loaded_behind_everybody(offers, loader):
    """One request for each event type, those with most demand first; those without demand are left out."""
    said = run("--days", 28)

    last = today() + timedelta(days=conf.prefetch_days() - 1)
    assert loader.loads == [(CUT, today(), last, LoadPriority.WARMING), (COLOUR, today(), last, LoadPriority.WARMING)]
    assert re.fullmatch(r"Warmed 2 of 2 event types, 56 days, with 2 requests in \d+ s\.\n", said)
    row = last_row()
    assert (row.account_id, row.planned, row.event_types, row.days, row.requests) == (ACCOUNT, 2, 2, 56, 2)
    assert (row.failures, row.stopped_early, row.broke) == (0, "", False)
    assert row.finished_at >= row.started_at


def test_next_caller_waits_for_nobody(offers, loader):
    """FM-29: that is what it is for."""
    run()

    known = ask(today(), today() + timedelta(days=13))

    assert (known.freshness, known.loaded, len(loader.loads)) == (Freshness.FRESH, False, 2)


def test_questions_of_callers_decide(offers, loader, redis_time: RedisTime):
    """Demand is counted when it is asked; warming itself asks for nothing."""
    for _ in range(100):
        ask(today(), event_type=BEARD)
    redis_time.pass_(3600)
    loader.loads.clear()

    run("--top", 1)
    redis_time.pass_(3600)
    run("--top", 1)

    assert loaded(loader) == [BEARD, BEARD]
    assert store.demand(ACCOUNT, 1) == {BEARD: 100}


def test_second_run_loads_nothing(offers, loader):
    """Safe to run twice: what is fresh costs no request."""
    run()

    assert run() == "Nothing to warm: what callers want is fresh.\n"

    assert len(loader.loads) == 2
    assert last_row().requests == 0


def test_days_that_grow_stale_are_loaded_again(offers, loader, redis_time: RedisTime):
    """And those only."""
    run("--top", 1)
    redis_time.pass_(121)
    ask(today(), event_type=COLOUR)
    loader.loads.clear()

    run("--days", 14)

    assert loaded(loader) == [CUT]


def test_day_that_changed_a_moment_ago_is_left_to_who_asks(offers, loader):
    """FM-24: a load would not count yet."""
    run("--days", 1)
    invalidate(today(), own=False, event_types=(CUT, COLOUR))

    assert "Nothing to warm" in run("--days", 1)


def test_dry_run_only_says_what_would_be_loaded(offers, loader):
    """No request, no row, no lease."""
    header, cut, colour = run("--dry-run", "--days", 5).splitlines()

    assert header.split("  ") == ["account", "event type", "demand/h", "days to load"]
    assert cut.split() == [str(ACCOUNT), str(CUT), "0.06", "5"]
    assert colour.split() == [str(ACCOUNT), str(COLOUR), "0.03", "5"]
    assert loader.loads == []
    assert not Warming.objects.exists()
    assert not redis_client().exists(keys.warming(ACCOUNT))


def test_company_is_passed_on(offers, loader):
    """FM-26: who offers what is not for this app to know, and an unknown name is said to be one."""
    run("--company", "salon")
    failed = run_in_vain("--company", "saloon")

    assert len(loader.loads) == 2
    assert (str(failed), failed.returncode) == ("There is no company “saloon”.", 1)


def test_without_offers_there_is_nothing_to_do(offers, loader):
    """Status 0, for cron."""
    offers.clear()

    assert "Nothing to warm" in run()


@pytest.mark.parametrize("words", [("--top", 0), ("--days", 0), ("--days", 401), ("--hours", 49), ("--minutes", 0)])
def test_wrong_numbers_are_refused(offers, loader, words):
    """Bounds are said, not found out."""
    assert f"{words[0]} " in str(run_in_vain(*words))
    assert loader.loads == []


def test_refused_run_waits_as_told(offers, eventful):
    """Live traffic needs the budget for a moment; then it goes on, and nothing was lost."""
    eventful.events = {1: fails(THROTTLED, 0.05), 2: fails(THROTTLED, 0.05)}
    began = time.monotonic()

    run()

    assert time.monotonic() - began >= 0.1
    assert loaded(eventful) == [CUT, CUT, CUT, COLOUR]
    assert (last_row().requests, last_row().failures) == (2, 0)


def test_run_that_is_refused_for_longer_than_it_has_stops_at_once(offers, eventful):
    """Status 75: cron's next run may have more luck."""
    eventful.events = {2: fails(THROTTLED, 60.0)}
    began = time.monotonic()

    failed = run_in_vain("--minutes", 0.5)

    assert time.monotonic() - began < 5
    assert failed.returncode == os.EX_TEMPFAIL == 75
    assert "1 of 2 event types were not loaded; callers needed the budget" in str(failed)
    assert (last_row().event_types, last_row().stopped_early) == (1, "budget")


def test_one_account_waits_while_another_is_served(offers, eventful):
    """Budgets are by credential: an account without one delays no other."""
    offers[OTHER_ACCOUNT] = {OTHERS_CUT: 9}
    eventful.events = {1: fails(THROTTLED, 60.0)}

    failed = run_in_vain("--minutes", 0.5)

    assert loaded(eventful) == [CUT, OTHERS_CUT]
    assert failed.returncode == 75
    assert dict(Warming.objects.values_list("account_id", "stopped_early")) == {ACCOUNT: "budget", OTHER_ACCOUNT: ""}


def test_run_ends_when_its_time_is_over(offers, loader):
    """What is left is left to the next run."""
    failed = run_in_vain("--minutes", 0.000001)

    assert failed.returncode == 75
    assert "time was over" in str(failed)
    assert loader.loads == []


def test_only_one_run_warms_an_account(offers, loader):
    """Status 75, no request."""
    store.lease_warming(ACCOUNT, "another run")

    failed = run_in_vain()

    assert failed.returncode == 75
    assert "another warming" in str(failed)
    assert loader.loads == []
    assert redis_client().get(keys.warming(ACCOUNT)) == b"another run"


def test_run_that_lost_its_account_leaves_it(offers, eventful, monkeypatch):
    """It was thought dead, and another took over."""
    monkeypatch.setattr(conf, "WARMING_LEASE", 0.03)

    def others() -> None:
        time.sleep(0.02)
        redis_client().set(keys.warming(ACCOUNT), b"another run")

    eventful.events = {1: others}

    assert run_in_vain().returncode == 75
    assert loaded(eventful) == [CUT]


def test_killed_run_keeps_the_next_one_for_as_long_as_its_lease(offers, loader):
    """Killed at any moment: the lease runs out by itself, and the row says what happened."""
    store.lease_warming(ACCOUNT, "killed run")
    killed = Warming.objects.create(account_id=ACCOUNT, planned=9, event_types=3)
    assert 0 < redis_client().ttl(keys.warming(ACCOUNT)) <= conf.WARMING_LEASE

    redis_client().delete(keys.warming(ACCOUNT))
    run()

    killed.refresh_from_db()
    assert (killed.stopped_early, killed.finished_at is None) == ("killed", False)
    assert last_row().stopped_early == ""


def test_run_gives_its_account_back(offers, loader):
    """No run waits for the end of a lease."""
    run()

    assert not redis_client().exists(keys.warming(ACCOUNT))


def test_event_type_that_cannot_be_loaded_keeps_nobody_from_it(offers, eventful):
    """Status 1, after everything else was loaded."""
    eventful.events = {1: fails("not_found")}

    failed = run_in_vain()

    assert (failed.returncode, loaded(eventful)) == (1, [CUT, COLOUR])
    assert "1 of 2 event types were not loaded; the log says why" in str(failed)
    assert (last_row().event_types, last_row().failures, last_row().stopped_early) == (1, 1, "")


def test_calendar_that_does_not_answer_is_left_alone(offers, loader):
    """FM-44: three failures in a row, and no more requests are spent."""
    offers[ACCOUNT] = dict.fromkeys(range(100, 110), 5)
    loader.fail()

    failed = run_in_vain()

    assert (failed.returncode, len(loader.loads)) == (1, 3)
    assert "the calendar could not be asked" in str(failed)
    assert last_row().stopped_early == "source"


def test_without_redis_nothing_is_planned(offers, loader, settings: Settings):
    """A clear sentence instead of a trace."""
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"

    failed = run_in_vain()

    assert failed.returncode == 1
    assert "Redis did not answer" in str(failed)


def test_redis_that_goes_away_ends_the_run(offers, eventful, settings: Settings, monkeypatch):
    """Nothing could be kept, so nothing more is asked for."""
    monkeypatch.setattr(conf, "WARMING_LEASE", 0.0)  # asked before each step

    def redis_goes() -> None:
        settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"

    eventful.events = {1: redis_goes}

    failed = run_in_vain()

    assert (failed.returncode, loaded(eventful)) == (1, [CUT])
    assert "Redis did not answer" in str(failed)
    assert last_row().stopped_early == "redis"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_says_so_and_lets_the_next_one_begin(offers, eventful, number):
    """Ctrl-C, or the end of a container: what is loaded stays."""
    before = signal.getsignal(signal.SIGTERM)
    eventful.events = {2: lambda: os.kill(os.getpid(), number)}

    failed = run_in_vain()

    assert failed.returncode == 130
    assert (last_row().event_types, last_row().stopped_early) == (1, "interrupted")
    assert last_row().finished_at is not None
    assert not redis_client().exists(keys.warming(ACCOUNT))
    assert signal.getsignal(signal.SIGTERM) is before


def test_bar_is_shown_on_a_terminal_only(offers, loader, capsys, monkeypatch):
    """Cron gets one line."""
    run("--top", 1)
    assert capsys.readouterr().err == ""

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run()

    assert "1/1" in capsys.readouterr().err
