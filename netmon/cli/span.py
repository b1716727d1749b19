"""Options that say which part of the journal a command is about, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Annotated

import typer

from netmon.cli.when import parse_time
from netmon.errors import ConfigError
from netmon.trap_receiver.journal.survey import Span

From = Annotated[
    str | None,
    typer.Option("--from", metavar="TIME", help="Received at this time or later: ISO 8601, 09:00, -2h, epoch."),
]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Received before this time; `now` is one.")]
Sources = Annotated[list[str] | None, typer.Option("--source", metavar="CIDR", help="Sent from here; may be repeated.")]
Canary = Annotated[bool, typer.Option("--canary", help="Canaries, too: netmon's own traps, which test the way.")]
LaneOption = Annotated[int | None, typer.Option("--lane", min=0, help="Of this lane only.")]


def span_of(from_: str | None, to: str | None, source: Sequence[str] | None, *, canary: bool) -> Span:
    """What the options mean. Raises ConfigError."""
    now = datetime.now(UTC)
    try:
        begin = 0 if from_ is None else parse_time(from_, now)
        end = Span().to_unix_ns if to is None else parse_time(to, now)
        networks = tuple(ip_network(text, strict=False) for text in source or ())
    except ValueError as error:
        raise ConfigError([str(error)]) from None
    if begin >= end:
        raise ConfigError([f"--from {from_} is not before --to {to}"])
    return Span(begin, end, networks, canary)
