"""The verdict on a load scenario: what it counts, and that nothing passes for want of data."""

from dataclasses import replace

import pytest

from tests.harness.load_factories import (
    BEGAN,
    BOOK,
    HALF_AN_HOUR,
    HOLD,
    NINE,
    START,
    asked,
    evidence,
    ledger,
    own,
    refused,
    remote,
    request,
    told,
    wish,
)
from tests.load import checks
from tests.load.call_log import Contested, Ledger
from tests.load.evidence import Claimed, Depth, Rows, overlaps
from tests.load.scenarios import SCENARIOS

POST = "POST /v2/bookings"


def found(run, row):
    """Return the value of a row, and its remark."""
    rows = {each.name: each for each in checks.judge(run)}
    return rows[row].found.value, rows[row].found.remark


def with_lines(name, *lines, **changes):
    """A run in whose ledger these lines stand as well."""
    kept = ledger(told(), *lines)
    return evidence(name, ledger=kept, locust=len(kept.asked), **changes)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_run_that_went_well_keeps_every_promise(name):
    """The made-up run is a fair one: what breaks it below is what each test changes."""
    assert [row.name for row in checks.judge(evidence(name)) if not row.ok] == []


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("part", ["ledger", "locust", "requests", "remote", "rows"])
def test_what_is_missing_breaks_the_rows_that_need_it(name, part):
    """FM-80: load tests passed when their result files were missing."""
    rows = checks.judge(evidence(name, **{part: None}, missing={part: f"{part}: no such file"}))

    broken = [row for row in rows if not row.ok]
    assert broken
    assert {row.found.value for row in broken} == {None}
    assert all(part in row.found.remark for row in broken)


DAMAGED = {
    "the ledger breaks off": lambda run: replace(run.ledger, end=None),
    "1 callers crashed": lambda run: replace(run.ledger, end=replace(run.ledger.end, crashes=1)),
    "the ledger has 39": lambda run: replace(run.ledger, asked=run.ledger.asked[1:]),
    "only 0 searches": lambda run: Ledger(end=replace(run.ledger.end, requests=0)),
}


@pytest.mark.parametrize("why", DAMAGED)
def test_a_ledger_that_is_not_whole_shows_nothing(why):
    """Half of what callers heard may be the good half."""
    run = evidence("normal")
    damaged = DAMAGED[why](run)
    locust = len(damaged.asked) if "0 searches" in why else run.locust

    value, remark = found(replace(run, ledger=damaged, locust=locust), "normal_search_p95_ms")

    assert value is None
    assert why in remark


def test_a_scenario_that_could_not_be_played_is_broken_in_every_row():
    """Its rows are in the table all the same."""
    rows = checks.unjudged("outage", "web has died")

    assert [row.name for row in rows] == list(checks.promises("outage"))
    assert not any(row.ok for row in rows)


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_seen_at_cal_com_is_no_zero(name):
    """FM-80: an empty log would keep every promise about requests."""
    for row in ("most_in_60_s", "429"):
        assert found(evidence(name, requests=[]), f"{name}_{row}") == (None, "Cal.com saw nothing")


def test_nobody_heard_of_a_booking_is_not_nothing_lost():
    """A run without bookings has nothing to lose."""
    assert found(evidence("burst", asked(5), ledger=ledger(), locust=40), "burst_lost")[0] is None


# --- requests -----------------------------------------------------------------------------------------------------


def test_the_busiest_minute_is_found_wherever_it_begins():
    """FM-41: 80 before the full minute and 80 after it are 160, of one key; keys do not add up."""
    seen = [request(10 + share / 100) for share in range(80)] + [request(65 + share / 100) for share in range(80)]
    others = [request(40 + share / 100, key="bbbb") for share in range(100)]

    assert found(evidence("burst", requests=seen + others), "burst_most_in_60_s")[0] == 160


def test_requests_shortly_before_the_run_count_in_its_first_minute():
    """A scenario that follows another one cannot begin with a clean sheet: Cal.com does not."""
    seen = [request(-30), request(-90), request(5)]

    assert found(evidence("burst", requests=seen), "burst_most_in_60_s")[0] == 2


def test_an_answer_of_429_is_counted():
    """There shall be none."""
    assert found(evidence("burst", requests=[request(1), request(2, status=429)]), "burst_429")[0] == 1


def test_requests_per_minute_count_what_wishes_cost_themselves():
    """Ten people in ten minutes: two reads, one booking, and one look where to move to."""
    seen = [request(1), request(2), request(3, POST), request(4, path="/v2/slots?bookingUidToReschedule=x")]

    assert found(evidence("normal", requests=seen), "normal_requests_per_min")[0] == pytest.approx(0.4)


def test_hurried_callers_leave_their_wishes_out_and_the_row_says_so():
    """At a tenth of their time ten lines make as many wishes as a hundred."""
    run = evidence("normal", time_scale=0.1, requests=[request(1), request(2), request(3, POST)])

    value, remark = found(run, "normal_requests_per_min")

    assert value == pytest.approx(0.2)
    assert "left out" in remark


def test_cold_requests_are_counted_by_type_until_somebody_books():
    """What a booking causes afterwards is no cold start; a second request of a type before that is one too many."""
    early, late = [request(0), request(1, event_type=2), request(2)], [request(50, event_type=2)]

    seen = [*early, request(40, POST), *late]

    assert found(evidence("cold", requests=seen), "cold_requests_per_type")[0] == 2


def test_cold_requests_after_the_first_minute_do_not_count():
    """By then days grow old, and are loaded again."""
    seen = [request(0), request(1, event_type=2), request(61), request(62)]

    assert found(evidence("cold", requests=seen), "cold_requests_per_type")[0] == 1


# --- answers ------------------------------------------------------------------------------------------------------


def test_a_search_that_failed_is_no_hit_and_counts_for_the_percentile():
    """No answer is slow and cold, not absent."""
    failed = [asked(401 + number, took=2.5, status=504, cache="", code="deadline_exceeded") for number in range(10)]

    run = with_lines("normal", *failed)

    assert found(run, "normal_hit_rate")[0] == pytest.approx(0.8)
    assert found(run, "normal_search_p95_ms")[0] == pytest.approx(2500)


def test_the_first_minute_of_a_cold_start_may_be_cold():
    """From then on, answers count."""
    cold = [asked(number / 10, cache="false") for number in range(30)]

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
def test_failed_answers_are_those_that_nobody_should_hear(name, status, code, counts):
    """While Cal.com is away, callers may hear that nobody knows; a slot may be taken; nothing else may fail."""
    run = with_lines(name, asked(401, BOOK, status=status, code=code))

    assert found(run, f"{name}_failed_answers")[0] == counts


@pytest.mark.parametrize(
    ("took", "answered", "counts"),
    [(3.5, 90, 0), (3.5, 70, 1), (1.0, 90, 1)],
    ids=["a booking in flight", "answered before", "answered early"],
)
def test_hold_may_wait_in_vain_for_another_booking_only(took, answered, counts):
    """One of two hosts is being booked: until Cal.com says whom it chose, a hold is neither given nor refused."""
    pending = own(slug="colour", created_at=BEGAN + 60), wish(asked_at=BEGAN + 60, finished_at=BEGAN + answered)
    made = remote(slug="colour", host="ben", created_at=BEGAN + answered)
    late = {"status": 504, "code": "deadline_exceeded", "took": took, "within": 3.5}
    refusal = refused(service="sv_2", took=took, code="deadline_exceeded")

    run = with_lines(
        "burst", asked(80, HOLD, **late), refusal, remote=[made], rows=rows(pending[0], wishes=[pending[1]])
    )

    assert found(run, "burst_failed_answers")[0] == counts


# --- refusals -----------------------------------------------------------------------------------------------------


def wrongly_refused(*lines, **changes):
    run = evidence("burst", ledger=ledger(told(), *lines), locust=40, **changes)
    return found(run, "burst_wrongly_refused")[0]


def rows(*owns, wishes=()):
    return Rows(own=owns, wishes=wishes, claimed=[])


def test_a_time_that_somebody_has_is_rightly_refused():
    """At Cal.com, or held or on its way here."""
    assert wrongly_refused(refused()) == 0
    held = own(state="held", created_at=BEGAN + 75, changed_at=BEGAN + 75)
    assert wrongly_refused(refused(), remote=[], rows=rows(held)) == 0


def test_a_time_that_nobody_has_is_wrongly_refused():
    """Neither before it was booked, nor after it was given back, nor half an hour later."""
    assert wrongly_refused(refused(at=50), rows=rows(own()), remote=[remote()]) == 1
    cancelled = remote(status="cancelled", updated_at=BEGAN + 100)
    closed = [wish(), wish(operation_id="op_2", operation="cancel")]
    gone = {"remote": [cancelled], "rows": rows(own(state="cancelled"), wishes=closed)}
    assert wrongly_refused(refused(at=90), **gone) == 0
    assert wrongly_refused(refused(at=110), **gone) == 1
    assert wrongly_refused(refused(start="2026-12-01T09:30:00+00:00")) == 1


def test_one_of_two_hosts_is_free():
    """With both taken it is right, buffers included."""
    there = [remote(slug="colour", host="emma")]
    assert wrongly_refused(refused(service="sv_2", wish="book"), remote=there, rows=rows()) == 1
    there.append(remote(slug="colour", host="ben", booking="bk_2", start=NINE - HALF_AN_HOUR, end=NINE))
    assert wrongly_refused(refused(service="sv_2", wish="book"), remote=there, rows=rows()) == 0


@pytest.mark.parametrize(("wish_", "taken_for", "wrong"), [("hold", 5, 0), ("hold", 10, 1), ("book", 5, 1)])
def test_a_hold_is_no_promise_where_the_list_may_have_meant_the_other_host(wish_, taken_for, wrong):
    """Decision 0005: until the list is loaded again. A booking is answered by Cal.com instead."""
    there = [remote(slug="colour", host="emma", created_at=BEGAN + 200 - taken_for)]

    asked = refused(service="sv_2", wish=wish_, at=200)
    assert wrongly_refused(asked, remote=there, rows=rows()) == wrong


@pytest.mark.parametrize(("asked_at", "wrong"), [(75, 0), (95, 1)])
def test_who_is_held_for_somebody_else_is_not_given_away_by_cal_com(asked_at, wrong):
    """Decision 0005: of two hosts one is held, and Cal.com would not know; when it is booked, it does."""
    held = own(slug="cut", created_at=BEGAN + 70), wish(asked_at=BEGAN + 80, finished_at=BEGAN + 85)
    made = remote(slug="cut", host="emma", created_at=BEGAN + 85)

    asked = refused(service="sv_2", wish="book", at=asked_at)
    assert wrongly_refused(asked, remote=[made], rows=rows(held[0], wishes=[held[1]])) == wrong


def test_a_write_keeps_all_hosts_until_it_is_answered():
    """Nobody knows whom Cal.com will choose."""
    pending = own(slug="colour", created_at=BEGAN + 79), wish(asked_at=BEGAN + 79, finished_at=BEGAN + 90)
    made = remote(slug="colour", host="ben", created_at=BEGAN + 90)

    assert wrongly_refused(refused(service="sv_2"), remote=[made], rows=rows(pending[0], wishes=[pending[1]])) == 0


def test_a_time_is_somebodys_until_we_hear_that_it_is_not():
    """Cal.com cancels at once, and says so seconds later."""
    gone = remote(status="cancelled", updated_at=BEGAN + 100)
    cancel = wish(operation_id="op_2", operation="cancel", asked_at=BEGAN + 99, finished_at=BEGAN + 104)
    ours = rows(own(state="cancelled"), wishes=[wish(), cancel])

    assert wrongly_refused(refused(at=104), remote=[gone], rows=ours) == 0
    assert wrongly_refused(refused(at=106), remote=[gone], rows=ours) == 1


def test_a_time_that_is_being_moved_to_is_taken():
    """The move claims it beside the old one."""
    moved = wish(
        operation_id="op_2", operation="reschedule", new_start=NINE + 3600, asked_at=BEGAN + 78, finished_at=None
    )

    assert wrongly_refused(refused(start="2026-12-01T10:00:00+00:00"), rows=rows(own(), wishes=[wish(), moved])) == 0


@pytest.mark.parametrize(
    ("service", "code", "hour", "wrong"),
    [
        ("sv_3", "slot_not_offered", "10:30", 0),  # 45 minutes from 9:30 on: 9:30, 10:15, 11:00
        ("sv_3", "slot_not_offered", "08:15", 1),
        ("sv_3", "slot_taken", "10:30", 1),
        ("sv_1", "slot_not_offered", "10:30", 1),
    ],
)
def test_refusal_is_explained_by_starts_that_an_earlier_appointment_moved(service, code, hour, wrong):
    """Where the step is larger than Cal.com's grid; elsewhere the starts stay what they are."""
    asked = refused(service=service, code=code, start=f"2026-12-01T{hour}:00+00:00", at=90)

    assert wrongly_refused(asked, remote=[remote()], rows=rows(own())) == wrong


def test_what_was_refused_itself_explains_no_refusal():
    """A wish that Cal.com turned down must not be the reason why it was turned down; nor a hold that is gone."""
    turned_down = rows(own(state="rejected"), wishes=[wish(state="refused")])

    assert wrongly_refused(refused(wish="book"), remote=[], rows=turned_down) == 1
    assert wrongly_refused(refused(wish="book", code="hold_expired")) == 1


# --- what became of wishes ----------------------------------------------------------------------------------------


def lost(*lines, **changes):
    return found(evidence("burst", *lines, **changes), "burst_lost")


def test_a_wish_without_outcome_is_lost():
    """However long everybody waited."""
    still_open = Rows(own=[own()], wishes=[wish(state="unknown", finished_at=None)], claimed=[])

    assert lost(rows=still_open) == (1, "1 without outcome")


def test_a_booking_that_was_told_and_is_not_there_is_lost():
    """201 told, and no confirmed row; or none at Cal.com; or at another time."""
    assert lost(rows=rows(own(state="rejected")))[0] == 1
    assert lost(remote=[])[0] == 1
    assert lost(remote=[remote(start=NINE + 3600)])[0] == 1


def test_a_booking_that_stands_twice_at_cal_com_is_counted():
    """FM-04: one wish, one booking."""
    assert lost(remote=[remote(), remote(host="ben")])[0] == 1


def test_a_booking_of_ours_that_only_cal_com_has_is_counted():
    """Nobody here knows of it."""
    assert lost(told(booking="bk_1"), remote=[remote(), remote(booking="bk_9", start=NINE + 3600)]) == (
        1,
        "1 differ here and at Cal.com",
    )


def test_what_was_told_last_counts():
    """Booked, moved, cancelled: it must be gone here and there."""
    later = told(80, operation="reschedule", start="2026-12-01T10:00:00+00:00", operation_id="op_2")
    there, here = remote(start=NINE + 3600), rows(own(start=NINE + 3600), wishes=[wish()])
    assert lost(told(), later, remote=[remote(status="cancelled"), there], rows=here)[0] == 0
    assert lost(told(), later)[0] == 1

    cancelled = told(90, operation="cancel", operation_id="op_3")
    assert lost(told(), cancelled)[0] == 1
    assert lost(told(), cancelled, remote=[remote(status="cancelled")], rows=rows(own(state="cancelled")))[0] == 0


def test_who_hung_up_too_early_is_owed_an_outcome_whichever():
    """The rows decide how it ended, and Cal.com must agree."""
    hung_up = told(state="pending")
    assert lost(hung_up)[0] == 0
    assert lost(hung_up, remote=[], rows=rows(own(state="rejected"), wishes=[wish(state="refused")]))[0] == 0
    assert lost(hung_up, remote=[])[0] == 1


def test_overlaps_are_found_there_and_here():
    """FM-13: Cal.com accepts two at once; a claim marked as conflicting says so here."""
    second = remote(booking="bk_2", start=NINE + 900, end=NINE + 2700)
    assert found(evidence("burst", remote=[remote(), second]), "burst_overlaps")[0] == 1
    marked = Rows(own=[], wishes=[], claimed=[Claimed("emma", NINE, NINE + 60, conflicting=True)])
    assert found(evidence("burst", rows=marked), "burst_overlaps")[0] == 1


def test_neighbours_do_not_overlap_and_each_pair_counts():
    """Half-open stretches of one host."""
    assert overlaps([("emma", 0, 10), ("emma", 10, 20), ("ben", 5, 15)]) == 0
    assert overlaps([("emma", 0, 30), ("emma", 5, 10), ("emma", 9, 12)]) == 3


# --- contention, queue, outage ------------------------------------------------------------------------------------


def contended(*more_told, **changes):
    return found(
        evidence("contention", told(), *more_told, Contested(BEGAN, "sv_1", START), **changes), "contention_bookings"
    )


def test_one_slot_has_one_winner_on_all_sides():
    """FM-81: exactly one. Two is broken; none is no success either."""
    assert contended()[0] == 1
    assert contended(told(71, booking="bk_2"))[0] == 2
    assert contended(remote=[remote(), remote(booking="bk_2")])[0] == 2
    assert contended(remote=[]) == (None, "a slot that everybody wanted went to nobody")
    assert found(evidence("contention", told()), "contention_bookings") == (None, "no slot was contested")


def test_the_queue_counts_only_with_all_its_jobs():
    """79 jobs may be faster than 80, and so are jobs that never had to wait."""
    assert found(evidence("queue"), "queue_80_s")[0] == pytest.approx(0.3)
    marks = {**evidence("queue").marks, "jobs": 79}
    assert found(evidence("queue", marks=marks), "queue_80_s")[0] is None
    assert found(evidence("queue", marks={}), "queue_80_s")[0] is None
    assert found(evidence("queue", depths=None), "queue_80_s")[0] is None
    assert found(evidence("queue", depths=[Depth(BEGAN, {"cache": 79})]), "queue_80_s")[0] is None


def test_an_answer_is_late_a_tenth_of_a_second_after_its_deadline():
    """FM-46: one deadline for the whole way, as the caller's side sees it."""
    run = with_lines("outage", asked(401, took=2.09), asked(402, took=2.11), asked(403, BOOK, took=3.5, within=3.5))

    assert found(run, "outage_late_answers")[0] == 1


def test_recovery_lasts_until_the_last_wish_from_before_has_its_outcome():
    """Cal.com's first answer alone is none."""
    answered = evidence("outage")
    assert found(answered, "outage_recovery_s")[0] == pytest.approx(20.5)
    slow = Rows(own=[own()], wishes=[wish(), wish(asked_at=BEGAN + 300, finished_at=BEGAN + 445)], claimed=[])
    assert found(replace(answered, rows=slow), "outage_recovery_s")[0] == pytest.approx(45)


def test_an_outage_that_nobody_felt_shows_nothing():
    """Nor does one after which Cal.com was never asked again, or a wish stayed open."""
    run = evidence("outage")
    quiet = [each for each in run.requests if each.status != 503]
    assert found(replace(run, requests=quiet), "outage_recovery_s")[0] is None
    before = [each for each in run.requests if each.arrived_at < BEGAN + 400]
    assert found(replace(run, requests=before), "outage_recovery_s")[0] is None
    still_open = Rows(own=[own()], wishes=[wish(finished_at=None)], claimed=[])
    assert found(replace(run, rows=still_open), "outage_recovery_s")[0] is None
    assert found(replace(run, marks={}), "outage_recovery_s")[0] is None


def test_every_promise_of_the_table_is_there_with_its_limit():
    """The limits of the scenarios are what was promised."""
    limits = {name: (each.limit, each.at_least) for name, each in checks.all_promises().items()}

    assert (
        limits.items()
        >= {
            "normal_search_p95_ms": (300, False),
            "normal_hit_rate": (0.95, True),
            "normal_requests_per_min": (40, False),
            "burst_search_p95_ms": (500, False),
            "burst_429": (0, False),
            "burst_wrongly_refused": (0, False),
            "cold_requests_per_type": (1, False),
            "cold_hit_rate_after_1_min": (0.90, True),
            "queue_80_s": (0.5, False),
            "contention_bookings": (1, False),
            "outage_late_answers": (0, False),
            "outage_lost": (0, False),
            "outage_recovery_s": (60, False),
        }.items()
    )
