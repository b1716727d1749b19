"""Faults by name, drawn from a seed: when, of what, for how long. Each world has some kinds of them only, so that each kind also happens alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from netmon.active_probe.model import LineState
from netmon.active_probe.verdict.quorum import Presence
from netmon.failover.model import Freeze, Request, RequestKind
from tests.sim.broker import Weather
from tests.sim.engine import S
from tests.sim.judges import VANTAGES
from tests.sim.world import World


class Fault(NamedTuple):
    """One of them."""

    at_s: float
    kind: str
    for_s: float


def draw(rng: random.Random, seconds: float, only: Sequence[str] = ()) -> list[Fault]:
    """Faults of a day, the first one first; all of them are over when the day is. `only`: kinds, if the seed shall not choose them."""
    kinds = list(only) or rng.sample(sorted(KINDS), rng.randint(2, 7))
    # Without a dead line nothing has to move, and nothing else is put to the test.
    kinds += [] if only else ["cut", rng.choice(("cut", "duct", "flap"))]
    found = []
    for _ in range(rng.randint(4, 16)):
        for_s = rng.choice((3.0, 12.0, 25.0, 50.0, 90.0))
        at_s = rng.uniform(20.0, max(seconds - for_s - 5.0, 21.0))
        found.append(Fault(at_s, rng.choice(kinds), min(for_s, seconds - at_s)))
    return sorted(found)


def apply(world: World, faults: list[Fault]) -> None:
    """Has them happen in their time."""
    for fault in faults:
        world.engine.after(round(fault.at_s * S), _begins(world, fault))


def _begins(world: World, fault: Fault) -> Callable[[], None]:
    def begin() -> None:
        world.counts[f"fault {fault.kind}"] += 1
        end = KINDS[fault.kind](world, fault)
        world.engine.after(round(fault.for_s * S), end)

    return begin


Fails = Callable[[World, Fault], Callable[[], None]]
"""Begins a fault; returns what ends it."""


# -- lines


def _cut_lines(world: World, line_ids: list[str], of: str = "cuts") -> Callable[[], None]:
    def bump(by: int) -> None:
        for line_id in line_ids:
            line = world.lines[line_id]
            setattr(line, of, getattr(line, of) + by)
            world.changed(line_id)

    bump(1)
    return lambda: bump(-1)


def _line(world: World) -> str:
    return world.engine.rng.choice(sorted(world.lines))


def _used_line(world: World) -> str:
    """Of a working line, so that somebody has to move."""
    return world.engine.rng.choice(list(world.region.gateways.values()))[0]


def cut(world: World, fault: Fault) -> Callable[[], None]:
    """Nothing passes over a line."""
    return _cut_lines(world, [_used_line(world)])


def duct(world: World, fault: Fault) -> Callable[[], None]:
    """All lines of a duct, one after another within a second."""
    lines = list(world.region.ducts[world.engine.rng.choice(sorted(world.region.ducts))])
    ends: list[Callable[[], None]] = []
    for line_id in lines:
        world.engine.within(0, S, lambda line_id=line_id: ends.append(_cut_lines(world, [line_id])))  # type: ignore[misc]
    return lambda: [end() for end in ends] and None


def quake(world: World, fault: Fault) -> Callable[[], None]:
    """A third of all lines, and the posture of the areas follows."""
    rng = world.engine.rng
    lines = rng.sample(sorted(world.lines), len(world.lines) // 3)
    end = _cut_lines(world, lines)
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
    return _cut_lines(world, [_used_line(world)], "one_way")


def brownout(world: World, fault: Fault) -> Callable[[], None]:
    """Much is lost."""
    return _cut_lines(world, [_used_line(world)], "brown")


def flap(world: World, fault: Fault) -> Callable[[], None]:
    """A line comes and goes."""
    line_id = _used_line(world)
    state = {"end": _cut_lines(world, [line_id]), "on": True}

    def turn() -> None:
        if not state["on"]:
            return
        if state["end"] is None:
            state["end"] = _cut_lines(world, [line_id])
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
        for name in VANTAGES:
            world.judges.set_presence(name, presence, dark if presence == "isolated" else ())
        for controller in world.controllers:
            controller.see_vantages()

    turn("isolated")
    return lambda: turn("live")


def half_blind(world: World, fault: Fault) -> Callable[[], None]:
    """Two vantages are silent, and the third says that nearly everything is down: the region must freeze."""
    rng = world.engine.rng
    lines = rng.sample(sorted(world.lines), 3 * len(world.lines) // 4)
    for name in VANTAGES[:2]:
        world.judges.set_presence(name, "stale")
    for controller in world.controllers:
        controller.see_vantages()
    end = _lie(world, [VANTAGES[2]], dict.fromkeys(lines, "down"))

    def over() -> None:
        end()
        for name in VANTAGES[:2]:
            world.judges.set_presence(name, "live")
        for controller in world.controllers:
            controller.see_vantages()

    return over


def trap(world: World, fault: Fault) -> Callable[[], None]:
    """A trusted trap tells of a cut before any probe does."""
    line_id = _used_line(world)
    end = _cut_lines(world, [line_id])
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
        line_id = _line(world)
        for controller in world.controllers:
            if controller.core is not None and world.lines[line_id].good_since_ns:
                controller.core.see_trap(line_id, True, controller.now_ns - 3_600 * S)
    return _nothing


def _nothing() -> None:
    """It is over by itself."""


# -- gateways


def offline(world: World, fault: Fault) -> Callable[[], None]:
    """Some gateways do not reach the broker."""
    rng = world.engine.rng
    some = rng.sample(sorted(world.gateways), max(len(world.gateways) // 4, 1))
    for gateway_id in some:
        world.broker.leave(gateway_id)
    return lambda: [_back_online(world, gateway_id) for gateway_id in some] and None


def _back_online(world: World, gateway_id: str) -> None:
    gateway = world.gateways[gateway_id]
    if gateway.is_running:
        world.broker.rejoin(gateway_id)
        gateway.report()


def restart(world: World, fault: Fault) -> Callable[[], None]:
    """Agents are killed, in whatever they are doing."""
    return _restart(world, power=False)


def power(world: World, fault: Fault) -> Callable[[], None]:
    """Gateways lose power."""
    return _restart(world, power=True)


def _restart(world: World, *, power: bool) -> Callable[[], None]:
    rng = world.engine.rng
    some = [world.gateways[each] for each in rng.sample(sorted(world.gateways), max(len(world.gateways) // 5, 1))]
    for gateway in some:
        if gateway.is_running:
            gateway.kill(power=power)

    def over() -> None:
        for gateway in some:
            if not gateway.is_running:
                gateway.start()

    return over


def mid_switch(world: World, fault: Fault) -> Callable[[], None]:
    """A line is cut, and the agents on it die while they leave it."""
    line_id = _used_line(world)
    end = _cut_lines(world, [line_id])
    some = [gateway for gateway in world.gateways.values() if gateway.line_ids[0] == line_id]

    def die() -> None:
        for gateway in some:
            if gateway.is_running:
                gateway.kill(power=False)
                world.engine.after(2 * S, lambda gateway=gateway: None if gateway.is_running else gateway.start())  # type: ignore[misc]

    world.engine.within(100_000_000, 600_000_000, die)
    return end


def broken(world: World, fault: Fault) -> Callable[[], None]:
    """The next moves of some gateways fail at the actuator."""
    rng = world.engine.rng
    for gateway_id in rng.sample(sorted(world.gateways), max(len(world.gateways) // 3, 1)):
        world.gateways[gateway_id].breaks = 2
    return lambda: [setattr(gateway, "breaks", 0) for gateway in world.gateways.values()] and None


def gateway_lies(world: World, fault: Fault) -> Callable[[], None]:
    """A gateway says that its lines are dead."""
    gateway = world.engine.rng.choice(list(world.gateways.values()))

    def turn(lines: set[str]) -> None:
        world.lying[gateway.id] = lines
        for line_id in gateway.line_ids:
            world.port_ns[gateway.id, line_id] = world.engine.now_ns
        gateway.look()

    turn(set(gateway.line_ids[:2]))
    return lambda: turn(set())


# -- the broker and Redis


def no_broker(world: World, fault: Fault) -> Callable[[], None]:
    """The broker is killed, and has lost what was retained when it is back."""
    world.broker.stop(forgets=world.engine.chance(0.5))

    def over() -> None:
        world.broker.start()
        for gateway in world.gateways.values():
            if gateway.is_running:
                gateway.report()

    return over


def weather(world: World, fault: Fault) -> Callable[[], None]:
    """Messages are lost, late, there twice."""
    rng = world.engine.rng
    world.broker.weather = Weather(
        lost=rng.uniform(0.0, 0.4), twice=rng.uniform(0.0, 0.4), late=rng.uniform(0.0, 0.4), late_s=3.0
    )

    def over() -> None:
        world.broker.weather = Weather()

    return over


def no_redis(world: World, fault: Fault) -> Callable[[], None]:
    """Redis does not answer."""
    world.redis.is_away = True
    return lambda: setattr(world.redis, "is_away", False)


def lost_tail(world: World, fault: Fault) -> Callable[[], None]:
    """A replica that was some seconds behind takes the place of Redis."""
    world.redis.lose_tail(world.engine.now_ns - world.engine.rng.randint(1, 8) * S)
    return _nothing


def lost_all(world: World, fault: Fault) -> Callable[[], None]:
    """An empty Redis takes its place."""
    world.redis.lose_everything()
    return _nothing


# -- controllers


def stopped(world: World, fault: Fault) -> Callable[[], None]:
    """Whoever leads is stopped in the middle of his next order, and goes on later, as if nothing had been."""
    controller = next((each for each in world.controllers if each.core is not None and each.is_running), None)
    if controller is None:
        return _nothing
    controller.stops_at_order = controller.stop

    def over() -> None:
        controller.stops_at_order = None
        if controller.is_stopped:
            world.counts["went on"] += 1
            controller.go_on()

    return over


def killed(world: World, fault: Fault) -> Callable[[], None]:
    """Whoever leads is killed."""
    some = [each for each in world.controllers if each.core is not None]
    for controller in some:
        controller.kill()
    return lambda: [None if each.is_running else each.start() for each in some] and None


def cut_from_redis(world: World, fault: Fault) -> Callable[[], None]:
    """Whoever leads does not reach Redis; the other one does."""
    controller = world.engine.rng.choice(world.controllers)
    controller.is_cut_off = True
    return lambda: setattr(controller, "is_cut_off", False)


def cut_from_broker(world: World, fault: Fault) -> Callable[[], None]:
    """A controller does not reach the broker."""
    controller = world.engine.rng.choice(world.controllers)
    world.broker.leave(controller.name)
    return lambda: world.broker.rejoin(controller.name) if controller.is_running else None


def clock(world: World, fault: Fault) -> Callable[[], None]:
    """A gateway's clock is wrong."""
    gateway = world.engine.rng.choice(list(world.gateways.values()))
    by_ns = world.engine.rng.choice((-7_200, -40, 40, 7_200)) * S

    def turn(by_ns: int) -> None:
        gateway.skew_ns += by_ns
        if gateway.is_running:
            gateway.edge.shift(by_ns)
            gateway.look()

    turn(by_ns)
    return lambda: turn(-by_ns)


# -- operators


def operator(world: World, fault: Fault) -> Callable[[], None]:
    """Somebody locks out, forces, switches or exercises a group, and clears it later."""
    rng, now_ns = world.engine.rng, world.engine.now_ns
    group = world.region.groups[rng.choice(sorted(world.region.groups))]
    kinds: tuple[RequestKind, ...] = ("lockout", "forced", "manual", "exercise")
    kind = rng.choice(kinds)
    lines = (group.working, *group.protections)
    line_id = "" if kind == "lockout" and rng.random() < 0.5 else rng.choice(lines)
    request = Request(
        id=f"request-{now_ns}",
        kind=kind,
        group_id=group.id,
        line_id=line_id,
        by="operator",
        why="works",
        unix_ns=now_ns,
        until_unix_ns=now_ns + round(fault.for_s * S * rng.choice((0.5, 2.0))),
    )
    for controller in world.controllers:
        if not controller.ask(request):
            world.counts[f"asked {kind}"] += 1

    def over() -> None:
        for controller in world.controllers:
            controller.clear(group.id)
        world.cleared_ns[group.id] = world.engine.now_ns
        world.cleared[group.id] += 1

    return over


def frozen(world: World, fault: Fault) -> Callable[[], None]:
    """Somebody freezes the region."""
    freeze = Freeze(by="operator", why="works", unix_ns=world.engine.now_ns)
    for controller in world.controllers:
        controller.freeze(freeze)

    def over() -> None:
        for controller in world.controllers:
            controller.freeze(None)

    return over


KINDS: Final[dict[str, Fails]] = {
    each.__name__: each
    for each in (
        cut, duct, quake, one_way, brownout, flap, access, liar, liars, blind, half_blind, trap, spoofed, offline, restart, power,
        mid_switch, broken, gateway_lies, no_broker, weather, no_redis, lost_tail, lost_all, stopped, killed, cut_from_redis,
        cut_from_broker, clock, operator, frozen,
    )
}  # fmt: skip
"""All kinds by name."""
