"""Probes as they stand in region.yml, `{stamp: "192.0.2.49:862", interface: eth1}`, and as values. docs/region.md has the tables.

A probe is one mapping: the key that names the way of asking, what that way needs, and the pin. Each way is a model of its own, so that a
mistake is told in its words, and a key that another way has is not taken in silence. Files are written down as they will be read: a region
is checked where its secrets are not.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Any, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt, model_validator
from pydantic import ValidationInfo as Info

from netmon import sockets
from netmon.config import checked
from netmon.config.kinds import Section, shown
from netmon.config.source import Mistake, Path, Source
from netmon.errors import ConfigError
from netmon.inventory.kinds import PROBES_MAX, References
from netmon.inventory.probes import (
    PROBER_KINDS,
    STAMP_PORT,
    AnyProbe,
    HttpProbe,
    IcmpProbe,
    MqttProbe,
    Pin,
    ProberKind,
    SnmpProbe,
    StampProbe,
    TcpProbe,
    label,
)

SNMP_PORT: Final = 161
INTERFACE_LETTERS_MAX: Final = 15
"""IFNAMSIZ of Linux, less its last zero."""

_INTERFACE: Final = re.compile(rf"[!-.0-9;-~]{{1,{INTERFACE_LETTERS_MAX}}}", re.ASCII)
_NETNS: Final = re.compile(r"(/[!-~]{1,254}|[!-.0-~]{1,255})", re.ASCII)
_URL: Final = re.compile(r"[!-~]{1,1000}", re.ASCII)
_TOPIC: Final = re.compile(r"[^\x00-\x1f+#$/][^\x00-\x1f+#]{0,199}")

Endpoint = tuple[str, int]
"""Address, port."""


# --- Kinds of values. ---


def _literal(value: Any) -> str:
    """An address that can be asked, in one way of writing."""
    try:
        found = ipaddress.ip_address(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None:
        cure = "no name: the server that knows names may be behind this line"
        raise ValueError(f"found {shown(value)}; expected an IP address, {cure}")
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if found.is_unspecified or found.is_multicast:
        raise ValueError(f"found {shown(value)}, which is no one's address; expected that of one host")
    return str(found)


def _endpoint(port: int | None) -> Callable[[Any], Endpoint]:
    """Take ADDRESS:PORT, or an address alone where a port goes without saying."""
    form = "ADDRESS:PORT, such as 192.0.2.49:443 or (quoted) [2001:db8::1]:443"
    expected = form if port is None else f"an IP address, or ADDRESS:PORT when it is not {port}"

    def read(value: Any) -> Endpoint:
        text = value if isinstance(value, str) else ""
        if port is not None and _is_literal(text):
            return _literal(text), port
        try:
            found = sockets.parse_address(text)
        except ConfigError:
            raise ValueError(f"found {shown(value)}; expected {expected}") from None
        if found.port == 0:
            raise ValueError(f"found {shown(value)}; expected a port from 1 to 65535")
        return _literal(found.host), found.port

    return read


def _is_literal(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _url(*schemes: str) -> Callable[[Any], str]:
    """Take a URL of these schemes without user, password and query: it is shown in tables and metrics."""
    expected = " or ".join(f"{scheme}://HOST..." for scheme in schemes)

    def read(value: Any) -> str:
        url = _parts(value)
        if url is None or url.scheme not in schemes:
            raise ValueError(f"found another URL; expected {expected}")
        if url.username is not None or url.password is not None or url.query or url.fragment:
            raise ValueError(
                "found a user, password or query in the URL, which everybody gets to see; expected it without"
            )
        return str(value)

    return read


def _parts(value: Any) -> SplitResult | None:
    """The parts of a URL that names a host; None when it is none."""
    try:
        url = urlsplit(value if isinstance(value, str) and _URL.fullmatch(value) else "")
        names_a_host = bool(url.hostname) and url.port != 0
    except ValueError:
        return None
    return url if names_a_host else None


def _broker(value: str) -> str:
    if urlsplit(value).path not in {"", "/"}:
        raise ValueError("found a path in the URL; expected mqtt://HOST:PORT, and the topic in topic")
    return value.rstrip("/")


def _interface(value: str) -> str:
    if value and (not _INTERFACE.fullmatch(value) or value in {".", ".."}):
        raise ValueError(f"found {shown(value)}; expected the name of an interface, such as eth1: at most 15 letters")
    return value


def _netns(value: str) -> str:
    if value and not _NETNS.fullmatch(value):
        raise ValueError(f"found {shown(value)}; expected a name, as `ip netns` shows it, or a path that begins with /")
    return value


def _topic(value: str) -> str:
    if not _TOPIC.fullmatch(value):
        raise ValueError(
            f"found {shown(value)}; expected a topic without + and #, / and $ not first, at most 200 letters"
        )
    return value


def _has_tls(value: str, info: Info) -> str:
    url = info.data.get("http") or info.data.get("mqtt") or ""
    if value and urlsplit(url).scheme in {"http", "mqtt"}:
        raise ValueError(f"has no meaning without TLS; expected a URL that begins with {urlsplit(url).scheme}s://")
    return value


def _literal_host(url: str) -> str:
    """The address in a URL; empty when there is a name."""
    host = urlsplit(url).hostname or ""
    return host if _is_literal(host) else ""


def literal_or_none(value: Any) -> Any:
    """The same, or nothing at all. Raises ValueError."""
    return value if value in {"", None} else _literal(value)


Literal = Annotated[str, BeforeValidator(_literal)]
LiteralOrNone = Annotated[str, BeforeValidator(literal_or_none)]
Interface = Annotated[str, AfterValidator(_interface)]
FileName = Annotated[str, Field(max_length=4_096)]
CaFile = Annotated[FileName, AfterValidator(_has_tls)]
Status = Annotated[StrictInt, Field(ge=100, le=599)]


# --- Ways of asking. ---


class ProbeEntry(Section):
    """What all ways have: by which way it leaves, and who asks."""

    interface: Interface = ""
    mark: Annotated[StrictInt, Field(ge=0, le=2**32 - 1)] = 0
    source: LiteralOrNone = ""
    netns: Annotated[str, AfterValidator(_netns)] = ""
    expect_interface: Interface = ""
    vantages: Annotated[References, Field(alias="from")] = ()

    @property
    def literal(self) -> str:
        """The address that it goes to; empty when it goes to a name."""
        return ""

    @model_validator(mode="after")
    def _one_family(self) -> ProbeEntry:
        versions = {ipaddress.ip_address(each).version for each in (self.source, self.literal) if each}
        if len(versions) > 1:
            raise ValueError(f"found source {self.source} for {self.literal}; expected both IPv4, or both IPv6")
        return self


class StampEntry(ProbeEntry):
    """A reflector at the far end."""

    stamp: Annotated[Endpoint, BeforeValidator(_endpoint(STAMP_PORT))]
    key_file: FileName = ""

    @property
    def literal(self) -> str:
        """The reflector's."""
        return self.stamp[0]


class IcmpEntry(ProbeEntry):
    """Echo."""

    icmp: Literal

    @property
    def literal(self) -> str:
        """Of the host that echoes."""
        return self.icmp


class TcpEntry(ProbeEntry):
    """Connects and closes."""

    tcp: Annotated[Endpoint, BeforeValidator(_endpoint(None))]

    @property
    def literal(self) -> str:
        """The server's."""
        return self.tcp[0]


class HttpEntry(ProbeEntry):
    """GET."""

    http: Annotated[str, BeforeValidator(_url("http", "https"))]
    statuses: Annotated[tuple[Status, ...], Field(max_length=100)] = ()
    address: LiteralOrNone = ""
    tls_ca_file: CaFile = ""
    token_file: FileName = ""

    @property
    def literal(self) -> str:
        """`address`, else the URL's host if that is one."""
        return self.address or _literal_host(self.http)


class SnmpEntry(ProbeEntry):
    """GET of sysUpTime.0 or ifOperStatus."""

    snmp: Annotated[Endpoint, BeforeValidator(_endpoint(SNMP_PORT))]
    if_index: Annotated[StrictInt, Field(ge=1, le=2**31 - 1)] | None = None
    community_file: FileName = ""
    user_file: FileName = ""

    @property
    def literal(self) -> str:
        """The agent's."""
        return self.snmp[0]

    @model_validator(mode="after")
    def _one_way_in(self) -> SnmpEntry:
        if bool(self.community_file) == bool(self.user_file):
            raise ValueError("expected a community_file (SNMPv2c) or a user_file (SNMPv3), one of them")
        return self


class MqttEntry(ProbeEntry):
    """A message to oneself and back."""

    mqtt: Annotated[str, BeforeValidator(_url("mqtt", "mqtts")), AfterValidator(_broker)]
    topic: Annotated[str, AfterValidator(_topic)] = "netmon/probe"
    username: Annotated[str, Field(max_length=256)] = ""
    password_file: FileName = ""
    tls_ca_file: CaFile = ""

    @property
    def literal(self) -> str:
        """The URL's host if it is an address."""
        return _literal_host(self.mqtt)


WAYS: Final[dict[ProberKind, type[ProbeEntry]]] = {
    "stamp": StampEntry,
    "icmp": IcmpEntry,
    "tcp": TcpEntry,
    "http": HttpEntry,
    "snmp": SnmpEntry,
    "mqtt": MqttEntry,
}
"""The key that names a way of asking, to all keys that it has."""


# --- From what was written to values. ---


def read(source: Source, at: Path, written: Any) -> tuple[tuple[AnyProbe, ...], list[Mistake]]:
    """The probes of a list that are right in themselves, in its order, and what is wrong with the others and with the list.

    Args:
        source: The file.
        at: Where the list is.
        written: The list; what is none has been told by its thing.
    """
    probes: list[AnyProbe] = []
    mistakes: list[Mistake] = []
    for index, each in enumerate(written[:PROBES_MAX] if isinstance(written, list) else ()):
        where = (*at, index)
        entry, wrong = _entry(source, where, each)
        mistakes.extend(wrong)
        if entry is None:
            continue
        probe = value_of(entry)
        again = next((earlier for earlier in probes if _is_same(earlier, probe)), None)
        if again is not None:
            text = f"found {label(probe)!r} twice; expected each target once, or with different vantages in from"
            mistakes.append(source.mistake(where, text))
        probes.append(probe)
    return tuple(probes), mistakes


def _entry(source: Source, at: Path, written: Any) -> tuple[ProbeEntry | None, list[Mistake]]:
    if not isinstance(written, dict):
        found = "text" if isinstance(written, str) else shown(written)
        return None, [source.mistake(at, f'found {found}; expected a probe, such as {{stamp: "192.0.2.49:862"}}')]
    ways = [kind for kind in PROBER_KINDS if kind in written]
    if len(ways) > 1:
        text = f"found {' and '.join(ways)}; expected one way of asking: each is a probe of its own"
        return None, [source.mistake(at, text)]
    if not ways:
        near = next((close[0] for key in written if (close := difflib.get_close_matches(key, PROBER_KINDS, n=1))), None)
        cure = f"did you mean {near}?" if near else f"expected one of {', '.join(PROBER_KINDS)}"
        return None, [source.mistake(at, f"found no way of asking; {cure}")]
    return checked.checked(WAYS[ways[0]], source, written, at=at)


def _is_same(one: AnyProbe, other: AnyProbe) -> bool:
    """Whether a vantage would have two probes of one name: its readings could not be told apart."""
    shared = not one.vantage_ids or not other.vantage_ids or set(one.vantage_ids) & set(other.vantage_ids)
    return bool(shared) and label(one) == label(other)


def value_of(entry: ProbeEntry) -> AnyProbe:
    """The entry as the processes have it."""
    pin = Pin(
        interface=entry.interface,
        mark=entry.mark,
        source=entry.source,
        netns=entry.netns,
        expect_interface=entry.expect_interface,
    )
    match entry:
        case StampEntry(stamp=(address, port)):
            return StampProbe(**_own(entry, pin), address=address, port=port)
        case IcmpEntry(icmp=address):
            return IcmpProbe(**_own(entry, pin), address=address)
        case TcpEntry(tcp=(address, port)):
            return TcpProbe(**_own(entry, pin), address=address, port=port)
        case HttpEntry(http=url):
            return HttpProbe(**_own(entry, pin), url=url)
        case SnmpEntry(snmp=(address, port)):
            return SnmpProbe(**_own(entry, pin), address=address, port=port)
        case MqttEntry(mqtt=url):
            return MqttProbe(**_own(entry, pin), url=url)
    raise AssertionError(entry)


def _own(entry: ProbeEntry, pin: Pin) -> dict[str, Any]:
    """What has the same name in both, and is not left out."""
    written = entry.model_dump(exclude={*ProbeEntry.model_fields, *WAYS}, exclude_none=True)
    return {**written, "pin": pin, "vantage_ids": entry.vantages}
