"""A packet prober that is opened again when it dies: an interface that went and came back has another number, a 5G line another address.

While there is none, every probe by it is a local error, which says nothing of the line.
"""

from __future__ import annotations

import errno
import select
from collections.abc import Mapping, Sequence
from typing import Final

from netmon.active_probe.probers import load_packet_prober
from netmon.active_probe.probers.base import TARGETS_MAX, PacketProbe, PacketProber, Reply
from netmon.active_probe.vantage.pinning import PinError, is_local_error
from netmon.errors import ConfigError
from netmon.inventory.probes import AnyProbe, IcmpProbe, Pin, StampProbe, kind_of
from netmon.log import limited

REOPEN_MIN_NS: Final = 500_000_000
REOPEN_MAX_NS: Final = 5_000_000_000
_GONE: Final = {errno.ENODEV, errno.ENXIO, errno.EBADF, errno.ENOTSOCK}
"""What a socket says that will never work again."""


class Poll:
    """One epoll for the sockets of all channels, and whose each of them is."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._owners: dict[int, Channel] = {}

    def fileno(self) -> int:
        """Of the epoll: readable as long as one of the sockets is."""
        return self._epoll.fileno()

    def add(self, fd: int, channel: Channel) -> None:
        """Waits for this socket, too."""
        self._epoll.register(fd, select.EPOLLIN)
        self._owners[fd] = channel

    def remove(self, fd: int) -> None:
        """No more; before it is closed, for its number may be another's then."""
        self._epoll.unregister(fd)
        del self._owners[fd]

    def ready(self) -> list[Channel]:
        """Channels that have something to read, now."""
        owners = self._owners
        return [owners[fd] for fd, _ in self._epoll.poll(0)]

    def __len__(self) -> int:
        """How many sockets."""
        return len(self._owners)

    def close(self) -> None:
        """Closes the epoll."""
        self._epoll.close()


class Channel:
    """One way, many targets.

    Attributes:
        reopened: Times that it was opened again.
        refused: Datagrams that came to it and answered nothing of ours.
    """

    def __init__(self, probes: Sequence[PacketProbe], secrets: Mapping[str, str], poll: Poll) -> None:
        """Prepares; the first probe opens it.

        Args:
            probes: All of one kind, pin and family: of one `channel_key`.
            secrets: File name to what is in it.
            poll: Where its socket waits.
        """
        self.reopened = 0
        self._refused = 0
        self._probes = probes
        self._secrets = secrets
        self._poll = poll
        self._open = load_packet_prober(kind_of(probes[0]))
        self._prober: PacketProber | None = None
        self._fd = -1
        self._failing_since_ns = 0
        self._retry_ns = 0
        self._backoff_ns = REOPEN_MIN_NS
        self._error: OSError = PinError(errno.ENOTCONN, "it has not been opened")

    @property
    def pin(self) -> Pin:
        """By which way."""
        return self._probes[0].pin

    @property
    def refused(self) -> int:
        """See the class."""
        return self._refused + (self._prober.refused if self._prober else 0)

    def send(self, index: int, seq: int, now_ns: int, unix_ns: int) -> None:
        """Sends one probe. Raises OSError: it could not leave, which says nothing of the line."""
        prober = self._prober or self._reopen(now_ns)
        try:
            prober.send(index, seq, unix_ns)
        except OSError as error:
            if is_local_error(error, at_send=True):
                self._failed(error, now_ns)
                raise
        if self._failing_since_ns:
            self._failing_since_ns = 0
        if self._backoff_ns != REOPEN_MIN_NS:
            self._backoff_ns = REOPEN_MIN_NS

    def receive(self, now_ns: int) -> Sequence[Reply]:
        """What has come; empty, too, when the socket turns out to be dead."""
        if self._prober is None:
            return ()
        try:
            return self._prober.receive()
        except OSError as error:
            self._drop(error, now_ns)
            return ()

    def variation(self, index: int) -> tuple[float, float] | None:
        """Variation of delay on the way there and on the way back; None: it cannot be told (yet)."""
        return self._prober.variation(index) if self._prober else None

    def close(self) -> None:
        """Closes its socket."""
        if self._prober is not None:
            self._poll.remove(self._fd)
            self._refused += self._prober.refused
            self._prober.close()
            self._prober, self._fd = None, -1

    def _reopen(self, now_ns: int) -> PacketProber:
        """Opens it, unless the last try is too fresh. Raises OSError: why there is none."""
        if now_ns < self._retry_ns:
            # Raised many times: without where it was raised before.
            raise self._error.with_traceback(None)
        self._retry_ns = now_ns + self._backoff_ns
        self._backoff_ns = min(2 * self._backoff_ns, REOPEN_MAX_NS)
        try:
            prober = self._open(self.pin, self._probes, self._secrets)
        except OSError as error:
            self._error = error
            raise
        except ConfigError as error:
            self._error = PinError(errno.EINVAL, str(error))
            limited.error("probe.channel_refused", reason=str(error), cure="netmon check")
            raise self._error from error
        self._prober, self._fd = prober, prober.fileno()
        self._poll.add(self._fd, self)
        return prober

    def _failed(self, error: OSError, now_ns: int) -> None:
        """Only a socket by which nothing leaves any more is given up: one target without a route is not the others' fault."""
        self._failing_since_ns = self._failing_since_ns or now_ns
        if error.errno in _GONE or now_ns - self._failing_since_ns >= REOPEN_MIN_NS:
            self._drop(error, now_ns)

    def _drop(self, error: OSError, now_ns: int) -> None:
        self.close()
        self.reopened += 1
        self._failing_since_ns = 0
        self._error = error
        self._retry_ns = max(self._retry_ns, now_ns)


def channel_key(probe: PacketProbe) -> tuple[object, ...]:
    """Probes of one key may share a channel. By key file, too: a key that is none concerns only those who have it."""
    key_file = probe.key_file if isinstance(probe, StampProbe) else ""
    return kind_of(probe), probe.pin, ":" in probe.address, key_file


def arrange(probes: Sequence[AnyProbe]) -> list[list[int]]:
    """Which probes share a channel, by their index: those of one key, but no two that ask the same address and port."""
    found: list[list[int]] = []
    turns: dict[tuple[object, ...], int] = {}
    places: dict[tuple[object, ...], int] = {}
    for index, probe in enumerate(probes):
        if not isinstance(probe, StampProbe | IcmpProbe):
            continue
        way = channel_key(probe)
        place = (*way, probe.address, probe.port if isinstance(probe, StampProbe) else 0)
        # The second one to ask the same place by the same way gets the second channel of that way, and so on.
        turns[place] = turn = turns.get(place, -1) + 1
        number = places.setdefault((*way, turn), len(found))
        if number < len(found) and len(found[number]) >= TARGETS_MAX:
            number = places[*way, turn] = len(found)
        if number == len(found):
            found.append([])
        found[number].append(index)
    return found
