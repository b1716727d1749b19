"""Whatever bytes arrive, every process lives, and every datagram is accounted for: decoded, or kept raw with its reason."""

from __future__ import annotations

import os
import random
import signal
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from netmon.errors import DecodeError
from netmon.model import Limits, V3Settings
from netmon.snmp import decode_notification, mask_community
from netmon.snmp.encode import TypedVarbind, encode_v1, encode_v2c, tlv
from netmon.snmp.usm import Usm
from netmon.trap_receiver.ledger import CONTROL_REASONS, PARKED
from tests.integration.harness import Netmon
from tests.unit.snmp.test_vectors import frames

SEED = 3584
RATE = 6_000.0
DATAGRAM_BYTES_MAX = 65_507
WITHOUT_ENTRY = (*PARKED, *CONTROL_REASONS)
"""Reasons for which a datagram is kept, and stands in no stream."""
RSS_BYTES_MAX = 150 << 20
"""What a role may use in the worst storm."""

EVERY_TYPE: tuple[TypedVarbind, ...] = (
    ("1.3.6.1.2.1.2.2.1.1.7", "Integer32", -7),
    ("1.3.6.1.2.1.2.2.1.2.7", "OctetString", "Gi0/0/7"),
    ("1.3.6.1.2.1.2.2.1.6.7", "OctetString", bytes.fromhex("00ff10200a0b")),
    ("1.3.6.1.2.1.1.2.0", "ObjectIdentifier", "1.3.6.1.4.1.9.1.4294967295"),
    ("1.3.6.1.2.1.4.20.1.1.1", "IpAddress", "192.0.2.7"),
    ("1.3.6.1.2.1.2.2.1.10.7", "Counter32", 4_294_967_295),
    ("1.3.6.1.2.1.2.2.1.5.7", "Gauge32", 1_000_000_000),
    ("1.3.6.1.2.1.2.2.1.9.7", "TimeTicks", 12_345),
    ("1.3.6.1.4.1.8072.9999.2", "Opaque", bytes.fromhex("9f780442280000")),
    ("1.3.6.1.4.1.8072.9999.3", "Null", None),
)


def v2c(*varbinds: TypedVarbind, inform: bool = False, community: bytes = b"public") -> bytes:
    """A v2c linkDown."""
    return encode_v2c(
        community=community,
        pdu="inform" if inform else "trap",
        request_id=4_711,
        uptime_centis=360_000,
        trap_oid="1.3.6.1.6.3.1.1.5.3",
        varbinds=varbinds,
    )


def v1(*varbinds: TypedVarbind) -> bytes:
    """An SNMPv1 linkDown."""
    fields = {"enterprise": "1.3.6.1.4.1.9.1.1", "agent_addr": "192.0.2.1", "generic": 2, "specific": 0}
    return encode_v1(community=b"public", uptime_centis=360_000, varbinds=varbinds, **fields)  # type: ignore[arg-type]


WELL_FORMED = [
    v2c(*EVERY_TYPE, ("1.3.6.1.2.1.31.1.1.1.6.7", "Counter64", 2**64 - 1)),
    v1(*EVERY_TYPE),
    v2c(inform=True),
]


@pytest.fixture(scope="module")
def netmon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Netmon]:
    """One netmon for all of this file: whatever one test does to it, the next one still finds it whole."""
    overrides = {"redis": {"stream_memory_bytes_max": "512MiB"}, "journal": {"segment_bytes": "8MiB"}}
    with Netmon(tmp_path_factory.mktemp("bad-input"), overrides) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_restarts(request: pytest.FixtureRequest) -> Iterator[None]:
    """The processes after a test are those from before it."""
    if "netmon" not in request.fixturenames:
        yield
        return
    netmon: Netmon = request.getfixturevalue("netmon")
    before = netmon.pids()
    yield
    assert netmon.pids() == before
    assert netmon.events("supervisor.role_exited") == []


def outcome(datagram: bytes, limits: Limits) -> tuple[str, int] | None:
    """Why and where a datagram is not decoded; None when it is."""
    try:
        decode_notification(datagram, limits)
    except DecodeError as error:
        return (error.reason, error.offset) if error.reason != "usm_unknown_user" else outcome_v3(datagram, limits)
    return None


def outcome_v3(datagram: bytes, limits: Limits) -> tuple[str, int] | None:
    """The same for SNMPv3, where no user is configured."""
    try:
        Usm(V3Settings(), salt=0).open(datagram, 0, limits)
    except DecodeError as error:
        return error.reason, error.offset
    return None


def send_and_account(
    netmon: Netmon, datagrams: Sequence[bytes], *, limits: Limits | None = None, redact: bool = True
) -> dict[str, int]:
    """Send them; each must be where `decode_notification` says, byte for byte. Returns how many by reason, "" for good."""
    before = netmon.ledger()
    assert netmon.send(datagrams, rate=RATE) == len(datagrams)
    after = netmon.wait_settled(before.captured + len(datagrams))
    assert (after.kernel_drops, after.lost, after.difference) == (0, 0, 0), after
    assert after.captured == before.captured + len(datagrams)
    traps, rejects, counts = [], [], dict.fromkeys(["", *after.rejected, *WITHOUT_ENTRY], 0)
    for seq, datagram in enumerate(datagrams, before.captured + 1):
        found = outcome(datagram, limits or Limits())
        counts[found[0] if found else ""] += 1
        if found is None:
            traps.append(seq)
        elif found[0] not in WITHOUT_ENTRY:
            rejects.append((seq, *found, (mask_community(datagram) if redact else datagram).hex()))
    assert [event.seq for _, event in netmon.entries() if event.seq > before.captured] == traps
    kept = [(event.seq, event.reason, event.offset, event.raw) for _, event in netmon.rejects()]
    assert [reject for reject in kept if reject[0] > before.captured] == rejects
    assert after.buffered - before.buffered == counts[""]
    assert {reason: n - before.rejected[reason] for reason, n in after.rejected.items()} == {
        reason: counts[reason] for reason in after.rejected
    }
    kept_back = [after.parked | after.control, before.parked | before.control]
    assert [kept_back[0][reason] - kept_back[1][reason] for reason in WITHOUT_ENTRY] == [
        counts[reason] for reason in WITHOUT_ENTRY
    ]
    return counts


def payloads(folder: Path) -> Iterator[bytes]:
    """What the sample captures carry over UDP, and the captures themselves where they are no Ethernet."""
    for file in sorted((folder / "traps").iterdir()):
        if file.suffix == ".bin":
            yield file.read_bytes()
        elif file.suffix == ".pcap":
            for frame in frames(file.read_bytes()):
                is_udp = frame[12:14] == b"\x08\x00" and frame[23:24] == b"\x11"
                yield frame[14 + (frame[14] & 0x0F) * 4 + 8 :] if is_udp else frame


def mutated(source: random.Random, datagram: bytes) -> bytes:
    """A copy with a few octets changed, cut out or put in."""
    octets = bytearray(datagram)
    for _ in range(source.randint(1, 4)):
        at = source.randrange(len(octets) + 1)
        octets[at : at + source.choice((0, 1, 1, 1, 7))] = source.randbytes(source.choice((0, 1, 1, 1, 3)))
    return bytes(octets)


def test_every_captured_vector_and_all_that_is_left_when_it_is_cut(netmon: Netmon, sample_data: Path) -> None:
    """Packets that killed other receivers, whole and cut at every byte."""
    vectors = [*payloads(sample_data), *WELL_FORMED]
    assert len(vectors) >= 15
    counts = send_and_account(netmon, [vector[:end] for vector in vectors for end in range(len(vector) + 1)])
    assert counts["truncated"] > 1_000
    assert counts["tag_unexpected"] > 0
    assert counts[""] >= 10


def test_no_cut_of_a_packet_shows_the_community(netmon: Netmon) -> None:
    """Redacted by default, however little of the message is left."""
    datagram = v2c(*EVERY_TYPE, community=b"Geheim42")
    before = netmon.ledger().captured
    send_and_account(netmon, [datagram[:end] for end in range(len(datagram))])
    kept = [bytes.fromhex(event.raw) for _, event in netmon.rejects() if event.seq > before]
    assert len(kept) == len(datagram)
    assert [raw for raw in kept if b"Geh" in raw or b"42" in raw[:20]] == []
    assert sum(b"********" in raw for raw in kept) == len(datagram) - datagram.index(b"Geheim42") - 8


@pytest.mark.parametrize("seed", [SEED, SEED + 1])
def test_mutated_packets_by_the_thousand(netmon: Netmon, seed: int) -> None:
    """Octets changed, cut out, put in: accepted, rejected or parked exactly as the decoder says."""
    source = random.Random(seed)
    datagrams = [mutated(source, source.choice(WELL_FORMED)) for _ in range(3_000)]
    counts = send_and_account(netmon, datagrams)
    assert counts[""] > 300
    assert sum(count > 0 for count in counts.values()) >= 8, counts


def test_random_bytes_and_empty_datagrams(netmon: Netmon) -> None:
    """Noise on the port, and datagrams that carry nothing at all."""
    source = random.Random(SEED)
    datagrams = [source.randbytes(source.randrange(300)) for _ in range(3_000)] + [b""] * 100
    counts = send_and_account(netmon, datagrams)
    assert counts["truncated"] >= 100
    assert counts[""] == 0


def nested(depth: int, tag: int = 0x30) -> bytes:
    """A value inside a value inside a value."""
    value = b""
    for _ in range(depth):
        value = tlv(tag, value)
    return value


def test_the_largest_datagrams_and_the_deepest_nesting(netmon: Netmon) -> None:
    """As much as UDP carries in one datagram, good and bad; as deep as it gets; as many bindings as allowed, and more."""
    filler = DATAGRAM_BYTES_MAX - len(v2c(("1.3.6.1.4.1.8072.9999.4", "OctetString", b"x" * 60_000))) + 60_000
    largest = v2c(("1.3.6.1.4.1.8072.9999.4", "OctetString", b"x" * filler))
    bindings: list[TypedVarbind] = [(f"1.3.6.1.4.1.8072.9999.5.{n}", "Integer32", n) for n in range(1_000)]
    assert len(largest) == DATAGRAM_BYTES_MAX
    datagrams = {
        largest: None,
        b"\xff" * DATAGRAM_BYTES_MAX: "tag_unexpected",
        nested(15_000)[:DATAGRAM_BYTES_MAX]: "tag_unexpected",
        v2c(*bindings[:998]): None,
        v2c(*bindings[:999]): "too_many_varbinds",
        v2c(("1.3.6.1.4.1.8072.9999.6", "tag-0xa0", nested(12_000))): "nesting_too_deep",
        v2c(("1.3.6.1.4.1.8072.9999.6", "tag-0x30", nested(12_000))): "nesting_too_deep",
        v2c((".".join(["1.3", *(str(n) for n in range(126))]), "Null", None)): None,
        v2c((".".join(["1.3", *(str(n) for n in range(127))]), "Null", None)): "oid_too_long",
    }
    before = netmon.ledger().captured
    send_and_account(netmon, list(datagrams))
    rejected = {event.seq - before: event.reason for _, event in netmon.rejects()}
    assert [rejected.get(position) for position in range(1, len(datagrams) + 1)] == list(datagrams.values())


def test_a_malformed_trap_between_good_ones_costs_only_itself(netmon: Netmon) -> None:
    """Symptom: a malformed trap kills the receiver, and the storm that follows is lost."""
    source = random.Random(SEED)
    datagrams = []
    for number in range(1_000):
        datagrams += [netmon.trap(number), source.choice(WELL_FORMED)[: source.randrange(20)]]
    before = netmon.ledger().captured
    counts = send_and_account(netmon, datagrams)
    assert (counts[""], len(datagrams)) == (1_000, 2_000)
    uptimes = [event.uptime_centis for _, event in netmon.entries() if event.seq > before]
    assert uptimes == list(range(1_000))


def newest(netmon: Netmon, datagram: bytes) -> dict[str, object]:
    """Send one good notification; its event as a dictionary."""
    assert send_and_account(netmon, [datagram])[""] == 1
    event = netmon.entries()[-1][1]
    return {name: getattr(event, name) for name in event.__struct_fields__}


def test_octets_are_text_when_they_are_text_and_hex_when_they_are_not(netmon: Netmon) -> None:
    """Symptom: text shown as hexadecimal, a DateAndTime or MAC address as broken text. The encoding is said."""
    values = {
        "雄別線 断線".encode(): ("雄別線 断線", None),
        b"line 7\tdown\r\n": ("line 7\tdown\r\n", None),
        bytes.fromhex("07e50c1f173b3b00"): ("07e50c1f173b3b00", "hex"),
        bytes.fromhex("00ff10200a0b"): ("00ff10200a0b", "hex"),
        "ÄÖ".encode("latin-1"): ("c4d6", "hex"),
        b"": ("", None),
    }
    event = newest(netmon, v2c(*(("1.3.6.1.4.1.8072.9999.7", "OctetString", octets) for octets in values)))
    assert [(varbind.value, varbind.encoding) for varbind in event["varbinds"]] == list(values.values())  # type: ignore[attr-defined]


def raw_v2c(*varbinds: bytes) -> bytes:
    """A v2c trap of exactly these encoded bindings: nothing is put before them."""
    body = b"\x02\x01\x01\x02\x01\x00\x02\x01\x00" + tlv(0x30, b"".join(tlv(0x30, varbind) for varbind in varbinds))
    return tlv(0x30, b"\x02\x01\x01" + tlv(0x04, b"public") + tlv(0xA7, body))


UPTIME = bytes.fromhex("06082b06010201010300 430107")
UPTIME_WITHOUT_INSTANCE = bytes.fromhex("06072b060102010103 430107")
LINK_DOWN = bytes.fromhex("060a2b060106030101040100 06092b0601060301010503")
INDEX = bytes.fromhex("060a2b060102010202010107 020107")


@pytest.mark.parametrize(
    ("varbinds", "flags", "trap_oid", "uptime"),
    [
        ([UPTIME, INDEX], ("trap_oid_missing",), "0.0", 7),
        ([LINK_DOWN, INDEX], ("uptime_missing",), "1.3.6.1.6.3.1.1.5.3", None),
        ([INDEX, LINK_DOWN, UPTIME], ("heads_misplaced",), "1.3.6.1.6.3.1.1.5.3", 7),
        ([UPTIME_WITHOUT_INSTANCE, LINK_DOWN, INDEX], ("uptime_without_instance",), "1.3.6.1.6.3.1.1.5.3", 7),
        ([INDEX], ("uptime_missing", "trap_oid_missing"), "0.0", None),
    ],
    ids=["no-trap-oid", "no-uptime", "misplaced", "without-instance", "neither"],
)
def test_a_notification_without_its_proper_heads_is_accepted_and_flagged(
    netmon: Netmon, varbinds: list[bytes], flags: tuple[str, ...], trap_oid: str, uptime: int | None
) -> None:
    """Symptom: snmpTrapOID missing or misplaced, sysUpTime without .0, and the trap is dropped."""
    flagged = netmon.ledger().flagged
    event = newest(netmon, raw_v2c(*varbinds))
    assert (event["flags"], event["trap_oid"], event["uptime_centis"]) == (flags, trap_oid, uptime)
    assert [varbind.oid for varbind in event["varbinds"]] == ["1.3.6.1.2.1.2.2.1.1.7"]  # type: ignore[attr-defined]
    assert netmon.ledger().flagged == flagged + 1


def test_an_snmpv1_time_stamp_that_is_an_integer_is_accepted(netmon: Netmon) -> None:
    """Symptom: lenient senders, strict receivers. The trap is kept and says what was forgiven."""
    datagram = v1()
    stamp = datagram.index(b"\x43\x03")
    event = newest(netmon, datagram[:stamp] + b"\x02" + datagram[stamp + 1 :])
    assert (event["uptime_centis"], event["flags"]) == (360_000, ("uptime_type",))


def test_without_redaction_raw_is_exact_and_limits_are_as_configured(tmp_path: Path) -> None:
    """`redact_community: false`; and tighter limits reject what the usual ones accept, under their own reasons."""
    limits = Limits(datagram_bytes_max=484, varbinds_max=8, oid_arcs_max=16, nesting_max=5)
    settings = {name: getattr(limits, name) for name in limits.__struct_fields__}
    with Netmon(tmp_path, {"receiver": {"redact_community": False, "limits": settings}}) as netmon:
        datagrams = [vector[:end] for vector in WELL_FORMED for end in range(len(vector) + 1)]
        datagrams += [
            v2c(),
            v2c(("1.3.6.1.4.1.8072.9999.4", "OctetString", b"x" * 500)),
            v2c(("1.3.6.1.4.1.8072.9999.6", "tag-0x30", nested(1))),
            v2c((".".join(["1.3", *"123456789012345"]), "Null", None)),
        ]
        counts = send_and_account(netmon, datagrams, limits=limits, redact=False)
        assert {"datagram_too_big", "too_many_varbinds", "oid_too_long", "nesting_too_deep"} <= {
            reason for reason, count in counts.items() if count
        }
        assert {event.community for _, event in netmon.entries()} == {"public"}


def memory_bytes(pid: int, field: str) -> int:
    """`VmRSS` (now) or `VmHWM` (the most there ever was) of a process."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{field}:"))


def spoofed(count: int) -> Iterator[tuple[str, bytes]]:
    """Informs, each from its own source, with its own community, request ID, OIDs and values, never twice the same."""
    for number in range(1, count + 1):
        source = f"127.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        oid = f"1.3.6.1.4.1.{number}.{number >> 3}.1"
        datagram = encode_v2c(
            community=b"c%d" % number,
            pdu="inform",
            request_id=number,
            uptime_centis=number,
            trap_oid=f"1.3.6.1.4.1.{number}.0.1",
            varbinds=[(f"{oid}.{n}", "OctetString", f"value {number} {n}") for n in range(3)],
        )
        yield source, datagram


def wait_captured(netmon: Netmon, count: int) -> None:
    """Until capture has that many."""
    netmon.wait_until(lambda: netmon.ledger().captured >= count, what="captured")


def send_from_everywhere(netmon: Netmon, datagrams: Iterable[tuple[str, bytes]]) -> int:
    """Send each datagram from its own address of 127.0.0.0/8, no faster than capture takes them; returns how many."""
    count = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for source, datagram in datagrams:
            # struct in_pktinfo: the source address is the second field (ip(7)).
            control = struct.pack("=I4s4s", 0, socket.inet_aton(source), bytes(4))
            sock.sendmsg([datagram], [(socket.IPPROTO_IP, 8, control)], 0, ("127.0.0.1", netmon.port))
            count += 1
            if count % 500 == 0:
                wait_captured(netmon, count - 500)
    return count


def test_memory_stays_bounded_when_every_source_and_oid_is_new(tmp_path: Path) -> None:
    """Symptom: memory grows under spoofed sources. Everything that is remembered has a limit, and forgets."""
    overrides = {
        "receiver": {"allow": [{"sources": ["127.0.0.0/8"]}], "trusted_relays": ["127.128.0.0/9"]},
        "redis": {"stream_memory_bytes_max": "8MiB"},
        "journal": {"segment_bytes": "8MiB"},
    }
    with Netmon(tmp_path, overrides) as netmon:
        pids = netmon.pids()
        begun = {role: memory_bytes(netmon.pid(role), "VmRSS") for role in ("capture", "commit", "decode")}
        assert send_from_everywhere(netmon, spoofed(70_000)) == 70_000
        found = netmon.wait_settled(70_000, timeout_s=60)
        assert (found.buffered, found.difference, found.kernel_drops) == (70_000, 0, 0)
        peaks = {role: memory_bytes(netmon.pid(role), "VmHWM") for role in begun}
        assert max(peaks.values()) < RSS_BYTES_MAX, (begun, peaks)
        assert peaks["capture"] - begun["capture"] < 64 << 20
        assert netmon.pids() == pids
        # Read once: the stream is cut to what Redis may hold meanwhile.
        entries = netmon.entries()
        assert len({event.source for _, event in entries}) == len(entries) > 0


def test_memory_stays_bounded_under_a_flood_of_the_largest_datagrams(tmp_path: Path) -> None:
    """A backlog of 64 KiB a datagram takes no role above its limit, and fits into a small Redis batch by batch."""
    overrides = {"redis": {"stream_memory_bytes_max": "1MiB"}, "journal": {"segment_bytes": "16MiB"}}
    with Netmon(tmp_path, overrides) as netmon:
        rubbish = b"\xff" * DATAGRAM_BYTES_MAX
        decode = netmon.signal(signal.SIGSTOP, "decode")
        for captured in range(15, 751, 15):
            netmon.send([rubbish] * 15)
            wait_captured(netmon, captured)
        os.kill(decode, signal.SIGCONT)
        found = netmon.wait_settled(750)
        assert (found.rejected["tag_unexpected"], found.difference, found.unavailable["out_of_memory"]) == (750, 0, 0)
        for role in ("capture", "commit", "decode"):
            assert memory_bytes(netmon.pid(role), "VmHWM") < 100 << 20, role
