"""The verdict of a row: on which side of its limit the number lies, and that nothing passes for want of one."""

import json

import pytest

from script.lib.measurements import Found, Promise, Row, show, write


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
def test_a_promise_is_kept_on_its_limit_and_never_without_a_number(at_least, value, ok):
    """FM-80: what was not measured is broken, whichever side is the good one."""
    assert Row("name", Promise("requests", 40, at_least), Found(value)).ok is ok


@pytest.mark.parametrize(("value", "ok"), [(20, True), (19, False), (21, False), (None, False)])
def test_a_promise_may_be_exact(value, ok):
    """FM-81: of twenty slots twenty are sold, neither more nor fewer."""
    row = Row("race_bookings", Promise("bookings", 20, exactly=True), Found(value))

    assert row.ok is ok
    assert "= 20" in show(row)


def test_the_table_and_the_file_say_which_side_is_meant(tmp_path):
    """A reader of the file alone can tell a floor from a ceiling."""
    rows = [
        Row("hit_rate", Promise("share", 0.95, at_least=True), Found(0.97)),
        Row("requests", Promise("requests", 40), Found(None, "the log was empty")),
    ]

    write(rows, tmp_path / "rows.json")

    assert "≥ 0.95" in show(rows[0])
    assert "≤ 40" in show(rows[1])
    assert "BROKEN  the log was empty" in show(rows[1])
    written = json.loads((tmp_path / "rows.json").read_text())
    assert [(row["at_least"], row["ok"]) for row in written] == [(True, True), (False, False)]
    assert written[1]["remark"] == "the log was empty"


def test_what_is_told_for_comparison_breaks_nothing():
    """A row without a limit has no verdict; without a value it is still a failure (FM-80)."""
    told, missing = (Row("theirs", Promise("requests"), Found(value)) for value in (1e9, None))

    assert told.ok
    assert not missing.ok
    assert "ok" not in show(told)
