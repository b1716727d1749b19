"""Probers of services that misbehave: each spoils its own line, and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.active_probe.probers.base import Outcome, ServiceContext
from netmon.active_probe.vantage.clock import Clock
from netmon.active_probe.vantage.engine import Engine
from netmon.active_probe.vantage.services import Refused, Services, make_service
from netmon.active_probe.vantage.target import Target
from netmon.inventory.probes import SnmpProbe, TcpProbe

FAST = BUILT_IN["fast"]
LIMIT_S = 10.0

Behaviour = Callable[[float], Awaitable[Outcome]]


class Prober:
    """Does as it is told."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.probe = behaviour

    async def close(self) -> None:
        """Keeps nothing."""


async def answer(timeout_s: float) -> Outcome:
    """At once."""
    return Outcome("reply", 0.001)


async def hang(timeout_s: float) -> Outcome:
    """Longer than it may."""
    await asyncio.sleep(3_600)
    return Outcome("reply", 0.001)


async def fail(timeout_s: float) -> Outcome:
    """By a fault of netmon's."""
    raise LookupError("a fault of ours")


async def time_out(timeout_s: float) -> Outcome:
    """As some libraries do."""
    raise TimeoutError


def target(name: str, behaviour: Behaviour) -> Target:
    """A line with one service."""
    one = Target(name, f"tcp {name}", TcpProbe(address="192.0.2.1", port=1), FAST, standby=False, started_ns=0)
    one.service = Prober(behaviour)
    return one


async def run(targets: list[Target], until: Callable[[], bool]) -> Engine:
    """Probes until it is so."""
    clock = Clock()
    services = Services(clock)
    engine = Engine(
        targets,
        [],
        clock,
        changed=lambda target: None,
        answered=lambda target, sent_ns: None,
        ask_service=services.ask,
        work=lambda now_ns, most: False,
    )
    async with asyncio.TaskGroup() as tasks:
        services.start(engine, tasks)
        running = tasks.create_task(engine.run())
        deadline = time.monotonic() + LIMIT_S
        while not until():
            assert time.monotonic() < deadline, [(one.line_id, one.track.state) for one in targets]
            await asyncio.sleep(0.01)
        running.cancel()
    engine.close()
    return engine


async def test_each_prober_spoils_its_own_line_alone() -> None:
    """One that hangs or times out is a silent line; one that is broken says nothing of it."""
    well, hanging, broken, late = (
        target(name, behaviour) for name, behaviour in zip("abcd", (answer, hang, fail, time_out), strict=True)
    )
    await run(
        [well, hanging, broken, late],
        lambda: (
            [one.track.state for one in (well, hanging, late)] == ["up", "down", "down"]
            and broken.track.reason == "cannot_send"
        ),
    )

    assert broken.track.reading(time.monotonic_ns()).detail == "LookupError"
    assert well.track.reading(time.monotonic_ns()).rtt_p50_s == pytest.approx(0.001)


async def test_one_prober_has_never_two_probes_at_a_time() -> None:
    """Its turns are let go meanwhile, and counted."""
    under_way = most = 0

    async def slow(timeout_s: float) -> Outcome:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.12)
        under_way -= 1
        return Outcome("reply", 0.12)

    one = target("slow", slow)
    engine = await run([one], lambda: one.asked >= 5)

    assert most == 1
    assert engine.counts.skipped >= 4


async def test_prober_that_cannot_be_made_says_why_with_each_probe() -> None:
    """A secret that was not handed over is no reason to leave the other lines alone."""
    probe = SnmpProbe(address="192.0.2.1", community_file="nowhere")

    prober = make_service(probe, ServiceContext("hq", "fibre-1", {}))
    outcome = await prober.probe(1.0)
    await prober.close()

    assert isinstance(prober, Refused)
    assert outcome.kind == "local_error"
    assert "nowhere" in outcome.detail
