"""Everything there is to see, in Prometheus' format."""

from collections.abc import Iterator

from django.conf import settings
from prometheus_client import generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitoring import collectors, metrics, multiprocess
from monitoring.collectors import Gauge, Reading


class _Everything(Collector):
    """What was counted, and what the gauges show."""

    def collect(self) -> Iterator[Metric]:
        """Yield the families. What cannot be read is missing, and `slotline_readable` says so."""
        shown = [metrics.INFO.at(1, settings.RELEASE)]
        for answer in collectors.COLLECTORS.answers():
            shown += answer.value or ()
            shown.append(metrics.READABLE.at(not answer.problem, answer.name))
        try:
            yield from multiprocess.collected()
        except multiprocess.Unreadable:
            shown.append(metrics.READABLE.at(0, "counters"))
        else:
            shown.append(metrics.READABLE.at(1, "counters"))
        yield from _families(shown)


def _families(shown: list[Reading]) -> Iterator[Metric]:
    families: dict[Gauge, GaugeMetricFamily] = {}
    for reading in shown:
        gauge = reading.gauge
        if gauge not in families:
            families[gauge] = GaugeMetricFamily(gauge.name, gauge.meaning, labels=gauge.labels)
        families[gauge].add_metric(reading.labels, reading.value)
    yield from families.values()


def text() -> bytes:
    """Return all metrics as Prometheus reads them."""
    return generate_latest(_Everything())
