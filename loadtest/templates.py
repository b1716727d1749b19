"""The notifications of a storm as datagrams with a number in a fixed place.

Pure. A datagram is encoded once; its number (`NUMBER_OID`) is then patched in place for each trap, because its encoding
always has the same width. The number tells run and position, so that every single trap can be found again in a stream, a
file or a packet capture:

- SNMPv2c: Counter64, run in the high 24 bits, position in the low 40.
- SNMPv1, which has no Counter64 (RFC 3584 section 2.1.2): the same 64 bits as an OCTET STRING of 16 hexadecimal digits.

The OIDs and objects are those of IF-MIB (RFC 2863), SNMPv2-MIB (RFC 3418), UPS-MIB (RFC 1628), BGP4-MIB (RFC 1657, the
form that routers still send), OSPF-TRAP-MIB (RFC 4750), ENTITY-STATE-MIB (RFC 4268) and CISCO-ENTITY-SENSOR-MIB.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from netmon.snmp.encode import TypedVarbind, encode_v1, encode_v2c

Version = Literal["v1", "v2c", "inform"]

NUMBER_OID: Final = "1.3.6.1.3.1162.1.0"
"""Under the experimental arc (RFC 2578 section 4)."""
POSITION_BITS: Final = 40
RUN_MIN: Final = 0x01_00_00
RUN_MAX: Final = 0x7F_FF_FF
"""With these, the encoding of every number is eight octets: neither a leading zero octet nor a leading sign octet."""
REQUEST_ID_BASE: Final = 0x40_00_00_00
REQUEST_ID_MASK: Final = 0x3F_FF_FF_FF
"""Request IDs of four octets, always: the base plus the low 30 bits of the position."""
SOURCES_MAX: Final = 65_000

_UPTIME_CENTIS: Final = 0x01_00_00_00
_NUMBER_HEADS: Final[dict[Version, bytes]] = {
    "v1": bytes.fromhex("06082b060103890a01000410"),
    "v2c": bytes.fromhex("06082b060103890a01004608"),
    "inform": bytes.fromhex("06082b060103890a01004608"),
}
_GENERIC_TRAPS: Final = "1.3.6.1.6.3.1.1.5."
_PLACEHOLDER: Final = RUN_MIN << POSITION_BITS


class Template(msgspec.Struct, frozen=True):
    """One encoded notification."""

    datagram: bytes
    number_at: int
    """Offset of the number's contents: 8 octets, or 16 hexadecimal digits for SNMPv1."""
    request_id_at: int
    """Offset of the request ID's 4 octets; 0 for SNMPv1, which has none."""


class Kind(msgspec.Struct, frozen=True):
    """One kind of notification: its OID, and its varbinds for a device."""

    trap_oid: str
    varbinds: Callable[[int, str], list[TypedVarbind]]
    """From the device's number (0 or more) and its address."""


def number(run: int, position: int) -> int:
    """Returns the 64-bit number of a trap."""
    return run << POSITION_BITS | position


def source_address(index: int) -> str:
    """Returns the loopback address of device `index`, 0 to `SOURCES_MAX` - 1; 127.16.0.1 is the first."""
    assert 0 <= index < SOURCES_MAX
    return f"127.{16 + index // 62_500}.{index // 250 % 250}.{1 + index % 250}"


def choose_kinds(mix: list[str], count: int, seed: int) -> list[str]:
    """Returns `count` kinds drawn from `mix` (`name` or `name:weight`), the same for the same seed.

    Raises:
        ValueError: An unknown kind, or a weight that is not a positive number.
    """
    names, weights = [], []
    for item in mix:
        name, _, weight = item.partition(":")
        if name not in KINDS:
            raise ValueError(f"no kind of notification is named {name!r}; there are {', '.join(KINDS)}")
        names.append(name)
        weights.append(float(weight or 1))
    if min(weights) <= 0:
        raise ValueError("weights of a mix are positive")
    return random.Random(seed).choices(names, weights, k=count)


def build(kind: str, version: Version, *, device: int, community: bytes = b"public", address: str = "") -> Template:
    """Encodes one notification of a device with a placeholder for its number.

    Args:
        kind: A key of `KINDS`.
        version: `v1`, `v2c` (a trap) or `inform` (SNMPv2c InformRequest).
        device: Number of the device, 0 to `SOURCES_MAX` - 1; decides indexes and addresses in the varbinds.
        community: Any octets.
        address: Of the device; by default `source_address(device)`.
    """
    address = address or source_address(device)
    chosen = KINDS[kind]
    varbinds = [*chosen.varbinds(device, address), _number_varbind(version)]
    if version == "v1":
        datagram = _encode_v1(chosen.trap_oid, varbinds, community, address)
    else:
        datagram = encode_v2c(
            community=community,
            pdu="inform" if version == "inform" else "trap",
            request_id=REQUEST_ID_BASE | device,
            uptime_centis=_UPTIME_CENTIS + device,
            trap_oid=chosen.trap_oid,
            varbinds=varbinds,
        )
    if kind == "broken":
        datagram = _with_unknown_version(datagram)
    head = _NUMBER_HEADS[version]
    request_id = (REQUEST_ID_BASE | device).to_bytes(4, "big")
    return Template(
        datagram=datagram,
        number_at=datagram.index(head) + len(head),
        request_id_at=0 if version == "v1" else datagram.index(b"\x02\x04" + request_id) + 2,
    )


def _with_unknown_version(datagram: bytes) -> bytes:
    """Returns the message with a version that no RFC names, its other octets as they were."""
    version_at = 4 + (datagram[1] & 0x7F if datagram[1] & 0x80 else 0)
    return datagram[:version_at] + b"\x63" + datagram[version_at + 1 :]


def _number_varbind(version: Version) -> TypedVarbind:
    if version == "v1":
        return (NUMBER_OID, "OctetString", f"{_PLACEHOLDER:016x}")
    return (NUMBER_OID, "Counter64", _PLACEHOLDER)


def _encode_v1(trap_oid: str, varbinds: list[TypedVarbind], community: bytes, address: str) -> bytes:
    """Translates to SNMPv1 by RFC 3584 section 3.2."""
    generic, specific, enterprise = 6, 0, "1.3.6.1.4.1.8072.3.2.10"
    if trap_oid.startswith(_GENERIC_TRAPS):
        generic = int(trap_oid.removeprefix(_GENERIC_TRAPS)) - 1
    else:
        enterprise, _, last = trap_oid.rpartition(".")
        enterprise, specific = enterprise.removesuffix(".0"), int(last)
    return encode_v1(
        community=community,
        enterprise=enterprise,
        agent_addr=address,
        generic=generic,
        specific=specific,
        uptime_centis=_UPTIME_CENTIS,
        varbinds=varbinds,
    )


def _link(oper_status: int) -> Callable[[int, str], list[TypedVarbind]]:
    def varbinds(device: int, _: str) -> list[TypedVarbind]:
        index = 1 + device % 100
        return [
            (f"1.3.6.1.2.1.2.2.1.1.{index}", "Integer32", index),
            (f"1.3.6.1.2.1.2.2.1.7.{index}", "Integer32", 1),
            (f"1.3.6.1.2.1.2.2.1.8.{index}", "Integer32", oper_status),
            # Fourteen characters make the SNMPv2c trap with community "public" 178 bytes long.
            (f"1.3.6.1.2.1.2.2.1.2.{index}", "OctetString", f"TenGigE0/0/{index:03d}"),
        ]

    return varbinds


def _none(_device: int, _address: str) -> list[TypedVarbind]:
    return []


def _on_battery(device: int, _: str) -> list[TypedVarbind]:
    return [
        ("1.3.6.1.2.1.33.1.2.3.0", "Integer32", 5 + device % 100),
        ("1.3.6.1.2.1.33.1.2.2.0", "Integer32", 60),
        ("1.3.6.1.2.1.33.1.9.7.0", "Integer32", 2),
    ]


def _bgp_backward(device: int, _: str) -> list[TypedVarbind]:
    peer = f"10.{device // 65_536}.{device // 256 % 256}.{device % 256}"
    return [
        (f"1.3.6.1.2.1.15.3.1.14.{peer}", "OctetString", b"\x04\x00"),  # hold timer expired
        (f"1.3.6.1.2.1.15.3.1.2.{peer}", "Integer32", 1),  # idle
    ]


def _ospf_neighbour(device: int, address: str) -> list[TypedVarbind]:
    neighbour = f"10.{128 + device // 65_536}.{device // 256 % 256}.{device % 256}"
    return [
        ("1.3.6.1.2.1.14.1.1.0", "IpAddress", address),
        (f"1.3.6.1.2.1.14.10.1.1.{neighbour}.0", "IpAddress", neighbour),
        (f"1.3.6.1.2.1.14.10.1.2.{neighbour}.0", "Integer32", 0),
        (f"1.3.6.1.2.1.14.10.1.3.{neighbour}.0", "IpAddress", neighbour),
        (f"1.3.6.1.2.1.14.10.1.6.{neighbour}.0", "Integer32", 1),  # down
    ]


def _sensor(device: int, _: str) -> list[TypedVarbind]:
    index = 1000 + device % 64
    return [
        (f"1.3.6.1.4.1.9.9.91.1.2.1.1.4.{index}.1", "Integer32", 75),
        (f"1.3.6.1.4.1.9.9.91.1.1.1.1.4.{index}", "Integer32", 76 + device % 20),
    ]


def _entity_disabled(device: int, _: str) -> list[TypedVarbind]:
    index = 1 + device % 500
    return [
        (f"1.3.6.1.2.1.131.1.1.1.2.{index}", "Integer32", 4),  # unlocked
        (f"1.3.6.1.2.1.131.1.1.1.5.{index}", "OctetString", b"\x20"),  # BITS { critical(2) }
    ]


KINDS: Final[dict[str, Kind]] = {
    "linkdown": Kind("1.3.6.1.6.3.1.1.5.3", _link(2)),
    "linkup": Kind("1.3.6.1.6.3.1.1.5.4", _link(1)),
    "coldstart": Kind("1.3.6.1.6.3.1.1.5.1", _none),
    "auth": Kind("1.3.6.1.6.3.1.1.5.5", _none),
    "ups": Kind("1.3.6.1.2.1.33.2.1", _on_battery),
    "bgp": Kind("1.3.6.1.2.1.15.7.2", _bgp_backward),
    "ospf": Kind("1.3.6.1.2.1.14.16.2.2", _ospf_neighbour),
    "sensor": Kind("1.3.6.1.4.1.9.9.91.2.0.1", _sensor),
    "entity": Kind("1.3.6.1.2.1.131.0.2", _entity_disabled),
    "broken": Kind("1.3.6.1.6.3.1.1.5.3", _link(2)),
}
"""Every kind by its name in `--mix`. `broken` is no notification: a linkDown of SNMP version 99, for the rejects."""

DEFAULT_MIX: Final = "linkdown:8,linkup:2,ups:3,bgp:2,ospf:2,sensor:1,entity:1,coldstart:1,auth:1"
"""What a power failure sends: links first, then the UPSs and the routing protocols."""
