"""What the machine gives to an agent: a folder of its own, what moves classes here, and whether the kernel is the one that it knew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from netmon.errors import ConfigError, disk_cure
from netmon.failover.actuators.base import Mover
from netmon.failover.settings import AgentSettings

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def mover(settings: AgentSettings, is_down: Callable[[str], bool]) -> Mover:
    """Imports what moves: netlink for routes, nothing for a dry run. `is_down`: whether a line is known to be."""
    if settings.dry_run:
        from netmon.failover.actuators.dry_run import DryRun  # noqa: PLC0415 - one of two

        return DryRun()
    from netmon.failover.actuators.linux_routes import LinuxRoutes  # noqa: PLC0415 - the other

    return LinuxRoutes(
        protocol=settings.protocol, is_down=is_down, secrets=settings.secrets, gateway_id=settings.gateway_id
    )


def folder(directory: str) -> Path:
    """Where everything is; nobody else may look into it. Raises ConfigError."""
    path = Path(directory)
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError([f"data_dir: {directory}: {error.strerror}; {disk_cure(error)}"]) from None
    return path


def boot_id() -> str:
    """Of the running kernel; empty: it does not tell, and its routes are taken for those that were left."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
