"""What `netmon traps` and `netmon ledger` show of one receiver, or of several as one."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
import typer
from rich.table import Table

from netmon import config as configuration
from netmon import show
from netmon.buffer import compare
from netmon.buffer.compare import Report
from netmon.buffer.consumer import Follower, Found, Path
from netmon.buffer.union import PathReport, Union
from netmon.cli.common import LineConsole, lanes_of
from netmon.config import Config
from netmon.errors import ConfigError

SOURCES_SHOWN: Final = 5

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def paths_of(config: Config, receivers: Sequence[str], *, union: bool) -> list[Path]:
    """The receivers to read: ours, then the others.

    Args:
        config: Names ours, and the peers of the union.
        receivers: Others that write to our Redis, beside the peers.
        union: Whether to read the others at all.

    Raises:
        ConfigError: A union of one; or what `lanes_of` raises.
    """
    lanes = lanes_of(config)
    own = Path(lanes[0].receiver, lanes[0].redis, len(lanes))
    if not union:
        if receivers:
            raise ConfigError(["--receiver names the other receivers of a union: give --union, too"])
        return [own]
    peers = dict(configuration.peers(config, redis_url=own.redis.url))
    peers |= {name: own.redis for name in receivers if name not in peers and name != own.receiver}
    if not peers:
        raise ConfigError(
            ["--union: no other receiver is known; expected union.peers in the configuration, or --receiver"]
        )
    if len(peers) > configuration.PEERS_MAX:
        raise ConfigError([f"--union: found {len(peers)} other receivers; expected at most {configuration.PEERS_MAX}"])
    return [own, *(Path(name, redis) for name, redis in peers.items())]


class Shown:
    """Prints notifications as they are found; of a union, each once."""

    def __init__(self, paths: Sequence[Path], *, as_json: bool) -> None:
        self._union = Union([path.receiver for path in paths])
        self._names = len(paths) > 1
        self._as_json = as_json
        self._console = LineConsole(highlight=False, markup=False, emoji=False)

    def fresh(self, found: Found) -> bool:
        """Whether nobody has told it yet; one receiver by itself may repeat itself."""
        return not self._names or self._union.tell(found.receiver, found.event, found.in_order_lane)

    def print(self, found: Found) -> None:
        """One line."""
        if self._as_json:
            print(show.trap_json(found.key, found.entry_id, found.event), flush=True)
            return
        line = show.trap_line(found.event)
        if found.kind != "traps":
            line.append(f"  ({found.kind})", style="yellow")
        if self._names:
            line.append(f"  [{found.receiver}]", style="dim")
        self._console.print(line, soft_wrap=True)


def say(receiver: str, why: str | None) -> None:
    """Tells a person who follows that a receiver cannot be read, or (None) can be again."""
    sys.stdout.flush()
    print(f"{receiver} can be read again" if why is None else f"{receiver} cannot be read: {why}", file=sys.stderr)


def show_traps(paths: Sequence[Path], *, last: int, follow: bool, canaries: bool, as_json: bool) -> None:
    """Prints the last notifications, and then those that come.

    Raises:
        UnavailableError: No receiver can be read.
    """
    follower, shown = Follower(paths, canaries=canaries, say=say), Shown(paths, as_json=as_json)
    # Of a union, the last ones of all paths together hold each of them up to once for each path.
    newest = [found for found in follower.newest(last * len(paths)) if shown.fresh(found)]
    for found in newest[len(newest) - min(last, len(newest)) :]:
        shown.print(found)
    for receiver, why in follower.unreachable.items():
        say(receiver, why)
    for receiver in follower.unknown if len(paths) > 1 else ():
        print(f"{receiver}: no receiver of this name has written to its Redis yet", file=sys.stderr)
    if follow:
        for found in follower.follow():
            if shown.fresh(found):
                shown.print(found)
    sys.stdout.flush()


def seconds_of(text: str) -> int:
    """A duration such as `90s`, `15m`, `1h` or `2d` in seconds.

    Raises:
        typer.BadParameter: It is none.
    """
    found = re.fullmatch(r"(\d{1,6})([smhd])", text, re.ASCII)
    if found is None or not int(found[1]):
        raise typer.BadParameter(f"found {text!r}; expected a duration such as 90s, 15m, 1h or 2d")
    return int(found[1]) * _UNITS_S[found[2]]


def show_union(paths: Sequence[Path], *, since_s: int, as_json: bool) -> bool:
    """Prints what each path has missed; whether none has missed anything.

    Raises:
        UnavailableError: One of the servers does not answer, or knows nothing of a receiver.
    """
    stop = time.time_ns() - int(compare.SETTLE_S * 1e9)
    report = compare.compare(paths, stop - since_s * 1_000_000_000, stop)
    if as_json:
        print(msgspec.json.encode({"complete": report.complete, **msgspec.to_builtins(report)}).decode())
    else:
        console = LineConsole(highlight=False)
        console.print(union_table(report))
        for path in report.paths:
            if path.missed:
                console.print(_missed_line(path), markup=False, soft_wrap=True)
        if report.late_left_out:
            console.print(f"{report.late_left_out:,} of the late streams were left out: too many to sort", markup=False)
    return report.complete


def union_table(report: Report) -> Table:
    """A column a path."""
    table = Table(
        title=f"{_time(report.from_unix_ns)} to {_time(report.to_unix_ns)}\n{report.total:,} notifications in all",
        title_justify="left",
        title_style="",
        min_width=52,
    )
    table.add_column("")
    for path in report.paths:
        table.add_column(path.path, justify="right", no_wrap=True)
    table.add_row("seen", *(f"{path.seen:,}" for path in report.paths))
    table.add_row("only here", *(f"{path.only_here:,}" for path in report.paths))
    table.add_row("missed", *(f"{path.missed:,}" for path in report.paths))
    table.add_row("share missed", *(f"{path.missed_ratio:.4%}" for path in report.paths))
    table.add_row("newest", *(_time(report.newest_unix_ns[path.path]) for path in report.paths))
    return table


def _missed_line(path: PathReport) -> str:
    sources = list(path.missed_by_source.items())
    shown = ", ".join(f"{show.printable(source)} {count:,}" for source, count in sources[:SOURCES_SHOWN])
    more = f", and {len(sources) - SOURCES_SHOWN:,} more" if len(sources) > SOURCES_SHOWN else ""
    period = f"{_time(path.missed_first_unix_ns)} to {_time(path.missed_last_unix_ns)}"
    return f"{path.path} missed, from {period}: {shown}{more}"


def _time(unix_ns: int) -> str:
    return f"{datetime.fromtimestamp(unix_ns / 1e9).astimezone():%Y-%m-%d %H:%M:%S}" if unix_ns else "never"
