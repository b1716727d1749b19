"""`netmon lines`: how every probed line is, live; and what carriers are held to. Straight from Redis: it works when the API does not."""

from __future__ import annotations

import difflib
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer
from rich.text import Text

from netmon import config as configuration
from netmon.active_probe.model import LINE_STATES
from netmon.api.line_view import LineStatusView, is_wanted, line_view, vote_view
from netmon.cli import line_report
from netmon.cli.alarms import Lang, Language, language_of
from netmon.cli.common import (
    NOT_WELL,
    AsJson,
    ConfigFile,
    LineConsole,
    config_in_use,
    exit_codes,
    lanes_of,
)
from netmon.cli.line_table import Row, headline, sorted_rows, table
from netmon.cli.live import Picture, watch
from netmon.config import Config
from netmon.errors import ConfigError
from netmon.inventory import schema
from netmon.inventory.topology import Topology
from netmon.show import printable

if TYPE_CHECKING:
    from netmon.buffer.line_store import LineView

_HEAD_LINES: Final = 2
"""Of the terminal, beside the table: the headline, and where the cursor is."""

_group = typer.Typer(
    name="lines", help="How every probed line is, and what carriers are held to.", add_completion=False
)

Filter = list[str] | None


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(_group)


@_group.callback(invoke_without_command=True)
def lines(
    context: typer.Context,
    config: ConfigFile = None,
    once: Annotated[bool, typer.Option("--once", help="Show it once; so it does where no terminal is.")] = False,
    state: Annotated[Filter, typer.Option("--state", help="In this state only; may be repeated.")] = None,
    area: Annotated[Filter, typer.Option("--area", help="With an end in this area only; may be repeated.")] = None,
    carrier: Annotated[Filter, typer.Option("--carrier", help="Of this carrier only; may be repeated.")] = None,
    as_json: AsJson = False,
    lang: Lang = None,
) -> None:
    """Show how every probed line is, the worst first, until Ctrl-C. With --once or --json: exit 1 when one is not up."""
    if context.invoked_subcommand is not None:
        return
    console = LineConsole(highlight=False, markup=False, emoji=False)
    is_live = console.is_terminal and not once and not as_json
    with exit_codes(endless=is_live):
        language = language_of(lang)
        loaded = configuration.load(config_in_use(config))
        source = _Source(loaded, _wanted(state=state, area=area, carrier=carrier))
        if is_live:
            _watch(source, console, language)
        rows = source.rows()
        if as_json:
            for row in rows:
                print(msgspec.json.encode(source.about(row)).decode())
        else:
            console.print(source.headline(rows), soft_wrap=True)
            for text in table(rows, width=console.width, language=language, now=_now()):
                console.print(text, soft_wrap=True)
        source.warn()
        raise typer.Exit(NOT_WELL if any(row.state != "up" for row in rows) else 0)


@_group.command()
def report(
    month: Annotated[str | None, typer.Option("--month", metavar="YYYY-MM", help="Of UTC; the present one.")] = None,
    by: Annotated[str, typer.Option("--by", metavar="line|carrier", help="What a row is about.")] = "line",
    as_csv: Annotated[bool, typer.Option("--csv", help="For a spreadsheet; durations in seconds.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
    lang: Lang = None,
) -> None:
    """Show a month's availability (ITU-T Y.1540), MTTR and MTBF of each line or carrier. Exit 1: nothing is known of it."""
    with exit_codes():
        told = line_report.Wish(month=line_report.month_of(month, time.time()), by=line_report.grouping_of(by))
        if as_csv and as_json:
            raise ConfigError(["--csv and --json: expected one of them"])
        loaded = configuration.load(config_in_use(config))
        rows = line_report.rows(told, open_view(loaded).months(told.month), _topology(loaded), language_of(lang))
        if as_json:
            for row in rows:
                print(msgspec.json.encode(row).decode())
        elif as_csv:
            sys.stdout.write(line_report.csv_of(rows))
        elif rows:
            console = LineConsole(highlight=False, markup=False, emoji=False)
            console.print(line_report.table(rows, console.width))
        if not rows:
            print(
                f"nothing is known of {told.month}: accounts are kept of the months in which lines were probed",
                file=sys.stderr,
            )
            raise typer.Exit(NOT_WELL)


def open_view(config: Config) -> LineView:
    """The lines of a configuration's Redis. Raises ConfigError."""
    from netmon.buffer.line_store import LineView  # noqa: PLC0415 - redis-py is slow to import

    return LineView(lanes_of(config)[0].redis)


def _topology(config: Config) -> Topology:
    if config.region.file is None:
        raise ConfigError(["region.file: names no region, so there are no lines; config/region.example.yml is one"])
    return Topology(schema.read(config.region.file))


class _Source:
    """The lines that are asked for, as Redis has them now."""

    def __init__(self, config: Config, wanted: dict[str, tuple[str, ...]]) -> None:
        """Raises ConfigError: there is no region, or it does not know what was asked for."""
        self._topology = _topology(config)
        self._wanted = wanted
        self._is_rehearsal = config.probe.rehearsal
        self._view = open_view(config)
        self._after = ""
        self._has_rows = False
        known = {"area": self._topology.areas, "carrier": self._topology.carriers, "state": LINE_STATES}
        mistakes = [text for name, ids in wanted.items() for text in _unknown(name, ids, list(known[name]))]
        if mistakes:
            raise ConfigError(mistakes)

    def rows(self) -> list[Row]:
        """The worst first. Raises UnavailableError."""
        known = {status.line_id: status for status in self._view.lines()}
        self._has_rows = bool(known)
        asked = (line for line in self._topology.inventory.lines if line.probes or line.id in known)
        rows = (Row(line, known.get(line.id)) for line in asked)
        return sorted_rows(row for row in rows if is_wanted(self._about(row), self._wanted))

    def headline(self, rows: Sequence[Row]) -> Text:
        """How many are how, and who asks. Raises UnavailableError."""
        text = headline(rows, self._view.judged_vantages())
        if self._is_rehearsal:
            text.append("; a rehearsal, not the real lines", style="bold magenta")
        return text

    def about(self, row: Row) -> dict[str, object]:
        """A row as the API has it, with the votes."""
        votes = () if row.status is None else row.status.votes
        return {
            **msgspec.to_builtins(self._about(row)),
            "votes": msgspec.to_builtins([vote_view(each) for each in votes]),
        }

    def _about(self, row: Row) -> LineStatusView:
        return line_view(row.line, row.status, self._topology)

    def wait(self, block_ms: int) -> None:
        """Until a state changes, but no longer than this. Raises UnavailableError."""
        if not self._after:
            self._after = self._view.last_id()
        changes = self._view.changes(self._after, block_ms=block_ms)
        self._after = changes[-1].entry_id if changes else self._after

    def warn(self) -> None:
        """Tell why there is nothing to see, or nothing moves. Raises UnavailableError."""
        if not any(line.probes for line in self._topology.inventory.lines) and not self._is_rehearsal:
            print("no line of the region says how it is asked: docs/probing.md", file=sys.stderr)
        if self._has_rows and not self._view.has_judge():
            print("no verdict process runs: what is shown does not change", file=sys.stderr)


def _wanted(**given: Filter) -> dict[str, tuple[str, ...]]:
    return {name: tuple(values) for name, values in given.items() if values}


def _unknown(name: str, values: Sequence[str], known: Sequence[str]) -> Iterator[str]:
    for value in values:
        if value not in known:
            near = difflib.get_close_matches(value, known, n=1)
            cure = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
            yield f"--{name}: found {printable(value)!r}; {cure}"


def _watch(source: _Source, console: LineConsole, language: Language) -> None:
    """Draw it again whenever something changes, for ever."""

    def draw() -> Picture:
        rows = source.rows()
        height = console.height - _HEAD_LINES
        body = table(rows, width=console.width, language=language, now=_now(), rows_max=height)
        return Picture(source.headline(rows), body)

    watch(console, draw, source.wait)


def _now() -> datetime:
    return datetime.now().astimezone()
