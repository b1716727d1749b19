"""UDP sockets for the lanes: bound here or adopted from systemd, always with one layout of ancillary data.

Every socket is AF_INET6 where the kernel has IPv6, also for an IPv4 address (bound as `::ffff:a.b.c.d`), so that the
capture role reads one kind of peer address and one kind of control message. Owns no thread and reads nothing.
Standards: RFC 3493 (v4-mapped addresses, IPV6_V6ONLY), RFC 3542 (IPV6_RECVPKTINFO), sd_listen_fds(3).
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from netmon.errors import ConfigError

# Python's socket module names none of these; the values are the same on x86_64 and aarch64 (linux/socket.h).
SO_RCVBUFFORCE: Final = 33
SO_TIMESTAMPNS: Final = 35
IP_PKTINFO: Final = 8
IPV6_RECVPKTINFO: Final = 49

LISTEN_FDS_START: Final = 3


class Address(msgspec.Struct, frozen=True):
    """Where to listen."""

    host: str
    """An IPv4 or IPv6 address without brackets; `::` and `0.0.0.0` are the wildcards. IPv6 may carry a `%zone`."""
    port: int
    """0 lets the kernel choose."""

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        """The address as a number, v4-mapped IPv6 unwrapped, for comparisons."""
        return _unmapped(self.host)


class BoundSocket(msgspec.Struct, frozen=True):
    """A socket that is ready to be handed to a lane's roles."""

    listen: str
    """`address:port` as configured."""
    sock: socket.socket
    wanted_bytes: int
    """Receive buffer that the configuration asks for."""
    granted_bytes: int
    """Receive buffer that the kernel gave, in the same unit as `wanted_bytes` (it books twice as much)."""

    @property
    def sysctl(self) -> str | None:
        """The command that raises the limit when less was granted than wanted, else None."""
        if self.granted_bytes >= self.wanted_bytes:
            return None
        return f"sysctl -w net.core.rmem_max={self.wanted_bytes}"


def parse_address(listen: str) -> Address:
    """Split `address:port`; an IPv6 address stands in brackets: `[::]:1162`.

    Raises:
        ConfigError: It is not an IP address with a port from 0 to 65535.
    """
    host, _, port = listen.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    if not _is_ip(bare) or bracketed != (":" in bare) or not _is_port(port):
        raise ConfigError([f"listen: {listen!r} is not ADDRESS:PORT, such as [::]:1162 or 192.0.2.1:162"])
    return Address(str(ipaddress.ip_address(bare)), int(port))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text) <= 65_535


def bind(listen: str, *, receive_buffer_bytes: int, shared: bool = False) -> BoundSocket:
    """Bind one non-blocking UDP socket with time stamps and destination addresses switched on.

    Args:
        listen: `address:port`.
        receive_buffer_bytes: Wanted receive buffer; the kernel may grant less.
        shared: Other sockets of this process share the port (SO_REUSEPORT).

    Raises:
        ConfigError: The address is not an address of this machine, is in use, or needs a privilege; says the cure.
    """
    address = parse_address(listen)
    sock = _new_socket(address)
    try:
        if shared:
            share_port(sock)
        sock.bind(_sockaddr(sock, address))
    except OSError as error:
        sock.close()
        _refuse(listen, address, error)
    return adopt(sock, listen, receive_buffer_bytes=receive_buffer_bytes)


def adopt(sock: socket.socket, listen: str, *, receive_buffer_bytes: int) -> BoundSocket:
    """Set on a bound socket, ours or systemd's, everything that the roles rely on, and the receive buffer."""
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    granted = set_receive_buffer(sock, receive_buffer_bytes)
    return BoundSocket(listen, sock, receive_buffer_bytes, granted)


def set_receive_buffer(sock: socket.socket, wanted_bytes: int) -> int:
    """Ask for a receive buffer, past the sysctl limit where we may (CAP_NET_ADMIN).

    Returns:
        The bytes granted. The kernel books, and reports, twice of what is asked for (socket(7)); this is half of that.
    """
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, wanted_bytes)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted_bytes)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def share_port(sock: socket.socket) -> None:
    """Let other sockets of the same user bind the same port; also works on a socket that is bound already."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def has_ipv6() -> bool:
    """Whether the kernel can make an AF_INET6 socket (it may be built without, or booted with ipv6.disable=1)."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True


def _new_socket(address: Address) -> socket.socket:
    if has_ipv6():
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        return sock
    if address.ip.version == 4 or address.host == "::":
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    raise ConfigError([f"listen: [{address.host}]:{address.port}: this kernel has no IPv6; give an IPv4 address"])


def _sockaddr(sock: socket.socket, address: Address) -> tuple[str, int] | tuple[str, int, int, int]:
    if sock.family == socket.AF_INET:
        return ("0.0.0.0" if address.host == "::" else address.host, address.port)  # noqa: S104 - as configured
    host, _, zone = address.host.partition("%")
    scope = 0
    if zone:
        scope = int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
    mapped = f"::ffff:{host}" if "." in host and ":" not in host else host
    return (mapped, address.port, 0, scope)


def _refuse(listen: str, address: Address, error: OSError) -> NoReturn:
    cures = {
        errno.EADDRINUSE: f"the port is in use; `ss -ulpn 'sport = :{address.port}'` says by whom",
        errno.EACCES: (
            f"ports below 1024 need a privilege: let systemd bind it (netmon's .socket unit), or "
            f"`sysctl -w net.ipv4.ip_unprivileged_port_start={address.port}`, or give the Python that runs netmon "
            f"CAP_NET_BIND_SERVICE (`setcap cap_net_bind_service=+ep`)"
        ),
        errno.EADDRNOTAVAIL: "no interface of this machine has that address; `ip address` lists them",
    }
    raise ConfigError([f"listen: {listen}: {cures.get(error.errno or 0, error.strerror or str(error))}"]) from None


def inherited_fds(environ: Mapping[str, str], pid: int) -> list[tuple[int, str]]:
    """File descriptors that systemd, or netmon before an upgrade, passed to this process (sd_listen_fds(3)).

    Returns:
        (fd, name) in their order; empty when there are none, or when they were meant for another process.
    """
    if environ.get("LISTEN_PID") != str(pid):
        return []
    try:
        count = int(environ.get("LISTEN_FDS", "0"))
    except ValueError:
        return []
    names = environ.get("LISTEN_FDNAMES", "").split(":") if environ.get("LISTEN_FDNAMES") else []
    names += ["unknown"] * (count - len(names))
    return [(LISTEN_FDS_START + index, names[index]) for index in range(count)]


def take_inherited(environ: Mapping[str, str], pid: int) -> list[socket.socket]:
    """Open the inherited file descriptors as UDP sockets, close-on-exec, in their order.

    Raises:
        ConfigError: One of them is not a bound UDP socket.
    """
    taken = []
    for fd, name in inherited_fds(environ, pid):
        try:
            os.set_inheritable(fd, False)
            sock = socket.socket(fileno=fd)
        except OSError as error:
            raise ConfigError(
                [f"LISTEN_FDS: file descriptor {fd} ({name}) is not a socket: {error.strerror}"]
            ) from None
        if sock.type != socket.SOCK_DGRAM or sock.family not in {socket.AF_INET, socket.AF_INET6}:
            kind = f"{sock.family.name}/{sock.type.name}"
            raise ConfigError(
                [f"LISTEN_FDS: file descriptor {fd} ({name}) is {kind}; netmon needs UDP (`ListenDatagram=`)"]
            )
        taken.append(sock)
    return taken


def match(inherited: Iterable[socket.socket], listens: Sequence[str]) -> list[socket.socket | None]:
    """Give inherited sockets to the configured listeners by address and port, in order.

    Args:
        inherited: UDP sockets.
        listens: `address:port` of each lane; the same one several times for lanes that share a port.

    Returns:
        For each lane its socket, or None: nothing was inherited for it.

    Raises:
        ConfigError: A socket was inherited that no listener asks for: the unit and the configuration disagree.
    """
    result: list[socket.socket | None] = [None] * len(listens)
    wanted = [parse_address(listen) for listen in listens]
    mistakes = []
    for sock in inherited:
        free = (i for i, address in enumerate(wanted) if result[i] is None and _is_bound_to(sock, address))
        index = next(free, None)
        if index is None:
            configured = ", ".join(dict.fromkeys(listens)) or "none"
            mistakes.append(
                f"LISTEN_FDS: a socket bound to {name_of(sock)} was handed down, but the configuration listens on "
                f"{configured}; make the .socket unit and `listen` agree"
            )
        else:
            result[index] = sock
    if mistakes:
        raise ConfigError(mistakes)
    return result


def name_of(sock: socket.socket) -> str:
    """`address:port` that a socket is bound to; v4-mapped addresses as IPv4."""
    host, port = sock.getsockname()[:2]
    ip = _unmapped(host)
    return f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"


def _is_bound_to(sock: socket.socket, address: Address) -> bool:
    host, port = sock.getsockname()[:2]
    ip = _unmapped(host)
    # 0.0.0.0 for [::] is what we bind ourselves on a kernel without IPv6.
    same = ip == address.ip or (ip.is_unspecified and address.ip.is_unspecified and not has_ipv6())
    # A configured port 0 was chosen by the kernel before an upgrade.
    return same and address.port in {port, 0}


def _unmapped(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    ip = ipaddress.ip_address(host)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip


def inode_of(sock: socket.socket) -> int:
    """The socket's inode: the key of its line in /proc/net/udp and /proc/net/udp6."""
    return os.fstat(sock.fileno()).st_ino


def queued_bytes(inodes: Iterable[int]) -> dict[int, int]:
    """Bytes that wait in the kernel's receive queue, by socket inode, read from /proc/net/udp{,6}."""
    wanted = set(inodes)
    found: dict[int, int] = {}
    for table in ("udp", "udp6"):
        with contextlib.suppress(OSError):
            for line in Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if int(fields[9]) in wanted:
                    found[int(fields[9])] = int(fields[4].partition(":")[2], 16)
    return found
