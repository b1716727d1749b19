"""The command line. Exit codes: 0 well, 1 what was asked about is not well, 2 usage or configuration, 3 unavailable."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from netmon import __version__, show, sockets
from netmon import config as configuration
from netmon.cli import alarms, canary, inventory, journal, mib, operate, posture, rejects, replay, rules
from netmon.cli.common import (
    CONFIG_PATHS,
    NOT_WELL,
    USAGE,
    AsJson,
    ConfigFile,
    LineConsole,
    config_path,
    exit_codes,
    lanes_of,
    live_table,
    numbered,
    redis_url,
)
from netmon.config import EMBEDDED, Config
from netmon.config.alarm_service import alarm_settings
from netmon.errors import ConfigError
from netmon.log import log, set_up
from netmon.model import LaneSettings
from netmon.supervisor import lane
from netmon.trap_receiver import engine
from netmon.trap_receiver import ledger as ledgers
from netmon.trap_receiver.ledger import LaneLedger

if TYPE_CHECKING:
    from netmon.supervisor.supervisor import Supervisor

WATCH_INTERVAL_S: Final = 1.0

app = typer.Typer(
    name="netmon",
    help="The network monitor that still works while the network is failing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="For those who let systemd supervise, one role by itself: netmon capture, commit, decode, late, alarm-worker.",
)

app.add_typer(mib.app)
app.add_typer(journal.app)
app.add_typer(alarms.app)
app.add_typer(posture.app)
app.add_typer(inventory.app)
app.add_typer(rules.app)
app.command()(rejects.rejects)
app.command()(journal.parked)
app.command()(replay.replay)
app.command()(canary.canary)
for _operation in operate.COMMANDS:
    app.command()(_operation)


def main() -> None:
    """Entry point of `netmon` and `python -m netmon`."""
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"netmon {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """The network monitor that still works while the network is failing."""


# --- Daemons.


@app.command()
def run(config: ConfigFile = None) -> None:
    """Run everything on this machine: receiver, embedded Valkey (unless redis.url names another), HTTP."""
    with exit_codes(endless=True):
        path = config_path(config)
        _supervise(path, configuration.load(path))


@app.command()
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


# --- Questions.


@app.command()
def check(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Check a configuration: every mistake at once, with its file, line and what was expected."""
    path = config_path(config)
    mistakes: list[str] = []
    doubts: list[str] = []
    lanes: list[LaneSettings] = []
    try:
        loaded = configuration.load(path, thorough=True)
        lanes, doubts = lanes_of(loaded), configuration.warnings(loaded)
    except ConfigError as error:
        mistakes = error.mistakes
    if as_json:
        answer = {"file": str(path), "valid": not mistakes, "mistakes": mistakes, "warnings": doubts}
        print(msgspec.json.encode(answer).decode())
    else:
        _print_check(path, mistakes, doubts, lanes)
    raise typer.Exit(USAGE if mistakes else 0)


def _print_check(path: Path, mistakes: Sequence[str], doubts: Sequence[str], lanes: Sequence[LaneSettings]) -> None:
    for mistake in mistakes:
        print(mistake, file=sys.stderr)
    for doubt in doubts:
        print(f"warning: {doubt}", file=sys.stderr)
    if not mistakes:
        first = lanes[0]
        listens = ", ".join(dict.fromkeys(found.listen for found in lanes))
        print(f"{path}: ok. {first.receiver} listens on {listens} in {len(lanes)} lane(s), journal in")
        print(
            f"{Path(first.directory).parent}, at most {show.size(first.journal_bytes_max)} a lane; informs are answered"
        )
        print(f"when they are in the {first.inform_ack}.")


UnionOfAll = Annotated[
    bool, typer.Option("--union", help="With the other receivers of the same traps: each notification once.")
]
Receivers = Annotated[
    list[str] | None,
    typer.Option("--receiver", help="With --union: another receiver that writes to the same Redis; may be repeated."),
]


@app.command()
def traps(
    config: ConfigFile = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what arrives.")] = False,
    as_json: AsJson = False,
    last: Annotated[int, typer.Option("--last", "-n", min=0, help="How many of the newest to begin with.")] = 10,
    union: UnionOfAll = False,
    receivers: Receivers = None,
    canaries: Annotated[bool, typer.Option("--canary", help="Show netmon's own canaries, too.")] = False,
) -> None:
    """Show decoded traps from the streams, in the order of their arrival there."""
    with exit_codes(endless=follow):
        from netmon.cli.union import paths_of, show_traps  # noqa: PLC0415 - redis-py is slow to import

        paths = paths_of(configuration.load(config_path(config)), receivers or [], union=union)
        show_traps(paths, last=last, follow=follow, canaries=canaries, as_json=as_json)


@app.command()
def ledger(
    config: ConfigFile = None,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh every second.")] = False,
    union: UnionOfAll = False,
    receivers: Receivers = None,
    since: Annotated[str, typer.Option("--since", help="With --union: how far to look back: 90s, 15m, 1h, 2d.")] = "1h",
) -> None:
    """Show where every datagram is. Exit 1: it does not balance, or with --union: a receiver missed something.

    Reads files only, and works with netmon and Redis down; --union reads the streams.
    """
    with exit_codes(endless=watch):
        if union and watch:
            raise ConfigError(["--watch shows our own ledger: leave out --union, or --watch"])
        if receivers and not union:
            raise ConfigError(["--receiver names the other receivers of a union: give --union, too"])
        loaded = configuration.load(config_path(config))
        if union:
            raise typer.Exit(0 if _union_ledger(loaded, receivers or [], since, as_json) else NOT_WELL)
        lanes = lanes_of(loaded)
        found = _read_ledgers(lanes)
        _watch_ledgers(lanes, as_json) if watch else _print_ledgers(found, as_json)
        raise typer.Exit(0 if all(x.balanced for _, x in found) else NOT_WELL)


def _union_ledger(config: Config, receivers: Sequence[str], since: str, as_json: bool) -> bool:
    """Whether no receiver missed anything."""
    from netmon.cli.union import paths_of, seconds_of, show_union  # noqa: PLC0415 - redis-py is slow to import

    return show_union(paths_of(config, receivers, union=True), since_s=seconds_of(since), as_json=as_json)


def _read_ledgers(lanes: Sequence[LaneSettings]) -> list[tuple[LaneSettings, LaneLedger]]:
    return [(settings, ledgers.read(Path(settings.directory))) for settings in lanes]


def _print_ledgers(found: Sequence[tuple[LaneSettings, LaneLedger]], as_json: bool) -> None:
    if as_json:
        for settings, values in found:
            print(msgspec.json.encode(show.ledger_values(settings, values, time.time_ns())).decode(), flush=True)
    else:
        LineConsole().print(show.ledger_table(found, time.time_ns()))


def _watch_ledgers(lanes: Sequence[LaneSettings], as_json: bool) -> None:
    """Until Ctrl-C."""
    if as_json:
        while True:
            _print_ledgers(_read_ledgers(lanes), as_json=True)
            time.sleep(WATCH_INTERVAL_S)
    with live_table(_ledger_table(lanes), LineConsole()) as live:
        while True:
            time.sleep(WATCH_INTERVAL_S)
            live.update(_ledger_table(lanes), refresh=True)


def _ledger_table(lanes: Sequence[LaneSettings]) -> Table:
    return show.ledger_table(_read_ledgers(lanes), time.time_ns())


# --- One role by itself, for those who let systemd supervise.

LaneNumber = Annotated[int, typer.Option("--lane", min=0, help="Number of the lane.")]


def _add_role(role: str, about: str) -> None:
    @app.command(role, help=about, hidden=True)
    def run(config: ConfigFile = None, lane_number: LaneNumber = 0) -> None:
        with exit_codes():
            _become_role(role, config_path(config), lane_number)


_add_role("capture", "Run capture of one lane by itself, on a socket from systemd (LISTEN_FDS) or its own.")
_add_role("commit", "Run commit of one lane by itself, with capture's socket from systemd (LISTEN_FDS).")
_add_role("decode", "Run decode of one lane by itself, with capture's socket from systemd (LISTEN_FDS).")
_add_role("late", "Run late decoding of one lane by itself; it needs no socket.")


@app.command("alarm-worker", hidden=True)
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
