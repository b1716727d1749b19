"""Connections of the service probers: a host's address, TCP by the pin, TLS; each phase timed.

Owns names and how long they are kept. A name server is asked by this machine's own routes, in a thread, never by the pin: it is behind the
lines that are to be probed. So a literal address is never looked up, and the addresses of a name are kept while nobody answers.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import struct
import threading
import time
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from typing import Final

from netmon.active_probe.probers.service import NotSent, Phases
from netmon.active_probe.vantage.pinning import PinError, connected
from netmon.errors import ConfigError
from netmon.inventory.probes import Pin

NAME_S: Final = 60.0
"""So long the addresses of a name are used before it is looked up again; the old ones serve until the new ones are there."""

LOOKUPS_MAX: Final = 16
"""At a time: each is a thread."""

READ_BYTES_MAX: Final = 16 << 10
"""What is read ahead of a far end that says more than was asked (twice of it, at most)."""

TLS_CLOSE_S: Final = 0.1
"""How long the far end may take to agree that a TLS connection ends."""

_TCP_INFO_BYTES: Final = 104
_RTT_OFFSET: Final = 68
"""Of `tcpi_rtt` in struct tcp_info (linux/tcp.h), microseconds."""


class Name:
    """A host: a literal address, or a name whose addresses are kept."""

    _under_way = 0
    """Lookups of all names."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.literal = is_literal(host)
        self._addresses: tuple[str, ...] = (host,) if self.literal else ()
        self._until = 0.0
        self._lookup: asyncio.Future[str] | None = None
        """What went wrong, or nothing."""

    async def addresses(self) -> tuple[str, ...]:
        """Its addresses, in the resolver's order; waits only for the first lookup.

        Raises:
            NotSent: It has none.
        """
        if self.literal or time.monotonic() < self._until:
            return self._addresses
        if self._lookup is None and Name._under_way < LOOKUPS_MAX:
            # Not cancelled with the probe: a thread that waits for a name server cannot be.
            self._lookup = asyncio.get_running_loop().create_future()
            self._begin(self._lookup)
        if not self._addresses:
            wrong = "too many names wait for the name server"
            if self._lookup is not None:
                wrong = await asyncio.shield(self._lookup)
            if wrong:
                raise NotSent(f"name {self.host}: {wrong}; give a literal address")
        return self._addresses

    def _begin(self, lookup: asyncio.Future[str]) -> None:
        loop = lookup.get_loop()

        def work() -> None:
            found: tuple[str, ...] = ()
            wrong = ""
            try:
                found = _look_up(self.host)
            except (OSError, UnicodeError) as error:
                wrong = getattr(error, "strerror", None) or str(error)
            with suppress(RuntimeError):  # the loop may have ended meanwhile
                loop.call_soon_threadsafe(self._looked_up, lookup, found, wrong)

        Name._under_way += 1
        # A daemon: the end of this process does not wait for a name server.
        threading.Thread(target=work, name=f"name {self.host}", daemon=True).start()

    def _looked_up(self, lookup: asyncio.Future[str], found: tuple[str, ...], wrong: str) -> None:
        Name._under_way -= 1
        self._lookup = None
        if found:
            self._addresses, self._until = found, time.monotonic() + NAME_S
        if not lookup.done():
            lookup.set_result(wrong)


def is_literal(host: str) -> bool:
    """Whether it is an IP address, with or without `%zone`."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _look_up(host: str) -> tuple[str, ...]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


class Dialer:
    """Opens connections to one port by one pin."""

    def __init__(self, host: str, port: int, pin: Pin, *, address: str = "", tls: ssl.SSLContext | None = None) -> None:
        """Args:
        host: Name or literal address; with TLS, the certificate has to be for it.
        port: TCP port.
        pin: By which way.
        address: Where to connect instead of looking `host` up.
        tls: None: no TLS.
        """
        self._host = host
        self._port = port
        self._pin = pin
        self._name = Name(address or host)
        self._tls = tls

    async def connect(self, phases: Phases) -> socket.socket:
        """Connects; non-blocking, TCP_NODELAY.

        Raises:
            NotSent: The host has no address.
            OSError: It could not leave (`PinError`), was refused, or nothing answers.
        """
        if self._name.literal:
            addresses = await self._name.addresses()
        else:
            with phases.of("name"):
                addresses = await self._name.addresses()
        with phases.of("connect"):
            sock = await self._first(addresses)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    async def _first(self, addresses: tuple[str, ...]) -> socket.socket:
        """Connects to the first address that can be tried from here: a pin may have one address family only."""
        *others, last = addresses
        for address in others:
            try:
                return await connected(self._pin, address, self._port)
            except PinError:
                continue
        return await connected(self._pin, last, self._port)

    async def open(self, phases: Phases) -> tuple[StreamReader, StreamWriter]:
        """Connects, with TLS if it has to be; whoever calls ends it with `writer.transport.abort()`.

        Raises:
            NotSent: The host has no address.
            OSError: As `connect`; `ssl.SSLError`, if TLS fails.
        """
        return await self.streams(await self.connect(phases), phases)

    async def streams(self, sock: socket.socket, phases: Phases) -> tuple[StreamReader, StreamWriter]:
        """Takes a connected socket over, and does what `open` does from there on."""
        try:
            if self._tls is None:
                return await asyncio.open_connection(sock=sock, limit=READ_BYTES_MAX)
            with phases.of("tls"):
                return await asyncio.open_connection(
                    sock=sock,
                    ssl=self._tls,
                    server_hostname=self._host.partition("%")[0],
                    ssl_shutdown_timeout=TLS_CLOSE_S,
                    limit=READ_BYTES_MAX,
                )
        except BaseException:
            sock.close()
            raise


def tls_context(ca_file: str, where: str) -> ssl.SSLContext:
    """A client's context that verifies: with this machine's authorities, or those of `ca_file` alone.

    Raises:
        ConfigError: The file cannot be read, or has no certificate.
    """
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise ConfigError(
            [f"{where}: tls_ca_file: {ca_file}: {error.strerror or error}; expected certificates in PEM"]
        ) from None


def kernel_rtt_s(sock: socket.socket) -> float | None:
    """The round trip of a connected socket's handshake as the kernel has measured it; None when it could not (SYN sent twice)."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    if len(info) < _RTT_OFFSET + 4:
        return None
    (rtt_us,) = struct.unpack_from("=I", info, _RTT_OFFSET)
    return rtt_us / 1e6 if rtt_us else None
