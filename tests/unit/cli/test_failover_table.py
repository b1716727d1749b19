"""Protection groups as a person reads them: where each class is, what stands beneath it, what an explanation and the audit say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, get_args

import msgspec
import pytest
from rich.cells import cell_len

from netmon.cli import failover_words
from netmon.cli.failover_evidence import told as told_text
from netmon.cli.failover_table import WORST_FIRST, Row, headline, legend, rate, sorted_rows, table
from netmon.cli.failover_told import audit_lines, explained
from netmon.failover.model import (
    PHASES,
    Attempt,
    Freeze,
    Group,
    GroupState,
    LineSight,
    Request,
    SwitchReason,
)
from netmon.failover.record import COMMAND_KINDS, Audit, AuditKind
from netmon.failover.region.explain import REFUSALS, Explanation, LineExplained, Timer

S = 1_000_000_000
NOON = 1_795_000_000 * S // 86_400 // S * 86_400 * S + 43_200 * S
NOW = datetime.fromtimestamp(NOON // S, UTC)


def group(name: str = "gw-port/life", **changes: Any) -> Group:
    """One class at one gateway."""
    gateway, _, traffic = name.partition("/")
    base = Group(
        id=name,
        gateway_id=gateway,
        class_id=traffic,
        priority=0,
        working="fibre",
        protections=("mobile", "geo"),
        area_id="east",
    )
    return msgspec.structs.replace(base, **changes)


def state(**changes: Any) -> GroupState:
    """At home for a minute."""
    base = GroupState(group_id="gw-port/life", on="fibre", since_unix_ns=NOON - 60 * S)
    return msgspec.structs.replace(base, **changes)


def sights(**states: Any) -> dict[str, LineSight]:
    """Lines in these states."""
    return {name: LineSight(line_id=name, state=each) for name, each in states.items()}


REQUEST = Request(
    id="1",
    kind="forced",
    group_id="gw-port/life",
    line_id="geo",
    by="sato",
    why="works",
    ticket="C-1",
    unix_ns=NOON,
    until_unix_ns=NOON + 3_600 * S,
)
HOME = Row(group("gw-hill/bulk", priority=3), state(), sights(fibre="up"))
AWAY = Row(
    group(),
    state(phase="WTR", on="mobile", reason="signal_fail", due_unix_ns=NOON + 240 * S),
    sights(fibre="up", mobile="up", geo="down"),
)


def shown(*rows: Row, width: int = 80, **more: Any) -> list[str]:
    """The table as text."""
    return [text.plain for text in table(rows, width=width, language=more.pop("language", "en"), now=NOW, **more)]


def told(audit: Audit, language: Any = "en") -> list[str]:
    """An entry of the audit as text, in 80 columns."""
    return [text.plain for text in audit_lines(audit, width=80, language=language, now=NOW)]


# --- The table. ---


def test_what_is_not_at_home_says_why_and_how_its_lines_are() -> None:
    """In 80 columns; what is at home takes one line."""
    found = shown(AWAY, HOME)

    assert found == [
        "GROUP         P   PHASE  ON      SINCE",
        "gw-port/life  P0  WTR    mobile  11:59:00",
        "  until 12:04:00: its working line is good: waits to return; its line had failed",
        "  fibre up, mobile up *, geo down",
        "gw-hill/bulk  P3  NR     fibre   11:59:00  at rest",
    ]
    assert legend([AWAY, HOME], "en") == "WTR its working line is good: waits to return; NR at rest on its working line"
    assert max(map(cell_len, found)) <= 80


def test_in_japanese_letters_of_two_columns_are_counted_as_such() -> None:
    """Nothing is wider than the terminal."""
    found = shown(AWAY, language="ja", width=40)

    assert found[0] == "グループ      P   状態  使用回線  開始"
    assert found[2] == "  12:04:00 まで: 現用回線は正常、切戻し…"
    assert max(map(cell_len, found)) <= 40


def test_proposals_requests_and_silent_gateways_are_told() -> None:
    """The mode has a column where it is not `act`; one-way is a state of its own."""
    attempt = Attempt(
        generation=4, to="mobile", reason="signal_fail", began_unix_ns=NOON, stage="proposed", due_unix_ns=NOON
    )
    lines = {"fibre": LineSight(line_id="fibre", state="degraded", one_way=True)}
    row = Row(group(mode="advise"), state(phase="NO_BACKUP", on="", attempt=attempt), lines, (REQUEST,), True)

    assert shown(row, width=120) == [
        "GROUP         P   PHASE      ON      SINCE     MODE",
        "gw-port/life  P0  NO_BACKUP  (shed)  11:59:00  advise",
        "  it has to leave its line, and no other will do; → mobile (waits for approval); its gateway is silent",
        "  fibre one-way, mobile unknown, geo unknown",
        "  until 13:00:00: forced switch → geo; sato: works [C-1]",
    ]


@pytest.mark.parametrize(
    ("phase", "beneath"),
    [
        ("NR", ["  until 13:00:00: lockout (geo); sato: works [C-1]"]),
        ("EXER", ["  exercised by an operator", "  until 13:00:00: lockout (geo); sato: works [C-1]"]),
        (
            "LO",
            [
                "  locked out by an operator",
                "  fibre up *, mobile unknown, geo unknown",
                "  until 13:00:00: lockout (geo); sato: works [C-1]",
            ],
        ),
    ],
)
def test_what_operators_want_of_a_group_at_home_is_seen(phase: Any, beneath: list[str]) -> None:
    """Also of one line that it does not use."""
    lockout = msgspec.structs.replace(REQUEST, kind="lockout")
    row = Row(group(), state(phase=phase), sights(fibre="up"), (lockout,))

    assert shown(row)[2:] == beneath


def test_what_no_controller_has_decided_of_is_shown_as_such() -> None:
    """A region that is new."""
    assert shown(Row(group(), None)) == [
        "GROUP         P   PHASE  ON  SINCE",
        "gw-port/life  P0  -      -   -",
        "  fibre unknown, mobile unknown, geo unknown",
    ]


def test_a_terminal_that_is_too_low_says_how_many_there_are_more() -> None:
    """Never half of a group."""
    assert shown(AWAY, HOME, HOME, rows_max=5) == [*shown(AWAY)[:4], "and 2 groups more"]


def test_the_worst_comes_first() -> None:
    """By priority, then by phase; a group that only observes, on a dead line, is not well."""
    observed = Row(group("gw-z/life", mode="observe"), state(), sights(fibre="down"))
    bulk = Row(group("gw-a/bulk", priority=3), state(phase="NO_BACKUP"))

    assert sorted_rows([HOME, bulk, AWAY, observed]) == [AWAY, observed, bulk, HOME]
    assert [row.is_well for row in (HOME, bulk, AWAY, observed)] == [True, False, False, False]
    assert sorted(WORST_FIRST) == sorted(PHASES)


def test_the_headline_counts_and_says_who_decides() -> None:
    """And why nothing moves."""
    shed = Row(group("gw-a/bulk", priority=3), state(phase="PROTECTING", on=""))
    freeze = Freeze(by="sato", why="routers", unix_ns=NOON)

    assert headline([HOME, shed], None, leads=True, language="en", now=NOW).plain == (
        "2 groups: 1 PROTECTING, 1 NR; 1 nowhere (shed); a controller leads"
    )
    assert headline([HOME], freeze, leads=False, language="en", now=NOW).plain == (
        "1 group: 1 NR; no controller leads; frozen until it is lifted by sato: routers"
    )
    ends = msgspec.structs.replace(freeze, until_unix_ns=NOON + 60 * S)
    assert headline([HOME], ends, leads=True, language="ja", now=NOW).plain == (
        "1 グループ: 1 NR; 制御装置が稼働中; 凍結中、12:01:00 まで（sato: routers）"
    )


# --- One group. ---


def test_an_explanation_has_all_that_the_next_decision_looks_at() -> None:
    """Timers that are over are left out; a line that is down is not said to share a risk with itself."""
    found = Explanation(
        group=group(mode="advise"),
        state=state(phase="PROTECTING", on="mobile", reason="signal_fail"),
        lines=(
            LineExplained(line_id="fibre", sight=LineSight(line_id="fibre", state="down"), by="verdict", refusal="working", shared_risks=("duct",)),
            LineExplained(line_id="mobile", sight=LineSight(line_id="mobile", state="up"), by="gateway", place=1, rank=(0, 0, 1, 2, 1), admitted_bps=64_000, usable_bps=8_000_000),
            LineExplained(line_id="geo", sight=LineSight(line_id="geo", state="up"), by="verdict", refusal="no_room", shared_risks=("duct",)),
        ),
        timers=(Timer(name="guard", due_unix_ns=NOON - S), Timer(name="retry", due_unix_ns=NOON + 5 * S)),
        requests=(REQUEST,),
        freeze=Freeze(by="netmon", why="blind", unix_ns=NOON),
        posture="disaster",
        reachable=False,
        failing_risk_ids=("duct",),
        shed_for=("gw-a/life",),
    )  # fmt: skip

    assert [text.plain for text in explained(found, width=80, language="en", now=NOW)] == [
        "gw-port/life  P0  PROTECTING  on a protection line",
        "  on mobile since 11:59:00: its line had failed",
        "  posture of east: disaster",
        "  mode: advise",
        "  frozen until it is lifted by netmon: blind",
        "  its gateway cannot be told anything now",
        "  failing in the region: duct",
        "  failing of what its own lines share: duct",
        "  has made room for: gw-a/life",
        "  12:00:05 (in 5 s)  all lines are tried again",
        "  until 13:00:00: forced switch → geo; sato: works [C-1]",
        "  LINE     STATE  BY       PLACE  LOAD    WHY",
        "  fibre    down   verdict  -      0       its working line",
        "  mobile*  up     gateway  1      64k/8M  in use",
        "    shares no failed risk; fast enough; the same carrier; cost 2; round trip to",
        "    120 ms; 3/4 of its room is free",
        "  geo      up     verdict  -      0       it has no room for the class; shares",
        "                                          duct",
    ]


# --- The audit. ---


def test_an_entry_of_the_audit_says_who_why_and_on_what_evidence() -> None:
    """With how long each part took."""
    audit = Audit(
        kind="verified",
        unix_ns=NOON + 7_000_000,
        fence=1,
        group="gw-port/life",
        before="fibre",
        to="",
        reason="forced",
        by="sato",
        why="works",
        ticket="C-1",
        evidence=("fibre is \x1b[2Jdown",),
        phases_s={"act": 0.0042},
    )

    assert told(audit) == [
        "12:00:00.007  verified     gw-port/life  fibre → (shed)",
        "    its traffic arrives: an operator had forced it; sato; works; [C-1]; act 4 ms",
        "    - fibre is \\x1b[2Jdown",
    ]
    dry = msgspec.structs.replace(audit, why="dry run: nothing was moved", by="netmon", ticket="", evidence=())
    assert told(dry)[1:] == [
        "    it would be there now; a dry run, nothing was moved: an operator had forced",
        "      it; act 4 ms",
    ]


def test_commands_say_what_became_of_them() -> None:
    """Accepted, refused, or ended, by one word each, and of which line."""
    base = Audit(kind="command", unix_ns=NOON, fence=1, by="sato", why="x")
    done = msgspec.structs.replace(base, command="lockout", outcome="done", group="g/c", to="geo")
    refused = msgspec.structs.replace(
        base, command="manual", outcome="refused", group="g/c", to="geo", evidence=("nothing is frozen", "none needed")
    )
    over = msgspec.structs.replace(base, kind="expired", command="manual", group="g/c", to="geo")

    assert [told(each)[1:] for each in (done, refused, over)] == [
        ["    an operator: lockout (geo): accepted; sato; x"],
        [
            "    an operator: manual switch → geo: refused; sato; x",
            "    - nothing is frozen",
            "    - nothing needs to be done",
        ],
        ["    an operator's command has ended: manual switch → geo; sato; x"],
    ]


@pytest.mark.parametrize(
    ("text", "english", "japanese"),
    [
        (
            "fibre is down, one-way for 2.1 s (no_answer), as its gateway sees it",
            "fibre is down, one-way for 2.1 s (no answer), as its gateway sees it",
            "fibre: 断線（片方向）、応答なし、2.1 秒前から、ゲートウェイによる",
        ),
        ("geo: no_room", "geo: it has no room for the class", "geo: 帯域不足"),
        ("area east is in posture disaster", "area east is in posture disaster", "地域 east の態勢: 災害"),
        (
            "exercise: no line would take it: geo: no_room, mobile: down",
            "the exercise has found no line; geo: it has no room for the class, mobile: it is down",
            "切替試験: 使える回線なし（geo: 帯域不足, mobile: 断線）",
        ),
        (
            "no room: 12 of 8 Mbit/s; g/c (P0) is there",
            "no room: 12 of 8 Mbit/s; g/c (P0) is there",
            "帯域不足: 12 / 8 Mbit/s（使用中: g/c (P0)）",
        ),
        ("what {nobody} knows: here", "what {nobody} knows: here", "what {nobody} knows: here"),
    ],
)
def test_evidence_is_told_in_the_words_of_people(text: str, english: str, japanese: str) -> None:
    """A closed set of sentences; any other text stays as it is."""
    assert (told_text(text, "en"), told_text(text, "ja")) == (english, japanese)


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (failover_words.PHASES, PHASES),
        (failover_words.REASONS, get_args(SwitchReason)),
        (failover_words.REFUSALS, REFUSALS),
        (failover_words.COMMANDS, COMMAND_KINDS),
        (failover_words.BRIEFLY, get_args(SwitchReason)),
        (failover_words.AUDITS, get_args(AuditKind)),
    ],
)
def test_every_word_has_a_meaning_in_both_languages(words: dict[str, tuple[str, str]], known: tuple[str, ...]) -> None:
    """A new one without any would be shown as nothing."""
    assert set(words) == set(known)
    assert [name for name, (english, japanese) in words.items() if name and not (english and japanese)] == []


@pytest.mark.parametrize(("bits", "text"), [(0, "0"), (999, "999"), (64_000, "64k"), (1_500_000, "1.5M"), (8e9, "8G")])
def test_rates_are_short(bits: float, text: str) -> None:
    """Three digits, and a unit."""
    assert rate(bits) == text
