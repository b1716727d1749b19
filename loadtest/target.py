"""Where a storm may go: pure checks, so that nobody floods a machine by a slip of the finger."""

from __future__ import annotations

import ipaddress

import msgspec

from netmon.errors import ConfigError


class Target(msgspec.Struct, frozen=True):
    """A receiver to send to."""

    address: str
    """IPv4 or IPv6 literal."""
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether what is sent there stays on this machine."""
        return ipaddress.ip_address(self.address).is_loopback

    @property
    def is_ipv6(self) -> bool:
        """Whether it is an IPv6 address."""
        return ipaddress.ip_address(self.address).version == 6


def parse_target(text: str) -> Target:
    """Returns the target of `address:port`, `[address]:port` or `localhost:port`.

    Names other than `localhost` are refused: a storm goes to an address that was seen, not to what a resolver says.

    Raises:
        ConfigError: Not an address, or no port from 1 to 65535.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise ConfigError([f"--target {text}: {host!r} is not an IP address"]) from None
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ConfigError([f"--target {text}: {port!r} is not a port from 1 to 65535"])
    return Target(str(address), int(port))


def allow_target(target: Target, *, allow_remote: bool, i_may_load: str | None, sources: int) -> None:
    """Passes a target on the loopback; any other only when told twice.

    Raises:
        ConfigError: Off the loopback and `allow_remote` missing or `i_may_load` not the same address; or more than one
            source address where the addresses of 127.0.0.0/8 cannot be used.
    """
    mistakes = []
    if not target.is_loopback and not (allow_remote and i_may_load == target.address):
        mistakes.append(
            f"{target.address} is not a loopback address: a storm can take a network down. If you may do that, "
            f"say so twice: --allow-remote --i-may-load {target.address}"
        )
    if sources > 1 and (target.is_ipv6 or not target.is_loopback):
        mistakes.append("--sources above 1 needs an IPv4 loopback target: the sources are addresses of 127.0.0.0/8")
    if mistakes:
        raise ConfigError(mistakes)
