"""Who may ask. Pure.

With a token, whoever knows it may, from anywhere. Without one, only the loopback is listened to, and there the danger is a web page
in the browser of somebody who sits at this machine: it may send requests here under a name of its own that it has pointed at
127.0.0.1 (DNS rebinding), or write blindly (cross-site request forgery). So without a token the `Host` has to be the loopback's or
a configured name, and the `Origin`, if there is one, the same as the host.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Collection
from typing import Final

from netmon.api.problem import refusal, shown

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
TOKEN_MIN: Final = 16
"""Characters of a token; shorter ones can be tried out."""
_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]{1,5})?")


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only."""
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


def check_token(authorization: str | None, token: str) -> None:
    """Refuses who does not know the token (RFC 6750 section 2.1); takes the same time however wrong it is. Raises ProblemError."""
    scheme, _, given = (authorization or "").partition(" ")
    is_right = hmac.compare_digest(given.strip().encode(errors="surrogateescape"), token.encode())
    if scheme.lower() != "bearer" or not is_right:
        raise refusal(401, "unauthorized", "expected the header `Authorization: Bearer TOKEN` with the right token")


def check_host(host: str | None, origin: str | None, names: Collection[str]) -> None:
    """Refuses requests that a web page may have made.

    Args:
        host: Header `Host`.
        origin: Header `Origin`; browsers send it with everything that writes.
        names: By which we may be called beside the loopback's own.

    Raises:
        ProblemError: 421 for a name that is not ours, 403 for a page of somebody else's.
    """
    found = _HOST.fullmatch(host or "")
    name = (found[1] or found[2]).lower() if found is not None else ""
    if name not in LOOPBACK_NAMES and name not in names:
        detail = f"found Host {shown(host)}; without a token expected localhost, or a name in api.hosts"
        raise refusal(421, "misdirected", detail)
    if origin is not None and origin.lower() not in {f"{scheme}://{host}".lower() for scheme in ("http", "https")}:
        raise refusal(403, "forbidden_origin", f"found Origin {shown(origin)}; expected that of this host")
