"""The operator's settings as frozen models: names, kinds of values, every default beside its reason.

Keys name their unit (`_bytes`, `_s`, `_ms`); a limit ends in `_max`. Sizes are numbers or `64MiB`. Relative paths start
at the folder of the configuration file, so that `netmon traps` finds the same data from wherever it is called. Secrets
stand in files of their own, never here. `netmon.config` reads a file into these; docs/configuration.md has the table.

A validator's ValueError is the whole text of the mistake: what was found; what is expected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt, field_validator
from pydantic import ValidationInfo as Info

from netmon import sockets
from netmon.config import kinds
from netmon.config.alarms import Alarms, Alertmanager, Api, Jma, Posture, Region, rules_told
from netmon.config.failover_section import Failover
from netmon.config.kinds import (
    GIB,
    KIB,
    MIB,
    TIB,
    Address,
    Bytes,
    CatalogueFile,
    FolderPath,
    Network,
    PasswordFile,
    Rate,
    SecretFile,
    Section,
    TrapOid,
    section_or_defaults,
    shown,
    sized,
    some,
)
from netmon.config.probe_section import Probe
from netmon.config.snmpv3 import SnmpV3

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", re.ASCII)

_REDIS_URLS = "found another URL; expected embedded, redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix:///PATH?db=DB"

PEERS_MAX = 3
"""With us, as many receivers as a union can have."""

EMBEDDED = "embedded"
"""The `redis.url` that starts a Valkey of our own."""


# --- Kinds of values. ---


def _receiver_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"found {shown(value)}; expected 1 to 32 small letters, digits and hyphens, no hyphen first or last"
        )
    return value


def _redis_url(value: str) -> str:
    """Accept a URL without credentials. A refusal never repeats the URL: there may be a password in it."""
    if value == EMBEDDED:
        return value
    try:
        url = urlsplit(value)
    except ValueError:
        raise ValueError(_REDIS_URLS) from None
    if url.password is not None or "password=" in url.query:
        raise ValueError("found a password in the URL; expected it in a file of its own: password_file")
    if url.username is not None or "username=" in url.query:
        raise ValueError("found a user name in the URL; expected it in username")
    if (port := re.fullmatch(r"rediss?://[^/?#]*:(\d+)[^:\]]*", value)) and not 1 <= int(port[1][:9]) <= 65_535:
        raise ValueError("found a port that is not one of 1 to 65535; expected redis://HOST:PORT/DB")
    try:
        valid = _is_redis_url(url)
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(_REDIS_URLS)
    return value


def _is_redis_url(url: SplitResult) -> bool:
    """Raises ValueError for a port that is no number."""
    if url.scheme == "unix":
        return not url.hostname and url.path.startswith("/") and bool(re.fullmatch(r"(db=\d+)?", url.query))
    database = bool(re.fullmatch(r"/?\d*", url.path))
    return url.scheme in {"redis", "rediss"} and bool(url.hostname) and url.port != 0 and database and not url.query


def _side_by_side(listens: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse addresses of which a later one could not be bound beside an earlier one."""
    for index, listen in enumerate(listens):
        for earlier in listens[:index]:
            if _overlap(sockets.parse_address(listen), sockets.parse_address(earlier)):
                raise ValueError(f"found {shown(listen)} after {shown(earlier)}, which takes it already")
    return listens


def _overlap(one: sockets.Address, other: sockets.Address) -> bool:
    """Whether two sockets could not be bound side by side; `[::]` takes IPv4 too, and port 0 is never the same."""
    if one.port != other.port or one.port == 0:
        return False
    if one.host == other.host or "::" in {one.host, other.host}:
        return True
    wildcard = one.ip.is_unspecified or other.ip.is_unspecified
    return one.ip == other.ip or (wildcard and one.ip.version == other.ip.version)


# --- The settings. ---


class Limits(Section):
    """What a datagram may ask of the decoder; beyond it, the datagram is rejected and counted, never cut."""

    datagram_bytes_max: Annotated[Bytes, Field(ge=484, le=65_535)] = 65_507
    """Bytes of UDP payload. 65,507 is all that UDP over IPv4 carries; 484 is what RFC 3417 asks all to accept."""
    nesting_max: Annotated[StrictInt, Field(ge=4, le=64)] = 8
    """Depth of constructed BER values. A notification needs 4; 8 leaves room for an Opaque that wraps something."""
    varbinds_max: Annotated[StrictInt, Field(ge=2, le=100_000)] = 1_000
    """Variable bindings in one notification. Devices send tens; 1,000 in 64 KiB is nobody's alarm."""
    oid_arcs_max: Annotated[StrictInt, Field(ge=16, le=1_024)] = 128
    """Sub-identifiers in one OID. RFC 3416 section 4.1 allows 128."""


class AllowRule(Section):
    """Who may send."""

    sources: Annotated[tuple[Network, ...], AfterValidator(some)]
    """Networks that the datagram's peer address must be in. No default: a rule without sources would allow all."""
    communities_file: SecretFile | None = None
    """File with one accepted community a line; null accepts any, for networks where the address is the whole check."""


class Receiver(Section):
    """The listening side."""

    name: Annotated[str, AfterValidator(_receiver_name)] = "trap1"
    """Part of the stream's key, so unique among the receivers that share a Redis."""
    listen: Annotated[tuple[Address, ...], AfterValidator(some), AfterValidator(_side_by_side)] = ("[::]:1162",)
    """One socket each (times lanes). `[::]` takes IPv4 and IPv6; 1162 needs no root, 162 does."""
    lanes_per_listener: Annotated[StrictInt, Field(ge=1, le=64)] = 1
    """Lanes that share a port. A lane needs about 3 cores under full load, and one takes 60,000 traps/s."""
    receive_buffer_bytes: Annotated[Bytes, Field(ge=64 * KIB, le=GIB - 1)] = 64 * MIB
    """Kernel queue of each socket: what survives while `capture` restarts. The kernel cannot grant GiB or more."""
    inform_ack: Literal["journal", "buffer"] = "journal"
    """INFORM is answered when the record is on disk (`journal`), or when Redis has it too (`buffer`). The journal is
    enough for a promise, and a Redis that is away does not make every device repeat itself."""
    redact_community: StrictBool = True
    """Leave the community out of the streams: in SNMPv1 and v2c it is a password, and many read a stream."""
    allow: tuple[AllowRule, ...] = ()
    """Empty accepts every source: in a disaster, a trap from a device that nobody listed is still a trap."""
    trusted_relays: tuple[Network, ...] = ()
    """Whose snmpTrapAddress (RFC 3584) is believed. Empty: anyone could claim to be any device."""
    limits: Annotated[Limits, BeforeValidator(section_or_defaults)] = Limits()


class Journal(Section):
    """The flight recorder: raw datagrams on disk, before anything can go wrong with them."""

    segment_bytes: Annotated[Bytes, Field(ge=MIB, le=GIB)] = 32 * MIB
    """Size of one file, the unit of deletion. 32 MiB is about 150,000 traps."""
    size_bytes_max: Annotated[Bytes, Field(ge=4 * MIB, le=64 * TIB)] = 8 * GIB
    """Disk that one lane's journal may fill. 8 GiB is some 40 million traps, and fits on the smallest server."""
    age_s_max: Annotated[StrictInt, Field(ge=1, le=10 * 366 * 86_400)] = 7 * 86_400
    """How long a datagram is kept after Redis has it: a week, so that Monday can look into Saturday."""
    sync_interval_ms: Annotated[StrictInt, Field(ge=1, le=1_000)] = 5
    """Time between two fdatasync: what a power cut can take, and how long an INFORM waits for its answer. 5 ms costs
    one disk flush for hundreds of traps in a storm."""
    full_policy: Literal["hold"] = "hold"
    """When the journal holds `size_bytes_max` that Redis does not have yet, or the disk is full: capture stops reading,
    the kernel's queue fills, and then the kernel drops and counts. What is recorded is never overwritten by what is
    new; another policy would lose what nobody has seen yet."""

    @field_validator("size_bytes_max")
    @classmethod
    def _holds_segments(cls, value: int, info: Info) -> int:
        """Refuse a journal that would be deleted as a whole when it is cut."""
        smallest = 4 * info.data.get("segment_bytes", 0)
        if value < smallest:
            raise ValueError(f"found {sized(value)}; expected at least {sized(smallest)}, 4 segments of segment_bytes")
        return value


class Mibs(Section):
    """Names for what traps hold."""

    resolve_names: StrictBool = True
    """An entry with names is a sixth longer; whoever has names of his own may want it short."""
    catalogues: tuple[CatalogueFile, ...] = ()
    """Files of `netmon mib compile`; the first that knows an OID is right. The modules of IETF and IANA that ship with
    netmon (`netmon mib list`) come after them."""


class Redis(Section):
    """The buffer."""

    url: Annotated[str, AfterValidator(_redis_url)] = EMBEDDED
    """`embedded` starts a Valkey of our own beside the journal, so that two commands are enough to begin with."""
    username: Annotated[str, Field(min_length=1)] | None = None
    """ACL user; null is Redis' user `default`."""
    password_file: PasswordFile | None = None
    """File with the password; null sends none."""
    tls_ca_file: SecretFile | None = None
    """Certificates (PEM) that a `rediss://` server is checked against; null takes the system's."""
    stream_memory_bytes_max: Annotated[Bytes, Field(ge=MIB, le=16 * TIB)] = 256 * MIB
    """Memory in Redis for the streams of one lane; about 400,000 traps. Beyond it the journal holds the rest."""
    append_fsync_wait: StrictBool = True
    """With `inform_ack: buffer`: answer when Redis' append-only file is on disk too, not just in its memory: with
    Redis' usual `appendfsync everysec` alone, a power cut would take a second of answered INFORMs."""

    @field_validator("username", "password_file")
    @classmethod
    def _has_a_server(cls, value: str | Path | None, info: Info) -> str | Path | None:
        if value is not None and info.data.get("url") == EMBEDDED:
            raise ValueError("has no meaning with url: embedded, which only its owner can reach; expected null")
        return value

    @field_validator("tls_ca_file")
    @classmethod
    def _has_tls(cls, value: Path | None, info: Info) -> Path | None:
        if value is not None and not info.data.get("url", "rediss://").startswith("rediss://"):
            raise ValueError("has no meaning without TLS; expected null, or a url that begins with rediss://")
        return value


class Peer(Section):
    """Another receiver that gets the same traps."""

    receiver: Annotated[str, AfterValidator(_receiver_name)]
    """Its `receiver.name`. No default: it is what tells the two apart."""
    url: Annotated[str, AfterValidator(_redis_url)] | None = None
    """The Redis that it writes to; null: the same as ours."""
    username: Annotated[str, Field(min_length=1)] | None = None
    """ACL user; null is Redis' user `default`."""
    password_file: PasswordFile | None = None
    """File with the password; null sends none."""
    tls_ca_file: SecretFile | None = None
    """Certificates (PEM) that a `rediss://` server is checked against; null takes the system's."""

    @field_validator("url")
    @classmethod
    def _is_reached(cls, value: str | None) -> str | None:
        if value == EMBEDDED:
            raise ValueError("found embedded, which only its owner can reach; expected the URL of a Redis, or null")
        return value

    @field_validator("username", "password_file", "tls_ca_file")
    @classmethod
    def _has_a_server(cls, value: str | Path | None, info: Info) -> str | Path | None:
        if value is not None and info.data.get("url", "") is None:
            raise ValueError("has no meaning without a url, since the settings of redis are used; expected null")
        return value


def _once(peers: tuple[Peer, ...]) -> tuple[Peer, ...]:
    for index, peer in enumerate(peers):
        if peer.receiver in [earlier.receiver for earlier in peers[:index]]:
            raise ValueError(f"found {shown(peer.receiver)} twice; expected each receiver once")
    if len(peers) > PEERS_MAX:
        raise ValueError(f"found {len(peers)} receivers; expected at most {PEERS_MAX}")
    return peers


class Union(Section):
    """Whose traps are one with ours: `netmon traps --union`, `netmon ledger --union`."""

    peers: Annotated[tuple[Peer, ...], AfterValidator(_once)] = ()
    """The other receivers; each device sends to all of them and to us."""


class Canary(Section):
    """Notifications that we send to ourselves, to measure loss without trusting our own books."""

    enabled: StrictBool = True
    """On: two small traps a second for each listener say more about a receiver than all of its counters."""
    interval_ms: Annotated[StrictInt, Field(ge=100, le=3_600_000)] = 1_000
    """Time between two pairs of INFORM and TRAP."""
    timeout_s: Annotated[StrictInt, Field(ge=1, le=3_600)] = 30
    """When one that is not in the stream counts as lost. Longer than a restart of Redis takes."""


class Shedding(Section):
    """When decode is far behind: what goes first, and what waits until the storm has passed. Nothing is dropped."""

    backlog_max: Annotated[StrictInt, Field(ge=0, le=1_000_000_000)] = 200_000
    """Datagrams between journal and stream from which on new ones are sorted; 0: never. 200,000 are about three seconds
    of decode's work: a burst of a moment passes in its order, and what is new in a storm does not wait for longer."""
    source_rate_max: Annotated[Rate, Field(ge=0.1, le=1_000_000)] = 50.0
    """Notifications a second of one source that keep their turn in a storm. Many devices that each say what has happened
    to them are not shed, a few that babble are."""
    source_burst_max: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = 1_000
    """Notifications that a source may send at once on top: a chassis with all its ports."""
    critical: tuple[TrapOid, ...] = ()
    """Trap OIDs that always go first. Empty: what matters most is known to who runs the network; what comes for the first
    time in a storm goes first in any case."""
    express_rate_max: Annotated[Rate, Field(ge=1, le=1_000_000)] = 5_000.0
    """Notifications a second that may go first; what is beyond keeps its turn. A tenth of decode's work, so that forged
    sources cannot make everything urgent."""


class Http(Section):
    """/metrics, /healthz and /readyz of the whole process tree."""

    listen: Address = "127.0.0.1:8642"
    """Loopback: nobody is asked for a password here."""


class Log(Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """`info` shows changes of state; nothing is ever logged per datagram."""
    format: Literal["auto", "console", "json"] = "auto"
    """`auto`: for people (`console`) on a terminal, else one JSON object a line."""


class Config(Section):
    """All of netmon's settings."""

    data_dir: FolderPath = Path("../var")
    """Folder of the journal, the counters and the embedded Valkey. Beside the configuration's folder, which is the
    checkout's `var/` for `make run`; packages set /var/lib/netmon."""
    receiver: Annotated[Receiver, BeforeValidator(section_or_defaults)] = Receiver()
    snmpv3: Annotated[SnmpV3, BeforeValidator(section_or_defaults)] = SnmpV3()
    mibs: Annotated[Mibs, BeforeValidator(section_or_defaults)] = Mibs()
    journal: Annotated[Journal, BeforeValidator(section_or_defaults)] = Journal()
    redis: Annotated[Redis, BeforeValidator(section_or_defaults)] = Redis()
    shedding: Annotated[Shedding, BeforeValidator(section_or_defaults)] = Shedding()
    union: Annotated[Union, BeforeValidator(section_or_defaults)] = Union()
    canary: Annotated[Canary, BeforeValidator(section_or_defaults)] = Canary()
    region: Annotated[Region, BeforeValidator(section_or_defaults)] = Region()
    probe: Annotated[Probe, BeforeValidator(section_or_defaults)] = Probe()
    failover: Annotated[Failover, BeforeValidator(section_or_defaults)] = Failover()
    alarms: Annotated[Alarms, BeforeValidator(section_or_defaults)] = Alarms()
    posture: Annotated[Posture, BeforeValidator(section_or_defaults)] = Posture()
    api: Annotated[Api, BeforeValidator(section_or_defaults)] = Api()
    alertmanager: Annotated[Alertmanager, BeforeValidator(section_or_defaults)] = Alertmanager()
    jma: Annotated[Jma, BeforeValidator(section_or_defaults)] = Jma()
    http: Annotated[Http, BeforeValidator(section_or_defaults)] = Http()
    log: Annotated[Log, BeforeValidator(section_or_defaults)] = Log()

    @field_validator("alarms")
    @classmethod
    def _rules_told(cls, value: Alarms, info: Info) -> Alarms:
        """Rules use names of the catalogues, so they are read when it is known that those can be."""
        mibs: Mibs | None = info.data.get("mibs")
        if mibs is not None:
            rules_told(value, mibs.catalogues, info)
        return value

    @field_validator("union")
    @classmethod
    def _others(cls, value: Union, info: Info) -> Union:
        own = getattr(info.data.get("receiver"), "name", None)
        if own in [peer.receiver for peer in value.peers]:
            raise ValueError(f"found {shown(own)} among the peers, which is our own receiver.name; expected others")
        return value


def names() -> Iterator[str]:
    """Yield every setting in order, such as `receiver.limits.nesting_max` and `receiver.allow[].sources`."""
    return kinds.names(Config)
