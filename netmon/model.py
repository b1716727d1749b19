"""The frozen values that cross a process boundary: what a role is told, and what the trap stream holds.

Pure. `netmon.config` makes the settings from the operator's YAML; a role gets them as JSON on its standard input, so
that a role needs neither YAML nor pydantic, and no secret is seen in a process list.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a datagram may ask of the decoder; beyond it, the datagram is rejected and says so."""

    datagram_bytes_max: int = 65_507
    """Bytes of UDP payload; the default is all that UDP over IPv4 can carry."""
    nesting_max: int = 8
    """Depth of constructed BER values; a notification needs 4."""
    varbinds_max: int = 1_000
    """Variable bindings in one PDU."""
    oid_arcs_max: int = 128
    """Sub-identifiers in one OID (RFC 3416 section 4.1 allows 128)."""


def _hidden(secret: object) -> str:
    return "None" if secret is None else "***"


class AllowRule(msgspec.Struct, frozen=True, kw_only=True):
    """Who may send: a datagram is allowed by the first rule that has its source and its community."""

    sources: tuple[str, ...]
    """CIDR networks, IPv4 or IPv6."""
    communities: tuple[str, ...] | None = None
    """Accepted communities (SNMPv1, v2c); None accepts any."""

    def __repr__(self) -> str:
        """Without the communities: it may get into a log."""
        return f"AllowRule(sources={self.sources!r}, communities={_hidden(self.communities)})"


class RedisSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the buffer."""

    url: str
    """`redis://`, `rediss://` or `unix://`; never `embedded`: the supervisor has put the socket's URL in its place."""
    username: str | None = None
    password: str | None = None
    tls_ca_file: str | None = None
    stream_memory_bytes_max: int = 256 << 20
    """Bytes of Redis memory for the streams of one lane."""
    append_fsync_wait: bool = True
    """With `inform_ack: buffer`: wait until the append-only file is on disk (WAITAOF)."""

    def __repr__(self) -> str:
        """Without the password, and without the URL, which may hold one: it may get into a log."""
        return f"RedisSettings(url=***, username={self.username!r}, password={_hidden(self.password)})"


class V3User(msgspec.Struct, frozen=True, kw_only=True):
    """A user of the User-based Security Model (RFC 3414), with the only security level at which it is listened to."""

    name: str
    auth: Literal["md5", "sha1", "sha224", "sha256", "sha384", "sha512"] | None = None
    auth_passphrase: str | None = None
    """A secret, as everything that the roles are told on their standard input may be."""
    priv: Literal["des", "aes128", "aes192", "aes256", "aes192c", "aes256c"] | None = None
    """The `c` ones extend short keys as Cisco does (draft-reeder-snmpv3-usm-3desede), the others as
    draft-blumenthal-aes-usm."""
    priv_passphrase: str | None = None
    engine_ids: tuple[str, ...] = ()
    """Engines, in hexadecimal, at which this user exists; empty: at any. A user of the same name for the engine wins."""

    def __repr__(self) -> str:
        """Without the passphrases: it may get into a log."""
        return f"V3User(name={self.name!r}, auth={self.auth!r}, priv={self.priv!r}, engine_ids={self.engine_ids!r})"


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """Our SNMP engine (RFC 3414 section 2.2): who we are, and since when."""

    engine_id: str = ""
    """In hexadecimal; empty where nobody asks for it."""
    starts_unix_ns: tuple[int, ...] = ()
    """The last starts, oldest first. snmpEngineBoots at a time is `boots_first` plus the starts before it, less one."""
    boots_first: int = 1
    """snmpEngineBoots of the first of these starts."""


class V3Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a receiver knows of SNMPv3."""

    users: tuple[V3User, ...] = ()
    contexts: tuple[str, ...] = ()
    """contextNames that are listened to; empty: all."""
    boots_reset: Literal["flag", "reject"] = "flag"
    """What becomes of a notification from an engine that has forgotten its boots: accepted, flagged and trusted as
    `other`; or rejected, as RFC 3414 wants it."""
    engine_id: str = ""
    """Ours, in hexadecimal: INFORMs are sent to it."""
    engine_starts_unix_ns: tuple[int, ...] = ()
    """When our engine started, oldest first; its boots are counted from `engine_boots_first`."""
    engine_boots_first: int = 1


class SheddingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When decode is far behind: what goes first, and what waits until the storm has passed. Nothing is dropped."""

    backlog_max: int = 200_000
    """Datagrams between journal and stream from which on new ones are sorted; 0: never."""
    source_rate_max: float = 50.0
    """Notifications a second of one source that stay in their turn while the storm lasts: many devices that each say
    what has happened to them are not shed, a few that babble are."""
    source_burst_max: int = 1_000
    """Notifications that a source may send at once on top."""
    critical: tuple[str, ...] = ()
    """Trap OIDs that always go first; one that ends in `.` stands for all below it."""
    express_rate_max: float = 5_000.0
    """Notifications a second that may go first; what is beyond keeps its turn."""


class LaneSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the roles of one lane need to know. A lane is one socket, one journal, one pair of streams."""

    receiver: str
    """Name of the receiver, unique among those that share a Redis; part of the stream's key."""
    lane: int
    """Number of the lane, from 0."""
    listen: str
    """`address:port` as configured, for messages and metrics."""
    directory: str
    """Folder of the lane's journal and counters."""
    redis: RedisSettings
    receive_buffer_bytes: int = 64 << 20
    inform_ack: Literal["journal", "buffer"] = "journal"
    redact_community: bool = True
    allow: tuple[AllowRule, ...] = ()
    """Empty: every source is accepted, with trust tier `other`."""
    trusted_relays: tuple[str, ...] = ()
    """CIDR networks whose snmpTrapAddress (RFC 3584 section 3.1) is believed."""
    limits: Limits = Limits()
    snmpv3: V3Settings = V3Settings()
    resolve_names: bool = True
    catalogues: tuple[str, ...] = ()
    """Files of `netmon mib compile`, in order of precedence; the one that ships with netmon comes after them."""
    catalogue_digests: tuple[str, ...] = ()
    """Of their contents: a file that was made again is another setting, so that a reload notices it."""
    shedding: SheddingSettings = SheddingSettings()
    segment_bytes: int = 32 << 20
    journal_bytes_max: int = 8 << 30
    journal_age_max_s: int = 7 * 86_400
    sync_interval_ms: int = 5
    log_level: str = "info"
    log_format: Literal["console", "json"] = "console"

    @property
    def key_prefix(self) -> str:
        """Common start of the lane's Redis keys; the braces keep them in one Redis Cluster slot."""
        return f"netmon:{{{self.receiver}:{self.lane}}}"


class Varbind(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One variable binding (RFC 3416 section 3)."""

    oid: str
    """Dotted decimal, no leading dot."""
    type: str
    """ASN.1 name: Integer32, OctetString, Null, ObjectIdentifier, IpAddress, Counter32, Gauge32, TimeTicks, Opaque,
    Counter64, noSuchObject, noSuchInstance, endOfMibView; or `tag-0xNN` for a type that no standard names."""
    value: int | str | None
    """Numbers as numbers; OIDs and addresses dotted; octets as text when they are printable UTF-8, else hex."""
    encoding: str | None = None
    """`hex` when `value` is hexadecimal octets; None when octets are their own text, and for all other types."""
    name: str | None = None
    """Of the object and its instance, such as `ifOperStatus.7`; None when no MIB of the catalogue knows it."""
    label: str | None = None
    """Name of the number, bits or OID that `value` is, such as `down`; None when it has none."""
    text: str | None = None
    """`value` as its DISPLAY-HINT or textual convention writes it: a time in ISO 8601, a MAC address; None without."""
    unit: str | None = None
    """UNITS of the object, such as `milliseconds`; None without."""


class TrapEvent(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One notification as it stands in the stream, JSON in the field `trap`. See docs/buffer-schema.md."""

    seq: int
    """Position in the lane's journal, from 1; also the second half of the entry's ID."""
    received_unix_ns: int
    """When the kernel had the datagram, nanoseconds since 1970 UTC."""
    event_unix_ns: int
    """When the event happened, as well as we know; `event_time_from` says how."""
    event_time_from: str
    """`received`: nothing better than the receive time is known."""
    source: str
    """Address of the device: the peer, or the snmpTrapAddress that a trusted relay passed on."""
    peer: str
    """Address that the datagram came from."""
    peer_port: int
    local: str
    """Our address that the datagram was sent to."""
    version: str
    """`v1`, `v2c` or `v3`."""
    pdu: str
    """`trap` or `inform`."""
    trust: str
    """How sure we are of who said it, best first: `v3_auth_priv`, `v3_auth`, `allow_listed`, `other`."""
    trap_oid: str
    """snmpTrapOID.0, for SNMPv1 translated by RFC 3584 section 3.1."""
    uptime_centis: int | None
    """sysUpTime.0 in hundredths of a second; None when the sender left it out."""
    varbinds: list[Varbind]
    """In the sender's order, without sysUpTime.0 and snmpTrapOID.0."""
    digest: str
    """16 hexadecimal digits: BLAKE2b of what was said, equal for the same notification sent to two receivers."""
    request_id: int | None = None
    community: str | None = None
    """Only with `redact_community: false`."""
    flags: tuple[str, ...] = ()
    """What the decoder forgave; see `netmon.snmp.FLAGS`."""
    duplicate_of: int | None = None
    """For a retransmitted INFORM: the `seq` of the first copy."""
    name: str | None = None
    """Of the notification, such as `linkDown`; None when no MIB of the catalogue knows it."""
    user: str | None = None
    """SNMPv3: the USM user."""
    engine_id: str | None = None
    """SNMPv3 traps: the engine whose key protects it, in hexadecimal: the identity of a device whose address may change.
    None for an INFORM, which is protected with a key at our engine."""
    context: str | None = None
    """SNMPv3: contextName, None for the default context."""
    context_engine_id: str | None = None
    """SNMPv3: contextEngineID in hexadecimal, where it is not `engine_id`: what the sender claims, and no key proves."""


class RejectEvent(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One datagram that was not accepted, JSON in the field `reject` of the rejects stream."""

    seq: int
    received_unix_ns: int
    peer: str
    peer_port: int
    local: str
    reason: str
    """A word of a closed set: `netmon.snmp.REASONS`, or `source_not_allowed`, `community_not_allowed`."""
    offset: int
    """Byte at which the decoder gave up; 0 for a refusal."""
    raw: str
    """The datagram in hexadecimal; the community is overwritten with `2a` when redaction is on. The journal has it whole."""


LeadState = Literal["starting", "leading", "waiting", "unreachable", "stopped"]
"""Of a process of which one leads. `waiting`: another one does. `unreachable`: Redis does not answer, or refuses."""
