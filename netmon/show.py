"""What the command line shows to a person: traps, ledgers and the banner, as text.

Pure: values in, rich text out. What came from the network is never sent to a terminal as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Any, Final

import msgspec
from rich.table import Table
from rich.text import Text

from netmon.canary import message
from netmon.model import LaneSettings, TrapEvent, Varbind
from netmon.trap_receiver.ledger import LaneLedger

VARBINDS_SHOWN: Final = 6
VALUE_LENGTH_MAX: Final = 60

GENERIC_TRAPS: Final = {
    "1.3.6.1.6.3.1.1.5.1": "coldStart",
    "1.3.6.1.6.3.1.1.5.2": "warmStart",
    "1.3.6.1.6.3.1.1.5.3": "linkDown",
    "1.3.6.1.6.3.1.1.5.4": "linkUp",
    "1.3.6.1.6.3.1.1.5.5": "authenticationFailure",
    "1.3.6.1.6.3.1.1.5.6": "egpNeighborLoss",
    message.TRAP_OID: "canary",
}
"""The six traps of RFC 3418 section 2 and RFC 3584 section 3.1 by name, and netmon's own."""


HEARTBEAT_AGE_MAX_NS: Final = 15_000_000_000
"""A role that has published nothing for so long does not run."""

CANARY_NAMES: Final = {message.RUN_OID: "run", message.NUMBER_OID: "number", message.SENT_OID: "sent"}
"""What is in netmon's own canaries; no MIB has them."""


def size(count: int) -> str:
    """Bytes for a person: `64 MiB`, `1.5 GiB`, `512 bytes`."""
    amount, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1_024:
            break
        amount, unit = amount / 1_024, larger
    return f"{amount:.1f}".removesuffix(".0") + f" {unit}"


def counted(count: int, thing: str) -> str:
    """So many of a thing: `1 datagram`, `2,000 datagrams`."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def printable(text: str) -> str:
    """The text without anything that a terminal would obey; what is not printable is escaped as in Python."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def trap_line(event: TrapEvent, zone: tzinfo | None = None) -> Text:
    """One notification on one line: time, source, what, varbinds.

    Args:
        event: From the stream.
        zone: Of the time shown; None is the machine's.
    """
    received = datetime.fromtimestamp(event.received_unix_ns / 1e9, tz=zone).astimezone(zone)
    name = printable(event.name or GENERIC_TRAPS.get(event.trap_oid, event.trap_oid))
    line = Text()
    line.append(f"{received:%Y-%m-%d %H:%M:%S}.{received.microsecond // 1_000:03}", style="dim")
    line.append(f"  {printable(event.source):<15}", style="cyan")
    line.append(f"  {name}", style="bold")
    if event.pdu == "inform":
        line.append(" (inform)", style="magenta")
    if event.user is not None:
        # Of others, trust says no more than that there is an allow-list.
        line.append(f" [{_cut(event.user)} {printable(event.trust)}]", style="green")
    if event.duplicate_of is not None:
        line.append(f" (again: {event.duplicate_of})", style="dim")
    for varbind in event.varbinds[:VARBINDS_SHOWN]:
        line.append(f"  {_varbind(varbind)}")
    if len(event.varbinds) > VARBINDS_SHOWN:
        line.append(f"  +{len(event.varbinds) - VARBINDS_SHOWN} more", style="dim")
    return line


def _varbind(varbind: Varbind) -> str:
    unit = f" {_cut(varbind.unit)}" if varbind.unit and varbind.value is not None else ""
    return f"{printable(varbind.name or CANARY_NAMES.get(varbind.oid, varbind.oid))}={_value(varbind)}{unit}"


def _value(varbind: Varbind) -> str:
    """What is known of a value, in the order of what a person wants to see."""
    if varbind.value is None:
        return varbind.type
    if varbind.text is not None:
        return _cut(varbind.text)
    value = f"{'0x' if varbind.encoding == 'hex' else ''}{_cut(str(varbind.value))}"
    if varbind.label is None:
        return value
    return _cut(varbind.label) if varbind.type == "ObjectIdentifier" else f"{_cut(varbind.label)}({value})"


def _cut(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= VALUE_LENGTH_MAX else shown[: VALUE_LENGTH_MAX - 1] + "…"


def trap_json(key: str, entry_id: str, event: TrapEvent) -> str:
    """One notification as one line of JSON, with the stream and the ID that it stands under."""
    return msgspec.json.encode({"stream": key, "id": entry_id, **msgspec.to_builtins(event)}).decode()


def heartbeat_unix_ns(found: LaneLedger) -> int:
    """When the counters of a lane were last published; 0 where nothing has run yet."""
    return max(
        found.capture_heartbeat_unix_ns,
        found.commit_heartbeat_unix_ns,
        found.decode_heartbeat_unix_ns,
        found.late_heartbeat_unix_ns,
    )


def is_running(found: LaneLedger, now_unix_ns: int) -> bool:
    """Whether any role of a lane has published its counters of late."""
    return now_unix_ns - heartbeat_unix_ns(found) <= HEARTBEAT_AGE_MAX_NS


def _not_running(lanes: Sequence[tuple[LaneSettings, LaneLedger]], now_unix_ns: int) -> str | None:
    """What to say of lanes none of which runs; None while one does."""
    if any(is_running(found, now_unix_ns) for _, found in lanes):
        return None
    newest = max((heartbeat_unix_ns(found) for _, found in lanes), default=0)
    if not newest:
        return "netmon is not running, and has never been here"
    return f"netmon is not running: counters of {datetime.fromtimestamp(newest / 1e9).astimezone():%Y-%m-%d %H:%M:%S}"


def ledger_table(lanes: Sequence[tuple[LaneSettings, LaneLedger]], now_unix_ns: int) -> Table:
    """Both identities, a column a lane, so that a narrow terminal has room for all digits; when it is from, if not now."""
    table = Table(
        title="delivered = kernel drops + captured\ncaptured  = buffered + express + rejected + parked + control + in flight",
        title_justify="left",
        title_style="",
        min_width=52,
        caption=_not_running(lanes, now_unix_ns),
        caption_justify="left",
        caption_style="yellow",
    )
    table.add_column("")
    for settings, _ in lanes:
        table.add_column(f"lane {settings.lane}\n{settings.listen}", justify="right", no_wrap=True)
    cells = [[*_cells(found), _balance(found)] for _, found in lanes]
    for index, name in enumerate(_ROWS):
        table.add_row(name, *(column[index] for column in cells))
    return table


_ROWS: Final = (
    "delivered", "kernel drops", "captured", "buffered", "express", "rejected", "parked", "  waiting", "  late",
    "  late, rejected", "  expired", "control", "in flight", "lost", "order", "balance",
)  # fmt: skip


def _cells(found: LaneLedger) -> list[str | Text]:
    return [
        f"{found.delivered:,}",
        f"{found.kernel_drops:,}",
        f"{found.captured:,}",
        f"{found.buffered:,}",
        f"{found.express:,}",
        _by_reason(found.rejected),
        _by_reason(found.parked),
        f"{sum(found.waiting.values()):,}",
        f"{sum(found.late.values()):,}",
        f"{sum(found.late_rejected.values()):,}",
        f"{sum(found.expired.values()):,}",
        _by_reason(found.control),
        f"{found.in_flight:,}",
        f"{found.lost:,}",
        Text("shedding", style="yellow") if found.shedding else "in turn",
    ]


def _by_reason(counts: dict[str, int]) -> str:
    parts = [f"{reason} {count:,}" for reason, count in counts.items() if count]
    return "\n".join([f"{sum(counts.values()):,}", *parts])


def _balance(found: LaneLedger) -> Text:
    if found.balanced:
        return Text("ok", style="green")
    return Text(f"NOT: {found.difference:+,}", style="bold red")


def ledger_values(settings: LaneSettings, found: LaneLedger, now_unix_ns: int) -> dict[str, Any]:
    """One lane's ledger as plain values for JSON."""
    lane: dict[str, Any] = {"receiver": settings.receiver, "lane": settings.lane, "listen": settings.listen}
    lane |= {"running": is_running(found, now_unix_ns), "counters_unix_ns": heartbeat_unix_ns(found)}
    return {**lane, "balanced": found.balanced, **msgspec.to_builtins(found)}


def receive_buffer(listen: str, wanted: int, granted: int, sysctl: str | None) -> str:
    """One listener of the banner: what it got, and the cure when that is less than wanted."""
    if sysctl is None:
        return f"{listen}  receive buffer {size(granted)}"
    return f"{listen}  receive buffer {size(granted)} of {size(wanted)} wanted; to raise it:  {sysctl}"
