"""An INFORM is answered when it is stored as promised, and only then: what was answered is never lost."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netmon.model import Limits
from netmon.snmp import encode_response
from tests.integration.harness import Netmon
from tests.integration.test_faults import fill, small_disk  # noqa: F401 - a fixture, asked for by its name

SILENCE_S = 0.7
"""Long enough for an answer that comes: it takes some 10 ms. What proves that none comes are the counters."""


@pytest.fixture(scope="module")
def netmon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Netmon]:
    """A netmon on the wildcard address, IPv6 and IPv4, that answers from the journal."""
    netmon = Netmon(tmp_path_factory.mktemp("inform"))
    netmon.configure({"receiver": {"listen": [f"[::]:{netmon.port}"]}})
    with netmon:
        yield netmon


@contextlib.contextmanager
def connected(netmon: Netmon, address: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A sender's socket; it hears only what comes from the very address and port that it sends to."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((address, netmon.port))
        sock.settimeout(5)
        yield sock


def response(number: int, community: bytes = b"public") -> bytes:
    """What answers a numbered INFORM."""
    return encode_response(Netmon.trap(number, inform=True, community=community), Limits())


def is_silent(sock: socket.socket, for_s: float = SILENCE_S) -> bool:
    """Whether no answer comes for a while."""
    return not select.select([sock], [], [], for_s)[0]


def wait_counted(netmon: Netmon, answered: int) -> None:
    """Until so many answers are counted: that is a moment after they are sent."""
    netmon.wait_until(lambda: netmon.ledger().informs_answered >= answered, what="counted")
    assert netmon.ledger().informs_answered == answered


@pytest.mark.parametrize("target", ["127.0.0.1", "udp6:[::1]"])
def test_snmpinform_gets_its_answer(netmon: Netmon, require_tool: Callable[[str], str], target: str) -> None:
    """Net-SNMP's own sender, without a retry, over IPv4 and IPv6: exit code 0 is an answer that it accepted."""
    before = netmon.ledger()
    command = [require_tool("snmpinform"), "-v2c", "-c", "public", "-r", "0", "-t", "5", f"{target}:{netmon.port}"]
    subprocess.run([*command, "", "1.3.6.1.6.3.1.1.5.3", "1.3.6.1.2.1.2.2.1.1.7", "i", "7"], check=True)
    netmon.wait_settled(before.captured + 1)
    wait_counted(netmon, before.informs_answered + 1)
    event = netmon.entries()[-1][1]
    assert (event.pdu, event.varbinds[0].value) == ("inform", 7)
    assert event.peer == ("::1" if "::" in target else "127.0.0.1")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.5", "127.200.3.4", "::1"])
def test_the_answer_comes_from_the_address_that_was_asked(netmon: Netmon, address: str) -> None:
    """On a wildcard listener too: a sender with a connected socket, or a firewall, takes no other answer."""
    before = netmon.ledger()
    with connected(netmon, address) as sock:
        sock.send(netmon.trap(4_711, inform=True))
        assert sock.recv(65_536) == response(4_711)
    assert netmon.wait_settled(before.captured + 1).inform_send_failures == 0
    wait_counted(netmon, before.informs_answered + 1)
    assert netmon.entries()[-1][1].local == address


def test_a_retransmission_is_marked_and_answered_again(netmon: Netmon) -> None:
    """The first answer was lost on its way: the sender gets another one, consumers see which entry came again."""
    before = netmon.ledger()
    with connected(netmon) as sock:
        for _ in range(3):
            sock.send(netmon.trap(77, inform=True))
            assert sock.recv(65_536) == response(77)
        sock.send(netmon.trap(78, inform=True))
        assert sock.recv(65_536) == response(78)
    after = netmon.wait_settled(before.captured + 4)
    first = before.captured + 1
    events = [event for _, event in netmon.entries() if event.seq >= first]
    assert [event.duplicate_of for event in events] == [None, first, first, None]
    assert after.duplicates == before.duplicates + 2
    wait_counted(netmon, before.informs_answered + 4)


def test_what_is_no_sound_inform_is_not_answered(netmon: Netmon) -> None:
    """Cut informs, other PDUs, a trap: silence. The good one that is sent after them is the first that is answered."""
    good = netmon.trap(1, inform=True)
    get_request = good.replace(b"\xa6", b"\xa0", 1)
    before = netmon.ledger()
    with connected(netmon) as sock:
        unsound = [*(good[:end] for end in range(len(good))), get_request, netmon.trap(1), good[:-3] + b"\x44\x81\x81"]
        for datagram in unsound:
            sock.send(datagram)
        sock.send(netmon.trap(2, inform=True))
        assert sock.recv(65_536) == response(2)
        assert is_silent(sock, 0.1)
    netmon.wait_settled(before.captured + len(unsound) + 1)
    wait_counted(netmon, before.informs_answered + 1)


@pytest.mark.parametrize("ack", ["journal", "buffer"])
def test_an_inform_that_policy_refuses_is_not_answered(tmp_path: Path, ack: str) -> None:
    """To answer would say "I keep it", and it is kept as a reject only."""
    (tmp_path / "communities").write_text("secret\n")
    rule = {"sources": ["127.0.0.0/8"], "communities_file": str(tmp_path / "communities")}
    with Netmon(tmp_path, {"receiver": {"allow": [rule], "inform_ack": ack}}) as netmon, connected(netmon) as sock:
        sock.send(netmon.trap(1, inform=True))
        sock.send(netmon.trap(2, inform=True, community=b"secret"))
        assert sock.recv(65_536) == response(2, b"secret")
        assert is_silent(sock, 0.1)
        found = netmon.wait_settled(2)
        wait_counted(netmon, 1)
        assert (found.rejected["community_not_allowed"], netmon.numbers()) == (1, [2])


def test_no_answer_before_the_journal_is_durable(netmon: Netmon) -> None:
    """Captured is not enough: while commit stands still nothing is answered, and afterwards all of it."""
    before = netmon.ledger()
    with connected(netmon) as sock:
        with netmon.stopped("commit"):
            sock.send(netmon.trap(5, inform=True))
            netmon.wait_until(lambda: netmon.ledger().captured == before.captured + 1, what="captured")
            assert is_silent(sock)
            assert netmon.ledger().buffered == before.buffered
        assert sock.recv(65_536) == response(5)
    wait_counted(netmon, before.informs_answered + 1)


def test_no_answer_while_the_journals_disk_is_full(
    tmp_path: Path,
    small_disk: Path,  # noqa: F811 - the imported fixture
    netmon: Netmon,
) -> None:
    """The write failed, so the sender keeps its INFORM; when there is room again, it is answered without a restart."""
    overrides = {
        "data_dir": str(small_disk / "data"),
        "receiver": {"name": "full"},
        "redis": {"url": f"unix://{netmon.data_dir}/run/valkey.sock"},
        "journal": {"segment_bytes": "1MiB"},
    }
    full = Netmon(tmp_path / "full", overrides)
    full.data_dir = small_disk / "data"
    with full, connected(full) as sock:
        filler = small_disk / "filler"
        fill(filler)
        # What the open segment still holds is used up, then capture holds.
        full.wait_until(lambda: full.send([bytes(60_000)]) and full.ledger().held, what="held")
        captured = full.ledger().captured
        sock.send(full.trap(9, inform=True))
        assert is_silent(sock)
        assert (full.ledger().captured, full.ledger().informs_answered) == (captured, 0)
        filler.unlink()
        assert sock.recv(65_536) == response(9)
        assert full.wait_settled(captured + 1).difference == 0
        assert full.numbers() == [9]


class Sender(threading.Thread):
    """Sends numbered INFORMs, and each again until it is answered, as a device does."""

    def __init__(self, netmon: Netmon) -> None:
        """Send to the netmon's first listener; `start` it."""
        super().__init__(daemon=True)
        self.sent = 0
        self.answered: set[int] = set()
        self._port = netmon.port
        self._open: dict[bytes, tuple[int, float]] = {}
        self._enough = threading.Event()

    def run(self) -> None:
        """Sends until `finish`, then repeats what was not answered until nothing is open."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", self._port))
            sock.setblocking(False)
            while self._open or not self._enough.is_set():
                if not self._enough.is_set() and len(self._open) < 200:
                    self.sent += 1
                    self._send(sock, self.sent)
                self._repeat(sock)
                self._receive(sock)

    def finish(self, timeout_s: float) -> None:
        """Sends nothing new; returns when every INFORM has been answered. Fails the test when one is not in time."""
        self._enough.set()
        self.join(timeout_s)
        assert not self.is_alive(), f"not answered: {len(self._open)} of {self.sent}"

    def _send(self, sock: socket.socket, number: int) -> None:
        self._open[response(number)] = (number, time.monotonic() + 0.5)
        sock.send(Netmon.trap(number, inform=True))

    def _repeat(self, sock: socket.socket) -> None:
        now = time.monotonic()
        for number, due in list(self._open.values()):
            if due < now:
                self._send(sock, number)

    def _receive(self, sock: socket.socket) -> None:
        select.select([sock], [], [], 0.001)
        with contextlib.suppress(BlockingIOError):
            while True:
                number, _ = self._open.pop(sock.recv(65_536), (0, 0.0))
                if number:
                    self.answered.add(number)


def wait_answered(netmon: Netmon, sender: Sender, count: int) -> None:
    """Until so many are answered."""
    netmon.wait_until(lambda: len(sender.answered) >= count, 30, "answers")


@pytest.mark.parametrize("ack", ["journal", "buffer"])
def test_every_answered_inform_is_stored_whatever_is_killed(tmp_path: Path, ack: str) -> None:
    """kill -9 of Valkey, decode, commit and capture in turns, in a storm of INFORMs: answered means stored."""
    with Netmon(tmp_path, {"receiver": {"inform_ack": ack}}) as netmon:
        sender = Sender(netmon)
        sender.start()
        for role in ("valkey", "decode", "commit", "capture") * 2:
            answered = len(sender.answered)
            netmon.wait_until(
                lambda goal=answered + 50: len(sender.answered) >= goal, 30, f"answers before {role} dies"
            )
            netmon.wait_restarted(role, netmon.signal(signal.SIGKILL, role))
        sender.finish(30)
        assert sender.sent > 400
        assert sender.answered == set(range(1, sender.sent + 1))
        found = netmon.wait_settled()
        assert (found.difference, found.lost, found.torn) == (0, 0, 0)
        events = [event for _, event in netmon.entries()]
        assert {event.request_id for event in events} == sender.answered
        assert [event.seq for event in events] == list(range(1, found.captured + 1))
        assert found.informs_answered >= sender.sent - 8 * 512


@pytest.fixture(scope="module")
def buffered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Netmon]:
    """A netmon that answers when Redis has it on its disk."""
    with Netmon(tmp_path_factory.mktemp("buffer"), {"receiver": {"inform_ack": "buffer"}}) as running:
        yield running


def test_answered_from_the_buffer_means_that_redis_alone_has_it(buffered: Netmon) -> None:
    """Valkey syncs always; killed at once after the answer, it has the entry when it is back, with decode standing still."""
    with contextlib.closing(buffered.redis()) as client:
        assert client.config_get("appendfsync") == {"appendfsync": "always"}
    answered = buffered.ledger().informs_answered
    assert buffered.inform(31) == response(31)
    wait_counted(buffered, answered + 1)
    with buffered.stopped("decode"):
        buffered.wait_restarted("valkey", buffered.signal(signal.SIGKILL, "valkey"))
        buffered.wait_until(lambda: buffered.numbers()[-1:] == [31], what="in the stream")
    buffered.wait_ready()
    assert buffered.ledger().refilled == 0


def test_no_answer_from_the_buffer_while_redis_is_stopped(buffered: Netmon) -> None:
    """On disk in the journal is not enough with `inform_ack: buffer`; when Redis goes on, retransmissions are answered."""
    before = buffered.ledger()
    with buffered.stopped("valkey"), connected(buffered) as sock:
        sock.send(buffered.trap(41, inform=True))
        buffered.wait_until(lambda: buffered.ledger().durable == before.captured + 1, what="durable")
        assert is_silent(sock)
        assert buffered.ledger().informs_answered == before.informs_answered
    assert buffered.inform(41, timeout_s=1, tries=15) == response(41)
    found = buffered.wait_settled(before.captured + 2)
    assert buffered.numbers()[-2:] == [41, 41]
    wait_counted(buffered, before.informs_answered + found.captured - before.captured)
    assert buffered.entries()[-1][1].duplicate_of == before.captured + 1


def test_no_answer_from_the_buffer_when_redis_refuses_the_write(buffered: Netmon) -> None:
    """Out of memory is no promise either; with memory again, retransmissions are answered."""
    before = buffered.ledger()
    with contextlib.closing(buffered.redis()) as client, connected(buffered) as sock:
        limit = str(client.config_get("maxmemory")["maxmemory"])
        client.config_set("maxmemory", 1)
        sock.send(buffered.trap(51, inform=True))
        buffered.wait_until(lambda: buffered.ledger().unavailable["out_of_memory"] > 0, what="refused")
        assert is_silent(sock, 0.3)
        assert buffered.ledger().informs_answered == before.informs_answered
        client.config_set("maxmemory", limit)
    assert buffered.inform(51, timeout_s=1, tries=15) == response(51)
