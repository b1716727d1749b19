"""By which way the kernel would send to an address under a pin, asked of the kernel itself (RTM_GETROUTE, rtnetlink(7)); nothing is sent."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, Final

import msgspec

from netmon.active_probe.vantage.pinning import PinError, in_netns, interface_index
from netmon.inventory.probes import Pin

_FIB_MATCH: Final = 0x2000
"""RTM_F_FIB_MATCH: the entry of the table itself, and an error where there is none."""


class Path(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The first step of the way."""

    interface: str = ""
    source: str = ""
    gateway: str = ""
    """Empty: the address is a neighbour on that interface."""
    is_guess: bool = False
    """No route leads there by this interface; the kernel takes the address for a neighbour, and nobody is likely to answer."""
    error: str = ""
    """Why there is no way; then all others are empty."""


def path_of(pin: Pin, address: str) -> Path:
    """The way to a literal address; not to be called while an event loop runs in this thread."""
    try:
        oif = interface_index(pin, pin.interface) if pin.interface else 0
        return in_netns(pin, lambda: _look_up(pin, address.partition("%")[0], oif))
    except PinError as error:
        return Path(error=str(error.strerror))


def _look_up(pin: Pin, address: str, oif: int) -> Path:
    from pyroute2 import IPRoute, NetlinkError  # noqa: PLC0415 - it takes half a second to import

    wanted: dict[str, Any] = {"dst": address}
    if oif:
        wanted["oif"] = oif
    if pin.mark:
        wanted["mark"] = pin.mark
    if pin.source:
        wanted["src"] = pin.source
    with IPRoute() as routes:
        try:
            found = dict(routes.route("get", **wanted)[0]["attrs"])
        except NetlinkError as error:
            return Path(error=_words(int(error.code)))
        return Path(
            interface=_name(found.get("RTA_OIF", 0)),
            source=pin.source or found.get("RTA_PREFSRC", ""),
            gateway=_gateway(found),
            is_guess=bool(oif) and not _is_in_table(routes, NetlinkError, wanted),
        )


def _is_in_table(routes: Any, refusal: type[Exception], wanted: dict[str, Any]) -> bool:
    try:
        routes.route("get", **wanted, flags=_FIB_MATCH)
    except refusal:
        return False
    return True


def _gateway(found: dict[str, Any]) -> str:
    via = found.get("RTA_VIA")  # a neighbour of the other address family (RFC 5549)
    return str(found.get("RTA_GATEWAY") or (via.get("addr", "") if isinstance(via, dict) else ""))


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"interface {index}"


def _words(code: int) -> str:
    return f"{errno.errorcode.get(code, str(code))}: {os.strerror(code)}"
