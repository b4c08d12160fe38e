"""The dashboard as Grafana reads it: panels side by side in rows, with units, thresholds and descriptions."""

from collections.abc import Iterator, Sequence
from typing import Any

from monitoring.dashboard import Panel, Row, Threshold

_GRID = 24
_SIZES = {"stat": (3, 4), "timeseries": (8, 8)}
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_GREEN, _ORANGE, _RED = "green", "orange", "red"


def dashboard(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the dashboard; its reader chooses one of the Prometheus servers that Grafana knows."""
    return {
        "uid": "slotline",
        "title": "Slotline",
        "description": "Made of monitoring/dashboard.py by `manage.py export_dashboard`. Change it there.",
        "tags": ["slotline"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "annotations": {"list": []},
        "panels": list(_panels(rows)),
    }


def _panels(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for row in rows:
        number += 1
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "panels": []} | _place(
            0, top, 24, 1
        )
        top, left, height = top + 1, 0, 0
        for panel in row.panels:
            width, tall = _SIZES[panel.kind]
            if left + width > _GRID:
                top, left, height = top + height, 0, 0
            number += 1
            yield {"id": number, **_panel(panel), **_place(left, top, width, tall)}
            left, height = left + width, max(height, tall)
        top += height


def _place(left: int, top: int, width: int, height: int) -> dict[str, Any]:
    return {"gridPos": {"x": left, "y": top, "w": width, "h": height}}


def _panel(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": _steps(panel.thresholds)}
    options: dict[str, Any]
    if panel.kind == "stat":
        defaults["color"] = {"mode": "thresholds"}
        options = {"colorMode": "background", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}}
    else:
        defaults |= {"color": {"mode": "palette-classic"}, "min": 0, "custom": _lines(panel)}
        options = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {"refId": ref, "expr": query.expr, "legendFormat": query.legend or "__auto", "datasource": _DATASOURCE}
            for ref, query in zip("ABCDEFG", panel.queries, strict=False)
        ],
    }


def _lines(panel: Panel) -> dict[str, Any]:
    watched = {"mode": "dashed"} if panel.thresholds else {"mode": "off"}
    return {"drawStyle": "line", "fillOpacity": 10, "showPoints": "never", "thresholdsStyle": watched}


def _steps(thresholds: Sequence[Threshold]) -> dict[str, Any]:
    """Return the colour from each level on, lowest first. The first is that of values below all levels."""
    below = [threshold for threshold in thresholds if threshold.below]
    steps: list[dict[str, Any]] = [{"color": _color(below[0]) if below else _GREEN, "value": None}]
    steps += [
        {"color": _GREEN if threshold.below else _color(threshold), "value": threshold.level}
        for threshold in thresholds
    ]
    return {"mode": "absolute", "steps": steps}


def _color(threshold: Threshold) -> str:
    return _RED if threshold.critical else _ORANGE
