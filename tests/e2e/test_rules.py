"""`netmon rules` as a person uses it: without a configuration, with rules of one's own, and on what was received."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec

from netmon.alarms.rules.examples import Sent, event_of
from netmon.alarms.rules.unmatched import UnmatchedTable
from netmon.buffer.alarm_store import META
from tests.integration.harness import REPOSITORY
from tests.integration.valkey import Valkey

OWN = """
rules:
  - id: siren-low
    trap: 1.3.6.1.4.1.424242.0.1
    resource: device
    raises: siren-low
    severity: minor
    event_type: equipmentAlarm
    probable_cause: low_battery_threshold
    text: {en: "{device} is low", ja: "{device}"}
    examples:
      - expect: {severity: major}
  - {id: siren-well, trap: 1.3.6.1.4.1.424242.0.2, resource: device, clears: siren-low}
"""


def rules(folder: Path, *arguments: str, standard_input: str = "") -> subprocess.CompletedProcess[str]:
    """Run `netmon rules` in this folder."""
    environ = {name: value for name, value in os.environ.items() if name != "NETMON_CONFIG"}
    return subprocess.run(
        [sys.executable, "-m", "netmon", "rules", *arguments],
        cwd=folder,
        env={**environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200", "TZ": "UTC"},
        input=standard_input,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_standard_rules_are_tested_and_listed_without_a_configuration(tmp_path: Path) -> None:
    """All true; each with the file and line that it stands in."""
    tested, listed = rules(tmp_path, "test"), rules(tmp_path, "list", "--json")
    lines = [json.loads(line) for line in listed.stdout.splitlines()]

    assert (tested.returncode, tested.stderr) == (0, "")
    assert tested.stdout.splitlines()[-1].endswith("examples, 0 not true, 0 rules without an example")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert {"id", "trap_oids", "alarm_type", "file", "line"} - lines[0].keys() == set()


def test_an_example_that_is_not_true_is_told(tmp_path: Path) -> None:
    """File and line on standard error, exit code 1; a rule without an example is named."""
    (tmp_path / "own.yml").write_text(OWN)
    found = rules(tmp_path, "test", "own.yml")
    as_json = rules(tmp_path, "test", "own.yml", "--json")

    assert (found.returncode, found.stderr.splitlines()) == (
        1,
        ["own.yml:12: siren-low: severity: found 'minor'; expected 'major'"],
    )
    assert found.stdout.splitlines()[-2:] == [
        "2 rules, 1 examples, 1 not true, 1 rules without an example",
        "own.yml:13: siren-well: no example; write one under `examples:`",
    ]
    assert [json.loads(line) for line in as_json.stdout.splitlines()] == [
        {
            "rule_id": "siren-low",
            "file": "own.yml",
            "line": 12,
            "failures": ["severity: found 'minor'; expected 'major'"],
        },
        {"rule_id": "siren-well", "failures": [], "example": False},
    ]


def test_mistakes_are_told_all_at_once(tmp_path: Path) -> None:
    """Exit code 2, as for any other file that cannot be used."""
    (tmp_path / "own.yml").write_text(OWN.replace("minor", "huge").replace("clears", "cleans"))
    found = rules(tmp_path, "test", "own.yml")

    assert found.returncode == 2
    assert [line.partition(": ")[0] for line in found.stderr.splitlines()] == ["own.yml:7", "own.yml:13", "own.yml:13"]


def test_what_was_received_is_tried_on_the_rules(tmp_path: Path) -> None:
    """What `netmon traps --json` prints; exit code 1 when no rule knows one of them."""
    down = msgspec.json.encode(event_of(Sent(trap_oid="1.3.6.1.6.3.1.1.5.3", name="linkDown"))).decode()
    strange = msgspec.json.encode(event_of(Sent(trap_oid="1.3.6.1.4.1.424242.0.9"))).decode()
    known = rules(tmp_path, "match", standard_input=f"{down}\n")
    both = rules(tmp_path, "match", "--json", standard_input=f"{down}\n{strange}\n")
    wrong = rules(tmp_path, "match", standard_input=f"{down}\nno notification\n")

    assert (known.returncode, known.stdout.splitlines()[:3]) == (
        0,
        [
            "linkDown from 192.0.2.1: link-down-elsewhere",
            "  raises   link-down minor",
            "  resource source/192.0.2.1",
        ],
    )
    assert both.returncode == 1
    assert [json.loads(line)["rules"] for line in both.stdout.splitlines()] == [["link-down-elsewhere"], []]
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("standard input:2: no notification: ")


def test_what_no_rule_knows_is_shown(tmp_path: Path) -> None:
    """From what the worker keeps beside the alarms; nothing known is exit code 0."""
    table = UnmatchedTable()
    for _ in range(3):
        table.add(event_of(Sent(trap_oid="1.3.6.1.4.1.424242.0.9", name="sirenTest"), 1_767_268_800_000_000_000))
    with Valkey(tmp_path / "valkey") as server:
        (tmp_path / "netmon.yml").write_text(f"data_dir: {tmp_path}\nredis: {{url: '{server.url}'}}\n")
        nothing = rules(tmp_path, "unmatched", "-c", "netmon.yml")
        client = server.client()
        client.hset(META, "unmatched", msgspec.json.encode(table.report()))
        client.close()
        found = rules(tmp_path, "unmatched", "-c", "netmon.yml")

    assert (nothing.returncode, nothing.stdout.splitlines()) == (
        0,
        ["0 notifications that no rule knows; docs/alarms.md tells how to write one"],
    )
    assert found.returncode == 1
    assert found.stdout.splitlines()[1].split() == [
        "sirenTest",
        "1.3.6.1.4.1.424242.0.9",
        "3",
        "192.0.2.1",
        "2026-01-01",
        "12:00:00+00:00",
    ]
