"""`netmon run` and `netmon receive`, and one role by itself, for those who let systemd supervise."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from netmon import __version__, show, sockets
from netmon import config as configuration
from netmon.cli.common import (
    CONFIG_PATHS,
    ConfigFile,
    config_path,
    exit_codes,
    lanes_of,
    numbered,
    redis_url,
)
from netmon.config import EMBEDDED, Config, failover, probe
from netmon.config.alarm_service import alarm_settings
from netmon.errors import ConfigError
from netmon.log import log, set_up
from netmon.model import LaneSettings
from netmon.supervisor import lane
from netmon.trap_receiver import engine

if TYPE_CHECKING:
    from netmon.supervisor.supervisor import Supervisor

_ROLES: Final = {
    "capture": "Run capture of one lane by itself, on a socket from systemd (LISTEN_FDS) or its own.",
    "commit": "Run commit of one lane by itself, with capture's socket from systemd (LISTEN_FDS).",
    "decode": "Run decode of one lane by itself, with capture's socket from systemd (LISTEN_FDS).",
    "late": "Run late decoding of one lane by itself; it needs no socket.",
}


def register(app: typer.Typer) -> None:
    """Add `run`, `receive` and each role."""
    app.command()(run)
    app.command()(receive)
    app.command("alarm-worker", hidden=True)(alarm_worker)
    for role, about in _ROLES.items():
        _add_role(app, role, about)


def run(config: ConfigFile = None) -> None:
    """Run everything on this machine: receiver, embedded Valkey (unless redis.url names another), HTTP."""
    with exit_codes(endless=True):
        path = config_path(config)
        _supervise(path, configuration.load(path))


def receive(config: ConfigFile = None) -> None:
    """Run the trap receiver against a Redis that somebody else runs: `run` without the embedded server."""
    with exit_codes(endless=True):
        path = config_path(config)
        loaded = configuration.load(path)
        if loaded.redis.url == EMBEDDED:
            raise ConfigError(
                [f"{path}: redis.url: found embedded; `netmon receive` needs the URL of a Redis, or use `netmon run`"]
            )
        _supervise(path, loaded)


def _supervise(path: Path, config: Config) -> None:
    # Until the supervisor listens to them, a reload or upgrade must not kill us.
    for number in (signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    from netmon.supervisor.supervisor import Supervisor  # noqa: PLC0415 - aiohttp is slow to import; `netmon traps` is not to wait

    set_up(config.log.level, configuration.log_format(config))
    for doubt in configuration.warnings(config):
        log.warning("configuration.doubt_found", doubt=doubt)
    asyncio.run(Supervisor(path, config, lambda supervisor: _banner(supervisor, path)).run())


def _banner(supervisor: Supervisor, path: Path) -> None:
    """Tell a person what runs where. On standard output; the log is on standard error."""
    console = Console(highlight=False, soft_wrap=True)
    redis = supervisor.config.redis.url
    config = supervisor.config
    console.print(f"netmon {__version__} receives SNMP traps and informs", style="bold")
    for found in supervisor.lanes:
        bound = found.bound
        text = show.receive_buffer(bound.listen, bound.wanted_bytes, bound.granted_bytes, bound.sysctl)
        console.print(f"  listening  {text}", style="yellow" if bound.sysctl else None, markup=False)
    console.print(f"  data       {config.data_dir}", markup=False)
    console.print(
        f"  buffer     {'embedded Valkey, ' if redis == EMBEDDED else ''}{lanes_of(config)[0].redis.url}", markup=False
    )
    console.print(f"  http       http://{supervisor.http.listen}/metrics  /healthz  /readyz", markup=False)
    if config.alarms.enabled and config.api.enabled:
        console.print(f"  api        http://{config.api.listen}/api/v1/alarms", markup=False)
    port = supervisor.lanes[0].bound.sock.getsockname()[1]
    console.print(f"  try        {_try_line(port)}", markup=False)
    console.print(f"  watch      {_own_command()} traps --follow{_config_option(path)}", markup=False)
    if probe.lines_asked(config):
        console.print(f"  lines      {_own_command()} lines{_config_option(path)}", markup=False)
    if failover.groups_wanted(config):
        console.print(f"  traffic    {_own_command()} failover status{_config_option(path)}", markup=False)


def _own_command() -> str:
    """How this netmon is called, for a command line to copy: `netmon` may not be on the PATH of a checkout."""
    called = sys.argv[0]
    return f"{sys.executable} -m netmon" if called.endswith("__main__.py") else called


def _config_option(path: Path) -> str:
    """What a command needs to find this configuration, too: nothing where it would find it by itself."""
    usual = next((usual for usual in CONFIG_PATHS if usual.exists()), None)
    if usual is not None and usual.resolve() == path.resolve():
        return ""
    return f" -c {shlex.quote(str(path.absolute()))}"


def _try_line(port: int) -> str:
    return f"snmptrap -v2c -c public 127.0.0.1:{port} '' 1.3.6.1.6.3.1.1.5.3 1.3.6.1.2.1.2.2.1.1.7 i 7"


# --- One role by itself.

LaneNumber = Annotated[int, typer.Option("--lane", min=0, help="Number of the lane.")]


def _add_role(app: typer.Typer, role: str, about: str) -> None:
    @app.command(role, help=about, hidden=True)
    def run(config: ConfigFile = None, lane_number: LaneNumber = 0) -> None:
        with exit_codes():
            _become_role(role, config_path(config), lane_number)


def alarm_worker(config: ConfigFile = None) -> None:
    """Run the alarm worker by itself: a second one, on another machine, that waits until the first is gone."""
    with exit_codes():
        loaded = configuration.load(config_path(config))
        loaded.data_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
        os.dup2(lane.settings_fd(alarm_settings(loaded, redis_url=redis_url(loaded))), 0)
        command = lane.role_command("alarms", {})
        os.execv(command[0], command)  # noqa: S606 - the worker is to have this process's pid


def _become_role(role: str, path: Path, number: int) -> None:
    """Replace this process by the role's."""
    loaded = configuration.load(path)
    own = engine.join(loaded.data_dir / loaded.receiver.name, loaded.snmpv3.engine_id)
    lanes = lanes_of(loaded, own)
    (settings,) = numbered(lanes, number, path)
    Path(settings.directory).mkdir(mode=0o750, parents=True, exist_ok=True)
    fds = {} if role == "late" else {"socket": _role_socket(role, lanes, number)}
    if role == "capture":
        fds["landing"] = lane.new_landing(settings)
    for fd in fds.values():
        os.set_inheritable(fd, True)
    os.dup2(lane.settings_fd(settings), 0)
    command = lane.role_command(role, fds)
    os.execv(command[0], command)  # noqa: S606 - the role is to have this process's pid


def _role_socket(role: str, lanes: Sequence[LaneSettings], number: int) -> int:
    listens = [settings.listen for settings in lanes]
    handed = sockets.match(sockets.take_inherited(os.environ, os.getpid()), listens)[number]
    wanted = lanes[number]
    if handed is not None:
        bound = sockets.adopt(handed, wanted.listen, receive_buffer_bytes=wanted.receive_buffer_bytes)
    elif role == "capture":
        shared = listens.count(wanted.listen) > 1
        bound = sockets.bind(wanted.listen, receive_buffer_bytes=wanted.receive_buffer_bytes, shared=shared)
    else:
        cure = "start it by systemd with the same Sockets= as capture, or let `netmon run` start all of them"
        raise ConfigError([f"{role} answers INFORMs from the socket of capture, and got none (LISTEN_FDS); {cure}"])
    return bound.sock.detach()
