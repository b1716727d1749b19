"""Probes over real interfaces in namespaces: they leave by their line or not at all, and what comes in by another is noticed."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from loadtest.lab.namespaces import Namespaces, missing
from netmon.active_probe.probers import icmp, stamp
from netmon.active_probe.probers.base import PacketProber
from netmon.active_probe.vantage.pinning import PinError, connected, is_local_error, make_socket
from netmon.inventory.probes import IcmpProbe, Pin, StampProbe
from tests.integration.stamping import LIMIT_S, ask, replies_of

PORT = 862
SHARED = "10.9.0.1"
"""At the far end; both lines lead there."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Namespaces]:
    """A vantage with two lines to one far end, where a reflector listens.

    Lines `one` and `two` are 10.1.0.0/24 and 10.2.0.0/24 (fd01::/64, fd02::/64); SHARED can be reached by both, and the routing table
    prefers line `one`. The far end's kernel lets root's group have ping sockets, that of the vantage nobody.
    """
    if os.geteuid() != 0 or (reason := missing()):
        pytest.skip("no right to enter network namespaces" if os.geteuid() else reason)
    with Namespaces() as spaces:
        spaces.add("near")
        spaces.add("far")
        for number, line in ((1, "one"), (2, "two")):
            spaces.link("near", line, "far", f"far-{line}")
            spaces["near"].ip(f"addr add 10.{number}.0.2/24 dev {line}", f"addr add fd0{number}::2/64 dev {line} nodad")
            spaces["far"].ip(
                f"addr add 10.{number}.0.1/24 dev far-{line}",
                f"addr add fd0{number}::1/64 dev far-{line} nodad",
            )
            spaces["near"].ip(
                f"route add 10.9.0.1 via 10.{number}.0.1 dev {line} metric {number}",
                f"rule add fwmark {number} lookup {number}",
                f"route add 10.9.0.1 via 10.{number}.0.1 dev {line} table {number}",
            )
        spaces["far"].ip("addr add 10.9.0.1/32 dev lo")
        spaces["far"].sysctl({"ipv4/ping_group_range": "0 0"})
        words = [sys.executable, "-m", "netmon.active_probe.stamp", "--json"]
        listen = [f"--listen={address}:{PORT}" for address in ("0.0.0.0", "[::]")]
        reflector = spaces["far"].start([*words, *listen], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert reflector.stdout is not None
        assert reflector.stdout.readline()
        yield spaces


def near(lab: Namespaces, **pin: object) -> Pin:
    """A pin in the vantage's namespace."""
    return Pin(netns=str(lab["near"].path), **pin)  # type: ignore[arg-type]


def stamp_channel(pin: Pin, address: str) -> PacketProber:
    """One reflector."""
    return stamp.open_channel(pin, [StampProbe(address=address, port=PORT)], {})


def icmp_channel(pin: Pin, *addresses: str) -> PacketProber:
    """Some that answer echoes."""
    return icmp.open_channel(pin, [IcmpProbe(address=address) for address in addresses], {})


@pytest.mark.parametrize("address", ["10.1.0.1", "fd01::1"], ids=["IPv4", "IPv6"])
def test_a_probe_works_in_another_namespace(lab: Namespaces, address: str) -> None:
    """The thread that enters it is gone afterwards; this process stays where it is."""
    before = {Path("/proc/self/ns/net").stat().st_ino}
    with closing(stamp_channel(near(lab, interface="one"), address)) as channel:
        found = ask(channel, 0)

    assert [reply.seq for reply in found] == [0]
    assert {Path(task, "ns/net").stat().st_ino for task in Path("/proc/self/task").iterdir()} == before
    assert "netns" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("pin", "wrong"),
    [({"interface": "two"}, ""), ({"mark": 2}, ""), ({}, "one")],
    ids=["interface", "mark", "no pin"],
)
@pytest.mark.parametrize("open_channel", [stamp_channel, icmp_channel], ids=["stamp", "icmp"])
def test_an_answer_by_another_interface_is_noticed(
    lab: Namespaces, open_channel: Callable[[Pin, str], PacketProber], pin: dict[str, object], wrong: str
) -> None:
    """All should take line `two`; without a pin, the routing table decides, and has it take the other."""
    with closing(open_channel(near(lab, expect_interface="two", **pin), SHARED)) as channel:
        assert [reply.wrong_interface for reply in ask(channel, 0)] == [wrong]


def test_a_link_local_address_is_asked_by_the_interface_of_its_pin(lab: Namespaces) -> None:
    """IPv6 alone, without a prefix or a route: what is left when a line's addresses are gone."""
    lab["far"].ip("addr add fe80::9/64 dev far-two nodad")
    lab["near"].ip("addr add fe80::8/64 dev two nodad")

    for open_channel in (stamp_channel, icmp_channel):
        with closing(open_channel(near(lab, interface="two"), "fe80::9")) as channel:
            assert len(ask(channel, 0)) == 1


def send_error(lab: Namespaces, pin: Pin, address: str = "10.9.0.9") -> OSError:
    """How a probe fails to leave."""
    with closing(stamp_channel(pin, address)) as channel, pytest.raises(OSError) as refused:
        channel.send(0, 0, time.time_ns())
    return refused.value


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("unreachable", errno.EHOSTUNREACH), ("prohibit", errno.EACCES), ("blackhole", errno.EINVAL), ("", errno.ENETUNREACH),
    ],
)  # fmt: skip
def test_what_a_route_keeps_from_leaving_is_a_local_error(lab: Namespaces, kind: str, code: int) -> None:
    """Above all `unreachable`, with which the table of a line's mark ends, so that nothing takes another line."""
    if kind:
        lab["near"].ip(f"route add {kind} 10.9.0.9")
    try:
        error = send_error(lab, near(lab))
    finally:
        if kind:
            lab["near"].ip(f"route del {kind} 10.9.0.9")

    assert (error.errno, is_local_error(error, at_send=True)) == (code, True)


def test_an_interface_that_goes_is_a_local_error_and_works_again_when_it_is_back(lab: Namespaces) -> None:
    """A modem that is plugged in anew has another number under the same name: the channel has to be opened again, and can be."""
    lab.link("near", "modem", "far", "far-modem")
    lab["near"].ip("addr add 10.3.0.2/24 dev modem")
    lab["far"].ip("addr add 10.3.0.1/24 dev far-modem")
    pin = near(lab, interface="modem")
    with closing(stamp_channel(pin, "10.3.0.1")) as channel:
        well = len(ask(channel, 0))
        lab["near"].ip("link del modem")
        with pytest.raises(OSError) as gone:
            channel.send(0, 1, time.time_ns())
    with pytest.raises(PinError, match="there is no interface 'modem' now"):
        stamp_channel(pin, "10.3.0.1")
    for space in ("near", "far"):
        lab[space].renew()
    lab.link("near", "modem", "far", "far-modem")
    lab["near"].ip("addr add 10.3.0.2/24 dev modem")
    lab["far"].ip("addr add 10.3.0.1/24 dev far-modem")
    with closing(stamp_channel(pin, "10.3.0.1")) as channel:
        again = len(ask(channel, 0))

    assert (well, gone.value.errno, is_local_error(gone.value), again) == (1, errno.ENODEV, True, 1)


@pytest.mark.parametrize(
    ("pin", "cure"),
    [
        ({"interface": "none"}, "pin to interface none: there is no interface 'none' now; `ip link` lists them"),
        (
            {"source": "192.0.2.1"},
            "pin to source 192.0.2.1: no interface of this machine has that address; `ip address` lists them",
        ),
        (
            {"netns": "no-such"},
            "pin to netns no-such: /run/netns/no-such: No such file or directory; `ip netns list` shows which there are",
        ),
        ({"netns": "/dev/null"}, "pin to netns /dev/null: /dev/null is no network namespace"),
    ],
    ids=["interface", "source", "netns", "no netns"],
)
def test_a_pin_that_cannot_be_had_says_why(pin: dict[str, str], cure: str) -> None:
    """And is a local error: it may be there later."""
    with pytest.raises(PinError) as refused:
        make_socket(Pin(**pin), socket.AF_INET, socket.SOCK_DGRAM)

    assert (refused.value.strerror, is_local_error(refused.value)) == (cure, True)


WITHOUT_RIGHTS = """
import socket, sys
from netmon.active_probe.probers import icmp
from netmon.active_probe.vantage.pinning import PinError, make_socket
from netmon.inventory.probes import IcmpProbe, Pin
for pin in (Pin(mark=7), Pin(netns=sys.argv[1]), Pin()):
    try:
        if pin == Pin():
            icmp.open_channel(pin, [IcmpProbe(address="127.0.0.1")], {}).close()
        else:
            make_socket(pin, socket.AF_INET, socket.SOCK_DGRAM).close()
        print("nothing is missing")
    except PinError as error:
        print(error.strerror)
"""


def test_a_right_that_is_missing_is_named(lab: Namespaces) -> None:
    """With what to do; in a namespace, for there nobody else's sysctl lets every group send echoes."""
    words = [
        "setpriv",
        "--bounding-set=-all",
        "--inh-caps=-all",
        sys.executable,
        "-c",
        WITHOUT_RIGHTS,
        "/proc/self/ns/net",
    ]
    with lab["near"].start(words, stdout=subprocess.PIPE) as process:
        said, _ = process.communicate(timeout=LIMIT_S)

    assert said.decode().splitlines() == [
        "pin by mark 0x7: needs CAP_NET_ADMIN; add it to AmbientCapabilities= of the service",
        "pin to netns /proc/self/ns/net: needs CAP_SYS_ADMIN; add it to AmbientCapabilities= of the service, and take RestrictNamespaces= out",
        "ICMP: needs CAP_NET_RAW, or `sysctl -w net.ipv4.ping_group_range='0 2147483647'` so that every group may send echoes",
    ]


@pytest.mark.parametrize(
    ("place", "kind", "host"), [("near", socket.SOCK_RAW, 1), ("far", socket.SOCK_DGRAM, 2)], ids=["raw", "ping socket"]
)
@pytest.mark.parametrize("targets", ["10.1.0.{} 10.2.0.{}", "fd01::{} fd02::{}"], ids=["IPv4", "IPv6"])
def test_echoes_of_two_channels_are_never_mixed_up(
    lab: Namespaces, place: str, kind: socket.SocketKind, host: int, targets: str
) -> None:
    """Nor do they even reach each other's socket: the kernel sorts them. Sequence numbers keep their 32 bits."""
    pin, addresses = Pin(netns=str(lab[place].path)), targets.format(host, host).split()
    with ExitStack() as stack:
        channels = [stack.enter_context(closing(icmp_channel(pin, *addresses))) for _ in range(2)]
        with socket.socket(fileno=os.dup(channels[0].fileno())) as twin:
            assert twin.type == kind
        for seq in (0xFFFF_FFFF, 70_000):
            for channel in channels:
                for target in range(2):
                    channel.send(target, seq, time.time_ns())
            found = [sorted(reply[:2] for reply in replies_of(channel, 2)) for channel in channels]

            assert found == [[(0, seq), (1, seq)]] * 2
        assert [channel.refused for channel in channels] == [0, 0]


async def test_a_tcp_connection_is_pinned_too(lab: Namespaces) -> None:
    """A refusal is an answer of the far end; what cannot even begin is a local error."""
    pin = near(lab, interface="two")
    with pytest.raises(ConnectionRefusedError) as refused:
        await connected(pin, SHARED, 9)
    with pytest.raises(PinError, match="ENETUNREACH") as local:
        await connected(near(lab), "10.77.0.1", 9)

    assert (is_local_error(refused.value), is_local_error(local.value)) == (False, True)
