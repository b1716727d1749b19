"""Binding, adopting and matching of the lanes' sockets, on real loopback sockets."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator

import pytest

from netmon import sockets
from netmon.errors import ConfigError
from netmon.sockets import Address

KIB_256 = 256 << 10


@pytest.fixture
def opened() -> Iterator[list[socket.socket]]:
    """A list whose sockets are closed after the test."""
    found: list[socket.socket] = []
    yield found
    for sock in found:
        sock.close()


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("[::]:1162", Address("::", 1162)),
        ("0.0.0.0:162", Address("0.0.0.0", 162)),
        ("[2001:db8::1]:0", Address("2001:db8::1", 0)),
        ("[fe80::1%lo]:162", Address("fe80::1%lo", 162)),
        ("[::ffff:192.0.2.1]:65535", Address("::ffff:c000:201", 65_535)),
    ],
)
def test_an_address_and_port_are_split(listen: str, expected: Address) -> None:
    """Both families are read; IPv6 stands in brackets."""
    assert sockets.parse_address(listen) == expected


@pytest.mark.parametrize(
    "listen", ["", "1162", ":1162", "::1:1162", "[192.0.2.1]:162", "[::]", "[::]:65536", "[::]:-1", "[::]:", "host:162"]
)
def test_what_is_no_address_and_port_is_refused(listen: str) -> None:
    """The message shows what was read and what was expected."""
    with pytest.raises(ConfigError) as caught:
        sockets.parse_address(listen)
    assert caught.value.mistakes == [
        f"listen: {listen!r} is not ADDRESS:PORT, such as [::]:1162 or 192.0.2.1:162",
    ]


@pytest.mark.parametrize(
    ("listen", "target"),
    [("[::]:0", "127.0.0.1"), ("[::]:0", "::1"), ("127.0.0.1:0", "127.0.0.1"), ("0.0.0.0:0", "127.0.0.1")],
)
def test_every_listener_gets_one_ancillary_layout(listen: str, target: str, opened: list[socket.socket]) -> None:
    """IPv4 and IPv6 datagrams arrive with IPV6_PKTINFO and a nanosecond time stamp, on one kind of socket."""
    bound = sockets.bind(listen, receive_buffer_bytes=KIB_256)
    opened.append(bound.sock)
    with socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", (target, bound.sock.getsockname()[1]))
    data, ancillary, _, _ = bound.sock.recvmsg(10, 200)
    kinds = [(level, kind) for level, kind, _ in ancillary]
    assert (bound.sock.family, data, kinds) == (
        socket.AF_INET6,
        b"x",
        [(socket.SOL_SOCKET, 35), (socket.IPPROTO_IPV6, 50)],
    )


def test_a_socket_does_not_block(opened: list[socket.socket]) -> None:
    """An empty queue is an error at once, also for the roles, which share the open file description."""
    bound = sockets.bind("127.0.0.1:0", receive_buffer_bytes=KIB_256)
    opened.append(bound.sock)
    with pytest.raises(BlockingIOError):
        bound.sock.recv(1)


def test_the_granted_buffer_is_reported_in_the_unit_that_was_asked_for(opened: list[socket.socket]) -> None:
    """The kernel books twice of what it grants; nobody should have to know."""
    bound = sockets.bind("127.0.0.1:0", receive_buffer_bytes=100_000)
    opened.append(bound.sock)
    assert (bound.granted_bytes, bound.sysctl) == (100_000, None)


def test_a_smaller_buffer_than_wanted_names_the_sysctl(opened: list[socket.socket]) -> None:
    """The operator gets the line to type."""
    bound = sockets.bind("127.0.0.1:0", receive_buffer_bytes=KIB_256)
    opened.append(bound.sock)
    less = sockets.BoundSocket(bound.listen, bound.sock, wanted_bytes=64 << 20, granted_bytes=KIB_256)
    assert less.sysctl == "sysctl -w net.core.rmem_max=67108864"


def test_a_port_in_use_says_how_to_find_by_whom(opened: list[socket.socket]) -> None:
    """Without lanes that share a port nobody can steal it from us, nor we from others."""
    first = sockets.bind("127.0.0.1:0", receive_buffer_bytes=KIB_256)
    opened.append(first.sock)
    port = first.sock.getsockname()[1]
    with pytest.raises(ConfigError) as caught:
        sockets.bind(f"127.0.0.1:{port}", receive_buffer_bytes=KIB_256)
    assert caught.value.mistakes == [
        f"listen: 127.0.0.1:{port}: the port is in use; `ss -ulpn 'sport = :{port}'` says by whom",
    ]


def test_a_foreign_address_is_refused_with_the_cure() -> None:
    """192.0.2.0/24 is for documentation (RFC 5737) and on no machine."""
    with pytest.raises(ConfigError) as caught:
        sockets.bind("192.0.2.1:0", receive_buffer_bytes=KIB_256)
    assert caught.value.mistakes == [
        "listen: 192.0.2.1:0: no interface of this machine has that address; `ip address` lists them",
    ]


def test_a_privileged_port_names_three_cures() -> None:
    """What the kernel refuses to an ordinary user is explained."""
    with pytest.raises(ConfigError) as caught:
        sockets._refuse("[::]:162", Address("::", 162), PermissionError(errno.EACCES, "Permission denied"))
    (mistake,) = caught.value.mistakes
    assert [word for word in (".socket unit", "ip_unprivileged_port_start=162", "setcap") if word not in mistake] == []


def test_lanes_share_a_port_even_when_the_first_was_bound_alone(opened: list[socket.socket]) -> None:
    """A reload may raise the number of lanes without closing the first one's socket."""
    first = sockets.bind("127.0.0.1:0", receive_buffer_bytes=KIB_256)
    opened.append(first.sock)
    sockets.share_port(first.sock)
    second = sockets.bind(sockets.name_of(first.sock), receive_buffer_bytes=KIB_256, shared=True)
    opened.append(second.sock)
    assert sockets.name_of(second.sock) == sockets.name_of(first.sock)


def test_inherited_descriptors_are_only_ours_when_the_pid_says_so() -> None:
    """LISTEN_FDS leaks to grandchildren; LISTEN_PID tells."""
    environ = {"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "traps"}
    assert sockets.inherited_fds(environ, 7) == [(3, "traps"), (4, "unknown")]
    assert sockets.inherited_fds(environ, 8) == []
    assert sockets.inherited_fds({}, 7) == []


def test_inherited_sockets_are_matched_by_address_in_order(opened: list[socket.socket]) -> None:
    """The service manager may hand them down in another order than the configuration's."""
    one = sockets.bind("127.0.0.1:0", receive_buffer_bytes=KIB_256).sock
    two = sockets.bind("[::1]:0", receive_buffer_bytes=KIB_256).sock
    opened += [one, two]
    listens = [sockets.name_of(two), "127.0.0.1:1", sockets.name_of(one)]
    assert sockets.match([one, two], listens) == [two, None, one]


def test_an_inherited_socket_that_nobody_asked_for_is_a_mistake(opened: list[socket.socket]) -> None:
    """Unit file and configuration disagree: netmon would be deaf on one of the two ports."""
    one = sockets.bind("127.0.0.1:0", receive_buffer_bytes=KIB_256).sock
    opened.append(one)
    with pytest.raises(ConfigError) as caught:
        sockets.match([one], ["[::]:1162"])
    expected = (
        f"LISTEN_FDS: a socket bound to {sockets.name_of(one)} was handed down, but the configuration listens on "
        "[::]:1162; make the .socket unit and `listen` agree"
    )
    assert caught.value.mistakes == [expected]


def test_the_queue_of_a_socket_is_found_by_its_inode(opened: list[socket.socket]) -> None:
    """What waits in the kernel is visible before capture has read it."""
    bound = sockets.bind("127.0.0.1:0", receive_buffer_bytes=KIB_256)
    opened.append(bound.sock)
    inode = sockets.inode_of(bound.sock)
    assert (inode, sockets.queued_bytes([inode])) == (os.fstat(bound.sock.fileno()).st_ino, {inode: 0})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("127.0.0.1", bound.sock.getsockname()[1]))
    assert sockets.queued_bytes([inode])[inode] > 0
