"""The canary's process as the supervisor holds it: started, told of new listeners, stopped first of all."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from netmon import config as configuration
from netmon.canary import community
from netmon.canary.accounts import books
from netmon.canary.settings import CanarySettings, admitted, state_file, target_of
from netmon.config import Config
from netmon.model import LaneSettings
from netmon.status.health import CanarySample
from netmon.supervisor.child import Child
from netmon.supervisor.lane import Lane
from netmon.trap_receiver.state import read_state


class CanaryKeeper:
    """Runs the canary while the configuration wants it.

    Attributes:
        child: Its process; None while the canary is switched off.
    """

    def __init__(self, data_dir: Path, run: Callable[[Child], None], inherit: Callable[[], Sequence[int]]) -> None:
        """Args:
        data_dir: Where its community is kept.
        run: Keeps a child running until it is stopped.
        inherit: File descriptors that it keeps open and does not use.
        """
        self.child: Child | None = None
        self._data_dir = data_dir
        self._run = run
        self._inherit = inherit
        self._settings: CanarySettings | None = None

    def admitted(self, config: Config, lanes: list[LaneSettings]) -> list[LaneSettings]:
        """The lanes with a rule that lets our canaries in; the same one in each run, so that no reload changes it."""
        find = community.find_or_make if config.canary.enabled else community.find
        found = find(self._data_dir)
        return lanes if found is None else admitted(lanes, found)

    async def follow(self, config: Config, lanes: Sequence[Lane], grace_s: float) -> None:
        """Make the canary what a configuration wants of it: running, running with other settings, or not."""
        wanted = self._wanted(config, lanes)
        if wanted == self._settings:
            return
        self._settings = wanted
        if wanted is None:
            await self.stop(grace_s)
        elif self.child is None:
            self.child = Child("canary", self._spawn)
            self._run(self.child)
        else:
            await self.child.restart(grace_s)

    async def stop(self, grace_s: float) -> None:
        """Stop it, if it runs."""
        if self.child is not None:
            await self.child.stop(grace_s)
            self.child = None

    def samples(self) -> tuple[CanarySample, ...]:
        """What it has published of each listener."""
        settings = self._settings
        if settings is None:
            return ()
        return tuple(
            CanarySample(
                receiver=settings.receiver,
                listen=target.listen,
                books=books(read_state(Path(settings.directory) / state_file(target.listen))),
            )
            for target in settings.targets
        )

    def _wanted(self, config: Config, lanes: Sequence[Lane]) -> CanarySettings | None:
        if not config.canary.enabled:
            return None
        first = lanes[0].settings
        by_listen: dict[str, list[Lane]] = {}
        for lane in lanes:
            by_listen.setdefault(lane.settings.listen, []).append(lane)
        return CanarySettings(
            receiver=first.receiver,
            targets=tuple(
                target_of(
                    listen,
                    group[0].bound.sock.getsockname()[1],
                    [lane.settings.lane for lane in group],
                    ipv6_only=_is_ipv6_only(group[0].bound.sock),
                )
                for listen, group in by_listen.items()
            ),
            redis=first.redis,
            community=community.find_or_make(self._data_dir),
            directory=str(Path(first.directory).parent),
            interval_ms=config.canary.interval_ms,
            timeout_s=config.canary.timeout_s,
            log_level=config.log.level,
            log_format=configuration.log_format(config),
        )

    def _spawn(self) -> subprocess.Popen[bytes]:
        stdin = os.memfd_create("netmon-settings-canary", os.MFD_CLOEXEC)
        os.write(stdin, msgspec.json.encode(self._settings))
        os.lseek(stdin, 0, os.SEEK_SET)
        try:
            return subprocess.Popen(
                [sys.executable, "-m", "netmon.canary", "--parent-pid", str(os.getpid())],
                stdin=stdin,
                pass_fds=tuple(self._inherit()),
                process_group=0,
            )
        finally:
            os.close(stdin)


def _is_ipv6_only(sock: socket.socket) -> bool:
    """Whether a wildcard socket leaves IPv4 out; one from systemd may (BindIPv6Only=)."""
    return sock.family == socket.AF_INET6 and bool(sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
