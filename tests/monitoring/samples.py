"""What our own figures say, for tests: they only grow, so a test looks before and after."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client.parser import text_string_to_metric_families

from monitoring import collectors, exporter


def now() -> dict[str, float]:
    """Return every sample that is exported, by its line: `name{label="value"}`, labels in alphabetical order."""
    for asked in (collectors.PROBES, collectors.COLLECTORS):
        asked.clear_cache()
    families = text_string_to_metric_families(exporter.text().decode())
    return {spelled(sample.name, sample.labels): sample.value for family in families for sample in family.samples}


def spelled(name: str, labels: dict[str, str]) -> str:
    """Return how a sample is called."""
    inner = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return f"{name}{{{inner}}}" if inner else name


@contextmanager
def growth() -> Iterator[dict[str, float]]:
    """Yield a dict that holds, after the context, by how much each counter grew that did."""
    grown: dict[str, float] = {}
    before = now()
    yield grown
    grown.update({line: value - before.get(line, 0) for line, value in now().items() if value != before.get(line, 0)})
