"""Where a broker is: `mqtt://HOST[:PORT]`, `mqtts://HOST[:PORT]`."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import urlsplit

from netmon.errors import ConfigError

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


class Location(NamedTuple):
    """A broker's address."""

    host: str
    port: int
    secure: bool


def location_of(url: str, where: str) -> Location:
    """Reads a URL. Raises ConfigError: it is none, with `where` before it."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme not in _PORTS or not host or "@" in parts.netloc or parts.path.strip("/") or parts.query:
        raise ConfigError([f"{where}: expected mqtt://HOST:PORT or mqtts://HOST:PORT, without a user"])
    return Location(host, port or _PORTS[parts.scheme], parts.scheme == "mqtts")
