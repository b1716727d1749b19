"""What a sink is: it is told of alarms as they are, and sees for itself that others get to know."""

from __future__ import annotations

from typing import Protocol

from netmon.alarms.model import Alarm
from netmon.northbound.report import SinkReport


class Sink(Protocol):
    """One way out for alarms. All methods but `run` return at once; they are called in the event loop."""

    def begin(self) -> None:
        """The list of alarms comes anew: what is not put before `end` is no more."""

    def put(self, alarm: Alarm) -> None:
        """An alarm as it is now."""

    def drop(self, alarm_id: str) -> None:
        """An alarm has left the list."""

    def end(self) -> None:
        """The list is complete; what is put from now on are changes."""

    def report(self) -> SinkReport:
        """How it stands."""

    async def run(self) -> None:
        """Works until it is cancelled."""
