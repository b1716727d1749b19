"""One role as a process: `python -m netmon.role capture|commit|decode|late|alarms`, settings as JSON on standard input.

The supervisor starts it and hands it the lane's socket and landing; `alarms` serves all lanes and needs neither. It imports only
what the role needs: it is started again after a crash, and must be back within a tenth of a second.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import signal
import socket
import sys
from typing import Protocol

import msgspec

from netmon import log
from netmon.model import LaneSettings
from netmon.trap_receiver.bell import Bells

_PR_SET_PDEATHSIG = 1

_GC_THRESHOLD = 50_000
"""Containers made and still alive before the collector looks for cycles: a batch alone has thousands, and none."""

LANE_ROLES = ("capture", "commit", "decode", "late")
ROLES = (*LANE_ROLES, "alarms")


class Role(Protocol):
    """What runs until it is told to stop."""

    def run(self) -> None:
        """Works until `stop`."""

    def stop(self) -> None:
        """Makes `run` return soon; called from a signal handler."""


def make_alarm_role(settings: bytes) -> Role:
    """The alarm worker, which is not of a lane; sets the log up, too."""
    from netmon.alarms.settings import AlarmSettings  # noqa: PLC0415
    from netmon.alarms.worker.worker import AlarmRole  # noqa: PLC0415

    told = msgspec.json.decode(settings, type=AlarmSettings)
    log.set_up(told.log_level, told.log_format, role="alarms")
    return AlarmRole(told)


def make_lane_role(name: str, settings: bytes, options: argparse.Namespace) -> Role:
    """A role of a lane; sets the log up, too."""
    told = msgspec.json.decode(settings, type=LaneSettings)
    log.set_up(told.log_level, told.log_format, role=name, lane=told.lane)
    bells = Bells(options.captured_fd, options.durable_fd)
    sock = None if options.socket_fd is None else socket.socket(fileno=options.socket_fd)
    return make_role(name, told, sock, bells, options.landing_fd)


def make_role(
    name: str, settings: LaneSettings, sock: socket.socket | None, bells: Bells, landing_fd: int | None
) -> Role:
    """The role of a lane by its name; each imports what it needs, and nothing of the others."""
    if name == "late":
        from netmon.trap_receiver.late.worker import LateRole  # noqa: PLC0415

        return LateRole(settings)
    assert sock is not None, "--socket-fd is missing"
    if name == "capture":
        from netmon.trap_receiver.capture import Capture  # noqa: PLC0415

        return Capture(
            settings, sock, bells, landing_fd if landing_fd is not None else os.memfd_create("netmon-landing")
        )
    if name == "commit":
        from netmon.trap_receiver.commit import Commit  # noqa: PLC0415

        return Commit(settings, sock, bells)
    from netmon.trap_receiver.decode import Decode  # noqa: PLC0415

    return Decode(settings, sock, bells)


def die_with_parent(parent_pid: int) -> None:
    """Asks for SIGTERM when the supervisor is gone: two supervisors must not find each other's roles at work."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit("the supervisor was gone before this role had started")


def main(argv: list[str] | None = None) -> int:
    """Runs the role that the arguments name; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m netmon.role", description=__doc__)
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--socket-fd", type=int, help="the lane's UDP socket; late and alarms need none")
    parser.add_argument("--parent-pid", type=int, help="the supervisor; the role ends when that process does")
    parser.add_argument("--landing-fd", type=int, help="memory for capture; without it, a crash loses a batch")
    parser.add_argument("--captured-fd", type=int, help="eventfd from capture to commit; without it, commit polls")
    parser.add_argument("--durable-fd", type=int, help="eventfd from commit to decode; without it, decode polls")
    options = parser.parse_args(argv)
    if options.parent_pid is not None:
        die_with_parent(options.parent_pid)
    settings = sys.stdin.buffer.read()
    role = make_alarm_role(settings) if options.role == "alarms" else make_lane_role(options.role, settings, options)
    signal.signal(signal.SIGTERM, lambda *_: role.stop())
    # Ctrl-C goes to the whole terminal; the supervisor says in which order to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What is alive now lives as long as the process; what comes is made of tuples and bytes, without cycles.
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)
    role.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
