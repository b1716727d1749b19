"""One protection group as the coordinator holds it: its state, and what has come in for its next step.

Pure.
"""

from __future__ import annotations

from typing import Final

import msgspec

from netmon.alarms.posture.model import Posture
from netmon.failover.model import SHED, ActionResult, Group, GroupState
from netmon.failover.plan.model import ReportedGroup
from netmon.failover.protection import timers

UNTOLD_NS: Final = 30_000_000_000
"""A gateway that so long after the newest order tells that it has not dealt with it was never told: where it is counts all the same."""
GENERATION_MAX: Final = 1 << 53
"""A gateway that tells of a greater one is not believed: no number that we could count on from would be left."""


class Member:
    """A group, where it stands, and its news.

    Attributes:
        group: As configured.
        effective: The same with its timers as the posture of its area makes them.
        posture: Of its area.
        order: Its place among all groups: P0 first, then by ID.
        state: As of its last step.
        reported: What its gateway told last; None: nothing, or nothing that can be.
        news: What became of its attempt, for its next step.
        approved: Generation that an operator has approved, for its next step.
        clear: Whether an operator has just said so, for its next step.
        evicted_from: Line on which it has to make room; empty: none.
        is_stuck: Whether it was told to leave that line, and could not.
        ordered: (fence, generation) of the newest order given; reports of gateways that have not dealt with it tell nothing new.
        ordered_ns: When it was given.
        heard_ns: When its gateway last told of it.
        reachable: Whether its gateway can be told anything.
        is_led: Whether its gateway was heard and will leave a dead line by itself: it is given the time to.
        has_turn: Whether it is its turn to return, in its next step.
        waits: Whether it waits for room, or for its turn.
        due_unix_ns: When its timer is due; 0: none runs.
        terms: What its gateway was told of it beside orders: whether it is locked, and lines to avoid.
    """

    __slots__ = (
        "approved", "clear", "due_unix_ns", "effective", "evicted_from", "group", "has_turn", "heard_ns", "is_led", "is_stuck", "lines", "news", "order", "ordered", "ordered_ns", "posture",
        "reachable", "reported", "state", "terms", "waits",
    )  # fmt: skip

    def __init__(self, group: Group, order: int, state: GroupState) -> None:
        """Nothing is known but where it stands."""
        self.group = group
        self.effective = group
        self.posture: Posture = "normal"
        self.order = order
        self.lines = (group.working, *group.protections)
        self.state = state
        self.reported: ReportedGroup | None = None
        self.news: ActionResult | None = None
        self.approved = 0
        self.clear = False
        self.evicted_from = ""
        self.is_stuck = False
        self.ordered = (0, 0)
        self.ordered_ns = self.heard_ns = 0
        self.reachable = True
        self.is_led = False
        self.has_turn = False
        self.waits = False
        self.due_unix_ns = 0
        self.terms: tuple[bool, tuple[str, ...]] = (False, ())

    @property
    def place(self) -> str:
        """Line that it takes room of: where it is being moved to, else where it is; or SHED. One that is stuck has not left until it has."""
        attempt = self.state.attempt
        is_going = attempt is not None and attempt.stage != "proposed" and not self.is_stuck
        return attempt.to if attempt is not None and is_going else self.state.on

    @property
    def told_on(self) -> str | None:
        """Where its gateway says that it is, after it has dealt with the newest order, or should have; None: that is not known."""
        reported = self.reported
        if reported is None:
            return None
        is_dealt_with = (reported.fence, reported.generation) >= self.ordered
        return reported.on if is_dealt_with or self.heard_ns - self.ordered_ns > UNTOLD_NS else None

    @property
    def reported_on(self) -> str | None:
        """The same, while nothing is under way; None: that is not known, or will be answered."""
        return self.told_on if self.state.attempt is None else None

    def counted(self) -> GroupState:
        """Its state, with a generation that is not smaller than what its gateway has seen: whoever kept the state may have lost the newest."""
        reported = self.reported
        if reported is None or self.state.attempt is not None or reported.generation <= self.state.generation:
            return self.state
        return msgspec.structs.replace(self.state, generation=reported.generation)

    def shift(self, by_ns: int) -> None:
        """The clock was set by so much."""
        self.state = timers.shifted(self.state, by_ns)
        self.ordered_ns += by_ns
        self.heard_ns += by_ns

    def report(self, reported: ReportedGroup, now_ns: int) -> bool:
        """Takes what its gateway tells of it; tells whether the next step has to look at it."""
        if (reported.on != SHED and reported.on not in self.lines) or reported.generation > GENERATION_MAX:
            return False
        self.reported, self.heard_ns = reported, now_ns
        attempt = self.state.attempt
        if attempt is None:
            return reported.on != self.state.on
        is_answer = reported.outcome and reported.generation == attempt.generation and reported.fence >= self.ordered[0]
        if not is_answer:
            return False
        return self.tell(
            ActionResult(
                group_id=self.group.id,
                generation=reported.generation,
                outcome=reported.outcome,  # type: ignore[arg-type]  # it is not empty
                on=reported.on,
                detail=reported.detail,
                phases_s=reported.phases_s,
            )
        )

    def tell(self, result: ActionResult) -> bool:
        """Takes what became of its attempt; tells whether that is news. What comes after the end does not undo it."""
        attempt = self.state.attempt
        if attempt is None or attempt.stage == "proposed" or result.generation != attempt.generation:
            return False
        is_end = result.outcome in {"verified", "failed", "refused"}
        if self.news is not None and not is_end:
            return False
        if result.outcome == "applied" and attempt.stage == "applied":
            return False
        self.news = result
        return True
