"""Shows that a class arrives where it was moved to: it asks as the class does, with the class's mark, until there is an answer.

Owns what a class is verified by: its own probes, or the far end of the line that it moved to; and the pace of the tries. The probers are
those of `netmon.active_probe.probers`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from netmon.active_probe.probers import is_packet_prober, load_packet_prober, load_service_prober
from netmon.active_probe.probers.base import PacketProber, ServiceContext
from netmon.active_probe.vantage.pinning import describe
from netmon.errors import ConfigError
from netmon.failover.actuators.layout import mark_of
from netmon.failover.plan.model import PlannedGroup, PlannedLine
from netmon.inventory.probes import AnyProbe, IcmpProbe, Pin, SnmpProbe, StampProbe, TcpProbe, kind_of, label

PROBES_MAX: Final = 8
"""Of one class that are asked, the first ones."""
TRY_S: Final = 0.05
"""Between the first two tries; each wait is twice the one before ..."""
TRY_MAX_S: Final = 0.4
"""... up to this."""


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking."""

    arrived: bool
    took_s: float
    detail: str
    """Which probe was answered, or what became of each."""


def probes_of(group: PlannedGroup, line: PlannedLine) -> tuple[AnyProbe, ...]:
    """What is asked to verify a class on a line, each pinned by the class's mark alone: where it goes is for its routes to say."""
    pin = Pin(mark=mark_of(group))
    asked = group.verify or line.probes
    return tuple(msgspec.structs.replace(probe, pin=pin) for probe in asked[:PROBES_MAX])


def far_ends(line: PlannedLine) -> tuple[str, ...]:
    """Literal addresses at the far end of a line."""
    probes = [probe for probe in line.probes if isinstance(probe, StampProbe | IcmpProbe | TcpProbe | SnmpProbe)]
    return tuple(dict.fromkeys(probe.address.partition("%")[0] for probe in probes))[:PROBES_MAX]


async def verify(
    group: PlannedGroup, line: PlannedLine, *, deadline_s: float, secrets: Mapping[str, str] = {}, gateway_id: str = ""
) -> Arrival:
    """Asks until one probe is answered, or the time is up; a class without any probe has not been shown to arrive.

    Args:
        group: The class, with its mark and its probes.
        line: Where it was moved to.
        deadline_s: At most so long.
        secrets: File name, as a probe has it, to what is in it.
        gateway_id: For probers that tell who asks.
    """
    probes = probes_of(group, line)
    began = time.monotonic()
    if not probes:
        return Arrival(arrived=False, took_s=0.0, detail=f"line {line.line_id} has no probe, and the class neither")
    context = ServiceContext(gateway_id, line.line_id, secrets)
    said = {label(probe): "no answer" for probe in probes}
    tasks = {asyncio.create_task(_ask(probe, context, began + deadline_s, said)) for probe in probes}
    try:
        answered = ""
        pending = set(tasks)
        while pending and not answered:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            answered = next((name for task in done if (name := task.result())), "")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    detail = answered or "; ".join(f"{name}: {what}" for name, what in said.items())
    return Arrival(arrived=bool(answered), took_s=time.monotonic() - began, detail=detail)


async def _ask(probe: AnyProbe, context: ServiceContext, deadline: float, said: dict[str, str]) -> str:
    """One probe, again and again: its label once it is answered, empty when the time is up; `said` has the newest complaint."""
    try:
        if is_packet_prober(kind_of(probe)):
            assert isinstance(probe, StampProbe | IcmpProbe)
            answered = await _ask_packets(probe, context.secrets, deadline, said)
        else:
            answered = await _ask_service(probe, context, deadline, said)
    except (ConfigError, ImportError) as error:
        said[label(probe)] = str(error)
        return ""
    return label(probe) if answered else ""


async def _ask_packets(
    probe: StampProbe | IcmpProbe, secrets: Mapping[str, str], deadline: float, said: dict[str, str]
) -> bool:
    """Sends at the pace of the tries; any answer to any of them will do."""
    open_channel = load_packet_prober(kind_of(probe))
    channel: PacketProber | None = None
    try:
        for seq, wait_s in enumerate(_waits(deadline)):
            try:
                channel = channel or open_channel(probe.pin, [probe], secrets)
                channel.send(0, seq, time.time_ns())
            except OSError as error:
                said[label(probe)] = describe(error)
            if channel is None:
                await asyncio.sleep(wait_s)
            elif await _is_answered(channel, wait_s):
                return True
    finally:
        if channel is not None:
            channel.close()
    return False


async def _is_answered(channel: PacketProber, wait_s: float) -> bool:
    loop = asyncio.get_running_loop()
    until = time.monotonic() + wait_s
    readable = asyncio.Event()
    loop.add_reader(channel.fileno(), readable.set)
    try:
        while (rest := until - time.monotonic()) > 0:
            async with asyncio.timeout(rest):
                await readable.wait()
            readable.clear()
            if channel.receive():
                return True
    except TimeoutError:
        pass
    except OSError:  # the socket is of no use until its interface is back: the next try says so, too
        await asyncio.sleep(max(0.0, until - time.monotonic()))
    finally:
        loop.remove_reader(channel.fileno())
    return False


async def _ask_service(probe: AnyProbe, context: ServiceContext, deadline: float, said: dict[str, str]) -> bool:
    """One whole probe after the other; none may take more than half of the time that is left, or a lost packet would take all of it."""
    prober = load_service_prober(kind_of(probe))(probe, context)
    try:
        for wait_s in _waits(deadline):
            began = time.monotonic()
            outcome = await prober.probe(max(wait_s, (deadline - began) / 2))
            if outcome.kind == "reply":
                return True
            said[label(probe)] = outcome.detail or outcome.kind
            await asyncio.sleep(max(0.0, began + wait_s - time.monotonic()))
    finally:
        await prober.close()
    return False


def _waits(deadline: float) -> Iterator[float]:
    """How long to wait for the answer to each try, until the time is up."""
    wait_s = TRY_S
    while (rest := deadline - time.monotonic()) > 0:
        yield min(wait_s, rest)
        wait_s = min(2 * wait_s, TRY_MAX_S)
