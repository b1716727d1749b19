"""One lane as the supervisor holds it: the socket, the landing memory and the role processes.

Socket and landing memory belong to the supervisor, so that `kill -9` of a role loses nothing that waits in them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from netmon.model import LaneSettings
from netmon.sockets import BoundSocket
from netmon.supervisor.child import Child

ROLES: Final = ("capture", "commit", "decode", "late")
"""In the order in which they stop: what feeds the others first."""


def settings_fd(settings: msgspec.Struct) -> int:
    """A memfd with the settings as JSON, to be a process's standard input: no pipe that could fill, no secret in `ps`."""
    fd = os.memfd_create("netmon-settings", os.MFD_CLOEXEC)
    os.write(fd, msgspec.json.encode(settings))
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def new_landing(settings: LaneSettings) -> int:
    """The lane's landing memory, empty; capture sizes it."""
    return os.memfd_create(f"netmon-landing-{settings.lane}", os.MFD_CLOEXEC)


def new_bell() -> int:
    """What one role wakes another with: an eventfd."""
    return os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)


def role_command(role: str, fds: Mapping[str, int]) -> list[str]:
    """The command line of a role's process; `fds` are the file descriptors it gets, by option."""
    options = [text for option, fd in fds.items() for text in (f"--{option}-fd", str(fd))]
    return [sys.executable, "-m", "netmon.role", role, *options]


class Lane:
    """The processes of one lane over one socket.

    Attributes:
        settings: What the roles were told.
        bound: The socket.
        landing_fd: The memory that capture receives into.
        children: Role name to process, in the order in which they stop.
    """

    def __init__(
        self,
        settings: LaneSettings,
        bound: BoundSocket,
        landing_fd: int,
        *,
        inherit: Sequence[int],
        run: Callable[[Child], None],
    ) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            settings: Of the lane.
            bound: Its socket.
            landing_fd: From `new_landing`, or kept through an upgrade.
            inherit: File descriptors that the roles keep open and do not use: the lock of the data directory.
            run: Keeps a child running until it is stopped.
        """
        self.settings = settings
        self.bound = bound
        self.landing_fd = landing_fd
        self._inherit = tuple(inherit)
        self._run = run
        self.children: dict[str, Child] = {}
        self._captured_fd = new_bell()
        self._durable_fd = new_bell()

    def start(self) -> None:
        """Start all roles."""
        for role in ROLES:
            self.children[role] = Child(role, self._starter(role), lane=self.settings.lane)
            self._run(self.children[role])

    async def restart(self, settings: LaneSettings, grace_s: float) -> None:
        """Give the roles new settings, one role at a time: the socket is unread only while capture restarts."""
        self.settings = settings
        for child in self.children.values():
            await child.restart(grace_s)

    async def stop(self, grace_s: float) -> None:
        """Stop all roles in order, each with `grace_s` seconds to finish."""
        for child in self.children.values():
            await child.stop(grace_s)

    def close(self) -> None:
        """Close what only this lane's processes used; they have stopped. Socket and landing are the supervisor's."""
        os.close(self._captured_fd)
        os.close(self._durable_fd)

    def _starter(self, role: str) -> Callable[[], subprocess.Popen[bytes]]:
        return lambda: self._spawn(role)

    def _spawn(self, role: str) -> subprocess.Popen[bytes]:
        fds = {"socket": self.bound.sock.fileno(), "captured": self._captured_fd, "durable": self._durable_fd}
        if role == "capture":
            fds["landing"] = self.landing_fd
        if role == "late":
            # It answers nobody and is woken by nobody.
            fds = {}
        stdin = settings_fd(self.settings)
        try:
            return subprocess.Popen(
                [*role_command(role, fds), "--parent-pid", str(os.getpid())],
                stdin=stdin,
                pass_fds=(*fds.values(), *self._inherit),
                process_group=0,  # Ctrl-C at a terminal is for the supervisor, which stops the roles in order
            )
        finally:
            os.close(stdin)
