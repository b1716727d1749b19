"""Who may send, whom netmon believes, and that every socket of it hears everything exactly once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netmon.model import Limits
from netmon.snmp import SNMP_TRAP_ADDRESS, encode_response
from netmon.snmp.encode import encode_v1, encode_v2c
from tests.integration.harness import Netmon, free_port


def send_from(source: str, port: int, *datagrams: bytes) -> None:
    """Send from an address of ours to the loopback of the same family."""
    with socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        for datagram in datagrams:
            sock.sendto(datagram, ("::1" if ":" in source else "127.0.0.1", port))


@pytest.fixture
def communities(tmp_path: Path) -> Path:
    """A file with one community."""
    file = tmp_path / "communities.txt"
    file.write_text("s3cret\n")
    return file


@pytest.fixture
def guarded(tmp_path: Path, communities: Path) -> Iterator[Netmon]:
    """Dual stack; 127.1.0.0/16 with the community, 127.2.0.0/16 and ::1 with any, nobody else."""
    netmon = Netmon(tmp_path / "guarded")
    rules = [
        {"sources": ["127.1.0.0/16"], "communities_file": str(communities)},
        {"sources": ["127.2.0.0/16", "::1/128"]},
    ]
    netmon.configure({"receiver": {"listen": [f"[::]:{netmon.port}"], "allow": rules}})
    with netmon:
        yield netmon


def test_the_allow_list_decides_by_network_and_community(guarded: Netmon) -> None:
    """What is allowed is marked so; what is not is a reject with its reason, IPv4 and IPv6, and counted."""
    send_from("127.1.0.7", guarded.port, guarded.trap(1, community=b"s3cret"), guarded.trap(2, community=b"public"))
    send_from("127.2.0.7", guarded.port, guarded.trap(3, community=b"whatever"))
    send_from("::1", guarded.port, guarded.trap(4))
    send_from("127.3.0.7", guarded.port, guarded.trap(5, community=b"s3cret"))
    found = guarded.wait_settled(5)
    assert [(event.peer, event.trust) for _, event in guarded.entries()] == [
        ("127.1.0.7", "allow_listed"),
        ("127.2.0.7", "allow_listed"),
        ("::1", "allow_listed"),
    ]
    assert guarded.numbers() == [1, 3, 4]
    assert [(event.peer, event.reason) for _, event in guarded.rejects()] == [
        ("127.1.0.7", "community_not_allowed"),
        ("127.3.0.7", "source_not_allowed"),
    ]
    assert (found.rejected["community_not_allowed"], found.rejected["source_not_allowed"]) == (1, 1)
    labels = f'lane="0",listener="[::]:{guarded.port}",reason="community_not_allowed",receiver="test"'
    assert guarded.metrics()[f"netmon_trap_rejected_total{{{labels}}}"] == 1


def test_a_reload_takes_new_communities(guarded: Netmon, communities: Path) -> None:
    """A line more in the file and SIGHUP: the device that had the wrong community is heard, the others still are."""
    send_from("127.1.0.7", guarded.port, guarded.trap(1, community=b"new"))
    guarded.wait_settled(1)
    communities.write_text("s3cret\nnew\n")
    guarded.signal(signal.SIGHUP)
    guarded.wait_until(lambda: guarded.events("supervisor.configuration_applied"), what="reloaded")
    send_from("127.1.0.7", guarded.port, *(guarded.trap(2, community=word) for word in (b"new", b"s3cret", b"old")))
    found = guarded.wait_settled(4)
    assert (guarded.numbers(), found.rejected["community_not_allowed"]) == ([2, 2], 2)


def test_bad_credentials_are_seen_and_not_shown(guarded: Netmon) -> None:
    """Symptom: a wrong community is invisible. It is counted and logged with its source, rarely, without the word."""
    count = 2_000
    send_from("127.1.0.7", guarded.port, *(guarded.trap(n, community=b"Wr0ngW0rd") for n in range(count)))
    found = guarded.wait_settled(count)
    assert found.rejected["community_not_allowed"] == count
    refused = guarded.events("decode.datagram_refused")
    assert 1 <= len(refused) <= 3
    assert (refused[0]["reason"], refused[0]["peer"]) == ("community_not_allowed", "127.1.0.7")
    shown = guarded.log_file.read_text() + guarded.output_file.read_text() + guarded.get("/metrics")[1]
    assert "Wr0ng" not in shown
    assert "s3cret" not in shown
    raws = {bytes.fromhex(event.raw)[:20] for _, event in guarded.rejects()}
    assert [raw for raw in raws if b"Wr0ng" in raw] == []


def relayed(device: str | None, number: int) -> bytes:
    """A v2c trap as a relay passes it on, with the address of the device (RFC 3584 section 3.1)."""
    return encode_v2c(
        community=b"public",
        pdu="trap",
        request_id=number,
        uptime_centis=number,
        trap_oid="1.3.6.1.6.3.1.1.5.3",
        varbinds=[(SNMP_TRAP_ADDRESS, "IpAddress", device)] if device else [],
    )


def agent(address: str) -> bytes:
    """An SNMPv1 trap with an agent-addr."""
    return encode_v1(
        community=b"public",
        enterprise="1.3.6.1.4.1.9",
        agent_addr=address,
        generic=0,
        specific=0,
        uptime_centis=1,
        varbinds=[],
    )


def test_only_a_trusted_relay_may_speak_for_a_device(tmp_path: Path) -> None:
    """Symptom: the source is hidden by a relay, or forged by anyone. The peer is always told, too."""
    with Netmon(tmp_path, {"receiver": {"trusted_relays": ["127.9.0.0/24"]}}) as netmon:
        datagrams = [relayed("192.0.2.33", 1), relayed(None, 2), agent("192.0.2.44"), agent("0.0.0.0")]
        send_from("127.9.0.1", netmon.port, *datagrams)
        send_from("127.8.0.1", netmon.port, *datagrams)
        netmon.wait_settled(8)
        assert [(event.peer, event.source) for _, event in netmon.entries()] == [
            ("127.9.0.1", "192.0.2.33"),
            ("127.9.0.1", "127.9.0.1"),
            ("127.9.0.1", "192.0.2.44"),
            ("127.9.0.1", "127.9.0.1"),
            *[("127.8.0.1", "127.8.0.1")] * 4,
        ]
        assert {event.trust for _, event in netmon.entries()} == {"other"}


def test_all_lanes_of_all_listeners_together_get_everything_once(tmp_path: Path) -> None:
    """Two listeners, two lanes each: the kernel spreads the senders, each lane keeps its own books."""
    netmon = Netmon(tmp_path)
    second = free_port(socket.SOCK_DGRAM)
    listen = [f"127.0.0.1:{netmon.port}", f"[::1]:{second}"]
    netmon.configure({"receiver": {"listen": listen, "lanes_per_listener": 2}})
    with netmon:
        for sender in range(100):
            first = sender * 40
            send_from("127.0.0.1", netmon.port, *map(netmon.trap, range(first, first + 20)))
            send_from("::1", second, *map(netmon.trap, range(first + 20, first + 40)))
        netmon.wait_until(lambda: sum(netmon.ledger(lane).buffered for lane in range(4)) == 4_000, what="buffered")
        ledgers = [netmon.wait_settled(lane=lane) for lane in range(4)]
        assert [(found.difference, found.kernel_drops, found.lost) for found in ledgers] == [(0, 0, 0)] * 4
        assert min(found.captured for found in ledgers) >= 200
        numbers = [netmon.numbers(lane) for lane in range(4)]
        assert sorted(number for lane in numbers for number in lane) == list(range(4_000))
        # One sender's traps stay in one lane, and in order: each run of 20 is whole.
        runs = [lane[at : at + 20] for lane in numbers for at in range(0, len(lane), 20)]
        assert runs == [list(range(run[0], run[0] + 20)) for run in runs]
        assert {event.local for lane in (0, 1) for _, event in netmon.entries(lane)} == {"127.0.0.1"}
        assert {event.local for lane in (2, 3) for _, event in netmon.entries(lane)} == {"::1"}
        listed = netmon.command_line("ledger", "--json")
        assert (listed.returncode, len(listed.stdout.splitlines())) == (0, 4)


class Neighbour:
    """Another host on a network of its own: a network namespace behind a veth pair."""

    def __init__(self, ip: str) -> None:
        """Name it; `open` makes it."""
        self.name = f"netmon{os.getpid()}"
        self.ours, self.theirs = f"nm{os.getpid()}a", f"nm{os.getpid()}b"
        self._ip = ip

    def open(self) -> None:
        """Make it, with IPv4, IPv6 and link-local addresses on both sides."""
        self._run("netns", "add", self.name)
        self._run("link", "add", self.ours, "type", "veth", "peer", "name", self.theirs, "netns", self.name)
        sides: tuple[tuple[list[str], str, int], ...] = (([], self.ours, 1), (["-n", self.name], self.theirs, 2))
        for where, link, last in sides:
            self._run(*where, "link", "set", link, "addrgenmode", "none")
            self._run(*where, "link", "set", link, "up")
            self._run(*where, "address", "add", f"198.18.77.{last}/24", "dev", link)
            self._run(*where, "address", "add", f"2001:db8:77::{last}/64", "dev", link, "nodad")
            self._run(*where, "address", "add", f"fe80::77:{last}/64", "dev", link, "nodad")

    def close(self) -> None:
        """Remove it; its end of the pair takes ours along."""
        subprocess.run([self._ip, "link", "del", self.ours], check=False, capture_output=True)
        subprocess.run([self._ip, "netns", "del", self.name], check=False, capture_output=True)

    def inform(self, address: str, port: int, datagram: bytes) -> bytes:
        """Send a datagram from there; returns the answer that came from the very address."""
        program = (
            "import socket, sys;"
            "target = socket.getaddrinfo(sys.argv[1], int(sys.argv[2]), type=socket.SOCK_DGRAM)[0];"
            "sock = socket.socket(target[0], target[1]); sock.settimeout(2); sock.connect(target[4]);"
            "sock.send(bytes.fromhex(sys.argv[3])); print(sock.recv(65536).hex())"
        )
        command = [self._ip, "netns", "exec", self.name, sys.executable, "-c", program]
        done = subprocess.run(
            [*command, address, str(port), datagram.hex()], check=True, capture_output=True, text=True, timeout=20
        )
        return bytes.fromhex(done.stdout)

    def _run(self, *arguments: str) -> None:
        subprocess.run([self._ip, *arguments], check=True, capture_output=True)


@pytest.fixture
def neighbour(require_tool: Callable[[str], str]) -> Iterator[Neighbour]:
    """A host beside ours; skipped where nobody may make one."""
    ip = require_tool("ip")
    if os.geteuid() != 0:
        pytest.skip("a network namespace needs root")
    made = Neighbour(ip)
    try:
        made.open()
        yield made
    finally:
        made.close()


def test_a_neighbour_is_heard_and_answered_by_any_address(tmp_path: Path, neighbour: Neighbour) -> None:
    """Over a real link: IPv4, IPv6 and link-local, whose zone is told, and without which no answer would find back."""
    netmon = Netmon(tmp_path)
    networks = ["198.18.77.0/24", "2001:db8:77::/64", "fe80::/10"]
    netmon.configure({"receiver": {"listen": [f"[::]:{netmon.port}"], "allow": [{"sources": networks}]}})
    with netmon:
        targets = ["198.18.77.1", "2001:db8:77::1", f"fe80::77:1%{neighbour.theirs}"]
        for number, target in enumerate(targets):
            inform = netmon.trap(number, inform=True)
            assert neighbour.inform(target, netmon.port, inform) == encode_response(inform, Limits())
        netmon.wait_settled(3)
        zone = socket.if_nametoindex(neighbour.ours)
        assert [(event.source, event.local, event.trust) for _, event in netmon.entries()] == [
            ("198.18.77.2", "198.18.77.1", "allow_listed"),
            ("2001:db8:77::2", "2001:db8:77::1", "allow_listed"),
            (f"fe80::77:2%{zone}", "fe80::77:1", "allow_listed"),
        ]
