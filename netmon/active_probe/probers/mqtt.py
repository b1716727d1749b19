"""MQTT: a message to oneself and back through a broker (MQTT 5, QoS 0), over a connection that is kept.

The round trip is of the message alone. After any probe that was not answered the connection is thrown away, because TCP sends again ever more
rarely, up to minutes apart: a line that is well again would be waited for. A new connection takes four round trips and more, and a probe
on a slow line may have no time for them; so it is made in a task of its own, which outlives the probe that began it.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from contextlib import suppress
from hashlib import blake2b
from typing import Final

from netmon.active_probe.probers.base import Outcome, ServiceContext
from netmon.active_probe.probers.dial import Dialer, tls_context
from netmon.active_probe.probers.service import BadAnswer, Service, deadline, settled
from netmon.errors import ConfigError
from netmon.inventory.probes import AnyProbe, MqttProbe, label
from netmon.mqtt.connection import Connection
from netmon.mqtt.location import Location, location_of
from netmon.mqtt.packet import Hello, MqttError

PACKET_BYTES_MAX: Final = 4_096
"""A probe is some dozens; whoever else publishes on its topic is not read beyond this."""

KEEP_ALIVE_S: Final = 3_600
"""Longer than any interval of probes, which are the signs of life; the broker may want another."""

SET_UP_TIMEOUTS: Final = 6
"""Timeouts of a probe that a new connection may take, of which TCP has one: TLS, CONNECT and SUBSCRIBE take some round trips more."""

REFUSED_FIRST_S: Final = 0.5
REFUSED_MAX_S: Final = 30.0
"""A broker that refuses (a wrong password, an old certificate) is asked again after this, twice as long each time; until then its refusal is
the outcome. One that does not answer is asked again by each probe: that is what a probe is for."""

FOREIGN_MAX: Final = 100
"""Messages of others that one probe reads until it gives up."""

_NONCE_BYTES: Final = 16


class MqttService(Service):
    """One topic at one broker."""

    def __init__(self, probe: MqttProbe, location: Location, context: ServiceContext) -> None:
        super().__init__()
        where = label(probe)
        name = blake2b(f"{context.vantage_id}\n{context.line_id}\n{where}".encode(), digest_size=8).hexdigest()
        self._name = f"mqtt {context.line_id} {where}"
        self._topic = f"{probe.topic}/{context.vantage_id}/{context.line_id}/{name}"
        self._hello = Hello(
            client_id=f"netmon{name}",  # 22 letters and digits: every broker takes so many (section 3.1.3.1)
            username=probe.username,
            password=context.secrets.get(probe.password_file, "") if probe.password_file else "",
            keep_alive_s=KEEP_ALIVE_S,
            packet_bytes_max=PACKET_BYTES_MAX,
        )
        tls = tls_context(probe.tls_ca_file, where) if location.secure else None
        self._dialer = Dialer(location.host, location.port, probe.pin, tls=tls)
        self._connection: Connection | None = None
        self._set_up: asyncio.Task[Outcome] | None = None
        self._refusal: Outcome | None = None
        self._refusals = 0
        self._ask_again_s = 0.0

    async def ask(self) -> Outcome:
        """Publishes, and waits for what was published."""
        if self._connection is not None and self._connection.is_over:
            self._drop()
        if self._connection is None:
            unconnected = await self._connect()
            if unconnected is not None:
                return unconnected
        try:
            with self.phases.of("round trip"):
                await self._round_trip()
        except BaseException:
            self._drop()
            raise
        return Outcome("reply", self.phases.seconds["round trip"])

    async def _round_trip(self) -> None:
        connection, nonce = self._connection, os.urandom(_NONCE_BYTES)
        assert connection is not None
        try:
            connection.publish(self._topic, nonce)
            for _ in range(FOREIGN_MAX):
                if (await connection.message()).payload == nonce:
                    return
            raise BadAnswer("somebody else publishes on this topic")
        except MqttError as error:
            raise BadAnswer(str(error)) from None

    async def _connect(self) -> Outcome | None:
        """Waits for a connection; returns what came of it instead, if there is none."""
        if self._refusal is not None and time.monotonic() < self._ask_again_s:
            return self._refusal
        if self._set_up is None or self._set_up.done():
            limit_s = self.timeout_s * SET_UP_TIMEOUTS
            self._set_up = asyncio.get_running_loop().create_task(self._settle(limit_s), name=self._name)
        came_of_it = await asyncio.shield(self._set_up)
        return None if self._connection is not None else came_of_it

    async def _settle(self, limit_s: float) -> Outcome:
        """Makes the connection, or an outcome of what went wrong."""
        came_of_it = await settled(self._make, limit_s, self.phases)
        if came_of_it.kind == "failed" and not came_of_it.detail.startswith("ECONN"):
            self._refusals += 1
            wait_s = min(REFUSED_FIRST_S * 2 ** min(self._refusals, 10), REFUSED_MAX_S)
            self._refusal, self._ask_again_s = came_of_it, time.monotonic() + wait_s * random.uniform(0.5, 1.0)  # noqa: S311 - spread
        else:
            self._refusal, self._refusals = None, 0
        return came_of_it

    async def _make(self) -> Outcome:
        phases = self.phases
        # A SYN that is not answered in time is lost, and another is better than to wait until the kernel sends it again.
        async with deadline(self.timeout_s):
            sock = await self._dialer.connect(phases)
        reader, writer = await self._dialer.streams(sock, phases)
        try:
            with phases.of("mqtt"):
                connection, _ = await Connection.open(reader, writer, self._hello)
                await connection.subscribe((self._topic,))
        except MqttError as error:
            writer.transport.abort()
            raise BadAnswer(str(error)) from None
        except BaseException:
            writer.transport.abort()
            raise
        self._connection = connection
        return Outcome("reply")

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    async def close(self) -> None:
        """Takes leave of the broker."""
        if self._set_up is not None:
            self._set_up.cancel()
            with suppress(asyncio.CancelledError):
                await self._set_up
        if self._connection is not None:
            self._connection.leave()
            self._connection = None


def make_service(probe: AnyProbe, context: ServiceContext, /) -> MqttService:
    """Makes one; see `netmon.active_probe.probers.base.MakeService`."""
    assert isinstance(probe, MqttProbe)
    if probe.password_file and not context.secrets.get(probe.password_file):
        raise ConfigError([f"{label(probe)}: password_file: {probe.password_file}: expected a password"])
    return MqttService(probe, location_of(probe.url, label(probe)), context)
