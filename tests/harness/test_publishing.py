"""The page of benchmarks: what was measured, how, and against which limit; nothing that was not."""

from script.lib.measurements import Found, Promise, Row
from tests.benchmarks import publishing
from tests.chaos.experiments import stale_offers


def test_the_page_says_what_was_measured_and_how(tmp_path, monkeypatch):
    """FM-80: beside every table stands the command that measured it, and a row that is broken says so."""
    monkeypatch.setattr(publishing, "PAGE", tmp_path / "benchmarks.md")
    monkeypatch.setattr(publishing, "PLOTS", tmp_path / "benchmarks")
    rows = [
        Row(name, promise, Found(number, "of 5 offers"))
        for number, (name, promise) in enumerate(stale_offers.PROMISES.items())
    ]
    broken = Row("worst", Promise("ms", 2), Found(None, "the log was empty"))

    publishing.publish({"stale_offers": [*rows, broken]}, full=True)

    page = (tmp_path / "benchmarks.md").read_text()
    assert "`script/bench --only stale_offers --full`" in page
    assert "| `stale_offers` | 0 | offers | ≤ 0 | kept | of 5 offers |" in page
    assert "| `stale_offers_direct` | 1 | offers |  |  | of 5 offers |" in page
    assert "| `worst` | nothing | ms | ≤ 2 | **broken** | the log was empty |" in page
    [plot] = (tmp_path / "benchmarks").glob("*.svg")
    assert f"](benchmarks/{plot.name})" in page


def test_the_same_numbers_make_the_same_files(tmp_path, monkeypatch):
    """A second run that found the same changes nothing in the repository but the date."""
    monkeypatch.setattr(publishing, "PAGE", tmp_path / "benchmarks.md")
    monkeypatch.setattr(publishing, "PLOTS", tmp_path / "benchmarks")
    rows = [Row(name, promise, Found(1.0)) for name, promise in stale_offers.PROMISES.items()]
    drawn = []

    for _ in range(2):
        publishing.publish({"stale_offers": rows}, full=False)
        [plot] = (tmp_path / "benchmarks").glob("*.svg")
        drawn.append(plot.read_bytes())

    assert drawn[0] == drawn[1]
