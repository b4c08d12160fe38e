"""Each rule of the budget, one by one; all of them together are in test_limiter_model.py."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from cachectl.infra.lua import Scripts
from cachectl.infra.redis import redis_client
from calcom.errors import Unavailable
from calcom.resilience.rate_limiter import Limiter, Permit, Throttled, buckets
from calcom.types import Priority
from tests.calcom.stopwatch import Outage, Stopwatch


def process(clock: Stopwatch, *, limit: int = 120, scripts: Scripts | None = None, processes: int = 4) -> Limiter:
    """Return a limiter as one more process has it."""
    return Limiter(
        "cal_secret",
        limit,
        processes=processes,
        scripts=scripts or clock.scripts(),
        sleep=clock.advance,
        monotonic=clock.monotonic,
    )


def settled(clock: Stopwatch, **more: object) -> Limiter:
    """Return a limiter whose memory has no gap any more."""
    limiter = process(clock, **more)  # type: ignore[arg-type]
    ask(limiter).ended({}, 200)
    clock.advance(200)
    return limiter


def ask(
    limiter: Limiter,
    priority: Priority = Priority.WRITE,
    *,
    tenant: str | None = None,
    wait: float = 0,
    call: float = 8,
    poll_of: str = "",
) -> Permit:
    return limiter.permit(priority, tenant=tenant, longest_call_s=call, deadline_left_s=wait, poll_of=poll_of)


def polls(limiter: Limiter, account: str = "1") -> bool:
    """Return whether the account may poll now; its call is answered at once."""
    try:
        ask(limiter, Priority.BACKGROUND, poll_of=account).ended({}, 200)
    except Throttled:
        return False
    return True


def admitted(limiter: Limiter, priority: Priority, *, tenant: str | None = None, most: int = 200) -> int:
    """Ask until refused; return how many went."""
    for count in range(most):
        try:
            ask(limiter, priority, tenant=tenant)
        except Throttled:
            return count
    return most


def said(*, limit: int = 120, remaining: int, reset: float = 60, suffix: str = "Default") -> Mapping[str, str]:
    values = {"Limit": limit, "Remaining": remaining, "Reset": reset}
    return {f"X-RateLimit-{name}-{suffix}": str(value) for name, value in values.items()}


def test_poll_passes_once_a_minute_whatever_bookings_ask_for(clock: Stopwatch) -> None:
    """All others stop one request short of the margin for it; twice a minute it is background work like any other."""
    limiter = settled(clock)
    assert polls(limiter)
    clock.advance(56)

    assert admitted(limiter, Priority.WRITE) == 118 - 1 - 1  # the poll that still counts, and the one that is due
    assert [polls(limiter), polls(limiter)] == [True, False]
    assert admitted(limiter, Priority.WRITE) == 0


@pytest.mark.parametrize("greedy", [Priority.WRITE, Priority.LIVE])
def test_first_poll_passes_in_the_state_critical(clock: Stopwatch, greedy: Priority) -> None:
    """No poll was known to be due: what is left of the margin is enough."""
    limiter = settled(clock)
    admitted(limiter, greedy, most=102)
    admitted(limiter, Priority.WRITE, most=14)

    assert admitted(limiter, Priority.BACKGROUND) == 0
    assert polls(limiter)


def test_poll_of_each_minute_passes_for_an_hour_of_full_demand(clock: Stopwatch) -> None:
    """Sixty of sixty, of each of two accounts with one key; and no window holds more than the limit."""
    limiter = settled(clock)
    passed = {"1": 0, "2": 0}
    sent: list[float] = []
    for second in range(3600):
        for account in passed:
            if second % 60 == 0 and polls(limiter, account):
                passed[account] += 1
                sent.append(clock.monotonic())
        for _ in range(4):
            try:
                ask(limiter, Priority.WRITE).ended({}, 201)
            except Throttled:
                break
            sent.append(clock.monotonic())
        clock.advance(1)

    assert passed == {"1": 60, "2": 60}
    assert max(sum(start <= each < start + 60 for each in sent) for start in sent[::50]) <= 118


def test_account_that_polls_no_more_has_no_reserve(clock: Stopwatch) -> None:
    """After ten minutes without a poll all of the limit is the others' again."""
    limiter = settled(clock)
    polls(limiter)
    clock.advance(700)

    assert admitted(limiter, Priority.WRITE) == 118


@pytest.mark.parametrize(
    ("priority", "priority_cap"),
    [(Priority.WRITE, 118), (Priority.LIVE, 102), (Priority.REFRESH, 72), (Priority.BACKGROUND, 48)],
)
def test_each_priority_has_its_cap(clock: Stopwatch, priority: Priority, priority_cap: int) -> None:
    """FM-44: health checks and sync do not eat the callers' budget."""
    limiter = settled(clock)

    count = admitted(limiter, priority)

    assert count == priority_cap
    assert admitted(limiter, Priority.WRITE) == 118 - priority_cap


def test_a_permit_counts_until_60_s_after_its_call_ended(clock: Stopwatch) -> None:
    """FM-41: not from when it was sent; a call without an answer counts as its time-out."""
    limiter = settled(clock, limit=3)
    permit = ask(limiter, call=8)

    clock.advance(5)
    permit.ended({}, 200)

    clock.advance(60)
    assert admitted(limiter, Priority.WRITE) == 0
    clock.advance(0.1)
    assert admitted(limiter, Priority.WRITE) == 1
    clock.advance(68)
    assert admitted(limiter, Priority.WRITE) == 0


def test_a_wait_is_as_long_as_needed_and_never_in_vain(clock: Stopwatch) -> None:
    """FM-42: bounded by the deadline, then a typed answer at once; no sleeping first."""
    limiter = settled(clock, limit=3)
    ask(limiter).ended({}, 200)
    before = clock.now

    with pytest.raises(Throttled) as refusal:
        ask(limiter, wait=59)
    assert clock.now == before
    assert refusal.value.retry_after == pytest.approx(60.1)
    assert isinstance(refusal.value, Unavailable)

    ask(limiter, wait=61)
    assert clock.now == pytest.approx(before + 60.1)


def test_answers_set_the_limit(clock: Stopwatch) -> None:
    """FM-43: the header knows better than the configuration, whatever its suffix, the tightest of several."""
    limiter = settled(clock)
    headers = {**said(limit=500, remaining=499, suffix="Plan"), **said(limit=60, remaining=59, suffix="Custom")}

    ask(limiter).ended(headers, 200)

    assert admitted(limiter, Priority.WRITE) == 57


def test_headers_are_read_in_every_form() -> None:
    """FM-43: any suffix and case, seconds or a Unix time; nonsense is ignored."""
    answered = datetime(2031, 1, 1, tzinfo=UTC)
    unix_time = {
        "date": format_datetime(answered, usegmt=True),
        "x-ratelimit-limit": "120",
        "x-ratelimit-remaining": "7",
        "x-ratelimit-reset": str(int(answered.timestamp()) + 31),
    }
    nonsense = {"X-RateLimit-Limit-A": "many", "X-RateLimit-Remaining-A": "-1", "X-RateLimit-Reset-A": "9" * 400}

    assert [bucket.reset_s for bucket in buckets(unix_time)] == [31]
    assert buckets(nonsense) == []
    assert [bucket.complete for bucket in buckets(said(limit=5000, remaining=10, reset=40_000))] == [False]
    assert buckets({}) == []


@pytest.mark.parametrize(("headers", "silence"), [(said(remaining=0, reset=37), 38), ({}, 61)])
def test_a_429_silences_every_process(clock: Stopwatch, headers: Mapping[str, str], silence: float) -> None:
    """FM-43: until Reset, 60 s without one; refresh and background a window longer."""
    limiter, other = settled(clock), process(clock)

    ask(limiter).ended(headers, 429)

    clock.advance(silence - 0.1)
    for everybody in (limiter, other):
        with pytest.raises(Throttled, match="paused"):
            ask(everybody)
    clock.advance(0.2)
    ask(other)
    for late in (Priority.REFRESH, Priority.BACKGROUND):
        with pytest.raises(Throttled, match="paused"):
            ask(limiter, late)
    clock.advance(60)
    ask(limiter, Priority.BACKGROUND)


def test_a_pause_outlives_redis_memory(clock: Stopwatch) -> None:
    """FM-43: the process that met the 429 tells the others again."""
    limiter, other = settled(clock), process(clock)
    ask(limiter).ended({}, 429)

    clock.flush_redis()

    for everybody in (limiter, other):
        with pytest.raises(Throttled, match="paused"):
            ask(everybody)


def test_after_a_loss_of_memory_only_cal_coms_count_is_believed(clock: Stopwatch) -> None:
    """One request reads Cal.com's count, then what remains less what may be in flight is permitted, for 80 s."""
    limiter = settled(clock)
    clock.flush_redis()

    probe = ask(limiter, Priority.LIVE)
    with pytest.raises(Throttled, match="recovering"):
        ask(limiter)
    probe.ended(said(remaining=50, reset=59), 200)

    assert admitted(limiter, Priority.WRITE) == 50 - 32 - 2
    clock.advance(200)
    assert admitted(limiter, Priority.WRITE) == 118


def test_loss_of_one_key_counts_as_loss_of_redis(clock: Stopwatch) -> None:
    """A full Redis evicts key by key."""
    limiter = settled(clock)

    for part in ("permits", "state"):
        redis_client().delete(*redis_client().scan_iter(f"*:{part}"))
        ask(limiter).ended({}, 200)
        state = limiter.state()
        clock.advance(200)

        assert state
        assert state.recovering_until


def test_external_usage_is_reserved(clock: Stopwatch) -> None:
    """What Cal.com counted beyond our permits is external, and is reserved for ten windows."""
    limiter = settled(clock)
    ask(limiter).ended(said(remaining=120 - 1 - 40, reset=5), 200)
    clock.advance(120)

    state = limiter.state()
    count = admitted(limiter, Priority.WRITE)

    assert state
    assert state.external >= 40
    assert count == 118 - state.external
    clock.advance(600)
    assert admitted(limiter, Priority.WRITE) == 118


def test_own_requests_are_never_taken_for_foreign(clock: Stopwatch) -> None:
    """Answers come late and out of order, across two windows; all of it is ours."""
    limiter = settled(clock)
    first, second, third = (ask(limiter) for _ in range(3))

    third.ended(said(remaining=117, reset=60), 200)
    first.ended(said(remaining=119, reset=60), 200)
    clock.advance(5)
    second.ended(said(remaining=118, reset=60), 200)
    clock.advance(58)
    ask(limiter).ended(said(remaining=119, reset=60), 200)

    state = limiter.state()
    assert state
    assert state.external == 0
    assert state.remaining == 119


def test_nobody_sends_when_nothing_remains(clock: Stopwatch) -> None:
    """Invariant 1: the request after the last one would block the key."""
    limiter = settled(clock)

    ask(limiter).ended(said(remaining=1, reset=20), 200)

    with pytest.raises(Throttled, match="paused"):
        ask(limiter)


def test_tenants_of_one_key_have_reserved_quotas(clock: Stopwatch) -> None:
    """One tenant and work of no tenant want everything; the other tenant still gets its quota at once."""
    limiter = settled(clock)
    for tenant in ("loud", "quiet"):
        ask(limiter, tenant=tenant).ended({}, 200)
    clock.advance(200)

    for priority in (Priority.LIVE, Priority.WRITE):
        for greedy in (Priority.BACKGROUND, Priority.REFRESH):
            admitted(limiter, greedy)
        for greedy in (Priority.REFRESH, Priority.LIVE, Priority.WRITE):
            admitted(limiter, greedy, tenant="loud")
        assert admitted(limiter, priority, tenant="quiet") >= 102 // 2 // 2
        clock.advance(200)


def test_reserved_quotas_cost_only_what_their_tenants_do_not_use(clock: Stopwatch) -> None:
    """A tenant that is active alone may use all but the quotas of others, and work of no tenant is not starved."""
    limiter = settled(clock)
    for tenant in ("loud", "quiet"):
        ask(limiter, tenant=tenant).ended({}, 200)
    clock.advance(200)

    assert admitted(limiter, Priority.BACKGROUND) == 48
    assert admitted(limiter, Priority.LIVE, tenant="loud") == 115 - 48 - 25
    assert admitted(limiter, Priority.WRITE, tenant="loud") == 0
    assert admitted(limiter, Priority.LIVE, tenant="quiet") == 25
    clock.advance(700)
    assert admitted(limiter, Priority.LIVE, tenant="loud") == 102  # the other was not seen for ten minutes
    assert admitted(limiter, Priority.LIVE, tenant="quiet") == 115 - 102


def test_a_tenant_alone_has_everything(clock: Stopwatch) -> None:
    """A quota for others costs nothing without others."""
    limiter = settled(clock)

    assert admitted(limiter, Priority.BACKGROUND) == 48
    assert admitted(limiter, Priority.LIVE, tenant="only") == 102 - 48
    assert admitted(limiter, Priority.WRITE, tenant="only") == 118 - 102


def test_above_the_second_level_only_writes_go(clock: Stopwatch) -> None:
    """external usage included, at 115 only bookings go, even if a tenant is within its quota."""
    limiter = settled(clock)
    for tenant in ("loud", "quiet"):
        ask(limiter, tenant=tenant).ended(said(remaining=79, reset=5), 200)
    clock.advance(100)
    state = limiter.state()
    assert state
    admitted(limiter, Priority.WRITE, tenant="quiet", most=20)
    admitted(limiter, Priority.WRITE, tenant="loud")

    admitted(limiter, Priority.LIVE, tenant="quiet")
    full = limiter.state()

    assert full
    assert (full.spent, full.spent - full.external) == (115, 115 - state.external)
    assert admitted(limiter, Priority.WRITE, tenant="quiet") == 3


def test_a_level_is_told_once_for_each_time_that_it_is_reached(
    clock: Stopwatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Product, alert levels: one line of one process, not one for each request at the border; and it is counted."""
    limiters = [settled(clock), process(clock)]

    def lines() -> list[str]:
        return [line.msg["alert"] for line in caplog.records if line.msg["event"] == "calcom.rate_level_raised"]  # type: ignore[index]

    for number in range(300):
        ask(limiters[number % 2], call=0).ended({}, 200)
        clock.advance(60.1 / 101.5)
    assert lines() == ["warning"]

    admitted(limiters[0], Priority.WRITE)
    assert lines() == ["warning", "critical"]

    clock.advance(100)
    admitted(limiters[1], Priority.WRITE)
    assert lines() == ["warning", "critical", "warning", "critical"]
    state = limiters[0].state()
    assert state
    assert (state.level, state.warnings, state.criticals) == ("critical", 2, 2)


def test_without_redis_only_writes_go_then_half_the_limit(clock: Stopwatch) -> None:
    """From what live reads leave; after a full window half of the limit, divided by processes."""
    scripts = Outage()
    limiter = settled(clock, scripts=scripts)
    scripts.away = True

    assert admitted(limiter, Priority.LIVE) == 0
    assert admitted(limiter, Priority.WRITE) == (118 - 102) // 4
    clock.advance(200)
    assert admitted(limiter, Priority.BACKGROUND) == 0
    assert polls(limiter)
    assert admitted(limiter, Priority.LIVE) == 120 // 2 // 4 - 1


def test_without_redis_nothing_goes_that_writes_might_have_used(clock: Stopwatch) -> None:
    """Invariant 1: where the log was full when Redis left, no process may add to it."""
    scripts = Outage()
    limiter = settled(clock, scripts=scripts)
    admitted(limiter, Priority.WRITE)
    scripts.away = True

    with pytest.raises(Throttled, match="outage"):
        ask(limiter)


def test_a_429_without_redis_silences_the_process(clock: Stopwatch) -> None:
    """FM-43: and everybody, once Redis is back."""
    scripts = Outage()
    limiter = settled(clock, scripts=scripts)
    scripts.away = True
    ask(limiter).ended({}, 429)

    with pytest.raises(Throttled, match="paused"):
        ask(limiter)
    scripts.away = False
    with pytest.raises(Throttled, match="paused"):
        ask(limiter)
    with pytest.raises(Throttled, match="paused"):
        ask(process(clock))


def test_what_was_sent_without_redis_is_a_gap_in_its_log(clock: Stopwatch) -> None:
    """When Redis is back, those requests count as a gap."""
    scripts = Outage()
    limiter = settled(clock, scripts=scripts)
    scripts.away = True
    ask(limiter)
    scripts.away = False

    ask(limiter)

    state = limiter.state()
    assert state
    assert state.recovering_until


def test_a_hiccup_of_redis_without_a_request_is_no_gap(clock: Stopwatch) -> None:
    """One time-out must not slow everybody down for 80 s."""
    scripts = Outage()
    limiter = settled(clock, scripts=scripts)
    scripts.away = True
    assert admitted(limiter, Priority.LIVE) == 0
    scripts.away = False

    ask(limiter)

    state = limiter.state()
    assert state
    assert state.recovering_until is None


def test_a_dead_redis_fails_nobody(clock: Stopwatch) -> None:
    """What an answer told is lost, and the state is unknown; nothing raises."""
    scripts = Outage()
    limiter = process(clock, scripts=scripts)
    scripts.away = True

    ask(limiter).ended(said(remaining=100), 200)

    assert limiter.state() is None


def test_staff_hold_background_work_back(clock: Stopwatch) -> None:
    """Pause and resume."""
    limiter = settled(clock)

    limiter.pause_background(300)
    with pytest.raises(Throttled, match="paused"):
        ask(limiter, Priority.REFRESH)
    ask(limiter, Priority.LIVE)
    limiter.pause_background(0)

    ask(limiter, Priority.REFRESH)


def test_the_state_tells_people_where_the_budget_stands(clock: Stopwatch) -> None:
    """Product, alert levels: above 100 a minute a warning, above 115 critical."""
    limiter = settled(clock)
    levels = []
    for ended in range(100):
        ask(limiter).ended(said(remaining=119 - ended, reset=30), 200)
    for more in (0, 15, 3):
        assert admitted(limiter, Priority.WRITE, most=more) == more
        state = limiter.state()
        assert state
        levels.append(state.level)

    assert levels == ["ok", "warning", "critical"]
    assert (state.used[Priority.WRITE], state.in_flight, state.external) == (118, 18, 0)
    assert (state.remaining, state.priority_caps[Priority.LIVE]) == (20, 102)


def test_the_key_is_in_no_key_and_no_value(clock: Stopwatch) -> None:
    """FM-83: Redis and logs only ever see the hash of a credential."""
    ask(settled(clock), tenant="7").ended(said(remaining=100), 200)

    keys = [key for key in redis_client().scan_iter() if key != b"tests:clock"]
    permits = [permit for key in keys if key.endswith(b":permits") for permit in redis_client().zrange(key, 0, -1)]

    assert len(permits) == 2  # one, and the marker of the generation
    assert not [text for text in keys + permits if b"cal_secret" in text]
    assert all(redis_client().ttl(key) > 0 for key in keys)


def test_threads_and_processes_never_take_more_than_there_is(clock: Stopwatch) -> None:
    """Invariant 1: 32 threads over 8 limiters, real Redis: 118 permits and not one more."""
    settled(clock)
    limiters = [process(clock) for _ in range(8)]

    with ThreadPoolExecutor(32) as threads:
        counts = list(threads.map(lambda i: admitted(limiters[i % 8], Priority.WRITE), range(64)))

    assert sum(counts) == 118
