"""`netmon traps` and `netmon ledger`: what arrived, and where every datagram is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.table import Table

from netmon import config as configuration
from netmon import show
from netmon.cli.common import NOT_WELL, AsJson, ConfigFile, LineConsole, config_path, exit_codes, lanes_of, live_table
from netmon.config import Config
from netmon.errors import ConfigError
from netmon.model import LaneSettings
from netmon.trap_receiver import ledger as ledgers
from netmon.trap_receiver.ledger import LaneLedger

WATCH_INTERVAL_S: Final = 1.0


def register(app: typer.Typer) -> None:
    """Add both commands."""
    app.command()(traps)
    app.command()(ledger)


UnionOfAll = Annotated[
    bool, typer.Option("--union", help="With the other receivers of the same traps: each notification once.")
]
Receivers = Annotated[
    list[str] | None,
    typer.Option("--receiver", help="With --union: another receiver that writes to the same Redis; may be repeated."),
]


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
