"""A story for people: the timeline and the classes as tables, and the verdict."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from loadtest.demo.story import Kind, Moment, Story, Suffered

_STYLES: Final[dict[Kind, str]] = {
    "quake": "magenta", "cut": "bold red", "edge": "bold", "centre": "cyan", "mended": "bold green",
}  # fmt: skip
_PHASES: Final = ("detect", "hold", "decide", "act", "verify")


def story(told: Story, console: Console) -> None:
    """Prints all of it."""
    console.print(_timeline(told))
    console.print(_classes(told))
    for fault in told.faults:
        console.print(Text(f"not as promised: {fault}", style="red"))
    if not told.faults:
        console.print(
            Text(
                "As promised: P0 first, everybody on a line that shares no duct, nobody touched a thing.", style="green"
            )
        )


def _timeline(told: Story) -> Table:
    table = Table(title="What happened", title_justify="left", box=None, pad_edge=False)
    table.add_column("since the cut", justify="right", no_wrap=True)
    table.add_column("what")
    table.add_column("", style="dim")
    for moment in told.moments:
        table.add_row(_since(moment), Text(moment.what, style=_STYLES[moment.kind]), moment.detail)
    return table


def _since(moment: Moment) -> str:
    return f"{moment.ms:+,.0f} ms" if abs(moment.ms) < 2_000 else f"{moment.ms / 1e3:+,.1f} s"


def _classes(told: Story) -> Table:
    table = Table(title="What each class suffered", title_justify="left", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("class", no_wrap=True)
    table.add_column("moved to", no_wrap=True)
    table.add_column("moved by", no_wrap=True)
    for name in ("outage ms", "lost", *(f"{phase}" for phase in _PHASES), "lost returning"):
        table.add_column(name, justify="right", no_wrap=True)
    for suffered in told.classes:
        table.add_row(*_row(suffered), style="dim" if not suffered.line else None)
    return table


def _row(suffered: Suffered) -> list[str]:
    phases = [f"{suffered.phases_ms[name]:.1f}" if name in suffered.phases_ms else "" for name in _PHASES]
    back = f"{suffered.lost_returning}" if suffered.returned else ""
    return [
        f"P{suffered.priority}",
        suffered.group,
        "shed" if suffered.shed else suffered.line or "no room",
        _mover(suffered),
        f"{suffered.outage_ms:,.0f}",
        "refused" if suffered.shed else f"{suffered.lost:,}",
        *phases,
        back,
    ]


def _mover(suffered: Suffered) -> str:
    """Whose decision was there first: who saw the line die is the one that tells how long that took."""
    if not suffered.line:
        return ""
    return "gateway" if "detect" in suffered.phases_ms else "centre"
