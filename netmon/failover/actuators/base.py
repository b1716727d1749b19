"""What moves a class of traffic at a gateway: one file for each way, all of this shape.

An order names the state that is wanted, so it may be given twice. Every actuator keeps the greatest `(fence, generation)` of each group, across
restarts, and refuses what is smaller: a leader that was stopped and goes on moves nothing.

What moves traffic on the spot is a *mover*: `linux_routes`, or `dry_run`. The agent of a gateway decides by itself, and calls its mover; for the
centre, `local` makes an actuator of a mover: orders, stagger and fences are the same for both movers, and written once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, runtime_checkable

import msgspec

from netmon.failover.model import ActionResult, Phase, SwitchReason
from netmon.failover.plan.model import PlannedGroup, PlannedLine

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


class Way(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How orders get to gateways: over a broker, or to a carrier's controller."""

    up: bool
    """Orders get through, as far as is known."""
    why: str = ""
    """Why not; in words, and nothing secret."""
    waiting: int = 0
    """What is to be told and was not taken yet."""
    counts: dict[str, int] = {}
    """Of a closed set of words, since the leader began."""


@runtime_checkable
class HasWays(Protocol):
    """An actuator that depends on others."""

    def ways(self) -> dict[str, Way]:
        """Name to how each is. May be called in another thread than the actuator's own."""


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


class Moved(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of one move."""

    group_id: str
    outcome: Literal["applied", "verified", "failed"]
    """applied: it stands, and was read back; verification runs. verified: the class arrives, too (or is refused, as it was to be). failed: it
    could not be, or the class did not arrive."""
    on: str | None = None
    """Where the class is now; None: nowhere, and not on purpose, because the interface of its line is gone."""
    detail: str = ""
    """Of `failed`: what, and the cure."""
    phases_s: dict[str, float] = {}
    """How long what took: `act`, `verify`."""


class Mover(Protocol):
    """What moves classes on this machine. All methods run in one asyncio loop, and none takes longer than its limits say."""

    async def take_plan(self, groups: Sequence[PlannedGroup], lines: Sequence[PlannedLine]) -> None:
        """Makes what the groups need, adopts what stands, and undoes what was its own and is needed no longer. May be called again.

        A group that is nowhere yet is put onto its working line.

        Raises:
            ConfigError: It can never work: a right is missing, or somebody else's routes are in the way.
            UnavailableError: It does not work now.
        """

    async def move(
        self,
        group_id: str,
        to: str,
        *,
        forced: bool = False,
        verify_s: float | None = None,
        applied: Callable[[Moved], None] | None = None,
    ) -> Moved:
        """Puts a class onto a line, or (SHED) has its packets refused; a class that is there already is only verified.

        When it does not arrive, and its former line is not known to be down, it is put back.

        Args:
            group_id: Of the plan.
            to: Line ID of the plan, or SHED.
            forced: An operator's: it stays even if the class does not arrive.
            verify_s: How long it may take to arrive; None: what the group's timers say.
            applied: Told once the move stands, before it is verified.

        Returns:
            `verified` or `failed`; it raises nothing but CancelledError. A move that is cancelled stands, or does not, as a whole.
        """

    async def actual(self) -> dict[str, str]:
        """As an actuator's."""

    async def close(self) -> None:
        """Ends; what stands remains, so that traffic flows on while nobody is here."""
