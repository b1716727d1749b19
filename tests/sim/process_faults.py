"""Faults of gateways, of broker and Redis, of controllers; and what operators do meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from netmon.failover.model import RequestKind
from tests.sim.broker import Weather
from tests.sim.engine import S
from tests.sim.fault import Fault, cut_lines, nothing, used_line
from tests.sim.world import World

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
    line_id = used_line(world)
    end = cut_lines(world, [line_id])
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
        if world.lying.get(gateway.id, set()) == lines:
            # It tells the same already, or the truth again.
            return
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
    return nothing


def lost_all(world: World, fault: Fault) -> Callable[[], None]:
    """An empty Redis takes its place."""
    world.redis.lose_everything()
    return nothing


# -- controllers


def stopped(world: World, fault: Fault) -> Callable[[], None]:
    """Whoever leads is stopped in the middle of his next order, and goes on later, as if nothing had been."""
    controller = next((each for each in world.controllers if each.core is not None and each.is_running), None)
    if controller is None:
        return nothing
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


def centre_clock(world: World, fault: Fault) -> Callable[[], None]:
    """The clock that both controllers follow is set, and set back."""
    by_ns = world.engine.rng.choice((-7_200, -40, 40, 7_200)) * S

    def turn(by_ns: int) -> None:
        for controller in world.controllers:
            controller.set_clock(by_ns)

    turn(by_ns)
    return lambda: turn(-by_ns)


# -- operators


def operator(world: World, fault: Fault) -> Callable[[], None]:
    """Somebody locks out, forces, switches or exercises a group, and clears it later."""
    rng = world.engine.rng
    group = world.region.groups[rng.choice(sorted(world.region.groups))]
    kinds: tuple[RequestKind, ...] = ("lockout", "forced", "manual", "exercise")
    kind = rng.choice(kinds)
    lines = (group.working, *group.protections)
    line_id = "" if kind == "lockout" and rng.random() < 0.5 else rng.choice(lines)
    wanted = world.command(kind, group.id, line_id, until_s=fault.for_s * rng.choice((0.5, 2.0)))
    for controller in world.controllers:
        if not controller.obey(wanted):
            world.counts[f"asked {kind}"] += 1

    def over() -> None:
        world.clear(group.id, world.controllers)

    return over


def frozen(world: World, fault: Fault) -> Callable[[], None]:
    """Somebody freezes the region."""
    for controller in world.controllers:
        controller.obey(world.command("freeze"))

    def over() -> None:
        for controller in world.controllers:
            controller.obey(world.command("unfreeze"))

    return over
