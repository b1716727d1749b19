"""Decides for all protection groups of a region: what is seen goes in, at each step what shall be done comes out.

Pure. One object for the controller, the drill, the plans and the simulation; the clock is an argument. It is level-triggered: whatever message
was lost, the next step of a group compares what is with what should be. Only groups to which something happened, or whose timer is due, are
stepped: the region's P0 groups first, then P1 to P3, each with what room those before it left. Times are nanoseconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from netmon.alarms.posture.model import Posture
from netmon.failover.explain import Explanation
from netmon.failover.model import Action, ActionResult, Freeze, Group, GroupState, LineFacts, LineSight, Request
from netmon.failover.plan.model import Reported


class LineLoad(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a line carries, by guaranteed rates. Bits per second."""

    line_id: str
    capacity_bps: int
    usable_bps: int
    """What of it is given away; 0: unlimited, as the capacity is not known."""
    admitted_bps: tuple[int, int, int, int]
    """P0 to P3: of groups that are on it, or are being moved to it."""
    shed_bps: tuple[int, int, int, int] = (0, 0, 0, 0)
    """P0 to P3: of groups whose working line it is, and that are nowhere."""


class Decided(NamedTuple):
    """What a step came to."""

    actions: list[Action]
    """In the order in which they are to be done: those that make room before those that need it, P0 first. `evidence` tells why."""
    states: list[GroupState]
    """That have changed, each once: written before the actions go out."""
    gateways: list[str]
    """IDs of gateways of which `locked` or `avoid` of a group has changed, so that they have to be told even if no action says so; sorted."""
    due_unix_ns: int
    """When to step again even if nothing happens; 0: need not be."""


class Coordinator:
    """All groups of a region.

    Attributes:
        fence: The leader's number, which the controller sets; 0: nobody leads. A report of an order under another fence is no result of ours.
        states: Group ID to where it stands.
        requests: Group ID to the operators' requests of it that are in force, oldest first.
        frozen: Why nothing moves by itself; None: it is not so.
    """

    fence: int
    states: Mapping[str, GroupState]
    requests: Mapping[str, Sequence[Request]]
    frozen: Freeze | None

    def __init__(
        self,
        lines: Sequence[LineFacts],
        groups: Sequence[Group],
        states: Iterable[GroupState] = (),
        *,
        started_unix_ns: int,
        calm_from_unix_ns: int = 0,
    ) -> None:
        """Begins where another one ended; every group is stepped once.

        Args:
            lines: Of the region.
            groups: Of the region; their lines are among `lines`.
            states: As they were last written; those of groups that are no more are left out.
            started_unix_ns: Now.
            calm_from_unix_ns: Before this nothing moves that can wait: the leader is new.
        """
        raise NotImplementedError

    # -- what happens: cheap, and only notes whom it concerns

    def see_line(self, sight: LineSight) -> None:
        """Takes the verdict on a line; of one that is not in the region: nothing happens."""
        raise NotImplementedError

    def see_gateway(self, reported: Reported, now_ns: int) -> None:
        """Takes what a gateway tells: of its lines, of where its groups are, of orders. One that is older than the last known does nothing."""
        raise NotImplementedError

    def lose_gateway(self, gateway_id: str) -> None:
        """A gateway is silent: what it saw counts no more, and it cannot be told anything until it speaks."""
        raise NotImplementedError

    def see_posture(self, area_id: str, posture: Posture) -> None:
        """Takes the posture of an area."""
        raise NotImplementedError

    def see_vantages(self, live: int, total: int, now_ns: int) -> None:
        """Takes how many of the vantages live: with too few of them, a region that fails all at once freezes."""
        raise NotImplementedError

    def see_trap(self, line_id: str, failed: bool, unix_ns: int) -> None:
        """Takes what trusted traps say of a line; it counts as SF until a probe shows the line good later than that, or traps take it back."""
        raise NotImplementedError

    def ask(self, request: Request, now_ns: int) -> str:
        """Takes an operator's request; the same one twice is taken once.

        Returns:
            Empty, or why it is refused.
        """
        raise NotImplementedError

    def clear(self, group_id: str, now_ns: int) -> str:
        """Takes back all requests of a group, and lets one that does not revert by itself do so.

        Returns:
            Empty, or why it is refused.
        """
        raise NotImplementedError

    def freeze(self, freeze: Freeze | None, now_ns: int) -> None:
        """Freezes the region, or lifts that."""
        raise NotImplementedError

    def approve(self, group_id: str, generation: int) -> str:
        """Lets a proposal be done (mode advise).

        Returns:
            Empty, or why it is refused.
        """
        raise NotImplementedError

    def result(self, result: ActionResult) -> None:
        """Takes what became of an order; of one that is not the newest of its group: nothing happens."""
        raise NotImplementedError

    # -- decides

    def step(self, now_ns: int) -> Decided:
        """Decides for every group that something happened to, or whose time has come. `now_ns` may go back: no timer runs out early for it."""
        raise NotImplementedError

    # -- shows

    def evidence(self, action: Action) -> tuple[str, ...]:
        """Why this was decided, as short English texts for the audit: sights, risks avoided, requests. To be asked before more is seen."""
        raise NotImplementedError

    def delay_s(self, action: Action) -> float:
        """How long the order waits, so that not all of a region move at once; 0 for what is urgent. The same each time it is asked."""
        raise NotImplementedError

    def locked(self, group_id: str) -> bool:
        """Whether its gateway must not move it by itself: locked out, forced, or frozen."""
        raise NotImplementedError

    def avoid(self, group_id: str) -> tuple[str, ...]:
        """Lines of the group to which its gateway must not go by itself: locked out, damped, or dead as the centre sees it; sorted."""
        raise NotImplementedError

    def explain(self, group_id: str, now_ns: int) -> Explanation:
        """Why the group is where it is. Raises KeyError: there is no such group."""
        raise NotImplementedError

    @property
    def loads(self) -> Mapping[str, LineLoad]:
        """Line ID to what it carries, made anew each time."""
        raise NotImplementedError
