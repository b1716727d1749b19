"""`netmon probe`: each kind of probe asked once, with the way that it took, against real servers in a network namespace."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from loadtest.lab.namespaces import Namespaces, missing
from netmon.cli.main import build
from tests.integration.services import COMMUNITY, Mosquitto, Snmpd

FAR = "10.92.1.2"
PORT = 1883
PINNED = "netns: {netns}, interface: line"
REGION = """
areas: {{a: {{code: "131016"}}}}
carriers: {{c: {{}}}}
sites: {{s: {{area: a, latitude: 35, longitude: 139}}}}
lines:
  good: {{medium: fibre, profile: fast, carrier: c, ends: [s], capacity_bps: 1Mbps, probes: [
    {{stamp: "{far}:8862", {pinned}, expect_interface: line}},
    {{icmp: {far}, {pinned}}},
    {{tcp: "{far}:{port}", {pinned}}},
    {{snmp: {far}, community_file: community, {pinned}}},
    {{mqtt: "mqtt://{far}", {pinned}}}]}}
  bad: {{medium: fibre, carrier: c, ends: [s], capacity_bps: 1Mbps, probes: [
    {{icmp: 10.92.1.77, {pinned}}},
    {{icmp: 192.0.2.1, {pinned}}},
    {{http: "http://{far}:{port}/", {pinned}}},
    {{tcp: "{far}:{port}", interface: no-such-line}}]}}
  gone: {{medium: fibre, carrier: c, ends: [s], capacity_bps: 1Mbps, probes: [{{icmp: {far}, interface: no-such-line}}]}}
  silent: {{medium: fibre, carrier: c, ends: [s], capacity_bps: 1Mbps}}
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a namespace is entered by its path, which takes root")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> Iterator[Path]:
    """A configuration whose lines go through a namespace to another, where the servers are."""
    require_tool("mosquitto")
    require_tool("snmpd")
    if missing():
        pytest.skip(missing())
    folder = tmp_path_factory.mktemp("probe")
    with contextlib.ExitStack() as stack:
        spaces = stack.enter_context(Namespaces())
        near, far = spaces.add("near"), spaces.add("far")
        spaces.link("near", "line", "far", "line")
        near.ip("address add 10.92.1.1/24 dev line")
        far.ip(f"address add {FAR}/24 dev line")
        stack.enter_context(Mosquitto(folder / "mosquitto", PORT, address="0.0.0.0", start=far.start))
        stack.enter_context(Snmpd(folder / "snmpd", 161, address="0.0.0.0", start=far.start))
        reflect = [sys.executable, "-m", "netmon.active_probe.stamp", "--listen", f"{FAR}:8862"]
        far.start(reflect, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        pinned = PINNED.format(netns=near.path)
        (folder / "region.yml").write_text(REGION.format(far=FAR, port=PORT, pinned=pinned))
        (folder / "community").write_text(COMMUNITY)
        (folder / "netmon.yml").write_text("data_dir: var\nregion: {file: region.yml}\n")
        yield folder / "netmon.yml"


def run(config: Path, *words: str) -> Result:
    """The command."""
    return CliRunner().invoke(build(["probe"]), ["probe", *words, "-c", str(config)], env={"COLUMNS": "100"})


def findings(config: Path, *words: str) -> dict[str, dict[str, Any]]:
    """Of JSON, by kind of prober, the newest of each."""
    return {
        each["kind"]: each
        for line in run(config, *words, "--json").stdout.splitlines()
        if (each := msgspec.json.decode(line))
    }


def test_line_that_answers(config: Path) -> None:
    """Exit 0; each probe with its way, and the steps that its kind has."""
    found = findings(config, "good", "--count", "2")

    assert {kind: each["result"] for kind, each in found.items()} == dict.fromkeys(
        ("stamp", "icmp", "tcp", "snmp", "mqtt"), "reply"
    )
    assert {msgspec.json.encode(each["path"]) for each in found.values()} == {
        b'{"interface":"line","source":"10.92.1.1"}'
    }
    assert {kind: (each.get("came_in_by"), each.get("ttl")) for kind, each in found.items()} == {
        "stamp": ("line", 255),
        "icmp": ("line", 64),
        "tcp": (None, None),
        "snmp": (None, None),
        "mqtt": (None, None),
    }
    assert list(found["tcp"]["phases"]) == ["connect"]
    assert list(found["mqtt"]["phases"]) == ["round trip"]
    assert {each["meaning"] for each in found.values()} == {"the line brings it there and back"}


def test_line_that_answers_is_shown(config: Path) -> None:
    """A table for each probe; in Japanese, too."""
    shown = run(config, "good", "--probe", "icmp")
    japanese = run(config, "good", "--probe", f"tcp {FAR}:{PORT}", "--lang", "ja", "-n", "2")

    assert shown.exit_code == 0
    for part in (
        f"good: icmp {FAR}",
        "interface line",
        "out line from 10.92.1.1, to a neighbour",
        "line, TTL 64",
        "reply",
    ):
        assert part in shown.stdout
    assert "往復とも通じています" in japanese.stdout
    assert "2 of 2" in japanese.stdout


def test_line_that_does_not(config: Path) -> None:
    """Exit 1; silence, a missing route, a wrong answer and what could not leave are four things."""
    ran = run(config, "bad", "--json")
    silent, routeless, wrong, gone = (msgspec.json.decode(line) for line in ran.stdout.splitlines())

    assert ran.exit_code == 1
    assert [each["result"] for each in (silent, routeless, wrong, gone)] == ["lost", "lost", "failed", "local_error"]
    assert silent["meaning"].startswith("nobody answered in 2 s")
    assert routeless["path"]["is_guess"] is True
    assert routeless["meaning"].startswith("nobody answered, and no route leads there by this interface")
    assert gone["path"]["error"].startswith("interface no-such-line: there is no interface")


def test_nothing_could_be_made(config: Path) -> None:
    """Exit 3: it says nothing of the line."""
    assert run(config, "gone").exit_code == 3


@pytest.mark.parametrize(
    ("words", "mistake"),
    [
        (["goood"], "goood: there is no such line; did you mean good?"),
        (["xyz"], "xyz: there is no such line; `netmon inventory show lines` lists them"),
        (["silent"], "silent: has no probes, or none from "),
        (
            ["good", "--probe", "icmp 1"],
            f"--probe: icmp 1: good has no such probe; it has stamp {FAR}:8862, icmp {FAR}, ",
        ),
        (["good", "--lang", "fr"], "--lang: found 'fr'; expected ja or en"),
    ],
)
def test_wrong_arguments(config: Path, words: list[str], mistake: str) -> None:
    """Exit 2, with what was meant."""
    ran = run(config, *words)

    assert ran.exit_code == 2
    assert mistake in ran.stderr


def test_agent_has_a_configuration_of_its_own(config: Path) -> None:
    """On its machine there is no other."""
    agent = config.with_name("agent.yml")
    agent.write_text("vantage: there\nregion: {file: region.yml}\nredis: {url: 'redis://192.0.2.9'}\n")

    ran = CliRunner().invoke(build(["probe"]), ["probe", "good", "--probe", "tcp", "--agent", str(agent), "--json"])

    assert (ran.exit_code, msgspec.json.decode(ran.stdout)["result"]) == (0, "reply")
