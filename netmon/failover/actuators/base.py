"""What moves a class of traffic at a gateway: one file for each way, all of this shape.

An order names the state that is wanted, so it may be given twice. Every actuator keeps the greatest `(fence, generation)` of each group, across
restarts, and refuses what is smaller: a leader that was stopped and goes on moves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from netmon.failover.model import ActionResult, Phase, SwitchReason

Tell = Callable[[ActionResult], None]
"""Takes what became of an order. May be called several times for one: `applied`, then `verified`. Called in the actuator's own loop."""


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Put one class at one gateway onto a line, or nowhere."""

    group_id: str
    gateway_id: str
    class_id: str
    fence: int
    generation: int
    on: str
    """Line ID, or SHED."""
    before: str = ""
    """Where it is, as far as is known."""
    phase: Phase
    reason: SwitchReason = ""
    forced: bool = False
    locked: bool = False
    avoid: tuple[str, ...] = ()
    delay_s: float = 0.0
    """Stagger: not before so much time has passed."""
    unix_ns: int
    """When it was decided."""


class Actuator(Protocol):
    """One way to move traffic. All methods run in one asyncio loop."""

    async def begin(self, tell: Tell) -> None:
        """Makes ready; returns soon, and goes on in the background where it has to connect. Raises ConfigError: it can never work."""

    def order(self, orders: Sequence[Order]) -> None:
        """Takes orders and returns at once; of one group only the newest counts. What becomes of them comes by `tell`."""

    async def actual(self) -> dict[str, str]:
        """Group ID to where it is now, read from what really moves traffic; a group of which nothing is known is missing."""

    async def close(self) -> None:
        """Ends; moves nothing."""
