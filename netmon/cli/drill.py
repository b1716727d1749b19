"""`netmon drill`: what would become of the region's traffic if lines failed. Nothing is touched, and no netmon needs to run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Final

import msgspec
import typer

from netmon import config as configuration
from netmon.active_probe.measure.profiles import fall_s, profile_of
from netmon.cli.alarms import Lang, Language, language_of
from netmon.cli.columns import table, wrapped
from netmon.cli.common import NOT_WELL, AsJson, ConfigFile, LineConsole, config_in_use, exit_codes
from netmon.cli.failover_source import topology_of, unknown
from netmon.cli.failover_table import line_shown, rate
from netmon.cli.failover_words import BRIEFLY, of
from netmon.cli.line_table import name_of
from netmon.cli.operate import lasting_s
from netmon.config import failover
from netmon.errors import ConfigError
from netmon.failover.model import SHED, Group
from netmon.failover.region import drill as drills
from netmon.failover.region.drill import Drill, Failure, Move
from netmon.inventory.topology import Topology
from netmon.show import counted, printable

ROWS_MAX: Final = 200
"""Of each table; --json has all."""
REPAIR_S: Final = 1_800

_group = typer.Typer(
    name="drill", help="What would become of the traffic if lines failed; touches nothing.", add_completion=False
)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(_group)


class Stranded(msgspec.Struct, frozen=True, kw_only=True):
    """A group whose traffic would go nowhere."""

    group_id: str
    priority: int
    bandwidth_bps: int
    on: str
    """The dead line that it stays on; empty: it is shed."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a drill found."""

    failure: Failure
    groups: int
    stayed: int
    """Groups that need not move."""
    moves: tuple[Move, ...]
    """Within `drills.SETTLE_S` of the failure, oldest first; how long it takes to find a failure is part of it."""
    stranded: tuple[Stranded, ...]
    cut_off: dict[str, tuple[str, ...]]
    """Sector to sites and groups, as of `drills.cut_off`."""
    timeline: tuple[Move, ...] = ()
    """With --simulate: everything, until traffic is back."""
    rest_s: float | None = None
    """With --simulate: when all traffic was back; None: some waits for an operator."""


@_group.callback()
def drill() -> None:
    """What would become of the traffic if lines failed; touches nothing."""


@_group.command()
def earthquake(
    area: Annotated[list[str], typer.Option("--area", help="Where it is; may be repeated. Needed.")],
    risk_group: Annotated[
        list[str] | None,
        typer.Option(
            "--risk-group",
            help="What breaks; may be repeated. Else all ducts, bridges and pole routes of the area's lines.",
        ),
    ] = None,
    line: Annotated[
        list[str] | None, typer.Option("--line", help="A line that fails besides; may be repeated.")
    ] = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Go on until the lines are mended and all traffic is back.")
    ] = False,
    repair: Annotated[
        str, typer.Option("--repair", metavar="DURATION", help="With --simulate: when the lines are mended.")
    ] = "30m",
    _dry_run: Annotated[bool, typer.Option("--dry-run", help="Touch nothing: so it does in any case.")] = True,
    config: ConfigFile = None,
    as_json: AsJson = False,
    lang: Lang = None,
) -> None:
    """Show what would move, what would be shed, and whom nobody would reach. Exit 1: a P0 group would go nowhere."""
    with exit_codes():
        language = language_of(lang)
        loaded = configuration.load(config_in_use(config))
        topology = topology_of(loaded)
        _check(topology, area=area, **{"risk-group": risk_group or [], "line": line or []})
        groups = failover.groups(topology, loaded.failover)
        if not groups:
            raise ConfigError([f"{loaded.region.file}: gateways: none carries a class, so there is nothing to move"])
        failure = drills.earthquake(topology, area, risk_group or (), line or ())
        found = _played(topology, groups, failure, lasting_s("--repair", repair) if simulate else None)
        if as_json:
            print(msgspec.json.encode(found).decode())
        else:
            _print(found, topology, language)
        raise typer.Exit(NOT_WELL if any(each.priority == 0 for each in found.stranded) else 0)


def _check(topology: Topology, **given: Sequence[str]) -> None:
    """Raises ConfigError: the region has no such area, risk group or line."""
    known: dict[str, Sequence[str]] = {
        "area": [*topology.areas],
        "risk-group": [*topology.risk_groups],
        "line": [*topology.lines],
    }
    mistakes = [
        unknown(f"--{name}", value, known[name])
        for name, values in given.items()
        for value in values
        if value not in known[name]
    ]
    if mistakes:
        raise ConfigError(mistakes)


def _played(topology: Topology, groups: Sequence[Group], failure: Failure, repair_s: float | None) -> Report:
    profiles = {line.id: profile_of(line, topology.inventory) for line in topology.inventory.lines}
    drill_ = Drill(failover.line_facts(topology), groups)
    drill_.see_posture(failure.area_ids, "disaster")
    drill_.fail(failure.line_ids, {line: fall_s(profile) for line, profile in profiles.items()})
    drill_.run(drills.SETTLE_S)
    moves, nowhere = tuple(drill_.moves), drill_.stranded()
    stranded = tuple(
        Stranded(
            group_id=group.id,
            priority=group.priority,
            bandwidth_bps=group.bandwidth_bps,
            on=drill_.states[group.id].on,
        )
        for group in sorted(nowhere, key=lambda group: group.priority)
    )
    cut_off = drills.cut_off(topology, drill_.down, nowhere)
    moved = {move.group_id for move in moves} | {each.group_id for each in stranded}
    if repair_s is not None:
        _mended(drill_, failure, repair_s)
    return Report(
        failure=failure,
        groups=len(groups),
        stayed=len(groups) - len(moved),
        moves=moves,
        stranded=stranded,
        cut_off=cut_off,
        timeline=tuple(drill_.moves) if repair_s is not None else (),
        rest_s=round(drill_.at_s, 1) if repair_s is not None and drill_.is_at_rest else None,
    )


def _mended(drill_: Drill, failure: Failure, repair_s: float) -> None:
    """The lines come back, then the areas calm down; until traffic is where it belongs."""
    drill_.run(repair_s)
    drill_.mend()
    drill_.see_posture(failure.area_ids, "recovering")
    drill_.run(drill_.at_s + drills.RECOVER_S)
    drill_.see_posture(failure.area_ids, "normal")
    drill_.run_to_rest()


# --- For people. ---


def _print(found: Report, topology: Topology, language: Language) -> None:
    console = LineConsole(highlight=False, markup=False, emoji=False)
    for text in _headlines(found, topology, language):
        for line in wrapped(text, console.width, beneath="  "):
            console.print(line, soft_wrap=True)
    # What moved at once stands above already.
    later = found.timeline[len(found.moves) :]
    tables = (
        (_MOVED, _moved(found.moves, topology, language)),
        (_STRANDED, _stranded(found.stranded, language)),
        (_CUT_OFF, _cut_off(found.cut_off)),
        (_LATER, _moved(later, topology, language)),
    )
    for (title, columns), rows in tables:
        if rows:
            console.print()
            console.print(of(title, language), style="bold", soft_wrap=True)
            for line in _table([of(column, language) for column in columns], rows, console.width, language):
                console.print(line, soft_wrap=True)
    if found.timeline:
        console.print(_rest(found, language), soft_wrap=True)


def _rest(found: Report, language: Language) -> str:
    if found.rest_s is None:
        return "運用者の指示を待つ通信があります" if language == "ja" else "some traffic waits for an operator"
    after = lasting(found.rest_s)
    return f"{after} 後にすべて現用回線へ復帰" if language == "ja" else f"all traffic is back after {after}"


_MOVES_TITLES: Final = (
    ("AT", "時刻"),
    ("GROUP", "グループ"),
    ("P", "P"),
    ("FROM", "元"),
    ("TO", "先"),
    ("WHY", "理由"),
)
_MOVED: Final = (("What would move", "切り替わる通信"), _MOVES_TITLES)
_STRANDED: Final = (
    ("What would go nowhere", "送れなくなる通信"),
    (("GROUP", "グループ"), ("P", "P"), ("RATE", "帯域"), ("ON", "回線")),
)
_CUT_OFF: Final = (
    ("Whom nobody would reach", "孤立する部門"),
    (("SECTOR", "部門"), ("SITES AND GROUPS", "拠点とグループ")),
)
_LATER: Final = (("Afterwards, until traffic is back", "その後、復旧までの経過"), _MOVES_TITLES)


def _headlines(found: Report, topology: Topology, language: Language) -> Iterator[str]:
    failure, is_ja = found.failure, language == "ja"
    areas = ", ".join(name_of(topology.areas[area], language) for area in failure.area_ids)
    risks = ", ".join(failure.risk_group_ids) or "-"
    lines = len(failure.line_ids)
    yield (
        f"訓練（何も切り替えません）。{areas}の地震: {lines:,} 回線が断（{risks}）"
        if is_ja
        else f"A drill, nothing is touched. Earthquake in {areas}: {counted(lines, 'line')} down ({risks})"
    )
    yield f"  {', '.join(failure.line_ids)}"
    moved, nowhere = len({move.group_id for move in found.moves}), len(found.stranded)
    yield (
        f"{found.groups:,} グループ: 切替 {moved:,}、そのまま {found.stayed:,}、送信不能 {nowhere:,}"
        if is_ja
        else f"{counted(found.groups, 'group')}: {moved:,} would move, {found.stayed:,} stay, {nowhere:,} would go nowhere"
    )


def _moved(moves: Iterable[Move], topology: Topology, language: Language) -> list[list[str]]:
    priorities = {each.id: each.priority for each in topology.inventory.traffic_classes}
    return [
        [
            lasting(move.at_s),
            printable(move.group_id),
            f"P{priorities[move.group_id.partition('/')[2]]}",
            line_shown(move.before, language),
            line_shown(move.to, language),
            of(BRIEFLY[move.reason], language),
        ]
        for move in moves
    ]


def _stranded(stranded: Iterable[Stranded], language: Language) -> list[list[str]]:
    dead = "断線中" if language == "ja" else "dead"
    return [
        [
            printable(each.group_id),
            f"P{each.priority}",
            rate(each.bandwidth_bps),
            line_shown(SHED, language) if each.on == SHED else f"{printable(each.on)} ({dead})",
        ]
        for each in stranded
    ]


def _cut_off(found: Mapping[str, Sequence[str]]) -> list[list[str]]:
    return [[printable(sector), printable(", ".join(places))] for sector, places in found.items()]


def lasting(seconds: float) -> str:
    """A time after the failure: `2.1 s`, `40 m 12 s`, `3 h 20 m`."""
    whole = round(seconds)
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{whole // 60} m {whole % 60:02} s" if whole < 3_600 else f"{whole // 3_600} h {whole % 3_600 // 60:02} m"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], width: int, language: Language) -> Iterator[str]:
    for line in table(titles, rows[:ROWS_MAX]):
        yield from wrapped(line, width, beneath="    ")
    if (rest := len(rows) - ROWS_MAX) > 0:
        yield f"ほか {rest:,} 行（--json で全件）" if language == "ja" else f"and {rest:,} more; --json has all"
