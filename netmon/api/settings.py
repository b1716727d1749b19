"""What the API is told: JSON on the standard input of `python -m netmon.api`. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

from netmon.inventory.model import Inventory
from netmon.model import RedisSettings


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the process `python -m netmon.api` reads from its standard input."""

    listen: str = "127.0.0.1:8643"
    """`address:port`; port 0 lets the kernel choose, for tests."""
    token: str | None = None
    """Whoever asks has to know it; None lets everybody in, and is for the loopback only."""
    hosts: tuple[str, ...] = ()
    """Names beside the loopback's own by which it may be called when there is no token."""
    redis: RedisSettings
    inventory: Inventory = Inventory()
    log_level: str = "info"
    log_format: Literal["console", "json"] = "console"

    def __repr__(self) -> str:
        """Without the token: it may get into a log."""
        return f"ApiSettings(listen={self.listen!r}, token={'None' if self.token is None else '***'})"
