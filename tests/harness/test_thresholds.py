"""The table of thresholds and the groups that are measured against it."""

import ast
from collections import Counter

import pytest

from script.lib.local import ROOT
from tests.benchmarks.__main__ import SHARED
from tests.benchmarks.standalone import GROUPS
from tests.benchmarks.thresholds import LOAD, PLOTS, THRESHOLDS
from tests.load.scenarios import SCENARIOS


def test_every_group_has_thresholds_and_no_row_is_in_two():
    rows = Counter(row for rows in THRESHOLDS.values() for row in rows)

    assert set(THRESHOLDS) == {*SHARED, *GROUPS}
    assert set(LOAD) == set(SCENARIOS)
    assert [row for row, number in rows.items() if number > 1] == []
    assert all(set(bars) <= set(THRESHOLDS[group]) for group, plots in PLOTS.items() for bars in plots.values())


@pytest.mark.parametrize(
    "module", [*(f"tests.benchmarks.{name}" for name in SHARED), *(g.module for g in GROUPS.values())]
)
def test_every_group_has_a_module_that_measures_it(module):
    source = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())

    assert ast.get_docstring(source)
    assert any(isinstance(each, ast.FunctionDef) and each.name == "measure" for each in source.body)


def test_limits_of_load_scenarios_are_as_agreed():
    limits = {name: (each.limit, each.at_least) for name, each in THRESHOLDS["load"].items()}

    agreed = {
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
    }
    assert limits.items() >= agreed.items()
