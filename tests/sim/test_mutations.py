"""The simulation can fail: with one rule of the core broken, it finds out within a few days."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import pytest

from netmon.active_probe.verdict import quorum
from netmon.failover.agent.edge import Edge
from netmon.failover.agent.held import Held
from netmon.failover.plan.model import Desired, DesiredGroup
from netmon.failover.protection import machine
from netmon.failover.protection.admission import Loads
from netmon.failover.protection.choice import Chooser
from netmon.failover.protection.machine import Outcome
from netmon.failover.protection.orders import Move
from netmon.failover.protection.stepped import Turns
from netmon.failover.region.coordinator import Coordinator
from netmon.failover.region.member import Member
from netmon.failover.region.rooms import Rooms
from tests.sim import judges
from tests.sim.day import Day
from tests.sim.invariants import ViolationError

DAYS_MAX: Final = 12

Patch = pytest.MonkeyPatch


def no_fences(patch: Patch) -> None:
    """Gateways obey whoever speaks last."""

    def desired(self: Edge, told: Desired) -> str:
        self.fence, self._desired = told.fence, told
        for wanted in told.groups:
            self._held[wanted.group_id].desired = wanted
        return ""

    def order(self: Held) -> DesiredGroup | None:
        wanted = self.desired
        same = wanted is None or (wanted.fence, wanted.generation) == (self.fence, self.generation)
        return None if same else wanted

    patch.setattr(Edge, "desired", desired)
    patch.setattr(Held, "order", property(order))


def no_wait_to_restore(patch: Patch) -> None:
    """Traffic returns as soon as its line answers."""
    patch.setitem(machine._RESPONSES, "restore", lambda case: Outcome(case.state, Move(case.group.working, "revert")))


def no_preemption(patch: Patch) -> None:
    """Nobody makes room for P0."""
    patch.setattr(Loads, "victims", lambda self, line_id, group, *_: () if self.fits(line_id, group) else None)


def nobody_is_told_to_leave(patch: Patch) -> None:
    """Where there is no room, all stay together."""
    patch.setattr(Rooms, "_ask_to_leave", lambda *_: None)


def no_admission(patch: Patch) -> None:
    """There is always room."""
    patch.setattr(Loads, "fits", lambda *_: True)
    patch.setattr(Loads, "victims", lambda *_: ())


def blind_are_believed(patch: Patch) -> None:
    """Vantages that are cut off are heard like others."""
    patch.setattr(
        judges,
        "judge_line",
        lambda votes, presences, *rest: quorum.judge_line(votes, dict.fromkeys(presences, "live"), *rest),
    )


def dead_lines_are_candidates(patch: Patch) -> None:
    """A line is chosen whatever is seen of it."""
    patch.setattr(Chooser, "_word", lambda *_: "")


def no_turns(patch: Patch) -> None:
    """All return at once."""
    ready_one = Turns.ready

    def ready(self: Turns, *when: Any) -> list[str]:
        found: list[str] = []
        while True:
            for area in self._areas.values():
                area.open_ns = 0
                for wave in area.waves.values():
                    wave.open_ns = 0
            some = ready_one(self, *when)
            if not some:
                return found
            found += some

    patch.setattr(Turns, "ready", ready)


def no_freeze(patch: Patch) -> None:
    """The region is told to be frozen, and goes on."""
    look = Coordinator._look_at_region

    def looks(self: Coordinator, now_ns: int) -> None:
        look(self, now_ns)
        self._was_frozen = False

    patch.setattr(Coordinator, "_look_at_region", looks)


def nothing_is_adopted(patch: Patch) -> None:
    """Where gateways have put their classes by themselves is of no interest."""
    patch.setattr(Member, "reported_on", property(lambda _: None))


MUTATIONS: Final[dict[Callable[[Patch], None], Sequence[str]]] = {
    no_fences: ("cut", "stopped", "duct"),
    no_wait_to_restore: ("cut",),
    no_preemption: ("quake",),
    no_admission: ("quake",),
    nobody_is_told_to_leave: ("quake",),
    blind_are_believed: ("blind",),
    dead_lines_are_candidates: ("duct", "cut", "offline"),
    no_turns: ("duct",),
    no_freeze: ("half_blind",),
    nothing_is_adopted: ("cut", "offline"),
}
"""What is broken, and the faults that bring it to light."""


def _play_days(only: Sequence[str], lines: int, gateways: int) -> None:
    for seed in range(DAYS_MAX):
        Day(seed, lines, gateways, only).run()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_broken_rule_is_found(mutation: Callable[[Patch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a few days."""
    mutation(monkeypatch)

    # For these it has to be crowded.
    size = (12, 40) if mutation in {no_preemption, no_admission, nobody_is_told_to_leave} else (20, 20)

    with pytest.raises(ViolationError):
        _play_days(MUTATIONS[mutation], *size)


@pytest.mark.parametrize("only", sorted({tuple(kinds) for kinds in MUTATIONS.values()}), ids="-".join)
def test_nothing_is_found_where_nothing_is_broken(only: Sequence[str]) -> None:
    """The same faults, with the core as it is."""
    Day(5, 20, 20, only).run()
