"""What a prober is: a packet prober (stamp, icmp) or a service prober (tcp, http, snmp, mqtt).

A packet prober is a *channel*: one socket by one way, which many targets share; the engine sends by it, waits for it in one epoll and keeps
time, sequence numbers and losses itself. A service prober does one whole probe at a time, in its own time, as a coroutine.
`netmon.active_probe.probers` lists them. Each module of a prober has one function: `open_channel` (`OpenChannel`) or
`make_service` (`MakeService`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

import msgspec

from netmon.active_probe.model import OutcomeKind
from netmon.inventory.probes import AnyProbe, IcmpProbe, Pin, StampProbe

PacketProbe: TypeAlias = StampProbe | IcmpProbe

SEQ_MASK: Final = 0xFFFFFFFF
"""Sequence numbers of packets are 32 bits (RFC 8762 section 4.2.1) and wrap; a prober whose header has fewer puts them into its payload."""

RECEIVE_MAX: Final = 256
"""Datagrams that one `receive` reads at most, so that a flood on one channel holds up none of the others."""

RECEIVE_BUFFER_BYTES: Final = 4 << 20
"""For the socket of a channel with many targets (SO_RCVBUFFORCE, else SO_RCVBUF): all answers of a moment in which nobody reads."""

TARGETS_MAX: Final = 16_384
"""Of one channel."""

DETAIL_CHARS_MAX: Final = 200
"""Of `Outcome.detail`: it may quote the far end."""


class Reply(NamedTuple):
    """One good answer. A tuple, because there are tens of thousands a second; make it by position."""

    target: int
    """Index of the probe in what `open_channel` was given."""
    seq: int
    """As it was sent."""
    received_unix_ns: int
    """The kernel's stamp (SO_TIMESTAMPNS, CLOCK_REALTIME); 0: it gave none, and the engine takes the time of reading."""
    forward_seq: int | None = None
    """Sequence number of a stateful reflector's own (RFC 8762 section 4.3): how many it has seen. None: it does not tell."""
    wrong_interface: str = ""
    """Name of the interface that it came in by, if that is not `pin.expect_interface`; empty: right, or nothing is expected."""


class PacketProber(Protocol):
    """One channel: a non-blocking socket, pinned, with targets by index. All is called from one thread."""

    def fileno(self) -> int:
        """Of the socket, for epoll (level-triggered)."""

    def send(self, target: int, seq: int, unix_ns: int) -> None:
        """Sends one probe, now and without waiting.

        Args:
            target: Index of the probe.
            seq: From 0 to `SEQ_MASK`.
            unix_ns: The present time, for a field of the packet that wants it; the engine has just read it.

        Raises:
            OSError: It could not leave. The engine asks `pinning.is_local_error`; what is none (ECONNREFUSED: the far end's answer to one
                before) counts as sent.
        """

    def receive(self) -> Sequence[Reply]:
        """Reads what is there, up to `RECEIVE_MAX` datagrams; the rest stays readable.

        It returns only answers to probes of this channel object: it knows its own by a random session cookie (SSID, identifier, payload), by
        which what answers a former run, another process or a forger is dropped, and counted in `refused`. The same answer twice is returned twice.
        An error of the socket that is pending (an ICMP error of the far end) is swallowed.

        Raises:
            OSError: The socket is of no use any more (ENETDOWN and the like); the engine opens another.
        """

    def variation(self, target: int) -> tuple[float, float] | None:
        """Variation of delay on the way there and on the way back, in seconds; None: it cannot be told (yet)."""

    def close(self) -> None:
        """Closes the socket."""

    refused: int
    """Datagrams that were not answers to this channel's probes, since it was opened."""


class OpenChannel(Protocol):
    """Function `open_channel` of a packet prober's module."""

    def __call__(self, pin: Pin, probes: Sequence[PacketProbe], secrets: Mapping[str, str], /) -> PacketProber:
        """Opens a channel; quick, without waiting for the network.

        Args:
            pin: By which way.
            probes: All of the prober's kind, of this pin and of one address family; no two have the same address and port. Their place in
                here is their index. Not empty, at most `TARGETS_MAX`.
            secrets: File name, as a probe has it, to what is in it.

        Raises:
            OSError: It cannot be opened now (no such interface, address or namespace, too many files); the engine tries again.
            ConfigError: It never can be (a key that is none).
        """


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What came of one probe of a service prober."""

    kind: OutcomeKind
    rtt_s: float | None = None
    """Round trip, of `reply` (and of `failed`, if it is known)."""
    detail: str = ""
    """Of what is no reply: `ECONNREFUSED`, `HTTP 503`, `ENETUNREACH`; at most `DETAIL_CHARS_MAX`, no secret."""


class ServiceProber(Protocol):
    """One target that is asked by a protocol on TCP or by a library."""

    async def probe(self, timeout_s: float) -> Outcome:
        """One probe. It takes no longer than `timeout_s`, by the monotonic clock, and measures its own round trip.

        It raises nothing but CancelledError. The engine never asks for two at a time of one prober, and stops waiting some time after `timeout_s`.
        A connection that an answer needs (MQTT) may be kept between probes, within bounds.
        """

    async def close(self) -> None:
        """Ends what is kept."""


class ServiceContext(msgspec.Struct, frozen=True):
    """For whom a service prober works."""

    vantage_id: str
    line_id: str
    """Of an anchor: `anchor`."""
    secrets: Mapping[str, str]
    """File name, as a probe has it, to what is in it."""

    def __repr__(self) -> str:
        """Without the secrets."""
        return f"ServiceContext({self.vantage_id!r}, {self.line_id!r})"


class MakeService(Protocol):
    """Function `make_service` of a service prober's module."""

    def __call__(self, probe: AnyProbe, context: ServiceContext, /) -> ServiceProber:
        """Makes one; connects to nothing yet. Raises ConfigError: its probe or secret is of no use."""
