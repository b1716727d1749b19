"""`netmon inventory` and `netmon check` of a region, as a person uses them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from geojson_pydantic import FeatureCollection

from tests.integration.harness import REPOSITORY

SAMPLE = "config/sample.yml"
REGION = "config/region.example.yml"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a `netmon` command from the repository's folder."""
    return subprocess.run(
        [sys.executable, "-m", "netmon", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_sample_region_is_right_and_counted() -> None:
    """`netmon inventory check` needs no configuration; `netmon check` reads the region, too."""
    alone, whole = command("inventory", "check", REGION), command("check", "-c", SAMPLE)

    assert (alone.returncode, alone.stdout) == (
        0,
        f"{REGION}: ok. 2 areas, 12 sites, 16 lines (9 probed), 44 devices, 2 vantages\n",
    )
    assert (whole.returncode, whole.stderr) == (0, "")


def test_tables_have_a_line_for_each_thing() -> None:
    """Without a word: areas, sites, lines, devices; with one, that kind alone, in whatever way it is written."""
    everything, groups = (
        command("inventory", "show", "-c", SAMPLE),
        command("inventory", "show", "risk-group", "-c", SAMPLE),
    )

    assert [title in everything.stdout for title in ("2 areas", "12 sites", "16 lines", "44 devices")] == [True] * 4
    assert ("7 risk groups" in groups.stdout, "devices" in groups.stdout) == (True, False)


def test_one_line_is_shown_with_all_that_hangs_on_it() -> None:
    """Ends, sectors, what shares its risk, who depends on it; a name that two kinds have shows both."""
    line = command("inventory", "show", "fibre-school", "-c", SAMPLE).stdout
    both = command("inventory", "show", "radio-ridge", "--json", "-c", SAMPLE).stdout

    shown = {
        words[0]: words[1]
        for words in (row.split("  ", 1) for row in line.replace("\n  ", "\n").splitlines())
        if words[1:]
    }
    assert {word: text.strip() for word, text in shown.items()} == {
        "medium": "fibre",
        "carrier": "michishio",
        "endpoint site": "hall, school",
        "capacity bps": "1Gbps",
        "cost tier": "1",
        "sectors": "shelter, sirens",
        "risk group": "poles-yamate",
        "ports": "sw-hall interface 3, sw-school interface 1",
        "fails with": "fibre-mountain",
        "reached by it alone": "sw-school, wifi-school, siren-school, ups-school",
        "standby": "no",
        "reached by others, too": "rt-hall, sw-hall, leo-terminal-hall, ups-hall",
    }
    assert [json.loads(row)["type"] for row in both.splitlines()] == ["line", "device"]


def test_a_gateway_and_a_class_are_shown_with_how_traffic_is_told_and_moved() -> None:
    """Ports, marks and what is asked, as a person would say them."""
    gateway, traffic = (
        command("inventory", "show", "gw-port", "-c", SAMPLE),
        command("inventory", "show", "life", "-c", SAMPLE),
    )

    assert "  ports     fibre-port by eth1 via 192.0.2.62 and 2001:db8:1::3e; 5g-port by wwan0\n" in gateway.stdout
    assert "  mark           0x10\n" in traffic.stdout
    assert "  verify         stamp 192.0.2.1:862\n" in traffic.stdout


def test_a_name_that_nothing_has_is_told_with_what_may_be_meant() -> None:
    """Exit code 2."""
    found = command("inventory", "show", "fibre-shcool", "-c", SAMPLE)

    assert (found.returncode, found.stdout) == (2, "")
    assert "fibre-shcool: nothing of the region has that name; did you mean fibre-school?" in found.stderr


def test_the_export_is_geojson_in_a_file_and_on_standard_output(tmp_path: Path) -> None:
    """The same both ways; where it cannot be written, that is said."""
    file = tmp_path / "region.geojson"
    written = command("inventory", "export", "--geojson", str(file), "-c", SAMPLE)
    printed = command("inventory", "export", "--geojson", "-", "-c", SAMPLE)
    nowhere = command("inventory", "export", "--geojson", str(tmp_path / "none" / "x"), "-c", SAMPLE)

    assert (written.returncode, written.stdout, file.read_text("utf-8")) == (0, "", printed.stdout)
    assert len(FeatureCollection.model_validate_json(printed.stdout).features) == 33
    assert (nowhere.returncode, "cannot be written: No such file or directory" in nowhere.stderr) == (2, True)


def test_without_a_region_it_is_said_where_one_is() -> None:
    """The shipped configuration names none."""
    found = command("inventory", "show", "-c", "config/netmon.yml")

    assert (found.returncode, REGION in found.stderr) == (2, True)


def test_mistakes_of_configuration_region_and_rules_are_told_at_once(tmp_path: Path) -> None:
    """Each with its own file and line, although the configuration itself is wrong."""
    for name, text in {
        "netmon.yml": "region: {file: region.yml}\nalarms: {rules: [rules.yml]}\njournal: {sync_interval_ms: 0}\n",
        "region.yml": "areas:\n  a: {code: 011002}\nsites:\n  s: {area: b, latitude: 141.0, longitude: 38.3}\n",
        "rules.yml": "rules: 7\n",
    }.items():
        (tmp_path / name).write_text(text)

    found = command("check", "-c", str(tmp_path / "netmon.yml"))
    region = command("inventory", "check", str(tmp_path / "region.yml"), "--json")

    told = [line.removeprefix(f"{tmp_path}/").split(": ")[0] for line in found.stderr.splitlines()]
    assert (found.returncode, sorted(told)) == (
        2,
        ["netmon.yml:3", "region.yml:2", "region.yml:4", "region.yml:4", "rules.yml:1"],
    )
    answer = json.loads(region.stdout)
    assert (region.returncode, len(answer["mistakes"]), answer["warnings"]) == (2, 3, [])
