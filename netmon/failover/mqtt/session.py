"""One connection to an MQTT 5 broker: aiomqtt, and what it keeps to itself.

aiomqtt drives paho-mqtt by our event loop. It throws away why a broker refuses a message, queues without an end what arrives, and leaves the socket
behind when the broker never answers; here these are seen, handed on at once, and closed. All knowledge of what is inside aiomqtt 2 is in this
file: another client takes its place here.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeVar

import aiomqtt
from paho.mqtt.client import MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from netmon.errors import ConfigError, UnavailableError
from netmon.failover.settings import MqttSettings
from netmon.mqtt.location import location_of

CONNECT_TIMEOUT_S: Final = 5.0
"""For each address of the broker, and again for TLS."""
ANSWER_TIMEOUT_S: Final = 10.0
"""For the answer to CONNECT and to SUBSCRIBE, and for the acknowledgement of a message. A broker that is stopped keeps its connections open, so
nothing but this tells."""
IN_FLIGHT_MAX: Final = 20
"""Messages that are sent and not acknowledged; fewer if the broker says so. Mosquitto takes no more from one client, unless told."""
FILTERS_A_PACKET: Final = 100
_NOWHERE: Final = "nowhere"
"""A host that paho is given when it shall connect to none."""
_UNSPECIFIED: Final = 0x80
"""Reason code (MQTT 5 section 2.4)."""
_PACKET_BYTES_MORE: Final = 2_048
"""Of a packet beside the message: topic and properties."""
_SILENT: Final = logging.getLogger("netmon.failover.mqtt.session")
"""aiomqtt would log its tracebacks; what went wrong is told by UnavailableError."""
_SILENT.disabled = True

T = TypeVar("T")


class Filter(NamedTuple):
    """What to hear."""

    topic: str
    """May have wildcards."""
    qos: Literal[0, 1] = 1
    own: bool = False
    """Also what this very connection has published (MQTT 5 section 3.8.3.1, No Local)."""


class Heard(NamedTuple):
    """A message."""

    topic: str
    payload: bytes
    retained: bool
    """It was published before we asked for it."""


class Will(NamedTuple):
    """What the broker publishes, retained, when we are gone without having taken leave."""

    topic: str
    payload: bytes


class Sent(NamedTuple):
    """What became of a message."""

    message_id: int
    refused: str
    """Why the broker does not take it (by its access list, above all); empty: it has it."""


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when nobody may be talked to; paho would leave it open."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class Session(aiomqtt.Client):
    """One connection; a new one for each attempt, so that nothing of an old one is sent again behind our back.

    Attributes:
        in_flight_max: Messages that may be sent before the first is acknowledged.
        fault: What `hear` or `sent` has raised: our own fault, which is not the broker's.
    """

    def __init__(
        self,
        settings: MqttSettings,
        client_id: str,
        *,
        hear: Callable[[Heard], None],
        sent: Callable[[Sent], None],
        tls: ssl.SSLContext | None,
        will: Will | None,
        keepalive_s: int,
        message_bytes_max: int,
    ) -> None:
        location = location_of(settings.url, "mqtt.url")
        limits = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        limits.MaximumPacketSize = self._packet_bytes_max = message_bytes_max + _PACKET_BYTES_MORE
        super().__init__(
            location.host,
            location.port,
            username=settings.username or None,
            password=settings.password or None,
            logger=_SILENT,
            identifier=client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            will=None if will is None else aiomqtt.Will(will.topic, will.payload, qos=1, retain=True),
            timeout=ANSWER_TIMEOUT_S,
            keepalive=keepalive_s,
            clean_start=True,
            max_inflight_messages=IN_FLIGHT_MAX,
            properties=limits,
            tls_context=tls,
            # Without it an acknowledgement of ours waits up to 40 ms for company.
            socket_options=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
        )
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        self.in_flight_max = IN_FLIGHT_MAX
        self.fault: Exception | None = None
        self._heard = hear
        self._sent = sent
        self._why = ""
        self._waiting: dict[int, float] = {}
        self._is_dropped = False
        self._opening: asyncio.Task[Any] | None = None

    async def open(self) -> None:
        """Connects; messages may be sent then. Names are looked up, and TLS is set up, in a thread.

        Raises:
            UnavailableError: What went wrong, in words for the operator; the session is of no use any more.
        """
        await self._or_unavailable(self._connect())

    async def hear(self, filters: Sequence[Filter]) -> None:
        """Subscribes. What is retained arrives meanwhile, and not all of it before this returns.

        Raises:
            UnavailableError: The broker allows one of them to nobody like us, or the connection broke; the session is of no use any more.
        """
        for start in range(0, len(filters), FILTERS_A_PACKET):
            await self._or_unavailable(self._subscribe(filters[start : start + FILTERS_A_PACKET]))

    async def _or_unavailable(self, doing: Coroutine[Any, Any, None]) -> None:
        try:
            await doing
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            self.drop()
            if self.fault is not None:
                raise self.fault from None
            raise _unavailable(self._why or str(error) or type(error).__name__) from None
        except BaseException:
            self.drop()
            raise

    async def _connect(self) -> None:
        self._opening = asyncio.get_running_loop().create_task(self.__aenter__(), name="mqtt connect")
        try:
            await asyncio.shield(self._opening)
        except asyncio.CancelledError:
            self._opening.add_done_callback(self._abandon)  # its thread cannot be stopped: what it opens is closed then
            raise

    def _abandon(self, opening: asyncio.Task[Any]) -> None:
        _seen(opening)
        self.drop()

    async def _subscribe(self, filters: Sequence[Filter]) -> None:
        wanted = [(each.topic, SubscribeOptions(qos=each.qos, noLocal=not each.own)) for each in filters]
        codes = await self._while_connected(self.subscribe(wanted))
        for each, code in zip(filters, codes, strict=False):
            if isinstance(code, ReasonCode) and code.is_failure:
                raise aiomqtt.MqttError(f"subscription to {each.topic}: {code}")

    async def _while_connected(self, asked: Coroutine[Any, Any, T]) -> T:
        task = asyncio.get_running_loop().create_task(asked, name="mqtt subscribe")
        try:
            either: list[asyncio.Future[Any]] = [task, self._disconnected]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise aiomqtt.MqttError("the connection broke")
            return task.result()
        finally:
            task.cancel()
            task.add_done_callback(_seen)

    def send(self, topic: str, payload: bytes, *, qos: Literal[0, 1], retain: bool) -> int | None:
        """Sends a message; returns its number, by which `sent` tells of QoS 1; None: the connection has just broken."""
        info = self._client.publish(topic, payload, qos, retain)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return None
        if qos:
            self._waiting[info.mid] = time.monotonic()
        return info.mid

    async def watch(self, every_s: float) -> None:
        """Returns after a while, if all is well.

        Raises:
            UnavailableError: The connection is over, or the broker acknowledges nothing any more.
        """
        await asyncio.wait([self._disconnected], timeout=every_s)
        if self.fault is not None:
            raise self.fault
        if self._disconnected.done():
            raise _unavailable(self._why or str(self._disconnected.exception() or "the connection was closed"))
        oldest_s = next(iter(self._waiting.values()), None)
        if oldest_s is not None and time.monotonic() - oldest_s > ANSWER_TIMEOUT_S:
            raise _unavailable(f"the broker has acknowledged nothing for {ANSWER_TIMEOUT_S:g} s")

    def leave(self) -> None:
        """Takes leave, so that the broker does not publish the will; as far as that goes without waiting."""
        self._client.disconnect()
        self._client.loop_write()
        self.drop()

    def drop(self) -> None:
        """Closes the socket at once; nothing is done if there is none."""
        self._is_dropped = True
        if self._opening is not None and not self._opening.done():
            return  # paho is busy in its thread; `_abandon` calls again
        if not self._disconnected.done():
            self._disconnected.set_result(None)
        _seen(self._disconnected)
        _seen(self._connected)
        # The documented way to have paho close its socket now; it connects to nothing.
        self._client.connect_async(_NOWHERE)

    def _on_socket_open(self, client: Any, userdata: Any, sock: Any) -> None:  # noqa: ARG002 - paho's
        """In the thread that connects. aiomqtt would have the number of the socket watched later, and watch whoever has it then."""
        self._loop.call_soon_threadsafe(self._begin, sock)

    def _begin(self, sock: Any) -> None:
        if self._is_dropped:
            self._client.connect_async(_NOWHERE)
        elif sock.fileno() >= 0:
            self._loop.add_reader(sock.fileno(), self._read)
            self._misc_task = self._loop.create_task(self._misc_loop(), name="mqtt keepalive")

    def _read(self) -> None:
        """In the place of aiomqtt's: paho takes packets of up to 256 MiB, whatever the broker was told."""
        try:
            while True:
                self._client.loop_read()
                if self._client._in_packet["remaining_length"] > self._packet_bytes_max:  # noqa: SLF001 - nothing public tells
                    self._why = f"the broker sends a packet of more than {self._packet_bytes_max} bytes"
                    self.drop()
                # What TLS has decrypted already makes no socket readable.
                sock = self._client.socket()
                if not isinstance(sock, ssl.SSLSocket) or not sock.pending():
                    return
        except Exception as error:
            # A packet that is no MQTT 5: paho has many ways to stumble over one.
            self._why = self._why or f"the broker sends what is no MQTT 5: {type(error).__name__}"
            self.drop()

    def _on_connect(
        self, client: Any, userdata: Any, flags: Any, reason_code: ReasonCode, properties: Any = None
    ) -> None:
        maximum = getattr(properties, "ReceiveMaximum", IN_FLIGHT_MAX)
        self.in_flight_max = min(maximum, IN_FLIGHT_MAX)
        if reason_code.is_failure:
            self._why = f"the broker refuses us: {reason_code}"
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self, client: Any, userdata: Any, flags: Any, reason_code: ReasonCode, properties: Any = None
    ) -> None:
        if not self._why:
            by_broker = flags.is_disconnect_packet_from_server
            who = "the broker has ended the connection" if by_broker else "the connection broke"
            # What paho calls unspecified is that there is nothing more to be read.
            self._why = who if reason_code.value == _UNSPECIFIED else f"{who}: {reason_code}"
        if (
            not self._connected.cancelled()
        ):  # else nobody waits any more; aiomqtt would raise CancelledError into the loop
            super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_message(self, *_: Any) -> None:
        message: MQTTMessage = _[-1]
        self._hand(self._heard, Heard(message.topic, bytes(message.payload), message.retain))

    def _on_publish(self, *_: Any) -> None:
        mid: int = _[2]
        reason_code: ReasonCode = _[3]
        if self._waiting.pop(mid, None) is not None:  # else it is of QoS 0, which nobody waits for
            self._hand(self._sent, Sent(mid, str(reason_code) if reason_code.is_failure else ""))

    def _hand(self, to: Callable[[Any], None], what: Any) -> None:
        try:
            to(what)
        except Exception as error:
            # paho would log it and go on; our own faults have to end the process.
            self.fault = error
            raise

    def _on_socket_register_write(self, client: Any, userdata: Any, sock: Any) -> None:  # noqa: ARG002 - paho's
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # in the thread that connects
            self._loop.call_soon_threadsafe(self._want_to_write, sock)
        else:
            self._want_to_write(sock)

    def _want_to_write(self, sock: Any) -> None:
        if not self._is_dropped and sock.fileno() >= 0:
            self._loop.add_writer(sock.fileno(), self._write)

    def _write(self) -> None:
        self._client.loop_write()


def tls_of(settings: MqttSettings) -> ssl.SSLContext | None:
    """The TLS context of a broker by `mqtts:`; None for `mqtt:`. Verifies with this machine's authorities, or those of `tls_ca_file` alone.

    Raises:
        ConfigError: A file cannot be read or is not what it should be; all such files at once.
    """
    if not location_of(settings.url, "mqtt.url").secure:
        return None
    mistakes = []
    context = ssl.create_default_context()
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file or None)
    except OSError as error:
        mistakes.append(
            f"mqtt.tls_ca_file: {settings.tls_ca_file}: {error.strerror or error}; expected certificates in PEM"
        )
    if settings.tls_cert_file:
        try:
            # An encrypted key would have it ask on the terminal.
            context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file or None, password="")
        except OSError as error:
            mistakes.append(
                f"mqtt.tls_cert_file, tls_key_file: {settings.tls_cert_file}: {error.strerror or error}; expected a certificate"
                " and its key in PEM, without a passphrase"
            )
    if mistakes:
        raise ConfigError(mistakes)
    context.sslsocket_class = _TlsSocket
    return context


def _unavailable(why: str) -> UnavailableError:
    return UnavailableError("connection", why)


def _seen(future: asyncio.Future[Any]) -> None:
    """What went wrong there is known already: asyncio need not tell of it, which would end a role."""
    if future.done() and not future.cancelled():
        future.exception()
