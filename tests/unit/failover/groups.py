"""A protection group under test, with lines that can be cut and an actuator that does what it is told, or not."""

from __future__ import annotations

from typing import Any

import msgspec

from netmon.active_probe.model import LineState
from netmon.failover.model import (
    Action,
    ActionResult,
    Candidate,
    Group,
    LineSight,
    Request,
    RequestKind,
    Seen,
    Step,
)
from netmon.failover.protection import machine

SECOND = 1_000_000_000
NOON = 1_767_268_800 * SECOND
HOUR = 3_600 * SECOND

RANKS = {"near": (0, 0, 1, 0), "far": (0, 1, 3, 2)}
"""`near` is the better protection line by a whole rank."""


def group(**more: Any) -> Group:
    """One class at one gateway, with a fibre of its own and two lines to fall back on."""
    values: dict[str, Any] = {
        "id": "gw-port/life",
        "gateway_id": "gw-port",
        "class_id": "life",
        "priority": 0,
        "working": "own",
        "protections": ("near", "far"),
    }
    return Group(**{**values, **more})


def sights(**states: LineState | LineSight) -> dict[str, LineSight]:
    """How lines are seen; all are up but those named."""
    all_up: dict[str, LineState | LineSight] = {"own": "up", "near": "up", "far": "up"}
    return {
        line_id: LineSight(line_id=line_id, state=state) if isinstance(state, str) else state
        for line_id, state in {**all_up, **states}.items()
    }


def candidates(of: Group, lines: dict[str, LineSight]) -> tuple[Candidate, ...]:
    """The group's protection lines that are up, the best first, as the choice of lines would give them."""
    return tuple(
        Candidate(line_id, RANKS.get(line_id, (9,))) for line_id in of.protections if lines[line_id].state == "up"
    )


def request(kind: RequestKind, line_id: str = "", **more: Any) -> Request:
    """A command in force."""
    values: dict[str, Any] = {"by": "ops", "why": "test", "unix_ns": NOON, "until_unix_ns": NOON + 8 * HOUR}
    return Request(
        **{"id": f"{kind}-{line_id}", "kind": kind, "group_id": "gw-port/life", "line_id": line_id, **values, **more}
    )


class Play:
    """One group, stepped at the times that it asks for; what its lines and its operator do is set by the test."""

    def __init__(self, of: Group | None = None, **more: Any) -> None:
        self.group = of or group(**more)
        self.now_ns = NOON
        self.state = machine.initial(self.group, NOON)
        self.lines = sights()
        self.view: dict[str, Any] = {}
        """Of Seen: what is not as usual."""
        self.obeys = True
        """Whether the actuator carries out what it is told, at once."""
        self.actions: list[Action] = []
        """All that was asked for, oldest first."""
        self.due_ns = 0
        self.waiting = ""

    def seen(self, **news: Any) -> Seen:
        """The view of now."""
        usual = {"sights": self.lines, "candidates": candidates(self.group, self.lines)}
        return Seen(**{**usual, **self.view, **news})

    def step(self, **news: Any) -> tuple[Action, ...]:
        """One step, and those that follow at once from the answers of the actuator. Returns what was asked for."""
        asked = self._step(self.seen(**news))
        for action in asked:
            if action.kind == "switch" and self.obeys:
                asked += self.answer("verified", action)
        return asked

    def answer(self, outcome: str, action: Action | None = None, **more: Any) -> tuple[Action, ...]:
        """The actuator tells what became of an order: of this one, or of the newest."""
        generation = self.state.generation if action is None else action.generation
        result = ActionResult(group_id=self.group.id, generation=generation, outcome=outcome, **more)  # type: ignore[arg-type]
        return self._step(self.seen(result=result))

    def _step(self, seen: Seen) -> tuple[Action, ...]:
        step = machine.step(self.group, self.state, seen, self.now_ns)
        self.take(step)
        return step.actions

    def take(self, step: Step) -> None:
        """What a step has left behind."""
        self.state, self.due_ns, self.waiting = step.state, step.due_unix_ns, step.waiting
        self.actions += step.actions

    def after(self, seconds: float) -> tuple[Action, ...]:
        """Time passes, with a step at each time that was asked for, and one at the end. Returns what was asked for."""
        end_ns = self.now_ns + round(seconds * SECOND)
        begun = len(self.actions)
        while self.now_ns < self.due_ns < end_ns:
            self.now_ns = self.due_ns
            self.step()
        self.now_ns = end_ns
        self.step()
        return tuple(self.actions[begun:])

    def see(self, **states: LineState | LineSight) -> tuple[Action, ...]:
        """Lines change, and a step sees it."""
        self.lines = {**self.lines, **{line: sights(**{line: how})[line] for line, how in states.items()}}
        return self.step()

    def ask(self, kind: RequestKind, line_id: str = "", **more: Any) -> tuple[Action, ...]:
        """An operator's command comes into force."""
        self.view["request"] = request(kind, line_id, **more)
        return self.step()

    def clear(self) -> tuple[Action, ...]:
        """An operator takes back what is in force."""
        self.view.pop("request", None)
        return self.step(clear=True)

    def fail_over(self) -> None:
        """The working line is cut, and the group is on the better protection line."""
        self.see(own="down")
        assert self.where() == ("PROTECTING", "near")

    def where(self) -> tuple[str, str]:
        """Phase, and line."""
        return self.state.phase, self.state.on

    def set(self, **changes: Any) -> None:
        """The state is as if something had happened before."""
        self.state = msgspec.structs.replace(self.state, **changes)


def told(actions: tuple[Action, ...]) -> list[tuple[str, ...]]:
    """What was asked for, without what follows from the rest."""
    return [
        ("page", action.text, action.to) if action.kind == "page" else (action.kind, action.to, action.reason)
        for action in actions
    ]


def moves(actions: list[Action] | tuple[Action, ...]) -> list[tuple[str, str]]:
    """Switches that were ordered: where to, and why."""
    return [(action.to, action.reason) for action in actions if action.kind == "switch"]
