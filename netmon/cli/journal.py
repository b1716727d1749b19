"""`netmon journal` and `netmon parked`: what the journal holds, what waits in it, and its datagrams as a capture file."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import msgspec
import typer

from netmon import config as configuration
from netmon.cli.common import NOT_WELL, AsJson, ConfigFile, LineConsole, config_path, exit_codes, lanes_of, numbered
from netmon.cli.span import Canary, From, LaneOption, Sources, To, span_of
from netmon.errors import ConfigError
from netmon.model import LaneSettings
from netmon.show import counted, printable, size
from netmon.trap_receiver.journal import pcap, survey
from netmon.trap_receiver.journal.survey import SegmentFacts, Waiting

SOURCES_SHOWN: Final = 20
_STANDARD_OUTPUT: Final = "-"

_group = typer.Typer(name="journal", help="The raw datagrams on disk: segments, ages, what is shipped; export.")


def register(app: typer.Typer) -> None:
    """Add the group, and `parked`."""
    app.command()(parked)
    app.add_typer(_group)


@_group.callback(invoke_without_command=True)
def journal(context: typer.Context, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show the journal's segments. Reads files only: works with netmon and Redis down."""
    if context.invoked_subcommand is not None:
        return
    with exit_codes():
        for settings in _lanes(config, None):
            found = survey.segment_facts(Path(settings.directory))
            if as_json:
                print(msgspec.json.encode(_journal_values(settings, found)).decode(), flush=True)
            else:
                _print_journal(settings, found)


@_group.command()
def export(
    pcap_file: Annotated[str, typer.Option("--pcap", metavar="FILE", help="Where to write; `-` is standard output.")],
    config: ConfigFile = None,
    from_: From = None,
    to: To = None,
    source: Sources = None,
    lane: LaneOption = None,
    canary: Canary = False,
) -> None:
    """Write datagrams as a capture file that Wireshark and tcpdump open. Exit 1: there were none, and no file is made.

    It holds them as they came, communities and all.
    """
    with exit_codes(), ExitStack() as stack:
        if pcap_file == _STANDARD_OUTPUT and sys.stdout.isatty():
            raise ConfigError(["--pcap -: found a terminal; expected a pipe, such as `| tshark -r -`, or name a file"])
        span = span_of(from_, to, source, canary=canary)
        lanes = _lanes(config, lane)
        packets = (packet for settings in lanes for packet in _packets(settings, span))
        first = next(packets, None)
        if first is None:
            print("nothing in the journal is in that range and from those sources: no file was made", file=sys.stderr)
            raise typer.Exit(NOT_WELL)
        file = sys.stdout.buffer if pcap_file == _STANDARD_OUTPUT else stack.enter_context(_created(Path(pcap_file)))
        file.write(pcap.file_header())
        file.write(first)
        count = 1
        for packet in packets:
            file.write(packet)
            count += 1
        file.flush()
        print(counted(count, "datagram"), file=sys.stderr)


def _created(path: Path) -> BinaryIO:
    """A file for us alone: it will hold communities. Raises ConfigError."""
    try:
        return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")
    except OSError as error:
        raise ConfigError([f"--pcap {path}: {error.strerror}"]) from None


def _packets(settings: LaneSettings, span: survey.Span) -> Iterator[bytes]:
    port = int(settings.listen.rpartition(":")[2])
    for _, record in survey.select(Path(settings.directory), span):
        yield pcap.packet(record, port)


def parked(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show what waits in the journal to be decoded later, and why. Reads files only: works with netmon and Redis down."""
    with exit_codes():
        for settings in _lanes(config, None):
            found = survey.waiting(Path(settings.directory))
            if as_json:
                _print_parked_json(settings, found)
            else:
                _print_parked(settings, found)


def _lanes(config: Path | None, number: int | None) -> list[LaneSettings]:
    path = config_path(config)
    return numbered(lanes_of(configuration.load(path)), number, path)


# --- Segments.


def _print_journal(settings: LaneSettings, found: Sequence[SegmentFacts]) -> None:
    """A segment a line, what is of any length last: nothing is cut, however narrow the terminal is."""
    print(_journal_title(settings, found))
    if found:
        print(_columns("segment", "datagrams", "size", "first written", "last written", "state"))
    for segment in found:
        begun, ended = _moment(segment.first_ms * 1_000_000), _moment(segment.last_ms * 1_000_000)
        state = ", ".join([*(["shipped"] if segment.shipped else []), *_named(segment.marks)])
        print(_columns(str(segment.first_seq), f"{segment.datagrams:,}", size(segment.size_bytes), begun, ended, state))


def _columns(first: str, datagrams: str, length: str, begun: str, ended: str, state: str) -> str:
    return f"{first:>11}  {datagrams:>9}  {length:>9}  {begun:<14}  {ended:<14}  {state}".rstrip()


def _named(marks: dict[str, int]) -> list[str]:
    return [f"{name} {count:,}" for name, count in marks.items()]


def _journal_title(settings: LaneSettings, found: Sequence[SegmentFacts]) -> str:
    used = sum(segment.size_bytes for segment in found)
    datagrams = sum(segment.datagrams for segment in found)
    days = settings.journal_age_max_s / 86_400
    limits = f"{size(used)} of at most {size(settings.journal_bytes_max)}, kept for {days:g} {'day' if days == 1 else 'days'}"
    return f"lane {settings.lane}: {counted(datagrams, 'datagram')} in {counted(len(found), 'segment')}, {limits}"


def _journal_values(settings: LaneSettings, found: Sequence[SegmentFacts]) -> dict[str, Any]:
    return {
        "receiver": settings.receiver,
        "lane": settings.lane,
        "directory": settings.directory,
        "bytes": sum(segment.size_bytes for segment in found),
        "bytes_max": settings.journal_bytes_max,
        "age_s_max": settings.journal_age_max_s,
        "datagrams": sum(segment.datagrams for segment in found),
        "segments": msgspec.to_builtins(found),
    }


def _moment(unix_ns: int) -> str:
    return f"{datetime.fromtimestamp(unix_ns / 1e9).astimezone():%m-%d %H:%M:%S}" if unix_ns else ""


# --- What waits.


def _print_parked(settings: LaneSettings, found: Sequence[Waiting]) -> None:
    console = LineConsole(highlight=False, markup=False)
    total = sum(group.datagrams for group in found)
    verb = "waits" if total == 1 else "wait"
    console.print(f"lane {settings.lane}: {counted(total, 'datagram')} {verb}", soft_wrap=True)
    if not found:
        return
    for group in found[:SOURCES_SHOWN]:
        console.print(_parked_line(group), soft_wrap=True)
    if len(found) > SOURCES_SHOWN:
        rest = found[SOURCES_SHOWN:]
        console.print(f"{sum(group.datagrams for group in rest):>11,}  of {len(rest):,} others; --json has all")


def _parked_line(group: Waiting) -> str:
    """One line, so that it can be searched, however wide the terminal is."""
    claims = "" if group.user is None else f"  user {printable(group.user)}, engine {group.engine_id or 'none'}"
    times = f"{_moment(group.oldest_unix_ns)} to {_moment(group.newest_unix_ns)}"
    return f"{group.datagrams:>11,}  {group.reason:<18}  {printable(group.peer):<15}  {times}{claims}"


def _print_parked_json(settings: LaneSettings, found: Sequence[Waiting]) -> None:
    reasons: Counter[str] = Counter()
    for group in found:
        reasons[group.reason] += group.datagrams
    values = {
        "receiver": settings.receiver,
        "lane": settings.lane,
        "datagrams": sum(reasons.values()),
        "reasons": dict(reasons),
        "oldest_unix_ns": _bound(found, min, lambda group: group.oldest_unix_ns),
        "newest_unix_ns": _bound(found, max, lambda group: group.newest_unix_ns),
        "sources": msgspec.to_builtins(found),
    }
    print(msgspec.json.encode(values).decode(), flush=True)


def _bound(found: Sequence[Waiting], choose: Callable[..., int], of: Callable[[Waiting], int]) -> int | None:
    return choose(of(group) for group in found) if found else None
