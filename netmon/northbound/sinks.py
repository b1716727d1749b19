"""Every sink there is. A new one is a file of its own, a line here, its part of the settings, and a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from netmon.alarms.model import Command
from netmon.northbound.alertmanager import Alertmanager
from netmon.northbound.settings import NorthboundSettings
from netmon.northbound.sink import Sink

Acknowledge = Callable[[Sequence[Command]], None]
"""Has the worker carry out commands; blocks until Redis has them."""


def _alertmanager(settings: NorthboundSettings, acknowledge: Acknowledge) -> Sink | None:
    if settings.alertmanager is None:
        return None
    return Alertmanager(settings.alertmanager, settings.inventory, acknowledge)


SINKS: Final[dict[str, Callable[[NorthboundSettings, Acknowledge], Sink | None]]] = {
    "alertmanager": _alertmanager,
}
"""Name to how it is made; None when it is not configured. Names are labels of metrics."""


def configured(settings: NorthboundSettings, acknowledge: Acknowledge) -> dict[str, Sink]:
    """The sinks that the settings want, by name."""
    made = {name: make(settings, acknowledge) for name, make in SINKS.items()}
    return {name: sink for name, sink in made.items() if sink is not None}
