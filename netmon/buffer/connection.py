"""One connection to Redis for the trap path: redis-py makes it, hiredis reads it, and nothing comes between.

redis-py knows URLs, TLS, authentication and databases. Its way of reading costs several microseconds a reply, which is
more than Redis itself takes; so the replies are read here, from the socket that it has opened.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from typing import Any

import hiredis
import redis
from redis.connection import ConnectionPool

from netmon.errors import UnavailableError
from netmon.model import RedisSettings

_TIMEOUT_S = 5.0
_READ_BYTES = 1 << 18

_REASONS = {
    "OOM": "out_of_memory",
    "READONLY": "read_only",
    "MISCONF": "read_only",
    "NOREPLICAS": "read_only",
    "LOADING": "loading",
    "BUSY": "loading",
    "CLUSTERDOWN": "loading",
    "MASTERDOWN": "loading",
    "TRYAGAIN": "loading",
}
"""First word of an error reply to `UnavailableError.reason`; any other word is `refused`."""


class MovedError(UnavailableError):
    """Redis Cluster keeps the key on another node; the connection goes there next."""


class Connection:
    """A connected socket on which commands are written and replies read in order.

    After any error it is closed: what was on its way is unknown, and only Redis can tell how far it came.
    """

    def __init__(self, settings: RedisSettings, node: tuple[str, int] | None = None) -> None:
        """Connects and authenticates.

        Args:
            settings: Where to, and as whom.
            node: Host and port instead of those in the URL, as a `MOVED` reply told.

        Raises:
            UnavailableError: No server answers there, or it does not let us in.
        """
        options: dict[str, Any] = {"socket_timeout": _TIMEOUT_S, "socket_connect_timeout": _TIMEOUT_S, "protocol": 2}
        if settings.username is not None:
            options["username"] = settings.username
        if settings.password is not None:
            options["password"] = settings.password
        if settings.tls_ca_file is not None:
            options["ssl_ca_certs"] = settings.tls_ca_file
        pool: Any = ConnectionPool.from_url(settings.url, **options)
        if node is not None:
            pool.connection_kwargs.update(host=node[0], port=node[1])
        # Kept: when it is collected, it closes the socket.
        self._owner = pool.make_connection()
        try:
            self._owner.connect()
        except redis.RedisError as error:
            raise _unavailable(error) from error
        # redis-py has no public name for it; `test_stream.py` fails if the name goes.
        self._socket: socket.socket = self._owner._sock  # noqa: SLF001
        self._socket.settimeout(_TIMEOUT_S)
        self._reader = hiredis.Reader()
        # TLS writes whole records: there, writing waits.
        self._tls = isinstance(self._socket, ssl.SSLSocket)
        self._unsent = memoryview(b"")

    def send(self, data: bytes) -> None:
        """Writes encoded commands; what the socket does not take at once goes with `pump`, or before the next `reply`.

        Raises:
            UnavailableError: The connection is gone.
        """
        self._unsent = memoryview(b"".join([self._unsent, data])) if self._unsent else memoryview(data)
        self.pump()

    def pump(self) -> None:
        """Writes more of what was sent, as much as the socket takes without waiting. Raises UnavailableError."""
        try:
            while self._unsent and not self._tls:
                # The descriptor is non-blocking, because the socket has a time-out.
                self._unsent = self._unsent[os.write(self._socket.fileno(), self._unsent) :]
        except BlockingIOError:
            return
        except OSError as error:
            raise self._broken(error) from error

    def _flush(self) -> None:
        if self._unsent:
            self._socket.sendall(self._unsent)
            self._unsent = memoryview(b"")

    def reply(self, timeout_s: float | None = None) -> Any:
        """The next reply: bytes, int, None, a list of replies, or a `hiredis.ReplyError`, which is returned, not raised.

        Raises:
            UnavailableError: It did not come.
        """
        if timeout_s is None:
            return self.replies(1)[0]
        self._socket.settimeout(timeout_s)
        reply = self.replies(1)[0]
        self._socket.settimeout(_TIMEOUT_S)
        return reply

    def replies(self, count: int) -> list[Any]:
        """The next replies, each as `reply` returns it. Raises UnavailableError."""
        found: list[Any] = []
        gets = self._reader.gets
        try:
            self._flush()
            while len(found) < count:
                reply = gets()
                if reply is False:
                    self._receive()
                else:
                    found.append(reply)
        except (OSError, hiredis.ProtocolError) as error:
            raise self._broken(error) from error
        return found

    def _receive(self) -> None:
        data = self._socket.recv(_READ_BYTES)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        self._reader.feed(data)

    def take_in(self) -> None:
        """Reads what has come, without waiting for more; an error shows at the next reply."""
        if self._tls:
            return
        try:
            data = os.read(self._socket.fileno(), _READ_BYTES)
        except OSError:
            return
        if data:
            self._reader.feed(data)

    def command(self, *words: bytes | str | int, timeout_s: float | None = None) -> Any:
        """Sends one command and returns its reply.

        Raises:
            UnavailableError: No reply, or an error reply.
        """
        self.send(encode_command(*words))
        reply = self.reply(timeout_s)
        if isinstance(reply, hiredis.ReplyError):
            raise self.refusal(reply)
        return reply

    def refusal(self, error: hiredis.ReplyError) -> UnavailableError:
        """What an error reply means; the connection is closed."""
        self.close()
        text = str(error)
        word = text.partition(" ")[0]
        if word == "MOVED":
            return MovedError("refused", text)
        return UnavailableError(_REASONS.get(word, "refused"), text)

    def close(self) -> None:
        """Closes the socket; may be called twice."""
        with contextlib.suppress(OSError):
            self._owner.disconnect()

    def _broken(self, error: Exception) -> UnavailableError:
        self.close()
        return _unavailable(error)


def moved_to(error: MovedError) -> tuple[str, int] | None:
    """Host and port in a `MOVED slot host:port` reply; None when it names none."""
    host, _, port = error.detail.rpartition(" ")[2].rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdigit() else None


def encode_command(*words: bytes | str | int) -> bytes:
    """A command as a RESP array of bulk strings."""
    encoded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded])


def _unavailable(error: Exception) -> UnavailableError:
    text = str(error)
    if isinstance(error, (TimeoutError, redis.TimeoutError)):
        return UnavailableError("timeout", text)
    if isinstance(error, redis.BusyLoadingError):
        return UnavailableError("loading", text)
    if isinstance(error, (redis.AuthenticationError, redis.ResponseError)):
        return UnavailableError("refused", text)
    return UnavailableError("connection", text)
