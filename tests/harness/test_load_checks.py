"""The checks of load scenarios: what they count, and that nothing passes for want of data."""

from dataclasses import replace

import pytest

from monitoring.service_levels import BY_NAME
from script.lib.measurements import rows_of
from tests.benchmarks.thresholds import LOAD
from tests.harness.load_factories import (
    BEGAN,
    BOOK,
    HALF_AN_HOUR,
    HOLD,
    NINE,
    START,
    call_log,
    counters,
    evidence,
    exchange,
    operation,
    outcome,
    own,
    refusal,
    remote,
    request,
)
from tests.load import checks, levels
from tests.load.call_log import CallLog, Contested
from tests.load.evidence import Claimed, Depth, Rows, overlaps
from tests.load.levels import MEASURED
from tests.load.scenarios import SCENARIOS

POST = "POST /v2/bookings"


def found(run, row):
    """Return the value of a row, and its remark."""
    measured = checks.check(run)[row]
    return measured.value, measured.remark


def with_lines(name, *lines, **changes):
    """Return a run with these lines in its call log."""
    kept = call_log(outcome(), *lines)
    return evidence(name, log=kept, locust=len(kept.exchanges), **changes)


@pytest.mark.parametrize("name", SCENARIOS)
def test_run_that_went_well_meets_every_threshold(name):
    assert [row.name for row in rows_of(LOAD[name], checks.check(evidence(name))) if not row.ok] == []


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("part", ["log", "locust", "requests", "remote", "rows"])
def test_missing_evidence_fails_the_rows_that_need_it(name, part):
    """FM-80: load tests passed when their result files were missing."""
    measured = checks.check(evidence(name, **{part: None}, missing={part: f"{part}: no such file"}))

    failed = [row.measurement for row in rows_of(LOAD[name], measured) if not row.ok]
    assert failed
    assert {each.value for each in failed} == {None}
    assert all(part in each.remark for each in failed)


@pytest.mark.parametrize("level", MEASURED)
def test_service_level_that_is_missed_fails_its_row(level):
    """Of a thousand events more were bad than its budget allows; a cold start is for comparison only."""
    bad = round(1000 * BY_NAME[level].budget) + 1
    rows = {name: _row(name, level, counters=counters(**{level: bad})) for name in ("normal", "burst", "cold")}

    assert {name: row.verdict for name, row in rows.items()} == {"normal": "FAIL", "burst": "FAIL", "cold": ""}
    assert rows["normal"].measurement.value == pytest.approx(100 - bad / 10)


@pytest.mark.parametrize(("counted", "why"), [(None, "counters"), ({}, "nothing of the kind")])
def test_service_level_without_counters_fails(counted, why):
    row = _row("burst", "answers_given", counters=counted)

    assert (row.ok, row.measurement.value) == (False, None)
    assert why in row.measurement.remark


def test_series_that_began_in_the_run_has_grown_from_nothing():
    labels = (("outcome", "done"),)
    history = levels.growth({}, {("slotline_jobs_total", labels): 7.0})

    assert BY_NAME["jobs_done"].measured(history, levels.AT, levels.WHOLE_RUN) == (1.0, 7)


def _row(scenario, level, **changes):
    """Return the row of a service level in a run."""
    rows = rows_of(LOAD[scenario], checks.check(evidence(scenario, **changes)))
    return next(row for row in rows if row.name == f"{scenario}_{level}")


DAMAGED = {
    "the call log breaks off": lambda run: replace(run.log, end=None),
    "1 callers crashed": lambda run: replace(run.log, end=replace(run.log.end, crashes=1)),
    "the call log has 39": lambda run: replace(run.log, exchanges=run.log.exchanges[1:]),
    "only 0 searches": lambda run: CallLog(end=replace(run.log.end, requests=0)),
}


@pytest.mark.parametrize("why", DAMAGED)
def test_incomplete_call_log_proves_nothing(why):
    """FM-80: its half may be the good half."""
    run = evidence("normal")
    damaged = DAMAGED[why](run)
    locust = len(damaged.exchanges) if "0 searches" in why else run.locust

    value, remark = found(replace(run, log=damaged, locust=locust), "normal_search_p95_ms")

    assert value is None
    assert why in remark


@pytest.mark.parametrize("name", SCENARIOS)
def test_empty_request_log_of_calcom_measures_nothing(name):
    """FM-80."""
    for row in ("most_in_60_s", "429"):
        assert found(evidence(name, requests=[]), f"{name}_{row}") == (None, "Cal.com saw nothing")


def test_run_without_outcomes_measures_nothing_lost():
    assert found(evidence("burst", exchange(5), log=call_log(), locust=40), "burst_lost")[0] is None


# --- requests -----------------------------------------------------------------------------------------------------


def test_fullest_minute_is_counted_by_key():
    """FM-41: 80 before the full minute and 80 after it are 160."""
    seen = [request(10 + share / 100) for share in range(80)] + [request(65 + share / 100) for share in range(80)]
    others = [request(40 + share / 100, key="bbbb") for share in range(100)]

    assert found(evidence("burst", requests=seen + others), "burst_most_in_60_s")[0] == 160


def test_requests_shortly_before_the_run_count_in_its_first_minute():
    seen = [request(-30), request(-90), request(5)]

    assert found(evidence("burst", requests=seen), "burst_most_in_60_s")[0] == 2


def test_429_is_counted():
    assert found(evidence("burst", requests=[request(1), request(2, status=429)]), "burst_429")[0] == 1


def test_requests_per_minute_include_writes():
    """Two reads, one booking, and one list of times to reschedule to."""
    seen = [request(1), request(2), request(3, POST), request(4, path="/v2/slots?bookingUidToReschedule=x")]

    assert found(evidence("normal", requests=seen), "normal_requests_per_min")[0] == pytest.approx(0.4)


def test_writes_of_hurried_callers_are_left_out():
    run = evidence("normal", time_scale=0.1, requests=[request(1), request(2), request(3, POST)])

    value, remark = found(run, "normal_requests_per_min")

    assert value == pytest.approx(0.2)
    assert "left out" in remark


def test_cold_requests_are_counted_by_type_until_the_first_booking():
    early, late = [request(0), request(1, event_type=2), request(2)], [request(50, event_type=2)]

    seen = [*early, request(40, POST), *late]

    assert found(evidence("cold", requests=seen), "cold_requests_per_type")[0] == 2


def test_cold_requests_after_the_first_minute_do_not_count():
    seen = [request(0), request(1, event_type=2), request(61), request(62)]

    assert found(evidence("cold", requests=seen), "cold_requests_per_type")[0] == 1


# --- answers ------------------------------------------------------------------------------------------------------


def test_failed_search_is_no_hit_and_counts_for_the_percentile():
    failed = [
        exchange(401 + number, duration=2.5, status=504, cache="", code="deadline_exceeded") for number in range(10)
    ]

    run = with_lines("normal", *failed)

    assert found(run, "normal_hit_rate")[0] == pytest.approx(0.8)
    assert found(run, "normal_search_p95_ms")[0] == pytest.approx(2500)


def test_first_minute_of_a_cold_start_may_be_cold():
    cold = [exchange(number / 10, cache="false") for number in range(30)]

    assert found(with_lines("cold", *cold), "cold_hit_rate_after_1_min")[0] == 1


@pytest.mark.parametrize(
    ("name", "status", "code", "counts"),
    [
        ("burst", 500, "internal_error", 1),
        ("burst", 504, "deadline_exceeded", 1),
        ("burst", 0, "", 1),
        ("burst", 409, "slot_taken", 0),
        ("outage", 504, "deadline_exceeded", 0),
        ("outage", 503, "upstream_unavailable", 0),
        ("outage", 503, "temporarily_unavailable", 1),
    ],
)
def test_unexpected_answers_count_as_failed(name, status, code, counts):
    """A slot may be taken, and during an outage Cal.com may be unavailable."""
    run = with_lines(name, exchange(401, BOOK, status=status, code=code))

    assert found(run, f"{name}_failed_answers")[0] == counts


@pytest.mark.parametrize(
    ("duration", "answered", "counts"),
    [(3.5, 90, 0), (3.5, 70, 1), (1.0, 90, 1)],
    ids=["a booking in flight", "answered before", "answered early"],
)
def test_hold_may_time_out_only_behind_another_booking(duration, answered, counts):
    """Until Cal.com has chosen one of two hosts, a hold is neither given nor refused."""
    pending = (
        own(slug="colour", created_at=BEGAN + 60),
        operation(requested_at=BEGAN + 60, finished_at=BEGAN + answered),
    )
    made = remote(slug="colour", host="ben", created_at=BEGAN + answered)
    late = {"status": 504, "code": "deadline_exceeded", "duration": duration, "within": 3.5}
    refused = refusal(service="sv_2", duration=duration, code="deadline_exceeded")

    run = with_lines(
        "burst", exchange(80, HOLD, **late), refused, remote=[made], rows=rows(pending[0], operations=[pending[1]])
    )

    assert found(run, "burst_failed_answers")[0] == counts


# --- refusals -----------------------------------------------------------------------------------------------------


def wrongly_refused(*lines, **changes):
    run = evidence("burst", log=call_log(outcome(), *lines), locust=40, **changes)
    return found(run, "burst_wrongly_refused")[0]


def rows(*owns, operations=()):
    return Rows(own=owns, operations=operations, claimed=[])


def test_refusal_of_a_taken_slot_is_explained():
    """Booked at Cal.com, or held here."""
    assert wrongly_refused(refusal()) == 0
    held = own(state="held", created_at=BEGAN + 75, changed_at=BEGAN + 75)
    assert wrongly_refused(refusal(), remote=[], rows=rows(held)) == 0


def test_refusal_of_a_free_slot_is_not_explained():
    """Before it was booked, after it was cancelled, and half an hour later."""
    assert wrongly_refused(refusal(at=50), rows=rows(own()), remote=[remote()]) == 1
    cancelled = remote(status="cancelled", updated_at=BEGAN + 100)
    closed = [operation(), operation(operation_id="op_2", kind="cancel")]
    gone = {"remote": [cancelled], "rows": rows(own(state="cancelled"), operations=closed)}
    assert wrongly_refused(refusal(at=90), **gone) == 0
    assert wrongly_refused(refusal(at=110), **gone) == 1
    assert wrongly_refused(refusal(start="2026-12-01T09:30:00+00:00")) == 1


def test_refusal_is_explained_only_if_both_hosts_are_taken():
    """Buffers included."""
    there = [remote(slug="colour", host="emma")]
    assert wrongly_refused(refusal(service="sv_2", operation="book"), remote=there, rows=rows()) == 1
    there.append(remote(slug="colour", host="ben", booking="bk_2", start=NINE - HALF_AN_HOUR, end=NINE))
    assert wrongly_refused(refusal(service="sv_2", operation="book"), remote=there, rows=rows()) == 0


@pytest.mark.parametrize(("operation_", "taken_for", "wrong"), [("hold", 5, 0), ("hold", 10, 1), ("book", 5, 1)])
def test_hold_is_refused_where_the_list_may_mean_the_other_host(operation_, taken_for, wrong):
    """ADR 0005: until the list is loaded again. A booking is answered by Cal.com instead."""
    there = [remote(slug="colour", host="emma", created_at=BEGAN + 200 - taken_for)]

    refused = refusal(service="sv_2", operation=operation_, at=200)
    assert wrongly_refused(refused, remote=there, rows=rows()) == wrong


@pytest.mark.parametrize(("asked_at", "wrong"), [(75, 0), (95, 1)])
def test_booking_is_refused_while_one_of_two_hosts_is_held(asked_at, wrong):
    """ADR 0005: Cal.com does not know of the hold, and could choose that host."""
    held = own(slug="cut", created_at=BEGAN + 70), operation(requested_at=BEGAN + 80, finished_at=BEGAN + 85)
    made = remote(slug="cut", host="emma", created_at=BEGAN + 85)

    refused = refusal(service="sv_2", operation="book", at=asked_at)
    assert wrongly_refused(refused, remote=[made], rows=rows(held[0], operations=[held[1]])) == wrong


def test_pending_write_takes_all_hosts():
    pending = own(slug="colour", created_at=BEGAN + 79), operation(requested_at=BEGAN + 79, finished_at=BEGAN + 90)
    made = remote(slug="colour", host="ben", created_at=BEGAN + 90)

    assert wrongly_refused(refusal(service="sv_2"), remote=[made], rows=rows(pending[0], operations=[pending[1]])) == 0


def test_slot_is_taken_until_its_cancellation_is_known():
    """Cal.com cancels at once, and answers seconds later."""
    gone = remote(status="cancelled", updated_at=BEGAN + 100)
    cancel = operation(operation_id="op_2", kind="cancel", requested_at=BEGAN + 99, finished_at=BEGAN + 104)
    ours = rows(own(state="cancelled"), operations=[operation(), cancel])

    assert wrongly_refused(refusal(at=104), remote=[gone], rows=ours) == 0
    assert wrongly_refused(refusal(at=106), remote=[gone], rows=ours) == 1


def test_slot_of_a_pending_reschedule_is_taken():
    moved = operation(
        operation_id="op_2", kind="reschedule", new_start=NINE + 3600, requested_at=BEGAN + 78, finished_at=None
    )

    assert (
        wrongly_refused(refusal(start="2026-12-01T10:00:00+00:00"), rows=rows(own(), operations=[operation(), moved]))
        == 0
    )


@pytest.mark.parametrize(
    ("service", "code", "hour", "wrong"),
    [
        ("sv_3", "slot_not_offered", "10:30", 0),  # 45 minutes from 9:30 on: 9:30, 10:15, 11:00
        ("sv_3", "slot_not_offered", "08:15", 1),
        ("sv_3", "slot_taken", "10:30", 1),
        ("sv_1", "slot_not_offered", "10:30", 1),
    ],
)
def test_refusal_is_explained_by_starts_that_an_earlier_appointment_shifts(service, code, hour, wrong):
    """Only where the step is larger than Cal.com's grid."""
    refused = refusal(service=service, code=code, start=f"2026-12-01T{hour}:00+00:00", at=90)

    assert wrongly_refused(refused, remote=[remote()], rows=rows(own())) == wrong


def test_refused_booking_explains_no_refusal():
    """Nor does an expired hold."""
    turned_down = rows(own(state="rejected"), operations=[operation(state="refused")])

    assert wrongly_refused(refusal(operation="book"), remote=[], rows=turned_down) == 1
    assert wrongly_refused(refusal(operation="book", code="hold_expired")) == 1


# --- outcomes ----------------------------------------------------------------------------------------------------


def lost(*lines, **changes):
    return found(evidence("burst", *lines, **changes), "burst_lost")


def test_operation_without_outcome_is_lost():
    still_open = Rows(own=[own()], operations=[operation(state="unknown", finished_at=None)], claimed=[])

    assert lost(rows=still_open) == (1, "1 without outcome")


def test_confirmed_booking_that_does_not_exist_is_lost():
    """No confirmed row, none at Cal.com, or at another time."""
    assert lost(rows=rows(own(state="rejected")))[0] == 1
    assert lost(remote=[])[0] == 1
    assert lost(remote=[remote(start=NINE + 3600)])[0] == 1


def test_duplicate_at_calcom_is_counted():
    """FM-04."""
    assert lost(remote=[remote(), remote(host="ben")])[0] == 1


def test_booking_only_at_calcom_is_counted():
    assert lost(outcome(booking="bk_1"), remote=[remote(), remote(booking="bk_9", start=NINE + 3600)]) == (
        1,
        "1 differ here and at Cal.com",
    )


def test_last_known_outcome_counts():
    """Booked, rescheduled, cancelled."""
    later = outcome(80, operation="reschedule", start="2026-12-01T10:00:00+00:00", operation_id="op_2")
    there, here = remote(start=NINE + 3600), rows(own(start=NINE + 3600), operations=[operation()])
    assert lost(outcome(), later, remote=[remote(status="cancelled"), there], rows=here)[0] == 0
    assert lost(outcome(), later)[0] == 1

    cancelled = outcome(90, operation="cancel", operation_id="op_3")
    assert lost(outcome(), cancelled)[0] == 1
    assert lost(outcome(), cancelled, remote=[remote(status="cancelled")], rows=rows(own(state="cancelled")))[0] == 0


def test_pending_outcome_may_be_either():
    """Cal.com must agree with our rows."""
    hung_up = outcome(state="pending")
    assert lost(hung_up)[0] == 0
    assert lost(hung_up, remote=[], rows=rows(own(state="rejected"), operations=[operation(state="refused")]))[0] == 0
    assert lost(hung_up, remote=[])[0] == 1


def test_overlaps_are_counted_at_calcom_and_here():
    """FM-13."""
    second = remote(booking="bk_2", start=NINE + 900, end=NINE + 2700)
    assert found(evidence("burst", remote=[remote(), second]), "burst_overlaps")[0] == 1
    marked = Rows(own=[], operations=[], claimed=[Claimed("emma", NINE, NINE + 60, conflicting=True)])
    assert found(evidence("burst", rows=marked), "burst_overlaps")[0] == 1


def test_adjacent_spans_do_not_overlap_and_each_pair_counts():
    assert overlaps([("emma", 0, 10), ("emma", 10, 20), ("ben", 5, 15)]) == 0
    assert overlaps([("emma", 0, 30), ("emma", 5, 10), ("emma", 9, 12)]) == 3


# --- contention, queue, outage ------------------------------------------------------------------------------------


def contended(*more_told, **changes):
    return found(
        evidence("contention", outcome(), *more_told, Contested(BEGAN, "sv_1", START), **changes), "contention_bookings"
    )


def test_contested_slot_has_one_winner_on_all_sides():
    """FM-81: exactly one."""
    assert contended()[0] == 1
    assert contended(outcome(71, booking="bk_2"))[0] == 2
    assert contended(remote=[remote(), remote(booking="bk_2")])[0] == 2
    assert contended(remote=[]) == (None, "a contested slot was not sold")
    assert found(evidence("contention", outcome()), "contention_bookings") == (None, "no slot was contested")


def test_queue_is_measured_only_with_all_its_jobs():
    """Fewer jobs, or jobs that never waited, would be faster."""
    assert found(evidence("queue"), "queue_80_s")[0] == pytest.approx(0.3)
    marks = {**evidence("queue").marks, "jobs": 79}
    assert found(evidence("queue", marks=marks), "queue_80_s")[0] is None
    assert found(evidence("queue", marks={}), "queue_80_s")[0] is None
    assert found(evidence("queue", depths=None), "queue_80_s")[0] is None
    assert found(evidence("queue", depths=[Depth(BEGAN, {"cache": 79})]), "queue_80_s")[0] is None


def test_response_is_late_a_tenth_of_a_second_after_its_deadline():
    """FM-46."""
    run = with_lines(
        "outage",
        exchange(401, duration=2.09),
        exchange(402, duration=2.11),
        exchange(403, BOOK, duration=3.5, within=3.5),
    )

    assert found(run, "outage_late_answers")[0] == 1


def test_recovery_lasts_until_the_last_operation_from_before_has_its_outcome():
    answered = evidence("outage")
    assert found(answered, "outage_recovery_s")[0] == pytest.approx(20.5)
    slow = Rows(
        own=[own()], operations=[operation(), operation(requested_at=BEGAN + 300, finished_at=BEGAN + 445)], claimed=[]
    )
    assert found(replace(answered, rows=slow), "outage_recovery_s")[0] == pytest.approx(45)


def test_outage_without_effect_or_end_measures_no_recovery():
    """No request met it, Cal.com was not asked again, or an operation stayed open."""
    run = evidence("outage")
    quiet = [each for each in run.requests if each.status != 503]
    assert found(replace(run, requests=quiet), "outage_recovery_s")[0] is None
    before = [each for each in run.requests if each.arrived_at < BEGAN + 400]
    assert found(replace(run, requests=before), "outage_recovery_s")[0] is None
    still_open = Rows(own=[own()], operations=[operation(finished_at=None)], claimed=[])
    assert found(replace(run, rows=still_open), "outage_recovery_s")[0] is None
    assert found(replace(run, marks={}), "outage_recovery_s")[0] is None
