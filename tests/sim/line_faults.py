"""Faults of lines, and of those who look at them."""

from __future__ import annotations

from collections.abc import Callable

from netmon.active_probe.model import LineState
from netmon.active_probe.verdict.quorum import Presence
from tests.sim.engine import S
from tests.sim.fault import Fault, any_line, cut_lines, nothing, used_line
from tests.sim.judges import VANTAGES
from tests.sim.world import World

# -- lines


def cut(world: World, fault: Fault) -> Callable[[], None]:
    """Nothing passes over a line."""
    return cut_lines(world, [used_line(world)])


def duct(world: World, fault: Fault) -> Callable[[], None]:
    """All lines of a duct, one after another within a second."""
    lines = list(world.region.ducts[world.engine.rng.choice(sorted(world.region.ducts))])
    ends: list[Callable[[], None]] = []
    for line_id in lines:
        world.engine.within(0, S, lambda line_id=line_id: ends.append(cut_lines(world, [line_id])))  # type: ignore[misc]
    return lambda: [end() for end in ends] and None


def quake(world: World, fault: Fault) -> Callable[[], None]:
    """A third of all lines, and the posture of the areas follows."""
    rng = world.engine.rng
    lines = rng.sample(sorted(world.lines), len(world.lines) // 3)
    end = cut_lines(world, lines)
    area = rng.choice(world.region.areas)
    _posture(world, area, "disaster")

    def over() -> None:
        end()
        _posture(world, area, "recovering")
        world.engine.after(40 * S, lambda: _posture(world, area, "normal"))

    return over


def _posture(world: World, area: str, posture: str) -> None:
    for controller in world.controllers:
        controller.see_posture(area, posture)


def one_way(world: World, fault: Fault) -> Callable[[], None]:
    """Nothing passes towards the gateway."""
    return cut_lines(world, [used_line(world)], "one_way")


def brownout(world: World, fault: Fault) -> Callable[[], None]:
    """Much is lost."""
    return cut_lines(world, [used_line(world)], "brown")


def flap(world: World, fault: Fault) -> Callable[[], None]:
    """A line comes and goes."""
    line_id = used_line(world)
    state = {"end": cut_lines(world, [line_id]), "on": True}

    def turn() -> None:
        if not state["on"]:
            return
        if state["end"] is None:
            state["end"] = cut_lines(world, [line_id])
        else:
            state["end"]()
            state["end"] = None
        world.engine.within(2 * S, 20 * S, turn)

    def over() -> None:
        state["on"] = False
        if state["end"] is not None:
            state["end"]()

    world.engine.within(2 * S, 20 * S, turn)
    return over


def access(world: World, fault: Fault) -> Callable[[], None]:
    """One gateway's own port to a line that is well."""
    gateway = world.engine.rng.choice(list(world.gateways.values()))
    line_id = gateway.line_ids[0]

    def turn(*, is_down: bool) -> None:
        if ((gateway.id, line_id) in world.ports_down) == is_down:
            # Another fault of this kind has done it already.
            return
        (world.ports_down.add if is_down else world.ports_down.discard)((gateway.id, line_id))
        world.port_ns[gateway.id, line_id] = world.engine.now_ns
        world.felt(gateway.id, line_id)

    turn(is_down=True)
    return lambda: turn(is_down=False)


# -- who looks


def _lie(world: World, names: list[str], lies: dict[str, LineState]) -> Callable[[], None]:
    def note() -> None:
        for line_id in lies:
            world.lied_ns[line_id] = world.engine.now_ns

    for name in names:
        world.judges.lie(name, lies)
    note()
    repeating = {"on": True}

    def again() -> None:
        if repeating["on"]:
            note()
            world.engine.after(10 * S, again)

    again()

    def over() -> None:
        repeating["on"] = False
        note()
        for name in names:
            world.judges.lie(name, {})

    return over


def liar(world: World, fault: Fault) -> Callable[[], None]:
    """One vantage says that good lines are down, and it is alone with that: nothing must move for it."""
    rng = world.engine.rng
    lies: dict[str, LineState] = dict.fromkeys(rng.sample(sorted(world.lines), 3), "down")
    # Always the same one: two of them that happen to agree are a quorum.
    world.judges.lie(VANTAGES[2], lies)
    return lambda: world.judges.lie(VANTAGES[2], {})


def liars(world: World, fault: Fault) -> Callable[[], None]:
    """Two vantages of three agree on what is not so."""
    rng = world.engine.rng
    said: LineState = rng.choice(("down", "up", "degraded"))
    return _lie(world, list(VANTAGES[:2]), dict.fromkeys(rng.sample(sorted(world.lines), 2), said))


def blind(world: World, fault: Fault) -> Callable[[], None]:
    """Every prober's uplink is cut: a third of all lines do not answer them, but they know why. Nothing must move for it."""
    dark = world.engine.rng.sample(sorted(world.lines), len(world.lines) // 3)

    def turn(presence: Presence) -> None:
        world.judges.set_presence(VANTAGES, presence, dark if presence == "isolated" else ())
        for controller in world.controllers:
            controller.see_vantages()

    turn("isolated")
    return lambda: turn("live")


def half_blind(world: World, fault: Fault) -> Callable[[], None]:
    """Two vantages are silent, and the third says that nearly everything is down: the region must freeze."""
    rng = world.engine.rng
    lines = rng.sample(sorted(world.lines), 3 * len(world.lines) // 4)
    world.judges.set_presence(VANTAGES[:2], "stale")
    for controller in world.controllers:
        controller.see_vantages()
    end = _lie(world, [VANTAGES[2]], dict.fromkeys(lines, "down"))

    def over() -> None:
        end()
        world.judges.set_presence(VANTAGES[:2], "live")
        for controller in world.controllers:
            controller.see_vantages()

    return over


def trap(world: World, fault: Fault) -> Callable[[], None]:
    """A trusted trap tells of a cut before any probe does."""
    line_id = used_line(world)
    end = cut_lines(world, [line_id])
    world.trap_ns[line_id] = world.engine.now_ns
    for controller in world.controllers:
        controller.see_trap(line_id, True)

    def over() -> None:
        end()
        world.trap_ns[line_id] = world.engine.now_ns
        for controller in world.controllers:
            controller.see_trap(line_id, False)

    return over


def spoofed(world: World, fault: Fault) -> Callable[[], None]:
    """Old traps are played again, a thousand of them: the lines have answered since, and nothing must move."""
    for _ in range(1_000):
        line_id = any_line(world)
        for controller in world.controllers:
            if controller.core is not None and world.lines[line_id].good_since_ns:
                controller.core.see_trap(line_id, True, controller.now_ns - 3_600 * S)
    return nothing
