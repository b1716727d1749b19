"""Lines and their months as a person reads them: what stands in which column, in 80 columns and in more, in two languages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from rich.cells import cell_len

from netmon.active_probe.model import (
    LineMonth,
    LineStatus,
    Reason,
    TargetReading,
    VantageChange,
    Vote,
)
from netmon.cli.line_report import ReportRow, Wish, csv_of, lasting, month_of, rows
from netmon.cli.line_table import (
    Row,
    availability_shown,
    headline,
    loss_shown,
    ms_shown,
    since,
    sorted_rows,
    table,
    why,
)
from netmon.errors import ConfigError
from netmon.inventory.model import Area, Carrier, Inventory, Line, Site
from netmon.inventory.topology import Topology

S = 1_000_000_000
NOON = 1_795_000_000 * S // 86_400 // S * 86_400 * S + 43_200 * S
NOW = datetime.fromtimestamp(NOON // S, UTC)


def line(name: str = "fibre-coast") -> Line:
    """A line that people call something."""
    return Line(
        id=name,
        name="海岸幹線光",
        name_en="Coast trunk",
        medium="fibre",
        carrier_id="c",
        endpoint_site_ids=("s",),
        capacity_bps=1,
    )


def status(state: Any = "up", reason: Reason = "", ago_s: int = 60, **more: Any) -> LineStatus:
    """A verdict with one vote of one target."""
    lost = 60 if state == "down" else 0
    target = TargetReading(
        label="stamp 192.0.2.1:862",
        state=state,
        sent=60,
        lost=lost,
        rtt_p50_s=None if lost else 0.00031,
        rtt_p99_s=None if lost else 0.00512,
        ipdv_s=None if lost else 0.0002,
        detail=more.pop("detail", ""),
    )
    at_ns = NOON - ago_s * S
    vote = Vote(line_id="f", vantage_id="centre", state=state, since_unix_ns=at_ns, unix_ns=NOON, targets=(target,))
    given = {"votes": (vote,), "vantages_live": 1, "vantages_stale": 1, "availability": 0.99996, **more}
    return LineStatus(line_id="f", state=state, reason=reason, since_unix_ns=at_ns, unix_ns=NOON, **given)


def shown(*found: Row, width: int = 80, **more: Any) -> list[str]:
    """The table as text."""
    return [text.plain for text in table(found, width=width, language=more.pop("language", "en"), now=NOW, **more)]


# --- The table. ---


def test_a_line_and_its_reason_fit_80_columns() -> None:
    """What is up has figures; what is down has its reason beneath; what nobody has told of yet is unknown."""
    found = shown(
        Row(line(), status("down", "no_answer")), Row(line("radio-reservoir"), status()), Row(line("new"), None)
    )

    assert found == [
        "LINE             STATE    SINCE     LOSS  RTT p50/p99 ms  VAR ms  AVAIL %   BY",
        "fibre-coast      down     11:59:00  100%               -       -    99.99  1/2",
        "  no answer: stamp 192.0.2.1:862",
        "radio-reservoir  up       11:59:00    0%       0.31/5.12    0.20    99.99  1/2",
        "new              unknown  -            -               -       -        -    -",
        "  nothing was heard yet",
    ]
    assert max(map(cell_len, found)) <= 80


def test_a_wide_terminal_has_names_and_reasons_in_columns() -> None:
    """In the language of whoever looks; letters of two columns are counted as such."""
    found = shown(Row(line(), status("down", "no_answer")), Row(line("b"), status()), width=140, language="ja")

    assert [text[13:21] for text in found[1:]] == ["海岸幹線光  d", "海岸幹線光  u"]
    assert found[1].endswith("1/2  応答なし: stamp 192.0.2.1:862")
    assert len(found) == 3


def test_neighbours_with_one_reason_have_it_once() -> None:
    """When a vantage is cut off, all lines are unknown for it."""
    cut_off = status("unknown", "isolated", votes=())

    assert [text.strip() for text in shown(*[Row(line(name), cut_off) for name in "abc"])[1:]][2:] == [
        "c     unknown  11:59:00     -               -       -    99.99  1/2",
        "whoever asks is cut off",
    ]


def test_what_has_no_room_is_counted() -> None:
    """A live table does not scroll: the worst are in sight."""
    many = [Row(line(f"l{number}"), status()) for number in range(10)]

    assert shown(*many, rows_max=4)[3:] == ["and 8 lines more"]
    assert len(shown(*many, rows_max=11)) == 11


def test_nothing_is_wider_than_the_terminal() -> None:
    """Whatever IDs, names and details are."""
    long = line("x" * 64)
    detail = "HTTP 503 " * 100
    for width in (40, 80, 120, 200):
        found = shown(Row(long, status("degraded", "bad_answer", detail=detail)), Row(line(), None), width=width)
        assert max(map(cell_len, found)) <= width


def test_what_a_far_end_says_cannot_command_a_terminal() -> None:
    """An answer is shown, and never obeyed."""
    assert "\x1b" not in "".join(shown(Row(line(), status("down", "bad_answer", detail="\x1b[2J"))))


def test_the_worst_comes_first() -> None:
    """Of the failing ones the newest; what is up stays in the order of the region."""
    states = [("up", 5), ("down", 50), ("unknown", 5), ("up", 50), ("degraded", 5), ("down", 5)]
    found = sorted_rows(Row(line(f"{state}-{ago}"), status(state, ago_s=ago)) for state, ago in states)

    assert [row.line.id for row in found] == ["down-5", "down-50", "degraded-5", "unknown-5", "up-5", "up-50"]


def test_the_headline_counts_states_and_tells_who_asks() -> None:
    """A vantage that is cut off is seen at once."""
    change = VantageChange(vantage_id="x", before="", after="isolated", unix_ns=1, reason="no_anchor")
    live = VantageChange(vantage_id="x", before="", after="live", unix_ns=1)
    found = [Row(line(), status("down")), Row(line(), status()), Row(line(), None)]

    assert headline(found, {"east": change, "centre": live}).plain == (
        "3 lines: 1 down, 1 unknown, 1 up; vantages: centre live, east isolated (no anchor)"
    )
    assert headline([], {}).plain == "0 lines: "


# --- Reasons. ---


@pytest.mark.parametrize("reason", [value for value in Reason.__args__ if value])
@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_reason_has_words(reason: Any, language: Any) -> None:
    """In both languages, and not the program's own word."""
    words = why(status("unknown", reason, votes=()), language, UTC)

    assert words not in {"", reason}


def test_a_reason_names_who_says_so() -> None:
    """Vantages that disagree; when something was still heard; targets, no more than two."""
    one = Vote(line_id="f", vantage_id="a", state="up", since_unix_ns=1, unix_ns=1)
    other = Vote(line_id="f", vantage_id="b", state="down", since_unix_ns=1, unix_ns=1)
    targets = tuple(TargetReading(label=f"icmp {n}", state="down", detail="EHOSTUNREACH" * (n == 1)) for n in (1, 2, 3))
    down = Vote(line_id="f", vantage_id="a", state="down", since_unix_ns=1, unix_ns=1, targets=targets)

    assert why(status("degraded", "disagreement", votes=(one, other)), "en", UTC) == "vantages disagree: a up, b down"
    assert why(status("degraded", "one_way", one_way=True, heard_unix_ns=NOON - S, votes=()), "en", UTC).endswith(
        ": 11:59:59"
    )
    assert why(status("down", "no_answer", votes=(down,)), "en", UTC) == "no answer: icmp 1 EHOSTUNREACH, icmp 2 (+1)"


# --- Values. ---


def test_figures_do_not_round_what_matters_away() -> None:
    """100 % available was never away; 0 % loss lost nothing."""
    assert [availability_shown(share) for share in (None, 1.0, 0.99999, 0.9999, 0.5, 0.0)] == [
        "-", "100", "99.99", "99.99", "50", "0",
    ]  # fmt: skip
    assert [loss_shown(share) for share in (None, 0.0, 0.00001, 0.0123, 0.0999, 0.5, 0.999, 1.0)] == [
        "-", "0%", "0.1%", "1.2%", "10%", "50%", "99%", "100%",
    ]  # fmt: skip
    assert [ms_shown(value) for value in (None, 0.0, 0.00123, 0.0123, 0.123, 1.23)] == [
        "-", "0.00", "1.23", "12.3", "123", "1230",
    ]  # fmt: skip


def test_a_time_is_as_short_as_it_can_be() -> None:
    """Today without the date; another year without the time."""
    day_ns = 86_400 * S

    assert [since(at, NOW) for at in (0, NOON, NOON - 2 * day_ns)] == [
        "-",
        "12:00:00",
        f"{NOW:%m}-{NOW.day - 2:02} 12:00",
    ]
    assert len(since(NOON - 700 * day_ns, NOW)) == len("2024-01-01")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"),
        (0.0, "0.0 s"),
        (13.69, "13.7 s"),
        (60, "1 m"),
        (260, "4 m 20 s"),
        (7_260, "2 h 1 m"),
        (270_000, "3 d 3 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float | None, words: str) -> None:
    """What an operator says on the telephone."""
    assert lasting(seconds) == words


# --- The report. ---

REGION = Topology(
    Inventory(
        areas=(Area(id="a", name="a", code="131016"),),
        carriers=(Carrier(id="c", name="みちしお", name_en="Michishio"),),
        sites=(Site(id="s", name="s", area_id="a", longitude=0, latitude=0),),
        lines=(line("f"), line("g")),
    )
)
ACCOUNTS = [
    LineMonth(
        line_id="f", month="2026-11", minutes=100, minutes_unavailable=1, failures=2, down_s=60.0, sent=10, lost=1
    ),
    LineMonth(line_id="gone", month="2026-11", minutes=50, minutes_unknown=5),
]


def test_a_report_has_a_row_for_each_line_or_carrier() -> None:
    """A line that the region knows no more is still in the account."""
    by_line = rows(Wish(month="2026-11", by="line"), ACCOUNTS, REGION, "en")
    by_carrier = rows(Wish(month="2026-11", by="carrier"), ACCOUNTS, REGION, "ja")

    assert [(row.id, row.name, row.availability, row.failures, row.mttr_s) for row in by_line] == [
        ("f", "Coast trunk", 0.99, 2, 30.0),
        ("gone", "", 1.0, 0, None),
    ]
    assert [(row.id, row.name, row.lines) for row in by_carrier] == [("", "", 1), ("c", "みちしお", 1)]


def test_a_spreadsheet_gets_seconds_and_empty_cells() -> None:
    """RFC 4180; None is no text."""
    text = csv_of(rows(Wish(month="2026-11", by="line"), ACCOUNTS[1:], REGION, "en"))

    assert text.splitlines() == [
        ",".join(ReportRow.__struct_fields__),
        "2026-11,gone,,1,1.0,0,,,0.0,0.0,50,0,5,,,",
    ]


def test_a_month_is_one() -> None:
    """Without one, the present one of UTC."""
    assert month_of(None, 1_795_000_000.0) == f"{datetime.fromtimestamp(1_795_000_000, UTC):%Y-%m}"
    assert month_of("2026-02", 0.0) == "2026-02"
    with pytest.raises(ConfigError, match="expected a year and a month"):
        month_of("2026-13", 0.0)
