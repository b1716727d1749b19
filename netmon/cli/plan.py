"""`netmon plan show`: what a gateway does by itself when its lines fail."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from netmon import config as configuration
from netmon.cli.common import AsJson, ConfigFile, LineConsole, config_in_use, exit_codes
from netmon.cli.failover_source import open_view, topology_of, unknown
from netmon.cli.failover_table import rate
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
) -> None:
    """Show where each class of a gateway goes when its lines fail: the plan that it was told, else what it would be told."""
    with exit_codes():
        loaded = configuration.load(config_in_use(config))
        topology = topology_of(loaded)
        known = [each.id for each in topology.inventory.gateways if each.class_ids]
        if gateway not in known:
            raise ConfigError([unknown("GATEWAY", gateway, known)])
        found, was_told = _plan(loaded, gateway)
        if as_json:
            print(msgspec.json.encode(found).decode())
            return
        console = LineConsole(highlight=False, markup=False, emoji=False)
        version = (
            f"version {found.version}" if was_told else "not told to anybody: with all lines as they are configured"
        )
        console.print(f"{printable(gateway)}: plan, {version}", soft_wrap=True)
        for group in found.groups:
            console.print(_headline(group), style="bold", soft_wrap=True)
            console.print(_table(group))


def _plan(config: Config, gateway_id: str) -> tuple[Plan, bool]:
    """The plan, and whether the gateway was told it."""
    try:
        told = open_view(config).plan(gateway_id)
    except UnavailableError as error:
        print(f"Redis cannot be read, so what follows is what would be told: {error.detail}", file=sys.stderr)
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


def _headline(group: PlannedGroup) -> str:
    packets = f"mark {group.mark:#x}" if group.mark else f"to {', '.join(group.prefixes)}" if group.prefixes else ""
    told = (
        f"P{group.priority}",
        f"working {group.working}",
        rate(group.bandwidth_bps),
        packets,
        f"table {group.table}",
    )
    return printable(f"{group.group_id}  {', '.join(filter(None, told))}, mode {group.mode}")


def _table(group: PlannedGroup) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("  WHEN THESE FAIL", "IT GOES TO, THE FIRST THAT IS GOOD"):
        table.add_column(title, overflow="fold")
    for failed, order in _rows(group):
        table.add_row(f"  {failed}", order)
    return table


def _rows(group: PlannedGroup) -> Iterator[tuple[str, str]]:
    """Failures that concern it: its working line is among them."""
    for ranking in group.rankings:
        if group.working in ranking.failed:
            yield printable(", ".join(ranking.failed)), printable(", ".join(ranking.order)) or "(nowhere)"
