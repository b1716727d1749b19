"""How lines are asked, and from where, as the operator wrote it in region.yml.

Pure. A probe names secrets by their file alone: the region is shown by the API. Addresses of packet probers (stamp, icmp) and of SNMP are
literals, because a name server is behind the lines that are to be probed.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

ProberKind = Literal["stamp", "icmp", "tcp", "http", "snmp", "mqtt"]
PROBER_KINDS: Final[tuple[ProberKind, ...]] = ("stamp", "icmp", "tcp", "http", "snmp", "mqtt")

STAMP_PORT: Final = 862
"""RFC 8762 section 4.1."""


class Pin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """By which way a probe has to leave. At least one of them; with none, the routing table decides, which is another line's when ours dies."""

    interface: str = ""
    """SO_BINDTODEVICE: it leaves by this interface, or not at all."""
    mark: int = 0
    """SO_MARK, for `ip rule ... fwmark`; 0: none."""
    source: str = ""
    """Source address. By itself it chooses no line: routing goes by the destination."""
    netns: str = ""
    """Name of a network namespace under /run/netns, or a path, whose interfaces and routes are used."""
    expect_interface: str = ""
    """By which interface answers have to come in, for pins by mark or source: one that comes by another is told as `wrong_interface`."""


class Probe(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """What all have."""

    pin: Pin = Pin()
    vantage_ids: tuple[str, ...] = ()
    """Vantages (or gateways) that ask so; empty: all vantages."""


class StampProbe(Probe, frozen=True, kw_only=True, omit_defaults=True, tag="stamp"):
    """A reflector at the far end (RFC 8762)."""

    address: str
    port: int = STAMP_PORT
    key_file: str = ""
    """Authenticated mode: HMAC-SHA-256 with the key in this file (RFC 8762 section 4.4)."""


class IcmpProbe(Probe, frozen=True, kw_only=True, omit_defaults=True, tag="icmp"):
    """Echo (RFC 792, RFC 4443)."""

    address: str


class TcpProbe(Probe, frozen=True, kw_only=True, omit_defaults=True, tag="tcp"):
    """Connects and closes. A refusal is an answer, too: the line is there."""

    address: str
    port: int


class HttpProbe(Probe, frozen=True, kw_only=True, omit_defaults=True, tag="http"):
    """GET; any status of `statuses` will do."""

    url: str
    statuses: tuple[int, ...] = ()
    """Empty: any, for the line has brought it."""
    address: str = ""
    """Literal address to connect to instead of looking the URL's host up."""
    tls_ca_file: str = ""
    token_file: str = ""


class SnmpProbe(Probe, frozen=True, kw_only=True, omit_defaults=True, tag="snmp"):
    """GET of sysUpTime.0, or of an interface's ifOperStatus, which has to be up(1)."""

    address: str
    port: int = 161
    if_index: int = 0
    """0: sysUpTime.0 alone."""
    community_file: str = ""
    """SNMPv2c; else `user`."""
    user_file: str = ""
    """SNMPv3: a YAML file with one user, as the trap receiver's are written."""


class MqttProbe(Probe, frozen=True, kw_only=True, omit_defaults=True, tag="mqtt"):
    """A message to oneself and back through a broker (MQTT 5, QoS 0): publish to round trip."""

    url: str
    """mqtt://HOST:PORT or mqtts://HOST:PORT."""
    topic: str = "netmon/probe"
    """Below it, each vantage and line has its own."""
    username: str = ""
    password_file: str = ""
    tls_ca_file: str = ""


AnyProbe = StampProbe | IcmpProbe | TcpProbe | HttpProbe | SnmpProbe | MqttProbe


def label(probe: AnyProbe) -> str:
    """What a probe is called in tables, metrics and evidence: its kind and where it goes; unique within a line and vantage."""
    match probe:
        case StampProbe() | TcpProbe():
            host = f"[{probe.address}]" if ":" in probe.address else probe.address
            return f"{kind_of(probe)} {host}:{probe.port}"
        case IcmpProbe():
            return f"icmp {probe.address}"
        case SnmpProbe():
            return f"snmp {probe.address}" + (f" if {probe.if_index}" if probe.if_index else "")
        case HttpProbe() | MqttProbe():
            return f"{kind_of(probe)} {probe.url}"


def kind_of(probe: AnyProbe) -> ProberKind:
    """Name of the prober that does it."""
    return probe.__struct_config__.tag  # type: ignore[return-value]


def secret_files(probe: AnyProbe) -> tuple[str, ...]:
    """Files that a probe names and whose contents it needs."""
    names = ("key_file", "community_file", "user_file", "token_file", "password_file")
    return tuple(name for field in names if (name := getattr(probe, field, "")))


class Profile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How often a line is asked, and from when on which state is said of it. Seconds; shares from 0 to 1."""

    interval_s: float
    timeout_s: float
    """At least; a line whose round trips take long gets three times their 99th percentile."""
    confirm_interval_s: float
    """While it is undecided: after the first miss, until it has answered or fallen."""
    confirm_timeout_s: float
    """Of these probes; three times the 99th percentile here, too."""
    standby_interval_s: float
    """For a line on standby whose traffic is paid for."""
    fall: int = 3
    """So many missed in a row: down."""
    rise: int = 5
    """So many answered in a row, after it was down: up."""
    loss_degraded: float = 0.10
    loss_degraded_clear: float = 0.05
    loss_down: float = 0.20
    """Y.1540's threshold of unavailability."""
    loss_down_clear: float = 0.10
    rtt_factor: float = 2.0
    """Median round trip beside its baseline: degraded."""
    rtt_factor_clear: float = 1.5
    rtt_floor_s: float = 0.005
    """Below it, no round trip is too long, whatever the baseline."""
    rtt_cap_s: float = 0.0
    """Above it, every median round trip is too long, whatever the baseline; 0: no cap."""
    window_s: float = 60.0


class Vantage(msgspec.Struct, frozen=True, kw_only=True):
    """A place that probes."""

    id: str
    name: str
    name_en: str = ""
    site_id: str = ""
    anchors: tuple[AnyProbe, ...] = ()
    """What it can reach by other ways than the lines that it judges: own next hop, another carrier. If none answers, it is cut off itself."""
