"""One probe of any kind, made by hand and looked at closely: with what the kernel tells of the answer beside its octets."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import Any, Protocol

import msgspec

from netmon.active_probe import arrival
from netmon.active_probe.probers import is_packet_prober, load_packet_prober, load_service_prober
from netmon.active_probe.probers.base import Outcome, PacketProber, Reply, ServiceContext
from netmon.active_probe.vantage.pinning import describe, in_netns, is_local_error
from netmon.inventory.probes import AnyProbe, Pin, kind_of


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one probe."""

    outcome: Outcome
    phases: dict[str, float] = {}
    """Seconds, in their order; of service probes."""
    came_in_by: str = ""
    """Interface of the answer, of packet probes; a connection does not tell."""
    ttl: int = 0
    """It came with this TTL or hop limit; 0: nobody told."""


class Asker(Protocol):
    """Makes the probes of one kind and target."""

    async def ask(self, timeout_s: float) -> Found:
        """One probe."""

    async def close(self) -> None:
        """Ends what is kept between them."""


def asker_of(probe: AnyProbe, context: ServiceContext) -> Asker:
    """Whoever can make this probe. Raises ConfigError: the probe is of no use."""
    return PacketAsker(probe, context) if is_packet_prober(kind_of(probe)) else ServiceAsker(probe, context)


class ServiceAsker:
    """Of a service prober."""

    def __init__(self, probe: AnyProbe, context: ServiceContext) -> None:
        self._service: Any = load_service_prober(kind_of(probe))(probe, context)

    async def ask(self, timeout_s: float) -> Found:
        """One probe."""
        outcome = await self._service.probe(timeout_s)
        return Found(outcome=outcome, phases=self._service.phases.seconds)

    async def close(self) -> None:
        """Closes it."""
        await self._service.close()


class PacketAsker:
    """Of a packet prober."""

    def __init__(self, probe: AnyProbe, context: ServiceContext) -> None:
        self._probe: Any = probe
        self._secrets = context.secrets
        self._channel: PacketProber | None = None
        self._same: socket.socket | None = None
        """The channel's socket by another number: to look at a datagram before the prober takes it."""
        self._seq = 0

    async def ask(self, timeout_s: float) -> Found:
        """One probe."""
        try:
            channel = self._channel = self._channel or self._open()
            self._seq += 1
            sent_unix_ns = time.time_ns()
            channel.send(0, self._seq, sent_unix_ns)
        except OSError as error:
            if is_local_error(error, at_send=True):
                await self.close()
                return Found(outcome=Outcome("local_error", None, describe(error)))
        try:
            async with asyncio.timeout(timeout_s):
                return await self._answer(channel, sent_unix_ns)
        except TimeoutError:
            return Found(outcome=Outcome("lost", None, "no answer in time"))
        except OSError as error:
            await self.close()
            return Found(outcome=Outcome("local_error", None, describe(error)))

    def _open(self) -> PacketProber:
        channel = load_packet_prober(kind_of(self._probe))(self._probe.pin, (self._probe,), self._secrets)
        self._same = socket.socket(fileno=os.dup(channel.fileno()))
        arrival.tell_ttl(self._same)
        arrival.tell_interface(self._same)
        return channel

    async def _answer(self, channel: PacketProber, sent_unix_ns: int) -> Found:
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(channel.fileno(), ready.set)
        try:
            while True:
                await ready.wait()
                ready.clear()
                told = self._peek()
                for reply in channel.receive():
                    if reply.seq == self._seq:
                        return self._found(reply, told, sent_unix_ns)
        finally:
            loop.remove_reader(channel.fileno())

    def _found(self, reply: Reply, told: arrival.ControlMessages, sent_unix_ns: int) -> Found:
        came_in_by = _name(self._probe.pin, arrival.interface_of(told))
        rtt_s = max(0, (reply.received_unix_ns or time.time_ns()) - sent_unix_ns) / 1e9
        outcome = Outcome("reply", rtt_s)
        if reply.wrong_interface:
            expected = self._probe.pin.expect_interface
            outcome = Outcome("local_error", rtt_s, f"it came in by {reply.wrong_interface}, not by {expected}")
        return Found(outcome=outcome, came_in_by=came_in_by, ttl=arrival.ttl_of(told))

    def _peek(self) -> arrival.ControlMessages:
        assert self._same is not None, "opened"
        try:
            return self._same.recvmsg(1, arrival.ANCILLARY_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)[1]
        except OSError:
            return ()

    async def close(self) -> None:
        """Closes the channel."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._same is not None:
            self._same.close()
            self._same = None


def _name(pin: Pin, index: int) -> str:
    try:
        return in_netns(pin, lambda: socket.if_indextoname(index)) if index else ""
    except OSError:
        return ""
