"""The page of all metrics, from the registry that a worker serves."""

from __future__ import annotations

from typing import Final

from docs.hooks.table import table
from retryd.telemetry.metrics import Metrics

INTRODUCTION: Final = """# Every metric

Made from the code: what `/metrics` says of each. [Metrics](../metrics.md) tells what they mean
and how to add them up.

"""


def page() -> str:
    """Write the page."""
    registry = Metrics().registry
    rows = []
    for collector in registry._collector_to_names:  # noqa: SLF001 - labels are told nowhere else
        labels = ", ".join(f"`{label}`" for label in getattr(collector, "_labelnames", ()))
        for family in collector.collect():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            rows.append((f"`{name}`", family.type, labels, family.documentation))
    return INTRODUCTION + table(("metric", "type", "labels", "tells"), sorted(rows))
