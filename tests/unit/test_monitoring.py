"""The files for Prometheus, Alertmanager and Grafana: complete, consistent with each other and with the documents."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import yaml

from netmon.status.metrics import DECLARED

REPOSITORY = Path(__file__).resolve().parents[2]
PROMETHEUS = REPOSITORY / "config" / "prometheus"
ALERTMANAGER = REPOSITORY / "config" / "alertmanager" / "alertmanager.yml"
GRAFANA = REPOSITORY / "config" / "grafana"
BOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
SEVERITIES = {"critical", "warning", "info", "none"}
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


def rules(kind: str) -> list[dict[str, Any]]:
    """All rules of a kind: `record` or `alert`."""
    fast = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    files = [yaml.load(file.read_text(encoding="utf-8"), fast) for file in sorted(PROMETHEUS.glob("netmon.*.yml"))]
    return [rule for file in files for group in file.get("groups", []) for rule in group["rules"] if kind in rule]


def board(file: Path) -> dict[str, Any]:
    """A board as it is provisioned."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def anchors(document: Path) -> set[str]:
    """What links into a document can name, as GitHub makes it of headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def generator() -> ModuleType:
    """config/grafana/boards.py, without leaving compiled code in that folder."""
    spec = importlib.util.spec_from_file_location("boards", GRAFANA / "boards.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


# --- Prometheus.


@pytest.mark.parametrize("rule", rules("alert"), ids=lambda rule: rule["alert"])
def test_every_alert_says_what_it_means_and_what_to_do(rule: dict[str, Any]) -> None:
    """CamelCase, a severity, a sentence in both languages, and a chapter of its own in the operator's document."""
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert re.fullmatch(r"Netmon([A-Z][a-z]+)+", rule["alert"])
    assert rule["labels"]["severity"] in SEVERITIES
    assert rule["annotations"]["summary"]
    assert JAPANESE.search(rule["annotations"]["summary_ja"])
    assert anchor == rule["alert"].lower()
    assert anchor in anchors(REPOSITORY / path)


@pytest.mark.parametrize("rule", rules("record"), ids=lambda rule: rule["record"])
def test_recording_rules_are_named_level_metric_operation(rule: dict[str, Any]) -> None:
    """And the metric is one of ours, perhaps with its ending changed by what was done to it."""
    level, metric, operation = rule["record"].split(":")
    assert re.fullmatch(r"[a-z]+", level)
    assert re.fullmatch(r"[a-z0-9_]+", operation)
    names = [declared.name for declared in DECLARED]
    derived = {
        "netmon_trap_stored",
        "netmon_trap_missing",
        "netmon_journal_backlog",
        "netmon_northbound_silence_seconds",
    }
    assert (
        metric in derived or any(name.startswith(metric) for name in names) or metric == "netmon_journal_backlog_bytes"
    )


def test_every_alert_is_tested() -> None:
    """Each fires in one of promtool's tests."""
    text = (PROMETHEUS / "netmon.test.yml").read_text(encoding="utf-8")
    assert [rule["alert"] for rule in rules("alert") if f'"{rule["alert"]}"' not in text] == []


@pytest.mark.parametrize(
    "command",
    [
        ("promtool", "check", "config", "prometheus.yml"),
        ("promtool", "test", "rules", "netmon.test.yml"),
        ("amtool", "check-config", str(ALERTMANAGER)),
    ],
    ids=lambda command: " ".join(command[:3]),
)
def test_the_makers_tools_have_nothing_to_say(command: tuple[str, ...], require_tool: Callable[[str], str]) -> None:
    """promtool and amtool check syntax, types and our own examples."""
    program = require_tool(command[0])
    run = subprocess.run([program, *command[1:]], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_alerts_that_inhibit_exist() -> None:
    """An inhibition that names nobody inhibits nobody."""
    names = {rule["alert"] for rule in rules("alert")}
    text = ALERTMANAGER.read_text(encoding="utf-8")
    assert set(re.findall(r"\bNetmon\w+(?=\")", text)) - names == set()
    inner = [part for group in re.findall(r"Netmon\(([\w|]+)\)", text) for part in group.split("|")]
    assert {f"Netmon{part}" for part in inner} - names == set()


# --- Grafana.


def test_boards_are_what_their_description_makes() -> None:
    """Whoever changes one changes boards.py."""
    module = generator()
    made = {f"{one['uid']}.json": module.text_of(one) for one in module.BOARDS}
    assert {file.name: file.read_text(encoding="utf-8") for file in BOARDS} == made


@pytest.mark.parametrize("file", BOARDS, ids=lambda file: file.stem)
def test_boards_provision_as_they_are(file: Path) -> None:
    """No inputs, which provisioning ignores; no ID; a fixed UID; the datasource by a variable; every panel described."""
    found = board(file)
    assert ("__inputs" in found, found["id"], found["uid"]) == (False, None, file.stem)
    assert found["templating"]["list"][0]["name"] == "datasource"
    panels = [panel for panel in found["panels"] if panel["type"] != "row"]
    assert [panel["title"] for panel in panels if not panel.get("description", "").endswith(".")] == []
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}
    assert {target["datasource"]["uid"] for panel in panels for target in panel["targets"]} == {"${datasource}"}
    ids = [panel["id"] for panel in found["panels"]]
    assert len(ids) == len(set(ids))
    assert JAPANESE.search(found["title"])


@pytest.mark.parametrize("file", BOARDS, ids=lambda file: file.stem)
def test_panels_do_not_lie_on_each_other(file: Path) -> None:
    """Nor beyond the 24 columns."""
    taken: set[tuple[int, int]] = set()
    for panel in board(file)["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


@pytest.mark.parametrize("file", BOARDS, ids=lambda file: file.stem)
def test_boards_follow_grafanas_schema(file: Path, sample_data: Path) -> None:
    """The schema that Grafana's own libraries are made from."""
    schema_file = sample_data / "grafana" / "dashboard.jsonschema.json"
    if not schema_file.exists():
        pytest.skip(f"no schema in {schema_file.parent}")
    schema = json.loads(schema_file.read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(board(file))] == []
