"""What a metric is before it has values. Its family is made from that, so that what is served is what is declared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

Kind = Literal["counter", "gauge", "histogram"]
Value = int | float
Sample = tuple[Sequence[str], Value]
"""Values of the labels, and of the metric."""


class Declared(msgspec.Struct, frozen=True):
    """What a metric is, for the documentation and for the rules about names."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]


class Named(Protocol):
    """Whatever has a name, a kind and a help."""

    @property
    def name(self) -> str:
        """See `Declared`."""

    @property
    def kind(self) -> Kind:
        """See `Declared`."""

    @property
    def help(self) -> str:
        """See `Declared`."""


def family(metric: Named, labels: Sequence[str], samples: Sequence[Sample]) -> Metric:
    """The metric with its samples, in their order; for counters and gauges."""
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    found = kind(metric.name, metric.help, labels=labels)
    for values, value in samples:
        found.add_metric(values, value)
    return found
