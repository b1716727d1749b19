"""Results as tables for people, Markdown for the documentation, JSON for programs, and the plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.table import Table

from loadtest.figures.compare import Rung
from loadtest.reconcile import Reconciliation, faults, show_ranges
from loadtest.storm import Sent

Rows = Sequence[Sequence[str]]

_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe and Ito's palette: told apart with every kind of colour vision."""
_MARKERS: Final = "osD^vP"


def table(title: str, heads: Sequence[str], rows: Rows, *, numbers: bool = True) -> Table:
    """A table for the terminal; `numbers`: all columns but the first are numbers."""
    made = Table(title=title, title_justify="left")
    for i, head in enumerate(heads):
        made.add_column(head, justify="right" if numbers and i else "left")
    for row in rows:
        made.add_row(*row)
    return made


def markdown(heads: Sequence[str], rows: Rows, *, numbers: bool = True) -> str:
    """The same table for the documentation; `numbers`: all columns but the first are numbers."""
    rule = ["--:" if numbers and i else "---" for i in range(len(heads))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, rule, *rows)) + "\n"


def write_json(path: Path, content: Any) -> None:
    """Writes values, structs included, as indented JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")


def stamp() -> str:
    """The time for a file's name: `20260102T030405Z`."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def machine_line(facts: Mapping[str, str]) -> str:
    """The machine in one line."""
    return " · ".join(f"{name} {value}" for name, value in facts.items())


def sent_rows(sent: Sent) -> list[list[str]]:
    """What was sent, as rows of name and value."""
    rows = [
        ["run", f"{sent.run}"],
        ["sent", f"{sent.count:,}"],
        ["rate", f"{sent.rate:,.0f}/s over {sent.seconds:,.2f} s"],
        ["sender's CPU", f"{sent.cpu_s / sent.count * 1e6:.2f} µs a trap"],
        ["fell behind by", f"{sent.slipped_s:.2f} s"],
        ["dropped before any socket", f"{sent.backlog_dropped:,}"],
    ]
    if sent.refused:
        rows.append(["refused: nobody listens", f"{sent.refused:,}"])
    if sent.answered is not None:
        rows.append(["answered", f"{sent.answered:,}"])
        rows.append(["not answered", f"{sent.unanswered:,}"])
        rows.append(["sent again", f"{sent.retransmitted:,}"])
    return rows


def balance_rows(balance: Reconciliation) -> list[list[str]]:
    """A reconciliation as rows of name and value, the verdict last."""
    rows = [
        ["dropped at the socket", f"{balance.kernel_dropped:,}"],
        ["captured", f"{balance.captured:,}"],
        ["of them from others", f"{max(0, -balance.unaccounted):,}"],
        ["in the traps streams", f"{balance.in_traps:,}"],
        ["in the rejects streams", f"{balance.in_rejects:,}"],
        ["more than once", f"{balance.repeated:,}"],
        ["missing", f"{balance.missing:,}  {show_ranges(balance.missing_ranges)}".rstrip()],
        ["trimmed", f"{balance.trimmed:,}"],
        ["out of order", f"{balance.inversions:,}"],
        ["ledger's difference", f"{balance.difference:+,}"],
        ["lag after the last trap", f"{balance.lag_s:.3f} s"],
    ]
    if balance.latency:
        latency = balance.latency
        bound = "" if latency.source == "follower" else "≤ "
        values = (latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.p999_ms, latency.max_ms)
        shown = " / ".join(f"{bound}{value:,.1f}" for value in values)
        rows.append([f"latency, ms, p50/p90/p99/p99.9/max ({latency.source})", shown])
    wrong = faults(balance)
    return [*rows, ["verdict", "; ".join(wrong) if wrong else "every trap is there exactly once"]]


RUNG_HEADS: Final = (
    "receiver",
    "offered/s",
    "sent/s",
    "sent",
    "stored",
    "lost",
    "kernel drops",
    "CPU µs/trap",
    "lag s",
    "socket buffer",
)


def rung_rows(rungs: Sequence[Rung]) -> list[list[str]]:
    """A comparison, one row a receiver and rate."""
    return [
        [
            rung.receiver,
            f"{rung.offered_rate:,.0f}",
            f"{rung.sent_rate:,.0f}",
            f"{rung.sent:,}",
            f"{rung.stored:,}",
            f"{rung.lost_share:.1%}" if rung.stored < rung.sent else "0",
            f"{rung.kernel_drops:,}",
            f"{rung.cpu_us:,.1f}",
            f"{rung.lag_s:.1f}",
            f"{rung.receive_buffer_bytes / (1 << 20):.1f} MiB" if rung.receive_buffer_bytes else "?",
        ]
        for rung in rungs
    ]


def plot(rungs: Sequence[Rung], path: Path, machine: str) -> None:
    """Draws offered rate against stored rate, kernel drops dashed, both axes logarithmic."""
    import matplotlib as mpl  # noqa: PLC0415 - only who compares needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415
    from matplotlib import ticker  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(9.5, 6.5), layout="constrained")
    offered = [rung.offered_rate for rung in rungs]
    axes.plot([min(offered), max(offered)], [min(offered), max(offered)], color="0.7", label="nothing lost")
    for i, name in enumerate(dict.fromkeys(rung.receiver for rung in rungs)):
        mine = [rung for rung in rungs if rung.receiver == name]
        look: dict[str, Any] = {"color": _COLOURS[i % len(_COLOURS)], "marker": _MARKERS[i % len(_MARKERS)]}
        # The first is drawn last and largest, all are hollow: who keeps everything hides nobody who does, too.
        look |= {"fillstyle": "none", "markersize": 11 - 1.5 * i, "linewidth": 2, "zorder": 10 - i}
        rates = [rung.sent_rate for rung in mine]
        axes.plot(rates, [r.sent_rate * r.stored / r.sent for r in mine], label=f"{name}: stored", **look)
        dropped = [(r.sent_rate, r.sent_rate * r.kernel_drops / r.sent) for r in mine if r.kernel_drops]
        if dropped:
            axes.plot(*zip(*dropped, strict=True), "--", alpha=0.7, label=f"{name}: dropped by the kernel", **look)
    axes.set(xscale="log", yscale="log", xlabel="traps sent per second", ylabel="traps per second of the storm")
    axes.set_title("Offered rate against what the receiver kept\n" + machine, fontsize=10)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5), numticks=20))
        axis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
        axis.set_minor_formatter(ticker.NullFormatter())
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=140)
    plt.close(figure)
