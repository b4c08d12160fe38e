"""The scripts against a real Redis, in every order."""

import time
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.test import override_settings
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cachectl import conf, keys, store
from cachectl.freshness import Day, Freshness
from cachectl.infra.redis import redis_client
from cachectl.loaders import LoadError
from tests.cachectl.conftest import ACCOUNT, COLOUR, CUT, MONDAY, TUESDAY, RedisTime, minute

DAYS = [MONDAY, TUESDAY]
LATE = minute(MONDAY + timedelta(days=3000))


@pytest.fixture(autouse=True)
def _leases_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an emptied Redis give leases at once: that it waits is seen in `faults/test_cache_flights.py`."""
    monkeypatch.setattr(conf, "NO_LEASE", 0.0)


def begin(event_type: int = CUT, token: str = "a") -> int:
    """Begin a load of both days, and let others begin too; return when it began."""
    lease = store.lease(ACCOUNT, event_type, DAYS, token)
    store.release(ACCOUNT, event_type, token)
    assert lease.began is not None
    return lease.began


def land(began: int, starts: list[int], event_type: int = CUT) -> int:
    """End a load that saw the same slots on both days."""
    return store.store_if_current(ACCOUNT, event_type, dict.fromkeys(DAYS, starts), began=began)


def monday(event_type: int = CUT) -> Day:
    """Return what is known of Monday."""
    return store.read(ACCOUNT, event_type, [MONDAY], asked=False).days[0]


def invalidate(*, own: bool, mark: str = "1") -> int:
    """Invalidate both days of the cut."""
    return store.invalidate(ACCOUNT, [CUT], DAYS, own=own, mark=mark)


def test_it_is_seen_that_somebody_is_loading() -> None:
    """As long as a lease is held, whichever days it is for."""
    store.lease(ACCOUNT, CUT, DAYS, "a")
    assert store.read(ACCOUNT, CUT, [MONDAY], asked=False).loading

    store.release(ACCOUNT, CUT, "a")
    assert not store.read(ACCOUNT, CUT, [MONDAY], asked=False).loading


@pytest.mark.usefixtures("known_redis")
def test_load_is_read_back_with_its_slots() -> None:
    """What was loaded is what is answered, an empty day included."""
    land(begin(), [LATE, LATE + 30])
    land(begin(COLOUR), [], COLOUR)

    assert (monday().freshness, monday().starts) == (Freshness.FRESH, [LATE, LATE + 30])
    assert (monday(COLOUR).freshness, monday(COLOUR).starts) == (Freshness.FRESH, [])


@pytest.mark.usefixtures("known_redis")
def test_older_load_never_replaces_a_newer_one(redis_time: RedisTime) -> None:
    """FM-24: a slow load that lands late changes nothing."""
    slow = begin()
    land(slow + 10, [2])

    assert land(slow, [1]) == 0
    assert monday().starts == [2]


@pytest.mark.usefixtures("known_redis")
def test_load_that_began_before_a_change_is_not_believed() -> None:
    """FM-24: the fetch from before the booking, stored after the delete."""
    began = begin()
    invalidate(own=False)

    assert land(began, [1]) == 0
    assert monday().freshness is Freshness.EXPIRED


@pytest.mark.usefixtures("known_redis")
def test_own_and_other_changes_are_kept_apart() -> None:
    """A day is due after an appointment of ours, old after anything else, whichever came first."""
    land(begin(), [1])

    invalidate(own=True, mark="1")
    assert (monday().freshness, monday().needs_refresh) == (Freshness.FRESH, True)

    invalidate(own=False, mark="2")
    assert monday().freshness is Freshness.EXPIRED
    assert monday().needs_refresh


@pytest.mark.usefixtures("known_redis")
def test_repeated_invalidation_changes_nothing(redis_time: RedisTime) -> None:
    """FM-27: the task repeats what was done after commit; only the first counts."""
    assert invalidate(own=False, mark="9") == 2
    redis_time.pass_(60)
    land(begin(), [1])

    assert invalidate(own=False, mark="9") == 2
    assert monday().freshness is Freshness.FRESH


def test_load_into_an_emptied_redis_is_not_believed_at_once(redis_time: RedisTime) -> None:
    """Losing Redis must not make an old load true; after the settle time loads count again."""
    assert land(begin(), [1]) == 0
    assert monday().freshness is Freshness.EXPIRED

    redis_time.pass_(2.6)
    assert land(begin(), [1]) == 2
    assert monday().freshness is Freshness.FRESH


@pytest.mark.usefixtures("known_redis")
def test_load_that_was_under_way_when_redis_was_emptied_is_not_believed(redis_time: RedisTime) -> None:
    """A load from before the flush may be from before changes that the flush lost."""
    began = begin()
    redis_client().flushdb()

    assert land(began, [1]) == 0
    redis_time.pass_(10)
    assert monday().freshness is Freshness.EXPIRED


@pytest.mark.usefixtures("known_redis")
def test_load_whose_memory_of_changes_was_evicted_is_not_believed() -> None:
    """A full Redis may throw away any key: then the load proves nothing, and the next one does."""
    began = begin()
    redis_client().delete(*keys.changes(ACCOUNT, CUT, DAYS))

    assert land(began, [1]) == 0
    assert monday().freshness is Freshness.EXPIRED


@pytest.mark.usefixtures("known_redis")
def test_next_load_does_not_give_credit_to_one_from_before_an_eviction() -> None:
    """FM-24: a change that was evicted from memory still counts against the load that began before it."""
    began = begin()
    invalidate(own=False)
    time.sleep(0.002)
    redis_client().delete(*keys.changes(ACCOUNT, CUT, DAYS))
    begin(token="b")

    assert land(began, [1]) == 0
    assert monday().freshness is Freshness.EXPIRED


@pytest.mark.usefixtures("known_redis")
def test_invalidation_of_a_day_without_changes_does_not_revive_its_entry() -> None:
    """An entry whose memory of changes was evicted stays unbelieved when the next change is written down."""
    land(begin(), [1])
    time.sleep(0.002)
    redis_client().delete(*keys.changes(ACCOUNT, CUT, DAYS))
    assert monday().freshness is Freshness.MISSING

    invalidate(own=True)

    assert monday().freshness is Freshness.EXPIRED


@pytest.mark.usefixtures("known_redis")
def test_empty_answer_after_a_full_day_is_doubted_once() -> None:
    """FM-32: an unreachable calendar yields an empty list; a second load settles it."""
    began = begin()
    land(began, [LATE])

    land(began + 1, [])
    assert (monday().freshness, monday().reload_helps) == (Freshness.EXPIRED, True)

    land(began + 2, [])
    assert (monday().freshness, monday().starts) == (Freshness.FRESH, [])


@pytest.mark.usefixtures("known_redis")
def test_empty_answer_that_has_a_reason_is_not_doubted() -> None:
    """FM-32: our own appointment took the last slot, or the slots have passed."""
    began = begin()
    land(began, [LATE])
    invalidate(own=True)
    land(began + 1, [])
    assert monday().freshness is Freshness.FRESH

    passed = begin(COLOUR)
    land(passed, [1], COLOUR)
    land(passed + 1, [], COLOUR)
    assert monday(COLOUR).freshness is Freshness.FRESH


@pytest.mark.usefixtures("known_redis")
def test_one_leads_and_the_others_learn_who() -> None:
    """Between processes the lease says who loads, and for how long at most."""
    first, second = (store.lease(ACCOUNT, CUT, DAYS, token) for token in ("a", "b"))

    assert first.began is not None
    assert (second.began, second.holder) == (None, "a")
    assert 0 < second.left <= conf.lease()


@pytest.mark.usefixtures("known_redis")
def test_failure_is_shared_for_a_moment() -> None:
    """FM-28: a failed load is not repeated by each who waited for it."""
    store.lease(ACCOUNT, CUT, DAYS, "a")
    store.release(ACCOUNT, CUT, "a", failure=LoadError("unavailable", 7.0))

    with pytest.raises(LoadError) as raised:
        store.lease(ACCOUNT, CUT, DAYS, "b")

    assert (raised.value.reason, raised.value.retry_after) == ("unavailable", 7.0)
    assert 0 < redis_client().pttl(keys.failed(ACCOUNT, CUT)) <= conf.FAILURE_NOTE * 1000


@pytest.mark.usefixtures("known_redis")
def test_lease_that_somebody_took_over_is_not_given_back() -> None:
    """A loader that was too slow must not end the flight of the one who replaced it."""
    store.lease(ACCOUNT, CUT, DAYS, "slow")
    redis_client().delete(keys.lease(ACCOUNT, CUT))
    store.lease(ACCOUNT, CUT, DAYS, "new")

    assert not store.release(ACCOUNT, CUT, "slow", failure=LoadError("late"))
    assert store.lease(ACCOUNT, CUT, DAYS, "third").holder == "new"


@pytest.mark.usefixtures("known_redis")
def test_every_waiter_is_woken() -> None:
    """One element, moved onto itself, wakes as many as there are, also those who come late; then it goes."""
    store.lease(ACCOUNT, CUT, DAYS, "a")
    assert not store.wait(ACCOUNT, "a", 0.01)

    store.release(ACCOUNT, CUT, "a")

    assert all(store.wait(ACCOUNT, "a", 1) for _ in range(3))
    assert redis_client().pttl(keys.done(ACCOUNT, "a")) > 0


def test_every_key_goes_by_itself() -> None:
    """Nothing is kept for ever, and what judges an entry outlives it."""
    land(begin(), [1])
    invalidate(own=True)
    store.read(ACCOUNT, CUT, DAYS)
    store.mark_refresh(ACCOUNT, CUT, 5)
    client = redis_client()
    left = {key.decode(): client.pttl(key) for key in client.keys("*")}

    assert left
    assert all(ms > 0 for ms in left.values()), left
    entry, change = (left[spelled(ACCOUNT, CUT, DAYS)[0]] for spelled in (keys.days, keys.changes))
    assert entry < min(change, left[keys.generation(ACCOUNT)])


def test_keys_of_an_account_share_their_node() -> None:
    """One script touches the keys of one hash tag; another account has another."""
    land(begin(), [1])
    store.read(ACCOUNT, CUT, DAYS)

    assert all(key.startswith(b"sl2:{7}:") for key in redis_client().keys("*"))


def test_demand_counts_who_asks() -> None:
    """Demand is counted where callers ask, not where workers do."""
    for asked in (True, True, False):
        store.read(ACCOUNT, CUT, DAYS, asked=asked)
    store.read(ACCOUNT, COLOUR, DAYS)

    assert store.demand(ACCOUNT, 2) == {CUT: 2, COLOUR: 1}


@dataclass
class Load:
    """A load on its way: when it began, and what it saw, which may be as old as the settle time."""

    began: int
    saw: int


class Interleavings(RuleBasedStateMachine):
    """
    Loads, changes, losses and time in every order.

    The truth of the day is a number that each change raises. A load sees the number as it was when the load began or,
    because Cal.com caches, at most the settle time before that.
    """

    SETTLE = 1_000

    def __init__(self) -> None:
        super().__init__()
        redis_client().flushdb()
        self.passed = 0
        self.passed_at_change = 0
        self.marks = 0
        self.changes = [(0, False)]  # when, in ms of this test's clock; whether by us. The truth is how many.
        self.in_flight: list[Load] = []
        self.time = RedisTime()

    def now(self) -> int:
        """Return the time on this test's clock, which goes on where Redis' is set back."""
        return store.read(ACCOUNT, CUT, [MONDAY], asked=False).now + self.passed

    def truth(self, at: int) -> int:
        """Return the number of changes until then."""
        return sum(when <= at for when, _ in self.changes)

    @rule(lag=st.booleans())
    def begin(self, lag: bool) -> None:
        """Begin a load."""
        began = begin() + self.passed
        self.in_flight.append(Load(began, self.truth(began - self.SETTLE if lag else began)))

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def land(self, data: st.DataObject) -> None:
        """End one of the loads, whichever."""
        load = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        land(load.began - self.passed, [load.saw])

    @rule(own=st.booleans())
    def change(self, own: bool) -> None:
        """Change the day and invalidate it."""
        self.changes.append((self.now(), own))
        self.passed_at_change = self.passed
        self.marks += 1
        invalidate(own=own, mark=str(self.marks))

    @rule(ms=st.sampled_from([100, 999, 1_000, 1_001, 6_000]))
    def pass_time(self, ms: int) -> None:
        """Let time pass."""
        self.time.pass_(ms / 1000)
        self.passed += ms

    @rule()
    def flush(self) -> None:
        """Lose everything."""
        redis_client().flushdb()

    @precondition(lambda self: self.passed - self.passed_at_change > self.SETTLE)
    @rule()
    def evict(self) -> None:
        """Lose the memory of changes; not one of a moment ago, which is the last to be evicted."""
        redis_client().delete(*keys.changes(ACCOUNT, CUT, DAYS))

    @invariant()
    def no_change_is_hidden(self) -> None:
        """FM-24: what is verified knows every change but our own, and says that it is due for those."""
        day = monday()
        if day.freshness.verified:
            known = day.starts[0]
            missed = self.changes[known:]
            assert all(own for _, own in missed)
            assert day.needs_refresh or not missed


@pytest.mark.filterwarnings("default")
def test_no_interleaving_hides_a_change() -> None:
    """FM-24: whatever the order of loads, changes, flushes, evictions and time."""
    lifetimes = {
        "CACHE_CONSISTENCY_LAG": 1.0,
        "CACHE_MAX_AGE": 5,
        "CACHE_STALE_WHILE_REVALIDATE": 20,
        "CACHE_STALE_IF_ERROR": 60,
    }
    with override_settings(**lifetimes):
        state_machine = Interleavings.TestCase
        state_machine.settings = settings(
            max_examples=120, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        )
        state_machine().runTest()
