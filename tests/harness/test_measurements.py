"""Rows: whether a measurement meets its threshold, and that nothing passes without a value."""

import json

import pytest

from script.lib.measurements import (
    Measurement,
    Row,
    Threshold,
    most_at_once,
    most_in_60_s,
    read_json,
    rows_of,
    write_json,
)


@pytest.mark.parametrize(
    ("at_least", "value", "ok"),
    [
        (False, 40, True),
        (False, 40.1, False),
        (True, 40, True),
        (True, 39.9, False),
        (False, None, False),
        (True, None, False),
    ],
)
def test_threshold_is_met_on_its_limit_and_never_without_a_value(at_least, value, ok):
    """FM-80: what was not measured fails, whichever side is the good one."""
    assert Row("name", Threshold("requests", 40, at_least), Measurement(value)).ok is ok


@pytest.mark.parametrize(("value", "ok"), [(20, True), (19, False), (21, False), (None, False)])
def test_threshold_may_be_exact(value, ok):
    """FM-81: of twenty slots twenty are sold, neither more nor fewer."""
    row = Row("race_bookings", Threshold("bookings", 20, exactly=True), Measurement(value))

    assert row.ok is ok
    assert "= 20" in str(row)


def test_rows_and_file_show_which_side_of_the_limit_is_meant(tmp_path):
    rows = [
        Row("hit_rate", Threshold("share", 0.95, at_least=True), Measurement(0.97)),
        Row("requests", Threshold("requests", 40), Measurement(None, "the log was empty")),
    ]

    write_json(rows, tmp_path / "rows.json")

    assert "≥ 0.95" in str(rows[0])
    assert "≤ 40" in str(rows[1])
    assert "FAIL    the log was empty" in str(rows[1])
    written = json.loads((tmp_path / "rows.json").read_text())
    assert [(row["at_least"], row["ok"]) for row in written] == [(True, True), (False, False)]
    assert read_json(tmp_path / "rows.json") == {row.name: row.measurement for row in rows}
    assert read_json(tmp_path / "missing.json") == {}


def test_row_without_limit_has_no_verdict_but_fails_without_value():
    """FM-80."""
    compared, missing = (Row("theirs", Threshold("requests"), Measurement(value)) for value in (1e9, None))

    assert (compared.verdict, missing.verdict) == ("", "FAIL")


def test_missing_measurement_fails_its_row_with_the_reason():
    (row,) = rows_of({"lost": Threshold("bookings", 0)}, {}, otherwise="web has died")

    assert not row.ok
    assert row.measurement.remark == "web has died"


def test_fullest_minute_is_found_wherever_it_begins():
    assert most_in_60_s([0, 59, 61, 100, 118.9, 119]) == 4
    assert most_in_60_s([]) == 0


def test_spans_that_follow_each_other_do_not_overlap():
    assert most_at_once([]) == 0
    assert most_at_once([(1, 2), (2, 3), (3, 9)]) == 1
    assert most_at_once([(1, 4), (2, 3), (3.5, 9)]) == 2
