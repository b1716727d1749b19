"""One MQTT connection over a stream: says hello, subscribes, publishes, waits for messages; bounded in memory, without a task of its own.

An await that is cancelled may have read half a packet: abort the connection then.
"""

from __future__ import annotations

import itertools
import time
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import Sequence
from typing import Final

from netmon.mqtt import packet
from netmon.mqtt.packet import Hello, MqttError, Published, Welcome

FILTERS_A_PACKET: Final = 100
"""Topic filters in one SUBSCRIBE."""
_PACKET_IDS: Final = 65_535


class Connection:
    """To a broker.

    Attributes:
        heard_mono_s: When the last packet had arrived.
    """

    def __init__(self, reader: StreamReader, writer: StreamWriter, packet_bytes_max: int) -> None:
        self.heard_mono_s = time.monotonic()
        self._reader = reader
        self._writer = writer
        self._packet_bytes_max = packet_bytes_max
        self._packet_ids = itertools.cycle(range(1, _PACKET_IDS + 1))

    @classmethod
    async def open(cls, reader: StreamReader, writer: StreamWriter, hello: Hello) -> tuple[Connection, Welcome]:
        """Says hello.

        Raises:
            MqttError: The broker refuses, with its words; or it speaks no MQTT 5.
            OSError: The connection broke.
        """
        connection = cls(reader, writer, hello.packet_bytes_max)
        writer.write(packet.connect(hello))
        kind, _, body = await connection._read()
        if kind != packet.CONNACK:
            raise MqttError("no answer to CONNECT")
        return connection, packet.read_connack(body)

    async def subscribe(self, filters: Sequence[str]) -> None:
        """Asks for what is published from now on; what arrives meanwhile is dropped.

        Raises:
            MqttError: The broker refuses one of them, or takes leave.
            OSError: The connection broke.
        """
        for start in range(0, len(filters), FILTERS_A_PACKET):
            wanted = filters[start : start + FILTERS_A_PACKET]
            packet_id = next(self._packet_ids)
            self._writer.write(packet.subscribe(packet_id, wanted))
            codes = await self._subscribed(packet_id)
            for each, code in itertools.zip_longest(wanted, codes, fillvalue=packet.FAILURE):
                if int(code) >= packet.FAILURE:
                    raise MqttError(f"subscription to {each}: {packet.reason_of(int(code))}")

    async def _subscribed(self, packet_id: int) -> bytes:
        while True:
            kind, _, body = await self._next()
            if kind == packet.SUBACK:
                answered, codes = packet.read_suback(body)
                if answered == packet_id:
                    return codes

    def publish(self, topic: str, payload: bytes) -> None:
        """Sends a message, without waiting."""
        self._writer.write(packet.publish(topic, payload))

    def ping(self) -> None:
        """Asks for a sign of life; `heard_mono_s` has it."""
        self._writer.write(packet.pingreq())

    async def message(self) -> Published:
        """The next message; other packets are passed over.

        Raises:
            MqttError: The broker takes leave, or sends what it must not.
            OSError: The connection broke.
        """
        while True:
            kind, flags, body = await self._next()
            if kind == packet.PUBLISH:
                return packet.read_publish(flags, body)

    @property
    def is_over(self) -> bool:
        """Whether it is known to be of no use any more."""
        return self._writer.is_closing() or self._reader.at_eof() or self._reader.exception() is not None

    def leave(self) -> None:
        """Takes leave, as far as that goes without waiting."""
        if not self.is_over:
            self._writer.write(packet.disconnect())
        self.abort()

    def abort(self) -> None:
        """Ends it at once."""
        self._writer.transport.abort()

    async def _next(self) -> tuple[int, int, bytes]:
        kind, flags, body = await self._read()
        if kind == packet.DISCONNECT:
            raise MqttError(packet.read_disconnect(body))
        return kind, flags, body

    async def _read(self) -> tuple[int, int, bytes]:
        """Type, flags and body of the next packet."""
        try:
            first = (await self._reader.readexactly(1))[0]
            if first >> 4 not in packet.FROM_BROKER:
                raise MqttError("an answer that is no MQTT, or none to what was asked")
            size = await self._size()
            body = await self._reader.readexactly(size)
        except IncompleteReadError:
            raise MqttError("the broker has closed the connection") from None
        self.heard_mono_s = time.monotonic()
        return first >> 4, first & 0x0F, body

    async def _size(self) -> int:
        size = 0
        for index in range(packet.LENGTH_OCTETS_MAX):
            octet = (await self._reader.readexactly(1))[0]
            size |= (octet & 0x7F) << 7 * index
            if size > self._packet_bytes_max:
                raise MqttError("a packet that is too long, or no MQTT")
            if octet < 0x80:
                return size
        raise MqttError("a packet that is too long, or no MQTT")
