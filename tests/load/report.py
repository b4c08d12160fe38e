"""A run as a page: its rows, and what happened over time. One file, no script, nothing loaded from anywhere."""

import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from script.lib.measurements import Row, percentile
from tests.load.call_log import Asked
from tests.load.checks import SEARCHES, WINDOW, hit_share
from tests.load.evidence import SLOTS, Evidence

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 62rem; margin: 2rem auto; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem; text-align: left; border-bottom: 1px solid #ddd; }
td.number { text-align: right; font-variant-numeric: tabular-nums; } .broken { color: #b00020; font-weight: 600; }
svg { max-width: 100%; height: auto; }
"""
_MOST_BINS = 60


@dataclass(frozen=True)
class Played:
    """A scenario and what came of it; without evidence it could not be played."""

    name: str
    rows: Sequence[Row]
    evidence: Evidence | None = None


def page(played: Sequence[Played], *, title: str) -> str:
    """Return the report as HTML."""
    parts = [f"<h1>{escape(title)}</h1>"]
    for each in played:
        parts += [f"<h2>{escape(each.name)}</h2>", _story(each.evidence), _table(each.rows)]
        parts += _plots(each.evidence) if each.evidence else []
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _story(evidence: Evidence | None) -> str:
    if evidence is None:
        return "<p>It could not be played.</p>"
    run = evidence.run
    words = f"{run.scenario.users} callers for {evidence.ended - evidence.began:.0f} s, time scale {run.time_scale:g}."
    end = evidence.ledger.end if evidence.ledger else None
    if end is not None:
        words += f" Locust used {100 * end.cpu_s / max(end.wall_s, 0.001):.0f} % of a core."
    return f"<p>{escape(words)}</p>"


def _table(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        value = "nothing" if row.found.value is None else f"{row.found.value:.3f}".rstrip("0").rstrip(".")
        side = "≥" if row.promise.at_least else "≤"
        limit = f"{side} {row.promise.limit:g} {row.promise.unit}"
        verdict = "<td>ok</td>" if row.ok else '<td class="broken">broken</td>'
        cells = f'<td>{escape(row.name)}</td><td class="number">{value}</td><td>{escape(limit)}</td>{verdict}'
        lines.append(f"<tr>{cells}<td>{escape(row.found.remark)}</td></tr>")
    head = "<tr><th>row</th><th>value</th><th>limit</th><th></th><th></th></tr>"
    return f"<table>{head}{''.join(lines)}</table>"


# --- plots --------------------------------------------------------------------------------------------------------


def _plots(evidence: Evidence) -> list[str]:
    drawn: Mapping[str, Callable[[Axes, Evidence], None]] = {
        "How long answers took": _draw_times,
        "Answers that waited for nobody": _draw_hits,
        "Requests of one key at Cal.com in the last 60 s": _draw_requests,
        "Messages that waited": _draw_queues,
    }
    return [_figure(title, draw, evidence) for title, draw in drawn.items()]


def _figure(title: str, draw: Callable[[Axes, Evidence], None], evidence: Evidence) -> str:
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlim(0, max(1.0, evidence.ended - evidence.began))
    axes.set_xlabel("seconds", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, alpha=0.3)
    draw(axes, evidence)
    for name, at in evidence.marks.items():
        if evidence.began < at < evidence.ended:
            axes.axvline(at - evidence.began, color="tab:gray", linestyle=":")
            axes.annotate(name, (at - evidence.began, axes.get_ylim()[1]), fontsize=7, va="top")
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=7, loc="upper right")
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None})
    return f"<figure>{written.getvalue().partition('?>')[2].partition('>')[2]}</figure>"


def _draw_times(axes: Axes, evidence: Evidence) -> None:
    asked = evidence.ledger.asked if evidence.ledger else []
    searches = [each for each in asked if each.operation in SEARCHES]
    others = [each for each in asked if each.operation not in SEARCHES]
    for label, shown, colour in (("others", others, "tab:orange"), ("searches", searches, "tab:blue")):
        places = [each.at - evidence.began for each in shown]
        axes.scatter(places, [max(each.took * 1000, 0.1) for each in shown], s=5, alpha=0.5, color=colour, label=label)
    bins = in_bins(searches, evidence)
    middle = [(place, percentile([each.took * 1000 for each in bin_], 0.95)) for place, bin_ in bins]
    axes.step(*_columns(middle), where="mid", color="tab:blue", label="searches, p95")
    if asked:
        axes.set_yscale("log")
    axes.set_ylabel("ms", fontsize=8)


def _draw_hits(axes: Axes, evidence: Evidence) -> None:
    asked = evidence.ledger.asked if evidence.ledger else []
    bins = in_bins([each for each in asked if each.operation in SEARCHES], evidence)
    axes.step(*_columns([(place, hit_share(bin_)) for place, bin_ in bins]), where="mid", color="tab:green")
    axes.set_ylim(0, 1.05)


def _draw_requests(axes: Axes, evidence: Evidence) -> None:
    busiest = requests_over_time(evidence)
    axes.plot(*_columns([(at, every) for at, every, _ in busiest]), color="tab:red", label="all")
    axes.plot(*_columns([(at, slots) for at, _, slots in busiest]), color="tab:blue", label="for slots")
    axes.axhline(120, color="black", linestyle="--", linewidth=1, label="Cal.com's limit")
    axes.set_ylim(0, 130)


def _draw_queues(axes: Axes, evidence: Evidence) -> None:
    depths = evidence.depths or []
    for queue in depths[0].by_queue if depths else ():
        points = [(each.at - evidence.began, float(each.by_queue[queue])) for each in depths]
        axes.step(*_columns(points), where="post", label=queue)
    axes.set_ylim(bottom=0)


def in_bins(asked: Sequence[Asked], evidence: Evidence) -> list[tuple[float, list[Asked]]]:
    """Return the answers by stretches of the run, each with the second of its middle; empty stretches are left out."""
    width = max(1.0, (evidence.ended - evidence.began) / _MOST_BINS)
    bins: dict[int, list[Asked]] = {}
    for each in asked:
        bins.setdefault(int((each.at - evidence.began) // width), []).append(each)
    return [((number + 0.5) * width, bins[number]) for number in sorted(bins)]


def requests_over_time(evidence: Evidence) -> list[tuple[float, int, int]]:
    """Return, second by second, the requests of the busiest key in the 60 s before: all, and those for slots."""
    seen, points = evidence.requests or (), []
    for second in range(int(evidence.ended - evidence.began) + 1):
        at = evidence.began + second
        recent = [each for each in seen if at - WINDOW < each.arrived_at <= at]
        every = Counter(each.key for each in recent)
        slots = Counter(each.key for each in recent if each.operation == SLOTS)
        points.append((float(second), max(every.values(), default=0), max(slots.values(), default=0)))
    return points


def _columns(points: Sequence[tuple[float, float | None]]) -> tuple[list[float], list[float]]:
    known = [(place, value) for place, value in points if value is not None]
    return [place for place, _ in known], [value for _, value in known]
