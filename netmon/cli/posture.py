"""`netmon posture`: where the areas stand, and what an operator declares."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
import typer
from rich.table import Table

from netmon import config as configuration
from netmon.alarms.posture.model import AreaPosture, Declaration, Posture
from netmon.alarms.posture.postures import capped
from netmon.cli.common import NOT_WELL, AsJson, ConfigFile, LineConsole, config_in_use, exit_codes, lanes_of
from netmon.config import Config
from netmon.errors import ConfigError, UnavailableError
from netmon.inventory.model import Area
from netmon.show import printable

WAIT_S: Final = 10.0
"""For the worker's answer; longer than another worker needs to take over."""

_STYLES: Final[Mapping[Posture, str]] = {"suspected": "yellow", "disaster": "bold red", "recovering": "cyan"}

_group = typer.Typer(
    name="posture",
    help="Where the areas stand between normal and disaster; declare it, withdraw it.",
    add_completion=False,
)

AreaId = Annotated[str, typer.Argument(metavar="AREA", help="ID of the area.")]
By = Annotated[str, typer.Option("--by", help="Who says so.")]
Reason = Annotated[str, typer.Option("--reason", help="Why.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(_group)


@_group.callback(invoke_without_command=True)
def posture(context: typer.Context, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show where each area stands, since when, and why. Exit 1: one of them is not normal."""
    if context.invoked_subcommand is not None:
        return
    with exit_codes():
        loaded = configuration.load(config_in_use(config))
        areas = _areas(loaded)
        known = _view(loaded).meta().postures
        # What the inventory has no more is shown as long as the worker has not forgotten it.
        shown = [known.get(area, AreaPosture(area=area)) for area in {**dict.fromkeys(areas), **known}]
        if as_json:
            for one in shown:
                print(msgspec.json.encode(one).decode())
        else:
            LineConsole().print(_table(shown, areas))
        raise typer.Exit(NOT_WELL if any(one.posture != "normal" for one in shown) else 0)


@_group.command()
def declare(
    area: AreaId,
    to: Annotated[str, typer.Argument(metavar="disaster|suspected|normal", help="What it is declared to be.")],
    by: By,
    reason: Reason,
    lasting: Annotated[
        str | None,
        typer.Option("--for", help="How long: 30m, 6h, 2d; else until withdrawn, normal and suspected a day."),
    ] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Declare the posture of an area, up or down; it counts at once. Exit 1: it was refused."""
    with exit_codes():
        now_unix_ns = time.time_ns()
        until_unix_ns = 0 if lasting is None else now_unix_ns + _seconds(lasting) * 1_000_000_000
        declaration = capped(
            Declaration(posture=_posture(to), by=by, reason=reason, unix_ns=now_unix_ns, until_unix_ns=until_unix_ns)
        )
        _ask(configuration.load(config_in_use(config)), area, declaration, as_json=as_json)


@_group.command()
def withdraw(area: AreaId, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Withdraw what was declared: evidence decides again. Exit 1: nothing was declared."""
    with exit_codes():
        _ask(configuration.load(config_in_use(config)), area, None, as_json=as_json)


def _posture(word: str) -> Literal["normal", "suspected", "disaster"]:
    match word:
        case "normal" | "suspected" | "disaster":
            return word
    raise ConfigError([f"found {printable(word)}; expected disaster, suspected or normal"])


def _seconds(text: str) -> int:
    from netmon.cli.union import seconds_of  # noqa: PLC0415 - redis-py is slow to import

    return seconds_of(text)


def _ask(config: Config, area: str, declaration: Declaration | None, *, as_json: bool) -> None:
    view = _view(config)
    result = view.ask_declare(area, declaration, f"cli-{secrets.token_hex(8)}", WAIT_S)
    if result is None:
        raise UnavailableError(
            "timeout", f"no alarm worker has answered in {WAIT_S:.0f} s; it does it when it runs again"
        )
    shown = view.meta().postures.get(area)
    if as_json:
        print(msgspec.json.encode({"outcome": result.outcome, "detail": result.detail, "posture": shown}).decode())
    elif result.outcome == "done" and shown is not None:
        ends = shown.declaration.until_unix_ns if shown.declaration is not None else 0
        print(f"{printable(area)} is {shown.posture}{f', declared until {_time(ends)}' if ends else ''}")
    else:
        print(printable(result.detail))
    raise typer.Exit(0 if result.outcome == "done" else NOT_WELL)


def _areas(config: Config) -> dict[str, Area]:
    from netmon.config import alarm_service  # noqa: PLC0415 - it reads the region

    return {area.id: area for area in alarm_service.inventory(config).areas}


def _view(config: Config) -> Any:
    from netmon.buffer.alarm_store import AlarmView  # noqa: PLC0415 - redis-py is slow to import

    return AlarmView(lanes_of(config)[0].redis)


def _table(shown: list[AreaPosture], areas: Mapping[str, Area]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("AREA", "NAME", "POSTURE", "SINCE", "REASONS"):
        table.add_column(title, overflow="fold")
    for one in shown:
        area = areas.get(one.area)
        table.add_row(
            printable(one.area),
            "" if area is None else printable(area.name),
            one.posture,
            _time(one.since_unix_ns) if one.since_unix_ns else "",
            "\n".join(_reasons(one)),
            style=_STYLES.get(one.posture),
        )
    return table


def _reasons(one: AreaPosture) -> list[str]:
    lines = [
        f"{printable(reason.en)} / {printable(reason.ja)}, since {_time(reason.since_unix_ns)}"
        for reason in one.reasons
    ]
    declaration = one.declaration
    if declaration is not None and declaration.posture == "normal":
        lines.insert(0, f"{printable(declaration.by)} declares normal: {printable(declaration.reason)}")
    if declaration is not None and declaration.until_unix_ns:
        lines[0] += f", until {_time(declaration.until_unix_ns)}"
    if one.drill:
        lines.append(f"drill: {printable(one.drill)}")
    return lines


def _time(unix_ns: int) -> str:
    """In the machine's zone."""
    return datetime.fromtimestamp(unix_ns // 1_000_000_000).astimezone().strftime("%Y-%m-%d %H:%M:%S")
