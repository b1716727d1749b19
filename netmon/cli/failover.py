"""`netmon failover`: where the region's traffic is and why, and what an operator wants of it. Straight from Redis, as `netmon lines` is."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.text import Text

from netmon import config as configuration
from netmon.buffer.view import READ_MAX
from netmon.cli import failover_orders
from netmon.cli.alarms import Lang, Language, language_of
from netmon.cli.columns import wrapped
from netmon.cli.common import (
    NOT_WELL,
    AsJson,
    ConfigFile,
    LineConsole,
    config_in_use,
    exit_codes,
)
from netmon.cli.failover_orders import GroupId
from netmon.cli.failover_source import Present, Source, open_view, topology_of, unknown, wanted_of
from netmon.cli.failover_table import Row, headline, legend, table
from netmon.cli.failover_told import audit_lines, explained
from netmon.cli.failover_words import DISABLED, REHEARSAL, STANDS_STILL, of
from netmon.cli.live import RECONNECT_S, REFRESH_MS, Picture
from netmon.cli.live import watch as watch_live
from netmon.config import Config
from netmon.config.failover import groups
from netmon.errors import ConfigError, UnavailableError
from netmon.failover.model import GroupState
from netmon.failover.record import Audit
from netmon.show import printable

_HEAD_LINES: Final = 3
"""Of the terminal, beside the table: the headline, which may fold, and where the cursor is."""
_LOG_MAX: Final = 10_000
"""Entries of the audit that are looked through."""

_group = typer.Typer(
    name="failover", help="Where the region's traffic is and why; force, lock, freeze it.", add_completion=False
)

Filter = list[str] | None


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(_group)


failover_orders.add_to(_group)


@_group.callback()
def failover() -> None:
    """Where the region's traffic is and why; force, lock, freeze it."""


@_group.command()
def status(
    gateway: Annotated[Filter, typer.Option("--gateway", help="Of this gateway only; may be repeated.")] = None,
    area: Annotated[Filter, typer.Option("--area", help="Of gateways in this area only; may be repeated.")] = None,
    traffic: Annotated[Filter, typer.Option("--class", help="Of this class only; may be repeated.")] = None,
    phase: Annotated[
        Filter, typer.Option("--phase", help="In this phase only, such as NO_BACKUP; may be repeated.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Draw it again when something changes, until Ctrl-C.")
    ] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
    lang: Lang = None,
) -> None:
    """Show where each class at each gateway is, those that are not well first. Exit 1: one is not on its working line."""
    console = LineConsole(highlight=False, markup=False, emoji=False)
    with exit_codes(endless=watch):
        language = language_of(lang)
        loaded = configuration.load(config_in_use(config))
        source = Source(loaded)
        phases = [each.upper() for each in phase or ()]
        wanted = wanted_of(source.topology, gateway=gateway, area=area, phase=phases, **{"class": traffic})
        note = f"; {of(REHEARSAL, language)}" if loaded.probe.rehearsal else ""
        if watch and console.is_terminal and not as_json:
            _watch(source, wanted, console, language, note)
        present = source.present()
        rows = source.rows(present, wanted)
        if as_json:
            for row in rows:
                print(msgspec.json.encode(row_view(row)).decode())
        else:
            console.print(_headline(rows, present, language, note), soft_wrap=True)
            for text in table(rows, width=console.width, language=language, now=_now()):
                console.print(text, soft_wrap=True)
            for line in wrapped(legend(rows, language), console.width):
                console.print(line, style="dim", soft_wrap=True)
        if not loaded.failover.enabled:
            print(of(DISABLED, language), file=sys.stderr)
        elif not present.leads:
            print(of(STANDS_STILL, language), file=sys.stderr)
            for command in source.waiting():
                print(f"  {printable(failover_orders.asked(command, language))}", file=sys.stderr)
        raise typer.Exit(0 if all(row.is_well for row in rows) else NOT_WELL)


@_group.command()
def explain(group: GroupId, config: ConfigFile = None, as_json: AsJson = False, lang: Lang = None) -> None:
    """Show why a group is where it is: each of its lines, what it waits for, who wants what, and what was done last."""
    with exit_codes():
        language = language_of(lang)
        source = Source(configuration.load(config_in_use(config)))
        found = source.explain(source.group(group).id)
        last = [audit for audit in _newest(source, READ_MAX) if audit.group == group][-_EXPLAINED_MAX:]
        if as_json:
            about = {**msgspec.to_builtins(found), "actions": msgspec.to_builtins(last)}
            print(msgspec.json.encode(about).decode())
            return
        console = LineConsole(highlight=False, markup=False, emoji=False)
        now = _now()
        for text in explained(found, width=console.width, language=language, now=now):
            console.print(text, soft_wrap=True)
        for audit in last:
            for text in audit_lines(audit, width=console.width, language=language, now=now):
                console.print(text, soft_wrap=True)


_EXPLAINED_MAX: Final = 6
"""Entries of the audit beneath an explanation."""


@_group.command()
def log(
    group: Annotated[
        Filter, typer.Option("--group", help="Of this group only, among the last 10,000 entries; may be repeated.")
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=_LOG_MAX, help="How many of the newest.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is done.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
    lang: Lang = None,
) -> None:
    """Show what was decided, why, on what evidence, and what became of it, oldest first: the audit."""
    with exit_codes(endless=follow):
        language = language_of(lang)
        loaded = configuration.load(config_in_use(config))
        view = open_view(loaded)
        after = view.last_id() if follow else ""
        read = _LOG_MAX if group else count
        told = [each.audit for each in view.newest_actions(read) if each.audit is not None]
        _check_known(loaded, group or (), {each.group for each in told})
        for audit in [each for each in told if not group or each.group in group][-count:]:
            _print_audit(audit, language, as_json=as_json)
        while follow:
            try:
                for each in view.actions(after, block_ms=REFRESH_MS):
                    after = each.entry_id
                    if each.audit is not None and (not group or each.audit.group in group):
                        _print_audit(each.audit, language, as_json=as_json)
            except UnavailableError as error:
                print(f"Redis cannot be read: {printable(error.detail)}", file=sys.stderr)
                time.sleep(RECONNECT_S)


def _check_known(config: Config, group_ids: Sequence[str], told: AbstractSet[str]) -> None:
    """Raises ConfigError: a group is neither of the region, nor in the audit, which remembers those that were."""
    missing = [each for each in group_ids if each not in told]
    known = [each.id for each in groups(topology_of(config), config.failover)] if missing else []
    if mistakes := [unknown("--group", each, known) for each in missing if each not in known]:
        raise ConfigError(mistakes)


@_group.command()
def keys(
    directory: Annotated[Path, typer.Option("--directory", help="Where to write them.")] = Path(),
    name: Annotated[str, typer.Option("--name", help="What the files are called, before .key and .pub.")] = "failover",
    lang: Lang = None,
) -> None:
    """Make the keys that orders to gateways are signed with (Ed25519): NAME.key for failover.signing_key_file, NAME.pub for agents."""
    from netmon.failover.plan import sign  # noqa: PLC0415 - the library is slow to import

    with exit_codes():
        is_ja = language_of(lang) == "ja"
        if not directory.is_dir():
            raise ConfigError([f"--directory: {directory} is no folder; make it first: mkdir -p {directory}"])
        private, public = sign.generate()
        secret, known = directory / f"{name}.key", directory / f"{name}.pub"
        if known.exists():
            raise ConfigError([f"{known}: {_THERE}"])
        for file, digits, mode in ((secret, private, 0o600), (known, public, 0o644)):
            _write_new(file, digits, mode)
        for file, (english, japanese) in ((secret, _SECRET), (known, _PUBLIC)):
            print(f"{file}: {japanese if is_ja else english}")


_SECRET: Final = (
    "failover.signing_key_file of netmon.yml; a secret, nobody else may read it",
    "netmon.yml の failover.signing_key_file に指定（秘密鍵、他の人に読ませないこと）",
)
_PUBLIC: Final = (
    "verify_key_file of each gateway's agent",
    "各ゲートウェイのエージェントの verify_key_file に指定",
)
_THERE: Final = "is there already; gateways that know it obey no other, so move it away first"


def _write_new(file: Path, digits: str, mode: int) -> None:
    """Raises ConfigError: it is there already, or cannot be written. Nothing is ever written over: gateways obey the old key."""
    try:
        with open(file, "x", opener=lambda path, flags: os.open(path, flags, mode)) as stream:
            stream.write(f"{digits}\n")
    except FileExistsError:
        raise ConfigError([f"{file}: {_THERE}"]) from None
    except OSError as error:
        raise ConfigError([f"{file}: cannot be written: {error.strerror}"]) from None


def row_view(row: Row) -> dict[str, Any]:
    """A group for programs."""
    group, state = row.group, row.state
    lines = [
        {"line": line, "state": sight.state, "one_way": sight.one_way, "reason": sight.reason}
        for line, sight in row.sights.items()
    ]
    return {
        "group": group.id,
        "gateway": group.gateway_id,
        "class": group.class_id,
        "area": group.area_id,
        "priority": f"P{group.priority}",
        "mode": group.mode,
        "working": group.working,
        "well": row.is_well,
        "gateway_silent": row.is_silent,
        "state": None if state is None else {**_defaults(state), **msgspec.to_builtins(state)},
        "lines": lines,
        "requests": msgspec.to_builtins(row.requests),
    }


def _defaults(state: GroupState) -> dict[str, Any]:
    """What JSON of the state leaves out when there is nothing to say, and programs want to see."""
    return {
        "phase": state.phase,
        "reason": state.reason,
        "since_unix_ns": state.since_unix_ns,
        "on_unix_ns": state.there_unix_ns,
    }


def _newest(source: Source, count: int) -> list[Audit]:
    return [told.audit for told in source.view.newest_actions(count) if told.audit is not None]


def _print_audit(audit: Audit, language: Language, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(audit).decode(), flush=True)
        return
    console = LineConsole(highlight=False, markup=False, emoji=False)
    for text in audit_lines(audit, width=console.width, language=language, now=_now()):
        console.print(text, soft_wrap=True)
    sys.stdout.flush()


def _headline(rows: Sequence[Row], present: Present, language: Language, note: str) -> Text:
    text = headline(rows, present.freeze, leads=present.leads, language=language, now=_now())
    text.append(note, style="bold magenta")
    return text


def _watch(
    source: Source, wanted: dict[str, tuple[str, ...]], console: LineConsole, language: Language, note: str
) -> None:
    """Draw it again whenever something changes, for ever."""

    def draw() -> Picture:
        present = source.present()
        rows = source.rows(present, wanted)
        height = console.height - _HEAD_LINES
        body = table(rows, width=console.width, language=language, now=_now(), rows_max=height)
        return Picture(_headline(rows, present, language, note), body)

    watch_live(console, draw, source.wait)


def _now() -> datetime:
    return datetime.now().astimezone()
