"""What devices publish by themselves over MQTT: whoever is heard over a line shows that the line brings at least that direction.

Listens to a broker on this side of the lines and notes, for each line, when something last came over it. What was published some time before
(retained) is no sign of life, and is not subscribed to. A broker that is away, silent or overflowing costs the probes nothing: one connection,
so many messages a second, and a wait that grows.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Final, NoReturn

from netmon.active_probe.probers.dial import Dialer, tls_context
from netmon.active_probe.probers.service import NotSent, Phases, deadline, shown, tls_words
from netmon.active_probe.settings import KeepaliveSettings
from netmon.inventory.probes import Pin
from netmon.log import limited, log
from netmon.mqtt.connection import Connection
from netmon.mqtt.location import location_of
from netmon.mqtt.packet import Hello, MqttError, Published, matches

PACKET_BYTES_MAX: Final = 256 << 10
"""What a device publishes is not looked at; the broker drops what is longer, and then it is no sign of life."""
MESSAGES_PER_S_MAX: Final = 2_000
"""More are read later; the broker drops what it cannot get rid of (QoS 0)."""
BATCH: Final = 50
"""Messages until others have their turn."""
LINE_S: Final = 1.0
"""So often a line is noted at most."""
TELL_S: Final = 0.25
"""What was noted meanwhile is told together."""
KEEP_ALIVE_S: Final = 15
"""So often the broker is asked for a sign of life, or more often if it wants that; if none comes, another connection is made."""
CONNECT_S: Final = 15.0
RETRY_FIRST_S: Final = 0.5
RETRY_MAX_S: Final = 15.0

Heard = Mapping[str, tuple[int, str]]
"""Line ID to when (nanoseconds since 1970 UTC) and what."""


class Keepalives:
    """A listener."""

    def __init__(self, settings: KeepaliveSettings, vantage_id: str, tell: Callable[[Heard], None]) -> None:
        """Prepares.

        Args:
            settings: Broker, and topics with their lines.
            vantage_id: Whose listener it is; with this machine's name, the broker knows it by that.
            tell: Takes what was heard; it must not wait.

        Raises:
            ConfigError: The URL or the file of authorities is of no use.
        """
        location = location_of(settings.url, "probe.keepalives.url")
        tls = tls_context(settings.tls_ca_file, "probe.keepalives") if location.secure else None
        self._dialer = Dialer(location.host, location.port, Pin(), tls=tls)
        name = blake2b(f"{vantage_id}\n{socket.gethostname()}".encode(), digest_size=8).hexdigest()
        self._hello = Hello(
            client_id=f"netmon{name}",
            username=settings.username,
            password=settings.password,
            keep_alive_s=3 * KEEP_ALIVE_S,
            packet_bytes_max=PACKET_BYTES_MAX,
        )
        self._filters = tuple(settings.topics)
        self._lines = settings.topics
        self._patterns = [(each, line) for each, line in settings.topics.items() if set(each) & set("+#")]
        self._tell = tell
        self._noted_s: dict[str, float] = {}
        self._untold: dict[str, tuple[int, str]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._listening = False

    async def run(self) -> NoReturn:
        """Listens until cancelled."""
        retry_s = RETRY_FIRST_S
        while True:
            self._listening = False
            reason = await self._session()
            if self._listening:
                retry_s = RETRY_FIRST_S
            limited.warning(
                "keepalives.broker_lost", reason=reason, cure="look after the broker that probe.keepalives.url names"
            )
            await asyncio.sleep(retry_s * random.uniform(0.5, 1.0))  # noqa: S311 - spread
            retry_s = min(2 * retry_s, RETRY_MAX_S)

    async def _session(self) -> str:
        """One connection, as long as it lasts; why it did not last longer."""
        try:
            await self._listen()
        except (MqttError, NotSent) as error:
            return str(error)
        except TimeoutError:
            return "no answer in time"
        except ssl.SSLError as error:
            return f"TLS: {tls_words(error)}"
        except OSError as error:
            return error.strerror or str(error)

    async def _listen(self) -> NoReturn:
        async with deadline(CONNECT_S):
            reader, writer = await self._dialer.open(Phases())
        watch: Watch | None = None
        try:
            async with deadline(CONNECT_S):
                connection, welcome = await Connection.open(reader, writer, self._hello)
                await connection.subscribe(self._filters)
            self._listening = True
            log.info("keepalives.broker_found", topics=len(self._filters))
            watch = Watch(connection, min(KEEP_ALIVE_S, (welcome.keep_alive_s or self._hello.keep_alive_s) / 3))
            await self._read(connection)
        finally:
            if watch is not None:
                watch.cancel()
            writer.transport.abort()

    async def _read(self, connection: Connection) -> NoReturn:
        while True:
            for _ in range(BATCH):
                self._note(await connection.message())
            # Even what has all arrived already is read at this pace, so that probes have theirs.
            await asyncio.sleep(BATCH / MESSAGES_PER_S_MAX)

    def _note(self, message: Published) -> None:
        if message.retained:
            return
        now_s = time.monotonic()
        for line_id in self._lines_of(message.topic):
            if now_s - self._noted_s.get(line_id, -LINE_S) < LINE_S:
                continue
            self._noted_s[line_id] = now_s
            self._untold[line_id] = (time.time_ns(), shown(f"mqtt {message.topic}"))
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(TELL_S, self._tell_now)

    def _lines_of(self, topic: str) -> set[str]:
        found = {line for each, line in self._patterns if matches(each, topic)}
        if topic in self._lines:
            found.add(self._lines[topic])
        return found

    def _tell_now(self) -> None:
        self._timer = None
        heard, self._untold = self._untold, {}
        self._tell(heard)


class Watch:
    """Sees to it that a broker that has vanished is noticed."""

    def __init__(self, connection: Connection, every_s: float) -> None:
        self._connection = connection
        self._every_s = every_s
        self._timer = self._again()

    def _again(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._every_s, self._look)

    def _look(self) -> None:
        if time.monotonic() - self._connection.heard_mono_s > 2 * self._every_s:
            self._connection.abort()
            return
        self._connection.ping()
        self._timer = self._again()

    def cancel(self) -> None:
        """Ends it."""
        self._timer.cancel()
