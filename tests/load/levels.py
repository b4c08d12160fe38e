"""The service levels of a run, from the counters that Prometheus would scrape: those of all processes together."""

from collections.abc import Mapping
from datetime import timedelta

from monitoring.alert_forms import History, Series
from monitoring.service_levels import LEVELS

MEASURED = tuple(level.name for level in LEVELS if level.name != "truth")
"""The truth rate has a trial of its own: lists are compared once a minute."""
WHOLE_RUN = timedelta(seconds=1)
_BEGAN, _ENDED = 0.0, 1.0
AT = _ENDED

Counters = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]
"""Values by name and labels."""


def read() -> Counters:
    """Return what all processes have counted so far."""
    from monitoring import multiprocess  # noqa: PLC0415  needs the settings

    samples = [sample for family in multiprocess.collected() for sample in family.samples]
    return {(each.name, tuple(sorted(each.labels.items()))): each.value for each in samples}


def growth(before: Counters, after: Counters) -> History:
    """Return the run as a history of one step. What was not there at its beginning was 0."""
    found: dict[str, list[Series]] = {}
    for (name, labels), value in after.items():
        series = Series(dict(labels), [_BEGAN, _ENDED], [before.get((name, labels), 0.0), value])
        found.setdefault(name, []).append(series)
    return found
