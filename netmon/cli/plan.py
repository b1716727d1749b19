"""`netmon plan show`: what a gateway does by itself when its lines fail."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Annotated, Final

import msgspec
import typer

from netmon import config as configuration
from netmon.cli.alarms import Lang, Language, language_of
from netmon.cli.columns import table
from netmon.cli.common import AsJson, ConfigFile, config_in_use, exit_codes
from netmon.cli.failover_source import open_view, topology_of, unknown
from netmon.cli.failover_table import line_shown, rate
from netmon.cli.failover_words import MODES, of
from netmon.config import Config, failover
from netmon.errors import ConfigError, UnavailableError
from netmon.failover.plan.compute import Plans, plan_of
from netmon.failover.plan.model import Plan, PlannedGroup
from netmon.show import printable

_group = typer.Typer(name="plan", help="What gateways do by themselves.", add_completion=False)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(_group)


@_group.callback()
def plan() -> None:
    """What gateways do by themselves."""


@_group.command()
def show(
    gateway: Annotated[str, typer.Argument(metavar="GATEWAY", help="ID of the gateway.")],
    config: ConfigFile = None,
    as_json: AsJson = False,
    lang: Lang = None,
) -> None:
    """Show where each class of a gateway goes when its lines fail: the plan that it was told, else what it would be told."""
    with exit_codes():
        language = language_of(lang)
        loaded = configuration.load(config_in_use(config))
        topology = topology_of(loaded)
        known = [each.id for each in topology.inventory.gateways if each.class_ids]
        if gateway not in known:
            raise ConfigError([unknown("GATEWAY", gateway, known)])
        found, was_told = _plan(loaded, gateway, language)
        if as_json:
            print(msgspec.json.encode(found).decode())
            return
        for line in _shown(found, language, was_told=was_told):
            print(line)


def _plan(config: Config, gateway_id: str, language: Language) -> tuple[Plan, bool]:
    """The plan, and whether the gateway was told it."""
    try:
        told = open_view(config).plan(gateway_id)
    except UnavailableError as error:
        print(f"{of(_UNREAD, language)}: {printable(error.detail)}", file=sys.stderr)
        told = None
    return (told, True) if told is not None else (_computed(config, gateway_id), False)


def _computed(config: Config, gateway_id: str) -> Plan:
    topology = topology_of(config)
    plans = Plans(failover.line_facts(topology), failover.groups(topology, config.failover))
    plans.advance()
    found = next(each for each in failover.gateways(topology, config) if each.gateway_id == gateway_id)
    rankings = plans.rankings(gateway_id)
    lost_s = config.failover.centre_lost_s
    return plan_of(found, rankings, None, fence=0, now_unix_ns=time.time_ns(), centre_lost_s=lost_s)


_UNREAD: Final = (
    "Redis cannot be read, so what follows is what would be told",
    "Redis を読めないため、伝える予定の計画を表示します",
)
_UNTOLD: Final = (
    "not told to anybody: with all lines as they are configured",
    "未通知（全回線が設定どおりの場合）",
)
_TITLES: Final = (
    ("  WHEN THESE FAIL", "  障害の回線"),
    ("IT GOES TO, THE FIRST THAT IS GOOD", "切替先（正常な最初の回線）"),
)


def _shown(plan: Plan, language: Language, *, was_told: bool) -> Iterator[str]:
    """The plan, a line of the terminal each."""
    is_ja = language == "ja"
    version = f"{'版' if is_ja else 'version'} {plan.version}" if was_told else of(_UNTOLD, language)
    yield f"{printable(plan.gateway_id)}: {'計画、' if is_ja else 'plan, '}{version}"
    for group in plan.groups:
        yield _headline(group, language)
        yield from table([of(title, language) for title in _TITLES], list(_rows(group, language)))


def _headline(group: PlannedGroup, language: Language) -> str:
    is_ja = language == "ja"
    packets = f"mark {group.mark:#x}" if group.mark else f"to {', '.join(group.prefixes)}" if group.prefixes else ""
    told = (
        f"P{group.priority}",
        f"{'現用' if is_ja else 'working'} {group.working}",
        rate(group.bandwidth_bps),
        packets,
        f"{'表' if is_ja else 'table'} {group.table}",
        f"{'モード' if is_ja else 'mode'} {of(MODES[group.mode], language)}",
    )
    return printable(f"{group.group_id}  {', '.join(filter(None, told))}")


def _rows(group: PlannedGroup, language: Language) -> Iterator[tuple[str, str]]:
    """Failures that concern it: its working line is among them."""
    nowhere = line_shown("", language)
    for ranking in group.rankings:
        if group.working in ranking.failed:
            yield f"  {printable(', '.join(ranking.failed))}", printable(", ".join(ranking.order)) or nowhere
