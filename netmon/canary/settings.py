"""What the canary is told, and how the receiver knows it. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from netmon.model import AllowRule, LaneSettings, RedisSettings

LOOPBACK: Final = {4: "127.0.0.1", 6: "::1"}


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One listener."""

    listen: str
    """`address:port` as configured: its name in metrics."""
    host: str
    """Where to send: its own address, or the loopback for a wildcard."""
    port: int
    """As it was bound; never 0."""
    lanes: tuple[int, ...]
    """The lanes that share it: a canary lands in any of them."""


class CanarySettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the process `python -m netmon.canary` reads from its standard input."""

    receiver: str
    targets: tuple[Target, ...]
    redis: RedisSettings
    community: str
    """A secret that admits our own canaries, and nobody else's."""
    directory: str
    """Folder of its counters."""
    interval_ms: int = 1_000
    timeout_s: int = 30
    """When one that is not in the stream counts as lost."""
    log_level: str = "info"
    log_format: Literal["console", "json"] = "console"


def target_of(listen: str, port: int, lanes: Sequence[int], *, ipv6_only: bool) -> Target:
    """Where to send what a listener should get.

    Args:
        listen: As configured.
        port: That it is bound to.
        lanes: Those that share it.
        ipv6_only: Whether its wildcard leaves IPv4 out, as a socket from systemd may.
    """
    host = _host(listen)
    if _is_wildcard(host):
        host = LOOPBACK[6] if ipv6_only else LOOPBACK[4]
    return Target(listen=listen, host=host, port=port, lanes=tuple(lanes))


def admitted(lanes: Sequence[LaneSettings], community: str) -> list[LaneSettings]:
    """The lanes with a rule that lets our own canaries in. Without rules everybody is let in already."""
    return [lane if not lane.allow else _admitted(lane, community) for lane in lanes]


def _admitted(lane: LaneSettings, community: str) -> LaneSettings:
    host = _host(lane.listen)
    sources = tuple(LOOPBACK.values()) if _is_wildcard(host) else (host.partition("%")[0],)
    return msgspec.structs.replace(lane, allow=(*lane.allow, AllowRule(sources=sources, communities=(community,))))


def _host(listen: str) -> str:
    return listen.rpartition(":")[0].strip("[]")


def _is_wildcard(host: str) -> bool:
    return ipaddress.ip_address(host.partition("%")[0]).is_unspecified


def state_file(listen: str) -> str:
    """Name of the file with the counters of a listener; `listen` is an address with a port, and no path."""
    return f"canary-{listen}.state"
