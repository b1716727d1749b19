"""`netmon failover`, `netmon plan` and `netmon drill`, as a person uses them: a line is cut in a rehearsal, and traffic moves without being moved."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from netmon import config as configuration
from netmon.buffer.failover_waiting import WaitingView
from netmon.cli import build
from netmon.cli import failover_orders as orders
from netmon.cli.common import lanes_of
from tests.integration.harness import Netmon

REGION = """
areas: {a: {code: "131016", name: 東市, name_en: East}}
carriers: {c: {}, d: {}}
risk_groups: {duct: {kind: duct}}
sites: {s: {area: a, latitude: 35, longitude: 139}}
profiles: {quick: {based_on: fast, window_s: 1s}}
lines:
  coast: {medium: fibre, profile: quick, carrier: c, ends: [s], capacity_bps: 1Gbps, risk_groups: [duct]}
  twin: {medium: fibre, profile: quick, carrier: c, ends: [s], capacity_bps: 1Gbps, risk_groups: [duct]}
  ridge: {medium: radio, profile: quick, carrier: d, ends: [s], capacity_bps: 1Mbps}
devices:
  siren: {site: s, kind: siren, addresses: [192.0.2.1], sectors: [sirens], uplinks: [coast]}
traffic_classes:
  life: {priority: P0, bandwidth_bps: 64kbps, sectors: [sirens], mark: 1, wtr_s: 0.2}
  bulk: {priority: P3, bandwidth_bps: 10Mbps, sectors: [cameras], mark: 2, wtr_s: 0.2}
gateways:
  gw: {site: s, lines: [coast, twin, ridge], classes: [life, bulk], mode: act}
  ask: {site: s, lines: [coast, ridge], classes: [life], mode: advise}
  see: {site: s, lines: [coast, ridge], classes: [life]}
"""
GROUPS = ["gw/life", "gw/bulk", "ask/life", "see/life"]


@pytest.fixture(scope="module")
def netmon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Netmon]:
    """Rehearses with lines that are asked 20 times a second; every group is at home."""
    folder = tmp_path_factory.mktemp("netmon")
    (folder / "region.yml").write_text(REGION)
    settings = {"region": {"file": "region.yml"}, "probe": {"rehearsal": True}, "failover": {"lock_delay_s": 0}}
    with Netmon(folder, settings) as running:
        running.wait_until(lambda: status(running)[1] == 0, what="every group is at home")
        yield running


def run(netmon: Netmon, *words: str) -> Result:
    """A command on its configuration."""
    return CliRunner().invoke(build(words), [*words, "-c", str(netmon.config_file)], env={"LC_ALL": "C.UTF-8"})


def status(netmon: Netmon, *words: str) -> tuple[dict[str, dict[str, Any]], int]:
    """What `netmon failover status --json` shows, by group, and its exit code."""
    found = run(netmon, "failover", "status", "--json", *words)
    return {row["group"]: row for row in map(json.loads, found.stdout.splitlines())}, found.exit_code


def standing(netmon: Netmon, group: str) -> tuple[str, str]:
    """Phase of a group, and where it is."""
    state = status(netmon)[0][group]["state"]
    return state["phase"], state["on"]


def wait(netmon: Netmon, group: str, phase: str, on: str) -> None:
    """Until a group stands so."""
    netmon.wait_until(lambda: standing(netmon, group) == (phase, on), what=f"{group} is {phase} on {on}")


@pytest.fixture(scope="module")
def cut(netmon: Netmon) -> dict[str, Result]:
    """The duct is cut, looked at in every way, and mended; all is as before then."""
    well = run(netmon, "failover", "status")
    assert run(netmon, "rehearse", "twin", "--cut").exit_code == 0
    netmon.wait_until(lambda: status(netmon)[0]["gw/bulk"]["lines"][1]["state"] == "down", what="the twin is down")
    assert run(netmon, "rehearse", "coast", "--cut").exit_code == 0
    wait(netmon, "gw/life", "PROTECTING", "ridge")
    wait(netmon, "gw/bulk", "NO_BACKUP", "coast")
    netmon.wait_until(lambda: status(netmon)[0]["ask/life"]["state"].get("attempt"), what="a proposal waits")
    netmon.wait_until(
        lambda: status(netmon)[0]["see/life"]["state"].get("attempt"), what="it is said what would be done"
    )
    seen = {
        "well": well,
        "status": run(netmon, "failover", "status"),
        "explain": run(netmon, "failover", "explain", "gw/bulk"),
        "explain --json": run(netmon, "failover", "explain", "gw/life", "--json"),
        "forbidden": run(netmon, "failover", "force", "see/life", "ridge", "--why", "test"),
        "dead": run(netmon, "failover", "force", "gw/life", "twin", "--why", "test"),
        "approve": run(netmon, "failover", "approve", "ask/life", "--why", "test", "--by", "sato"),
    }
    wait(netmon, "ask/life", "PROTECTING", "ridge")
    assert run(netmon, "rehearse", "--mend").exit_code == 0
    wait(netmon, "ask/life", "WTR", "ridge")
    netmon.wait_until(
        lambda: run(netmon, "failover", "approve", "ask/life", "--why", "back", "--by", "root").exit_code == 0,
        what="it may return",
    )
    for group in GROUPS:
        wait(netmon, group, "NR", "coast")
    return seen


def test_traffic_leaves_a_duct_that_is_cut_and_comes_back(netmon: Netmon, cut: dict[str, Result]) -> None:
    """Life safety to the line that is not in it; what the radio does not hold, nowhere; what only observes, stays."""
    assert cut["well"].exit_code == 0
    headline = "4 groups: 4 NR; a controller leads; a rehearsal: nothing real is moved"
    assert cut["well"].stdout.splitlines()[0] == headline
    lines = cut["status"].stdout.splitlines()
    rows = [line.split()[:4] for line in lines[2:] if line.startswith(("gw", "ask", "see"))]
    assert (cut["status"].exit_code, [(name, on) for name, _, _, on in rows]) == (
        1,
        [("ask/life", "coast"), ("see/life", "coast"), ("gw/life", "ridge"), ("gw/bulk", "coast")],
    )
    assert [phase for _, _, phase, _ in rows[2:]] == ["PROTECTING", "NO_BACKUP"]
    assert status(netmon)[1] == 0


def test_it_is_explained_why_a_line_will_not_do(cut: dict[str, Result]) -> None:
    """And to programs, with what was done last."""
    assert "ridge   up     verdict  -" in cut["explain"].stdout
    assert "it has no room for the class" in cut["explain"].stdout
    about = json.loads(cut["explain --json"].stdout)
    assert [(line["line_id"], line["sight"]["state"]) for line in about["lines"]] == [
        ("coast", "down"),
        ("twin", "down"),
        ("ridge", "up"),
    ]
    kinds = [action["kind"] for action in about["actions"] if action["kind"] != "applied"]
    assert kinds[-2:] == ["intent", "verified"]


def test_an_approval_has_a_proposal_done_and_observing_is_observing(cut: dict[str, Result]) -> None:
    """Exit codes 0 and 1."""
    assert (cut["approve"].exit_code, cut["approve"].stdout) == (0, "ask/life: approval: accepted\n")
    assert (cut["forbidden"].exit_code, "mode: observe" in cut["forbidden"].stdout) == (1, True)
    assert (cut["dead"].exit_code, "→ twin: refused: twin has failed" in cut["dead"].stdout) == (1, True)


def test_the_audit_has_who_why_and_what_became_of_it(netmon: Netmon, cut: dict[str, Result]) -> None:
    """Oldest first, for people and for programs."""
    told = [
        json.loads(line) for line in run(netmon, "failover", "log", "--group", "ask/life", "--json").stdout.splitlines()
    ]
    shown = run(netmon, "failover", "log", "-n", "500").stdout

    kinds = [each["kind"] for each in told if each["kind"] not in {"applied", "page"}]
    assert kinds[:4] == ["proposed", "command", "intent", "verified"]
    assert {each["by"] for each in told if each["kind"] == "command"} == {"sato", "root"}
    assert "ask/life  coast → ridge" in shown
    assert "coast is down for" in shown


def test_operators_force_lock_and_freeze(netmon: Netmon, cut: dict[str, Result]) -> None:
    """Each is done at once, stands in the status with who and why, and is taken back."""
    forced = run(netmon, "failover", "force", "gw/life", "ridge", "--why", "works", "--for", "1h", "--by", "sato")
    wait(netmon, "gw/life", "FS", "ridge")
    shown = run(netmon, "failover", "status", "--gateway", "gw", "--class", "life").stdout
    cleared = run(netmon, "failover", "clear", "gw/life", "--why", "done")
    locked = run(netmon, "failover", "lockout", "gw/bulk", "--why", "test")
    wait(netmon, "gw/bulk", "LO", "coast")
    assert run(netmon, "failover", "clear", "gw/bulk", "--why", "done").exit_code == 0
    frozen = run(netmon, "failover", "freeze", "--why", "routers", "--by", "sato")
    wait(netmon, "see/life", "FROZEN", "coast")
    headline = run(netmon, "failover", "status").stdout.splitlines()[0]
    assert run(netmon, "failover", "unfreeze", "--why", "done").exit_code == 0
    for group in GROUPS:
        wait(netmon, group, "NR", "coast")

    assert (forced.exit_code, forced.stdout[:31]) == (0, "gw/life: forced switch → ridge:")
    assert ": forced switch → ridge; sato: works" in shown
    assert (cleared.stdout, locked.stdout[:27]) == ("gw/life: clear: accepted\n", "gw/bulk: lockout: accepted,")
    assert (frozen.stdout, "frozen until it is lifted by sato: routers" in headline) == (
        "region: freeze: accepted, until it is lifted\n",
        True,
    )


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("force", "gw/lief", "ridge", "--why", "x"), 2, "GROUP: found 'gw/lief'; did you mean gw/life?"),
        (("manual", "gw/life", "rigde", "--why", "x"), 2, "LINE: found 'rigde'; did you mean ridge?"),
        (("clear", "gw/life", "--why", " "), 2, "--why: found nothing; expected the reason"),
        (("status", "--area", "b", "--phase", "SHED"), 2, "--phase: found 'SHED'; expected one of NR, SF_PENDING"),
        (("freeze", "--why", "x", "--for", "1h", "--until", "17:00"), 2, "--for, --until: found both"),
        (("approve", "gw/life", "--why", "x"), 1, "gw/life: no proposal waits for approval"),
        (
            ("force", "gw/life", "ridge", "--why", "x", "--for", "60d"),
            2,
            "--for: found '60d'; expected no more than 31",
        ),
        (("lockout", "gw/life", "--why", "x", "--for", "soon"), 2, "--for: found 'soon'; expected a duration"),
        (("log", "--group", "gw/lief"), 2, "--group: found 'gw/lief'; did you mean gw/life?"),
        (("unfreeze", "--why", "x", "--lang", "ja"), 1, "全域: 凍結解除: 拒否: 凍結されていません"),
        (("explain", "gw/lief"), 2, "did you mean gw/life?"),
    ],
)
def test_what_cannot_be_meant_is_told_with_what_could(
    netmon: Netmon, words: tuple[str, ...], code: int, told: str
) -> None:
    """Exit code 2: usage; 1: there is nothing to be done."""
    found = run(netmon, "failover", *words)

    assert (found.exit_code, told in found.output) == (code, True)


def test_without_a_controller_a_command_waits_and_the_status_says_so(
    netmon: Netmon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 3; nothing was done, and it is done as soon as one leads again."""
    monkeypatch.setattr(orders, "WAIT_S", 0.05)
    stopped = netmon.signal(signal.SIGSTOP, "failover", None)
    try:
        found = run(netmon, "failover", "exercise", "gw/life", "--why", "x")
        waiting = WaitingView(lanes_of(configuration.load(netmon.config_file))[0].redis).waiting()
    finally:
        os.kill(stopped, signal.SIGCONT)

    undo = "netmon failover clear gw/life --why ... (it is done right behind it)"
    told = f"no controller has answered in 0 s; it waits, and is done when one leads, within a day; to take it back: {undo}\n"
    assert (found.exit_code, found.stderr) == (3, told)
    assert [(each.kind, each.group_id) for each in waiting] == [("exercise", "gw/life")]


def test_plans_and_drills_touch_nothing(netmon: Netmon) -> None:
    """Where a class goes for each failure; what an earthquake would do. They need no gateway, and no controller."""
    plan = run(netmon, "plan", "show", "gw")
    drill = run(netmon, "drill", "earthquake", "--area", "a", "--dry-run")
    played = json.loads(
        run(netmon, "drill", "earthquake", "--area", "a", "--simulate", "--repair", "5m", "--json").stdout
    )
    wrong = run(netmon, "drill", "earthquake", "--area", "b", "--risk-group", "dukt")

    assert (plan.exit_code, drill.exit_code, wrong.exit_code) == (0, 0, 2)
    assert "coast, twin" in plan.stdout
    assert drill.stdout.splitlines()[0] == "A drill, nothing is touched. Earthquake in East: 2 lines down (duct)"
    assert [(each["group_id"], each["on"]) for each in played["stranded"]] == [("gw/bulk", "coast")]
    assert played["cut_off"] == {"cameras": ["gw/bulk"], "sirens": ["s"]}
    assert {move["group_id"] for move in played["moves"]} == {"gw/life", "ask/life", "see/life"}
    assert played["rest_s"] > 300
    assert wrong.stderr.splitlines() == [
        "--area: found 'b'; expected one of a",
        "--risk-group: found 'dukt'; did you mean duct?",
    ]


def test_keys_are_made_once_and_nobody_else_reads_them(tmp_path: Path) -> None:
    """Never written over: gateways obey the old one."""
    words = ("failover", "keys", "--directory", str(tmp_path))
    missing = CliRunner().invoke(build(words), ["failover", "keys", "--directory", str(tmp_path / "k")])
    assert (missing.exit_code, "is no folder; make it first" in missing.output) == (2, True)
    invoke: Callable[[], Result] = lambda: CliRunner().invoke(build(words), list(words))  # noqa: E731
    made, again = invoke(), invoke()

    assert (made.exit_code, again.exit_code) == (0, 2)
    assert stat.S_IMODE((tmp_path / "failover.key").stat().st_mode) == 0o600
    assert (tmp_path / "failover.pub").read_text().strip() != (tmp_path / "failover.key").read_text().strip()
    assert "is there already" in again.output
