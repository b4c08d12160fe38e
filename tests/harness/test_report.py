"""docs/benchmarks.md: what was measured, how, and against which threshold; nothing that was not."""

from script.lib.measurements import Measurement, Row, Threshold
from tests.benchmarks import report
from tests.benchmarks.thresholds import THRESHOLDS


def test_page_has_command_table_and_plots_of_each_group(tmp_path, monkeypatch):
    """FM-80: a row that fails says so."""
    monkeypatch.setattr(report, "PAGE", tmp_path / "benchmarks.md")
    monkeypatch.setattr(report, "PICTURES", tmp_path / "benchmarks")
    rows = [
        Row(name, threshold, Measurement(number, "of 5 offers"))
        for number, (name, threshold) in enumerate(THRESHOLDS["stale_offers"].items())
    ]
    failed = Row("worst", Threshold("ms", 2), Measurement(None, "the log was empty"))

    report.publish({"stale_offers": [*rows, failed]}, full=True)

    page = (tmp_path / "benchmarks.md").read_text()
    assert "`script/bench --only stale_offers --full`" in page
    assert "A day of 2,000 changes" in page
    assert "| `stale_offers` | 0 | offers | ≤ 0 | pass | of 5 offers |" in page
    assert "| `stale_offers_direct` | 1 | offers |  |  | of 5 offers |" in page
    assert "| `worst` | nothing | ms | ≤ 2 | **FAIL** | the log was empty |" in page
    [plot] = (tmp_path / "benchmarks").glob("*.svg")
    assert f"](benchmarks/{plot.name})" in page


def test_same_measurements_make_the_same_plots(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "PAGE", tmp_path / "benchmarks.md")
    monkeypatch.setattr(report, "PICTURES", tmp_path / "benchmarks")
    rows = [Row(name, threshold, Measurement(1.0)) for name, threshold in THRESHOLDS["stale_offers"].items()]
    drawn = []

    for _ in range(2):
        report.publish({"stale_offers": rows}, full=False)
        [plot] = (tmp_path / "benchmarks").glob("*.svg")
        drawn.append(plot.read_bytes())

    assert drawn[0] == drawn[1]
