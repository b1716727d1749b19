"""`netmon check`: whether a configuration can be used."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import typer

from netmon import config as configuration
from netmon import show
from netmon.cli.common import USAGE, AsJson, ConfigFile, config_path, lanes_of
from netmon.errors import ConfigError
from netmon.model import LaneSettings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(check)


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
