"""The standard rules on what Net-SNMP sends: every example as a datagram, decoded with and without names."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator

import msgspec
import pytest

from netmon.alarms.model import Evidence, Observation
from netmon.alarms.rules import examples, ruleset
from netmon.alarms.rules.examples import Example, Sent
from netmon.alarms.rules.matcher import Matcher
from netmon.config.alarms import STANDARD_RULES
from netmon.inventory.topology import Topology
from netmon.mib.catalogue import load_names
from netmon.model import Limits, Varbind
from netmon.snmp import decode_notification
from netmon.snmp.names import Names

LETTERS = {
    "Integer32": "i",
    "Gauge32": "u",
    "Counter32": "c",
    "TimeTicks": "t",
    "ObjectIdentifier": "o",
    "IpAddress": "a",
    "OctetString": "s",
}
"""snmptrap's letters for types."""
STANDARD = ruleset.load([STANDARD_RULES])
NAMES = load_names(())


@pytest.fixture(scope="module")
def receiver() -> Iterator[socket.socket]:
    """Where the traps go."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(10)
        yield sock


def written(varbind: Varbind) -> list[str]:
    """A binding as arguments for snmptrap."""
    if varbind.encoding == "hex":
        return [varbind.oid, "x", str(varbind.value)]
    return [varbind.oid, LETTERS[varbind.type], str(varbind.value)]


def decoded(datagram: bytes, names: Names | None) -> Sent:
    """What netmon makes of it."""
    notification = decode_notification(datagram, Limits(), names)
    return Sent(trap_oid=notification.trap_oid, name=notification.name, varbinds=tuple(notification.varbinds))


def keys(observations: tuple[Observation, ...]) -> list[object]:
    """All that must not depend on names."""
    return [(found.key, found.cleared, found.severity, found.root, found.place) for found in observations]


@pytest.mark.parametrize("example", STANDARD.examples, ids=lambda example: f"{example.rule_id}-{example.line}")
def test_a_real_trap_says_what_the_example_says(
    example: Example, receiver: socket.socket, require_tool: Callable[[str], str]
) -> None:
    """The same observations; without names the same alarms in poorer words."""
    sent = example.sent
    target = f"127.0.0.1:{receiver.getsockname()[1]}"
    command = [require_tool("snmptrap"), "-m", "", "-v2c", "-c", "public", target, "1", sent.trap_oid]
    subprocess.run([*command, *(part for each in sent.varbinds for part in written(each))], check=True, timeout=10)
    datagram = receiver.recv(65_535)
    matcher = Matcher(STANDARD.rules, Topology(examples.REGION))

    expected = matcher.match(examples.event_of(sent), Evidence("", "1"))
    named = matcher.match(examples.event_of(decoded(datagram, NAMES)), Evidence("", "1"))
    unnamed = matcher.match(examples.event_of(decoded(datagram, None)), Evidence("", "1"))

    assert named == expected
    assert unnamed.rule_ids == expected.rule_ids
    assert keys(unnamed.observations) == keys(expected.observations)


def test_an_snmpv1_trap_is_known_by_the_same_rules(receiver: socket.socket, require_tool: Callable[[str], str]) -> None:
    """RFC 3584 gives it the OID that it has in SNMPv2, and RFC 1269's BGP traps those of RFC 4273."""
    target = f"127.0.0.1:{receiver.getsockname()[1]}"
    command = [require_tool("snmptrap"), "-m", "", "-v1", "-c", "public", target]
    matcher = Matcher(STANDARD.rules, Topology(examples.REGION))
    known = []
    for enterprise, generic, specific, varbind in (
        ("1.3.6.1.4.1.424242", "2", "0", ["1.3.6.1.2.1.2.2.1.1.7", "i", "7"]),
        ("1.3.6.1.2.1.15", "6", "2", ["1.3.6.1.2.1.15.3.1.2.198.51.100.1", "i", "1"]),
    ):
        subprocess.run([*command, enterprise, "192.0.2.9", generic, specific, "1", *varbind], check=True, timeout=10)
        event = examples.event_of(decoded(receiver.recv(65_535), NAMES))
        match = matcher.match(msgspec.structs.replace(event, version="v1"), Evidence("", "1"))
        known.append((match.rule_ids, match.observations[0].key.resource))

    assert known == [
        (("link-down",), "device/example/interface/7"),
        (("bgp-peer-down",), "device/example/bgp-peer/198.51.100.1"),
    ]
