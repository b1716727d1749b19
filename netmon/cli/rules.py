"""`netmon rules`: which notification makes which alarm, whether the examples beside the rules are true, and what no rule knows."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from netmon import config as configuration
from netmon.alarms.model import Evidence
from netmon.alarms.rules import examples, ruleset
from netmon.alarms.rules.matcher import Match, Matcher
from netmon.alarms.rules.model import Rule
from netmon.alarms.rules.ruleset import RuleSet
from netmon.cli.common import NOT_WELL, AsJson, ConfigFile, config_path, exit_codes, lanes_of
from netmon.config import Config
from netmon.config.alarms import STANDARD_RULES
from netmon.errors import ConfigError
from netmon.inventory.model import Inventory
from netmon.inventory.topology import Topology
from netmon.mib import catalogue
from netmon.model import TrapEvent
from netmon.show import printable

LINE_BYTES_MAX: Final = 4 << 20
"""Of a notification as JSON: 1,000 bindings of a whole datagram need less."""

_group = typer.Typer(
    name="rules",
    help="Rules from notifications to alarms: test them, list them, try them, see what they miss.",
    no_args_is_help=True,
    add_completion=False,
)

_decode = msgspec.json.Decoder(TrapEvent).decode


# --- netmon rules test


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(_group)


@_group.command("test")
def try_examples(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE...", help="Files of rules, tried before the standard ones; else the configured ones."
        ),
    ] = None,
    alone: Annotated[bool, typer.Option("--alone", help="Without the standard rules.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Check rules and run the examples beside them. Exit 1: an example is not true; 2: a mistake in a file."""
    with exit_codes():
        loaded = _loaded(config)
        own = list(files) if files else _configured(loaded)
        found = ruleset.load(_with_standard(own, loaded, alone=alone), _catalogues(loaded))
        names = {str(file) for file in own}
        asked = [example for example in found.examples if example.file in names]
        verdicts = examples.run(found.rules, asked)
        rules = [rule for rule in found.rules if found.lines[rule.id][0] in names]
        if as_json:
            _print_verdicts_json(verdicts, rules)
        else:
            _print_verdicts(verdicts, rules, found)
        raise typer.Exit(NOT_WELL if any(verdict.failures for verdict in verdicts) else 0)


def _with_standard(files: Sequence[Path], config: Config | None, *, alone: bool) -> list[Path]:
    """The files, with the rules that they complement."""
    wanted = not alone and (config is None or config.alarms.standard_rules)
    there = any(file.resolve() == STANDARD_RULES.resolve() for file in files)
    return [*files, *([STANDARD_RULES] if wanted and not there else [])]


def _without_example(verdicts: Sequence[examples.Verdict], rules: Sequence[Rule]) -> list[str]:
    shown = {verdict.rule_id for verdict in verdicts}
    return [rule.id for rule in rules if rule.id not in shown]


def _print_verdicts_json(verdicts: Sequence[examples.Verdict], rules: Sequence[Rule]) -> None:
    for verdict in verdicts:
        print(msgspec.json.encode(verdict).decode())
    for rule_id in _without_example(verdicts, rules):
        print(msgspec.json.encode({"rule_id": rule_id, "failures": [], "example": False}).decode())


def _print_verdicts(verdicts: Sequence[examples.Verdict], rules: Sequence[Rule], found: RuleSet) -> None:
    rows = [("rule", "makes", "examples", "result")]
    for rule in rules:
        own = [verdict for verdict in verdicts if verdict.rule_id == rule.id]
        failed = sum(bool(verdict.failures) for verdict in own)
        result = f"{failed} not true" if failed else "ok" if own else "no example"
        rows.append((rule.id, _made(rule), str(len(own)), result))
    _print_rows(rows)
    for verdict in verdicts:
        for failure in verdict.failures:
            print(printable(f"{verdict.file}:{verdict.line}: {verdict.rule_id}: {failure}"), file=sys.stderr)
    failed = sum(bool(verdict.failures) for verdict in verdicts)
    without = _without_example(verdicts, rules)
    print(f"{len(rules)} rules, {len(verdicts)} examples, {failed} not true, {len(without)} rules without an example")
    for rule_id in without:
        file, line = found.lines[rule_id]
        print(printable(f"{file}:{line}: {rule_id}: no example; write one under `examples:`"))


def _made(rule: Rule) -> str:
    return {"raise": f"{rule.alarm_type} {rule.severity}", "clear": f"clears {rule.alarm_type}", "none": "nothing"}[
        rule.effect
    ]


# --- netmon rules list


@_group.command("list")
def list_(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """List all rules in the order that they are tried in, with the file and line that each stands in."""
    with exit_codes():
        loaded = _loaded(config)
        found = ruleset.load(_configured(loaded), _catalogues(loaded))
        if as_json:
            for rule in found.rules:
                file, line = found.lines[rule.id]
                print(msgspec.json.encode({**msgspec.to_builtins(rule), "file": file, "line": line}).decode())
            return
        names = catalogue.load_names([str(file) for file in _catalogues(loaded)])
        rows = [("rule", "makes", "where", "notifications")]
        for rule in found.rules:
            file, line = found.lines[rule.id]
            traps = ", ".join(names.notification(oid) or oid for oid in rule.trap_oids)
            rows.append((rule.id, _made(rule), f"{Path(file).name}:{line}", traps))
        _print_rows(rows)


def _print_rows(rows: Sequence[tuple[str, ...]]) -> None:
    """Columns side by side, never cut: an ID is there to be copied."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(printable("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()))


# --- netmon rules match


@_group.command()
def match(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="JSON, a notification a line; else standard input.")
    ] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell what the rules make of notifications, as `netmon traps --json` prints them. Exit 1: no rule knows one of them."""
    with exit_codes():
        loaded = _loaded(config)
        found = ruleset.load(_configured(loaded), _catalogues(loaded))
        matcher = Matcher(found.rules, _region(loaded))
        matches = [
            _shown_match(event, matcher.match(event, Evidence("", str(event.seq))), as_json=as_json)
            for event in _events(file)
        ]
        raise typer.Exit(0 if all(matches) else NOT_WELL)


def _events(file: Path | None) -> Iterator[TrapEvent]:
    """Notifications of a file or of standard input. Raises ConfigError."""
    where = "standard input" if file is None else str(file)
    try:
        with sys.stdin.buffer if file is None else file.open("rb") as lines:
            number = 0
            while line := lines.readline(LINE_BYTES_MAX + 1):
                number += 1
                if line.strip():
                    yield _event(line, f"{where}:{number}")
    except OSError as error:
        raise ConfigError([f"{where}: cannot be read: {error.strerror}"]) from None


def _event(line: bytes, where: str) -> TrapEvent:
    try:
        return _decode(line)
    except msgspec.MsgspecError as error:
        cure = "expected a notification, a line of `netmon traps --json`"
        raise ConfigError([f"{where}: no notification: {error}; {cure}"]) from None


def _shown_match(event: TrapEvent, match: Match, *, as_json: bool) -> bool:
    """Print what became of a notification; whether a rule knows it."""
    if as_json:
        answer = {
            "seq": event.seq,
            "trap_oid": event.trap_oid,
            "rules": match.rule_ids,
            "observations": match.observations,
        }
        print(msgspec.json.encode(answer).decode(), flush=True)
        return bool(match.rule_ids)
    rules = ", ".join(match.rule_ids) or "no rule knows it"
    print(printable(f"{event.name or event.trap_oid} from {event.source}: {rules}"), flush=True)
    for each in match.observations:
        qualifier = f" ({each.key.qualifier})" if each.key.qualifier else ""
        print(
            printable(f"  {'clears' if each.cleared else 'raises'}   {each.key.alarm_type}{qualifier} {each.severity}")
        )
        print(printable(f"  resource {each.key.resource}"))
        for name, text in (("text", each.text), ("action", each.action)):
            for language in (text.en, text.ja):
                if language:
                    print(printable(f"  {name:<8} {language}"))
    return bool(match.rule_ids)


# --- netmon rules unmatched


@_group.command()
def unmatched(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show which notifications no rule knows, the most frequent first. Exit 1: there are some."""
    with exit_codes():
        from netmon.buffer.alarm_store import AlarmView  # noqa: PLC0415 - redis-py is slow to import

        lanes = lanes_of(configuration.load(config_path(config)))
        report = AlarmView(lanes[0].redis).meta().unmatched
        if as_json:
            print(msgspec.json.encode(report).decode())
        else:
            rows = [("notification", "OID", "count", "last from", "last at")]
            for row in report.rows:
                last = datetime.fromtimestamp(row.last_unix_ns / 1e9).astimezone().isoformat(" ", "seconds")
                rows.append((row.name or "?", row.trap_oid, f"{row.count:,}", row.last_source, last))
            if report.rows:
                _print_rows(rows)
            print(f"{report.total:,} notifications that no rule knows; docs/alarms.md tells how to write one")
        raise typer.Exit(NOT_WELL if report.total else 0)


# --- What is configured.


def _loaded(path: Path | None) -> Config | None:
    """The configuration; None when there is no such file and none was asked for."""
    found = config_path(path)
    return configuration.load(found) if path is not None or found.exists() else None


def _configured(config: Config | None) -> list[Path]:
    return [STANDARD_RULES] if config is None else config.alarms.rule_files


def _catalogues(config: Config | None) -> Sequence[Path]:
    return () if config is None else config.mibs.catalogues


def _region(config: Config | None) -> Topology:
    from netmon.config import alarm_service  # noqa: PLC0415 - it reads regions, which most commands need not

    return Topology(Inventory() if config is None else alarm_service.inventory(config))
