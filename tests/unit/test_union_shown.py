"""What a person sees of several receivers: where a trap was told, and who missed what."""

from __future__ import annotations

import io
import json
import pathlib as files

import pytest
import typer
from rich.console import Console

from netmon.buffer.compare import Report
from netmon.buffer.consumer import Found, Kind, Path
from netmon.buffer.union import PathReport
from netmon.cli.union import Shown, seconds_of, union_table
from netmon.model import RedisSettings, TrapEvent

REPOSITORY = files.Path(__file__).resolve().parents[2]
REDIS = RedisSettings(url="redis://192.0.2.9")
EAST, WEST = Path("east", REDIS), Path("west", REDIS)
AT_NS = 1_800_000_000_000_000_000


def found(receiver: str = "east", kind: Kind = "traps", digest: str = "0" * 16) -> Found:
    """A linkDown in a stream."""
    oid = "1.3.6.1.6.3.1.1.5.3"
    positional = (1, AT_NS, AT_NS, "received", "192.0.2.7", "192.0.2.7", 161, "::1", "v2c", "trap", "other", oid, 0, [])
    return Found(receiver, 0, kind, f"netmon:{{{receiver}:0}}:{kind}", "5-1", TrapEvent(*positional, digest))


def test_what_was_out_of_turn_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    """Of one receiver nothing is left out, and its name is not repeated in every line."""
    shown = Shown([EAST], as_json=False)
    for kind in ("traps", "express", "late"):
        assert shown.fresh(found(kind=kind))
        shown.print(found(kind=kind))
    endings = [line.rpartition("linkDown")[2] for line in capsys.readouterr().out.splitlines()]
    assert endings == ["", "  (express)", "  (late)"]


def test_a_union_shows_each_once_and_who_told_it(capsys: pytest.CaptureFixture[str]) -> None:
    """As text the receiver's name, as JSON the stream."""
    shown = Shown([EAST, WEST], as_json=False)
    assert [shown.fresh(x) for x in (found("west"), found("east"), found("east", digest="1" * 16))] == [
        True,
        False,
        True,
    ]
    shown.print(found("west"))
    assert capsys.readouterr().out.endswith("linkDown  [west]\n")
    Shown([EAST, WEST], as_json=True).print(found("west"))
    assert json.loads(capsys.readouterr().out)["stream"] == "netmon:{west:0}:traps"


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("15m", 900), ("1h", 3_600), ("2d", 172_800)])
def test_durations(text: str, expected: int) -> None:
    """As one says them."""
    assert seconds_of(text) == expected


@pytest.mark.parametrize("text", ["", "1", "h", "0h", "1 h", "-1h", "1w", "9999999s", "1\u06612h"])
def test_what_is_no_duration(text: str) -> None:
    """It says what would be one."""
    with pytest.raises(typer.BadParameter, match="15m"):
        seconds_of(text)


def test_the_ledger_of_a_union_has_a_column_a_path() -> None:
    """Shares, and when each was last heard."""
    nothing = {"missed_first_unix_ns": 0, "missed_last_unix_ns": 0, "missed_by_source": {}}
    east = PathReport(path="east", seen=1_000, only_here=10, missed=0, missed_ratio=0.0, **nothing)  # type: ignore[arg-type]
    west = PathReport(path="west", seen=990, only_here=0, missed=10, missed_ratio=0.01, **nothing)  # type: ignore[arg-type]
    report = Report(
        from_unix_ns=AT_NS,
        to_unix_ns=AT_NS,
        total=1_000,
        paths=[east, west],
        newest_unix_ns={"east": AT_NS, "west": 0},
        late_left_out=0,
    )
    file = io.StringIO()
    Console(file=file, width=120).print(union_table(report))
    rows = [[cell.strip() for cell in line.split("│")[1:4]] for line in file.getvalue().splitlines() if "│" in line]
    assert rows[:4] == [
        ["seen", "1,000", "990"],
        ["only here", "10", "0"],
        ["missed", "0", "10"],
        ["share missed", "0.0000%", "1.0000%"],
    ]
    assert rows[4][2] == "never"
    assert (report.complete, "1,000 notifications in all" in file.getvalue()) == (False, True)


def test_every_field_of_the_ledger_of_a_union_is_documented() -> None:
    """Who writes a program against `--json` finds each name in the document."""
    document = (REPOSITORY / "docs" / "operations.md").read_text()
    fields = {"complete", *Report.__struct_fields__, *PathReport.__struct_fields__}
    assert [name for name in sorted(fields) if f"`{name}`" not in document] == []
