"""`netmon rejects`: what was not accepted, why, and from whom; and what of the parked turned out to be worth it."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from netmon import config as configuration
from netmon.cli.common import AsJson, ConfigFile, LineConsole, config_path, exit_codes, lanes_of
from netmon.errors import DecodeError, UnavailableError
from netmon.model import LaneSettings, RejectEvent
from netmon.show import printable
from netmon.snmp.ber import SEQUENCE, expect, integer
from netmon.trap_receiver.journal.survey import claimed

if TYPE_CHECKING:
    from netmon.buffer.rejects import Reader, Rejected

SOURCES_SHOWN: Final = 20
_RECONNECT_S: Final = 0.5
_VERSIONS: Final = {0: "v1", 1: "v2c", 3: "v3"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(rejects)


class Claims(msgspec.Struct, frozen=True):
    """What a refused datagram says of itself; nothing has proved it."""

    version: str | None
    """`v1`, `v2c`, `v3`; None when it has none that can be read."""
    user: str | None
    """SNMPv3: msgUserName."""
    engine_id: str | None
    """SNMPv3: msgAuthoritativeEngineID in hexadecimal."""


def rejects(
    config: ConfigFile = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what arrives.")] = False,
    as_json: AsJson = False,
    last: Annotated[int, typer.Option("--last", "-n", min=0, help="How many of the newest to begin with.")] = 20,
) -> None:
    """Show what was not accepted and why, newest last: reason, sender, version, for SNMPv3 the user that it claims."""
    with exit_codes(endless=follow):
        from netmon.buffer.rejects import Reader  # noqa: PLC0415 - redis-py is slow to import

        lanes = lanes_of(configuration.load(config_path(config)))
        reader = Reader(lanes[0].redis, [settings.key_prefix for settings in lanes])
        reader.connect()
        found = reader.newest(last)
        for each in found:
            _print(each, as_json=as_json)
        if follow:
            for each in _following(reader, lanes):
                _print(each, as_json=as_json)
        elif not as_json:
            _print_summary([each.event for each in found])


def _following(reader: Reader, lanes: Sequence[LaneSettings]) -> Iterator[Rejected]:
    """What comes, for ever; says once that Redis is away, and once that it is back."""
    from netmon.cli.union import say  # noqa: PLC0415 - redis-py is slow to import

    away = False
    while True:
        try:
            if away:
                reader.connect()
                say(lanes[0].receiver, None)
                away = False
            yield from reader.arrived()
        except UnavailableError as error:
            if not away:
                say(lanes[0].receiver, error.detail)
            away = True
            time.sleep(_RECONNECT_S)


def claims_of(raw: str) -> Claims:
    """What the header of a datagram in hexadecimal tells without a key."""
    datagram = bytes.fromhex(raw)
    try:
        start, stop = expect(datagram, 0, len(datagram), SEQUENCE)
        version = _VERSIONS.get(integer(datagram, start, stop, [])[0])
    except (DecodeError, IndexError):
        version = None
    return Claims(version, *claimed(datagram))


def line_of(event: RejectEvent) -> str:
    """A refused datagram on one line."""
    claims = claims_of(event.raw)
    user = "" if claims.user is None else f"  user {printable(claims.user)}, engine {claims.engine_id or 'none'}"
    received = datetime.fromtimestamp(event.received_unix_ns / 1e9).astimezone()
    return (
        f"{received:%Y-%m-%d %H:%M:%S}.{received.microsecond // 1_000:03}  {printable(event.peer):<15}"
        f"  {printable(event.reason):<24}  {claims.version or '-':<3}  at byte {event.offset}{user}"
    )


def _print(found: Rejected, *, as_json: bool) -> None:
    if as_json:
        about: dict[str, Any] = {"stream": found.key, "id": found.entry_id, **msgspec.to_builtins(found.event)}
        claims = msgspec.to_builtins(claims_of(found.event.raw))
        print(msgspec.json.encode({**about, "claims": claims}).decode(), flush=True)
        return
    late = "  (late)" if found.late else ""
    LineConsole(highlight=False, markup=False, emoji=False).print(line_of(found.event) + late, soft_wrap=True)
    sys.stdout.flush()


def _print_summary(events: Sequence[RejectEvent]) -> None:
    """How many of those shown there are for each reason and source."""
    if not events:
        print("nothing was rejected", file=sys.stderr)
        return
    counts = Counter((event.reason, event.peer) for event in events).most_common()
    print(f"\n{len(events):,} shown, by reason and source:")
    for (reason, peer), count in counts[:SOURCES_SHOWN]:
        print(f"{count:>11,}  {printable(reason):<24}  {printable(peer)}")
    if len(counts) > SOURCES_SHOWN:
        print(f"{'':>11}  and {len(counts) - SOURCES_SHOWN:,} more")
