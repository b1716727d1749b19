"""Sockets that leave by their line or not at all: interface, mark, source address, network namespace.

Owns how a pin becomes socket options, which errors of the kernel say "it could not leave from here" and which say something of the
line, and what to do when a right is missing. A source address by itself chooses no line, for the kernel routes by destination: two
lines whose probes differ by nothing else fail together when the preferred one dies. Standards: RFC 4007 section 11 (scope of IPv6).
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import ipaddress
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from netmon.inventory.probes import Pin

# Python's socket module names none of these (linux/in.h, linux/sched.h); the values are the same on x86_64 and aarch64.
IP_BIND_ADDRESS_NO_PORT: Final = 24
CLONE_NEWNET: Final = 0x4000_0000

NETNS_FOLDER: Final = Path("/run/netns")
"""Where `ip netns add` puts names."""

SockAddr = tuple[str, int] | tuple[str, int, int, int]
T = TypeVar("T")

_LOCAL: Final = {
    errno.ENETUNREACH: "no route to it from here; `ip route get` with the pin's interface or mark shows why",
    errno.ENETDOWN: "the interface is down",
    errno.EPERM: "a local firewall forbids it, or a right is missing",
    errno.EACCES: "a route of type `prohibit`, a local firewall or a missing right forbids it",
    errno.ENOBUFS: "the interface's queue is full",
    errno.ENOMEM: "the kernel has no memory for it",
    errno.EAGAIN: "the socket's send buffer is full: the interface takes nothing",
    errno.ENODEV: "the interface is gone",
    errno.ENXIO: "the interface is gone",
    errno.EADDRNOTAVAIL: "this machine does not have the source address",
    errno.EADDRINUSE: "no local port is free",
    errno.EINVAL: "a route of type `blackhole`, or addresses that do not go together",
    errno.EAFNOSUPPORT: "this kernel has no such kind of address (IPv6 switched off?)",
    errno.EPROTONOSUPPORT: "this kernel has no such protocol",
    errno.EMSGSIZE: "it is longer than the line's MTU lets pass",
    errno.EMFILE: "this process has too many files open; raise LimitNOFILE",
    errno.ENFILE: "this machine has too many files open",
    errno.EBADF: "the socket is closed",
}
"""What the kernel says when a probe did not leave; nothing of it is a loss of the line."""

_LOCAL_AT_SEND: Final = {errno.EHOSTUNREACH: "a route of type `unreachable` keeps it from leaving by another line"}
"""Local only when the call itself says so: later, it is a router's or the neighbour's silence, which is the line's own."""


class PinError(OSError):
    """A socket cannot be had, or cannot leave, as its pin asks; says what to do. Always a local error."""


def is_local_error(error: OSError, *, at_send: bool = False) -> bool:
    """Whether an error says that a probe could not leave from here, so that it says nothing of the line.

    ECONNREFUSED is an answer of the far end; EHOSTUNREACH comes from a router, or from a neighbour that is silent.

    Args:
        error: As the kernel gave it, or a `PinError`.
        at_send: The call that sends (or begins to connect) raised it, so no router can have: `unreachable` routes count, too.
    """
    return isinstance(error, PinError) or error.errno in _LOCAL or (at_send and error.errno in _LOCAL_AT_SEND)


def describe(error: OSError) -> str:
    """The error as evidence shows it: its name, and what it means here."""
    if isinstance(error, PinError):
        return str(error.strerror)
    name = errno.errorcode.get(error.errno or 0, "error")
    meaning = _LOCAL.get(error.errno or 0) or _LOCAL_AT_SEND.get(error.errno or 0) or error.strerror or str(error)
    return f"{name}: {meaning}"


def family_of(address: str) -> socket.AddressFamily:
    """AF_INET or AF_INET6 of a literal address, with or without `%zone`."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def make_socket(pin: Pin, family: int, kind: int, proto: int = 0) -> socket.socket:
    """Makes a non-blocking socket that leaves as the pin says.

    Args:
        pin: Its interface, mark, source and namespace; `expect_interface` is for whoever reads (`netmon.active_probe.arrival`).
        family: AF_INET or AF_INET6.
        kind: SOCK_DGRAM, SOCK_STREAM or SOCK_RAW.
        proto: 0 is the usual one of `kind`.

    Raises:
        PinError: The interface, namespace or address is not there, or a right is missing; says the cure. It may be there later.
    """
    return in_netns(pin, lambda: _pinned(pin, family, kind, proto))


def sockaddr_of(pin: Pin, address: str, port: int) -> SockAddr:
    """What to give to `sendto` or `connect`: for a link-local IPv6 address with its scope, by its `%zone` or the pin's interface.

    Raises:
        PinError: The interface or namespace is not there.
    """
    if ":" not in address:
        return (address, port)
    bare, _, zone = address.partition("%")
    zone = zone or (pin.interface if ipaddress.IPv6Address(bare).is_link_local else "")
    return (bare, port, 0, interface_index(pin, zone) if zone else 0)


def interface_index(pin: Pin, name: str) -> int:
    """Number of an interface in the pin's namespace, as `IP_PKTINFO` tells it.

    Raises:
        PinError: There is none of that name now.
    """
    return int(name) if name.isdecimal() else in_netns(pin, lambda: _index(name))


def in_netns(pin: Pin, make: Callable[[], T]) -> T:
    """Returns what `make` returns in the pin's network namespace, raises what it raises.

    A thread of its own enters it and ends: a namespace is a thread's, and the others must stay where they are. A socket stays in the
    namespace that it was made in.

    Raises:
        PinError: The namespace is not there, or CAP_SYS_ADMIN is missing.
    """
    if not pin.netns:
        return make()
    made: list[T] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            _enter(pin.netns)
            made.append(make())
        except BaseException as error:  # raised again, in the thread that asked
            failed.append(error)

    thread = threading.Thread(target=work, name="netns")
    try:
        thread.start()
    except RuntimeError:
        raise PinError(errno.EAGAIN, f"pin to netns {pin.netns}: no thread can be started; raise TasksMax=") from None
    thread.join()
    if failed:
        raise failed[0]
    return made[0]


async def connected(pin: Pin, address: str, port: int) -> socket.socket:
    """Connects a TCP socket as the pin says; whoever calls sets the time limit and closes it.

    Raises:
        PinError: It could not even begin from here: a local error.
        OSError: What came of it later: a refusal, or that nothing is there; of the far side or the way.
    """
    sock = make_socket(pin, family_of(address), socket.SOCK_STREAM)
    try:
        begin_connect(sock, sockaddr_of(pin, address, port))
        await _connected(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def begin_connect(sock: socket.socket, to: SockAddr) -> None:
    """Begins to connect a non-blocking socket.

    Raises:
        PinError: The kernel refused at once, so nothing has left.
        ConnectionRefusedError: On the loopback the answer is there at once.
    """
    code = sock.connect_ex(to)
    if code in {0, errno.EINPROGRESS}:
        return
    error = OSError(code, os.strerror(code))
    raise PinError(code, describe(error)) if is_local_error(error, at_send=True) else error


async def _connected(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(sock.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(sock.fileno())
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))


def _pinned(pin: Pin, family: int, kind: int, proto: int) -> socket.socket:
    try:
        sock = socket.socket(family, kind | socket.SOCK_NONBLOCK, proto)
    except OSError as error:
        raise PinError(error.errno, _cure_of_making(error, kind)) from None
    try:
        _pin(sock, pin)
    except OSError:
        sock.close()
        raise
    return sock


def _pin(sock: socket.socket, pin: Pin) -> None:
    if pin.interface:
        _bind_to_interface(sock, pin.interface)
    if pin.mark:
        _mark(sock, pin.mark)
    if pin.source:
        _bind_source(sock, pin)


def _bind_to_interface(sock: socket.socket, interface: str) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    except PermissionError as error:
        raise PinError(
            error.errno,
            f"pin to interface {interface}: needs CAP_NET_RAW; add it to AmbientCapabilities= of the service",
        ) from None
    except OSError as error:
        raise PinError(error.errno, f"pin to interface {interface}: {_no_interface(error, interface)}") from None


def _mark(sock: socket.socket, mark: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    except OSError as error:
        raise PinError(
            error.errno, f"pin by mark {mark:#x}: needs CAP_NET_ADMIN; add it to AmbientCapabilities= of the service"
        ) from None


def _bind_source(sock: socket.socket, pin: Pin) -> None:
    if sock.type == socket.SOCK_STREAM:
        # Or a port is taken at bind, and 28,000 are all there are for all destinations together.
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    try:
        sock.bind(sockaddr_of(Pin(interface=pin.interface), pin.source, 0))
    except PinError:
        raise
    except OSError as error:
        missing = error.errno == errno.EADDRNOTAVAIL
        cure = "no interface of this machine has that address; `ip address` lists them" if missing else error.strerror
        raise PinError(error.errno, f"pin to source {pin.source}: {cure}") from None


def _index(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError as error:
        raise PinError(errno.ENODEV, f"interface {name}: {_no_interface(error, name)}") from None


def _no_interface(error: OSError, name: str) -> str:
    if error.errno in {errno.ENODEV, errno.ENXIO, None} or "no interface" in str(error):
        return f"there is no interface {name!r} now; `ip link` lists them"
    return error.strerror or str(error)


def _cure_of_making(error: OSError, kind: int) -> str:
    if error.errno in {errno.EPERM, errno.EACCES} and kind & ~socket.SOCK_NONBLOCK == socket.SOCK_RAW:
        return "ICMP: needs CAP_NET_RAW, or `sysctl -w net.ipv4.ping_group_range='0 2147483647'` so that every group may send echoes"
    return describe(error)


def netns_path(netns: str) -> Path:
    """The file of a network namespace by its name (`ip netns add`) or path (`/proc/PID/ns/net`)."""
    return Path(netns) if "/" in netns else NETNS_FOLDER / netns


def _enter(netns: str) -> None:
    path = netns_path(netns)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        denied = isinstance(error, PermissionError)
        cure = "it is another user's process" if denied else "`ip netns list` shows which there are"
        raise PinError(error.errno, f"pin to netns {netns}: {path}: {error.strerror}; {cure}") from None
    try:
        # os.setns is there from Python 3.12 on.
        if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET) == 0:
            return
        code = ctypes.get_errno()
    finally:
        os.close(fd)
    what = (
        "needs CAP_SYS_ADMIN; add it to AmbientCapabilities= of the service, and take RestrictNamespaces= out"
        if code == errno.EPERM
        else f"{path} is no network namespace"
    )
    raise PinError(code, f"pin to netns {netns}: {what}")
