"""`netmon mib` as a person uses it, and what follows from it for the traps: names that come and go with a catalogue."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.integration.harness import REPOSITORY, Netmon
from tests.integration.harness import quick as in_process

SIREN = """
SIREN-MIB DEFINITIONS ::= BEGIN
IMPORTS OBJECT-TYPE, NOTIFICATION-TYPE, MODULE-IDENTITY, enterprises FROM SNMPv2-SMI;
siren MODULE-IDENTITY LAST-UPDATED "202601010000Z" ORGANIZATION "" CONTACT-INFO "" DESCRIPTION ""
    ::= { enterprises 424242 }
sirenBattery OBJECT-TYPE SYNTAX INTEGER { full(1), low(2) } UNITS "state" MAX-ACCESS read-only STATUS current
    DESCRIPTION "" ::= { siren 1 }
sirenBatteryLow NOTIFICATION-TYPE OBJECTS { sirenBattery } STATUS current DESCRIPTION "" ::= { siren 0 1 }
END
"""
BATTERY_OID = "1.3.6.1.4.1.424242.1.0"


def mib(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `netmon mib` in this folder, where there is no configuration."""
    environ = {name: value for name, value in os.environ.items() if name != "NETMON_CONFIG"}
    return subprocess.run(
        [sys.executable, "-m", "netmon", "mib", *arguments],
        cwd=folder,
        env={**environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def quick(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same in this process."""
    with contextlib.chdir(folder):
        return in_process("mib", *arguments, environ={"NETMON_CONFIG": None, "COLUMNS": "200"})


def test_a_vendors_folder_becomes_a_catalogue(tmp_path: Path) -> None:
    """A table of what was found, and what to do next; then it can be asked."""
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "siren.my").write_text(SIREN)
    (tmp_path / "vendor" / "readme.html").write_text("<html>")
    found = mib(tmp_path, "compile", "vendor", "-o", "vendor.cat")
    rows = [[cell.strip() for cell in line.split("│")[1:3]] for line in found.stdout.splitlines() if "│" in line]
    assert (found.returncode, found.stderr) == (0, "")
    assert rows == [
        ["modules", "1"],
        ["notifications", "1"],
        ["objects", "1"],
        ["files without a module", "1"],
        ["problems", "0"],
    ]
    assert "mibs.catalogues" in found.stdout
    shown = mib(tmp_path, "show", "--catalogue", "vendor.cat", BATTERY_OID)
    assert (shown.returncode, shown.stdout.splitlines()) == (
        0,
        [
            "SIREN-MIB::sirenBattery.0",
            f"  oid      {BATTERY_OID}",
            "  kind     scalar",
            "  syntax   INTEGER",
            "  values   full(1), low(2)",
            "  unit     state",
            "  from     vendor.cat",
        ],
    )


def test_modules_are_listed_and_shown(tmp_path: Path) -> None:
    """What is there at all, before one asks for a name; a module that only has types is no mistake."""
    (tmp_path / "siren.my").write_text(SIREN)
    assert quick(tmp_path, "compile", "siren.my", "-o", "vendor.cat").returncode == 0
    listed = quick(tmp_path, "list", "--catalogue", "vendor.cat", "--json").stdout.splitlines()
    modules = {each["module"]: each for each in map(json.loads, listed)}
    assert modules["SIREN-MIB"] == {
        "module": "SIREN-MIB",
        "notifications": 1,
        "objects": 1,
        "catalogue": "vendor.cat",
    }
    assert Path(modules["IF-MIB"]["catalogue"]).name == "ietf.cat"
    text = quick(tmp_path, "list").stdout.splitlines()
    assert (len(text), text[-1].partition(";")[0]) == (len(modules) + 1, f"{len(modules) - 1} modules")
    assert quick(tmp_path, "show", "SIREN-MIB", "--catalogue", "vendor.cat").stdout.splitlines() == [
        "SIREN-MIB  from vendor.cat",
        "  notification  sirenBatteryLow  1.3.6.1.4.1.424242.0.1  sirenBattery",
        "  scalar        sirenBattery     1.3.6.1.4.1.424242.1",
    ]
    only_types = quick(tmp_path, "show", "INET-ADDRESS-MIB")
    assert (only_types.returncode, "defines types" in only_types.stdout) == (0, True)


def test_what_the_documents_say_of_the_shipped_modules_is_so(tmp_path: Path) -> None:
    """Their number, those that are named as shipped, and those that are named as missing."""
    modules = {json.loads(line)["module"] for line in quick(tmp_path, "list", "--json").stdout.splitlines()}
    for name in ("configuration", "operations", "architecture"):
        text = (REPOSITORY / "docs" / f"{name}.md").read_text()
        assert set(re.findall(r"(\d+) modules", text)) == {str(len(modules))}, name
    named = ["SNMPv2", "IF", "IP", "BRIDGE", "ENTITY", "HOST-RESOURCES", "RMON", "BGP4", "OSPF", "ISIS", "VRRP", "UPS"]
    assert {f"{name}-MIB" for name in named} <= modules
    missing = ("LLDP", "IEEE802", "IEEE8021", "MAU", "RSTP", "TCP", "UDP", "PIM")
    assert [module for module in modules if module.partition("-")[0] in missing] == []


def test_problems_are_told_and_nothing_is_written_unless_it_is_wanted(tmp_path: Path) -> None:
    """File and line on standard error, exit code 1; what is well is written with --keep-going, and only then."""
    (tmp_path / "good.my").write_text(SIREN)
    (tmp_path / "bad.my").write_text("BAD-MIB DEFINITIONS ::= BEGIN\n\nx OBJECT IDENTIFIER ::= { lost 1 }\nEND\n")
    message = "bad.my:3: lost is neither defined nor imported; add it to IMPORTS, or correct its name"
    found = quick(tmp_path, "compile", "good.my", "bad.my")
    assert (found.returncode, found.stderr.splitlines()[0]) == (1, message)
    assert not (tmp_path / "mibs.cat").exists()
    found = quick(tmp_path, "compile", "good.my", "bad.my", "--keep-going", "--json")
    assert (found.returncode, found.stderr) == (1, "")
    assert json.loads(found.stdout) == {
        "file": "mibs.cat",
        "modules": ["SIREN-MIB"],
        "notifications": 1,
        "objects": 1,
        "files_ignored": 0,
        "problems": [{"file": "bad.my", "line": 3, "module": "BAD-MIB", "text": message.partition(": ")[2]}],
    }
    assert quick(tmp_path, "show", "sirenBattery").returncode == 1
    assert quick(tmp_path, "show", "sirenBattery", "--catalogue", "mibs.cat", "--json").stdout.count("\n") == 1


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    """A path that is not there, a folder without modules, a place that cannot be written to, a broken catalogue."""
    (tmp_path / "siren.my").write_text(SIREN)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.cat").write_text("")
    for arguments, code, expected in (
        (["compile", "none"], 2, "none: No such file or directory"),
        (["compile", "empty"], 1, "Nothing was written: there is no module that can be compiled."),
        (["compile", "siren.my", "-o", "empty/none/x.cat"], 2, "empty/none/x.cat cannot be written: No such file"),
        (["show", "x", "--catalogue", "broken.cat"], 2, "broken.cat is no catalogue that can be used"),
        (["show", "noSuchName"], 1, "noSuchName is in no catalogue"),
    ):
        found = quick(tmp_path, *arguments)
        assert (found.returncode, expected in found.stderr, "Traceback" in found.stderr) == (code, True, False), found
    assert sorted(each.name for each in tmp_path.iterdir()) == ["broken.cat", "empty", "siren.my"]


def send_battery(netmon: Netmon, tool: str, value: int) -> None:
    """One real trap of the siren."""
    arguments = ["-v2c", "-c", "public", f"127.0.0.1:{netmon.port}", "12345", "1.3.6.1.4.1.424242.0.1"]
    subprocess.run([tool, *arguments, BATTERY_OID, "i", str(value)], check=True, timeout=10)


def reload(netmon: Netmon) -> None:
    """SIGHUP, and wait until all roles have been restarted with it."""
    before = len(netmon.events("supervisor.configuration_applied"))
    netmon.signal(signal.SIGHUP)
    netmon.wait_until(lambda: len(netmon.events("supervisor.configuration_applied")) > before, what="is reloaded")


def newest(netmon: Netmon) -> dict[str, object]:
    """The last trap of the stream."""
    shown = netmon.command_line("traps", "--json", "-n", "1")
    found: dict[str, object] = json.loads(shown.stdout)
    return found


def test_a_catalogue_made_again_is_in_force_after_a_reload(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """Names come with the catalogue; a broken one costs the names, is logged and found by `check`, and no trap is lost."""
    tool = require_tool("snmptrap")
    catalogue = tmp_path / "vendor.cat"
    (tmp_path / "siren.my").write_text(SIREN)
    assert mib(tmp_path, "compile", "siren.my", "-o", "vendor.cat").returncode == 0
    with Netmon(tmp_path, {"mibs": {"catalogues": [str(catalogue)]}}) as netmon:
        send_battery(netmon, tool, 2)
        netmon.wait_settled(captured=1)
        found = newest(netmon)
        assert found["name"] == "sirenBatteryLow"
        assert found["varbinds"] == [
            {
                "oid": BATTERY_OID,
                "type": "Integer32",
                "value": 2,
                "name": "sirenBattery.0",
                "label": "low",
                "unit": "state",
            }
        ]
        assert "sirenBatteryLow  sirenBattery.0=low(2) state" in netmon.command_line("traps", "-n", "1").stdout
        (tmp_path / "siren.my").write_text(SIREN.replace("low(2)", "empty(2)"))
        assert mib(tmp_path, "compile", "siren.my", "-o", "vendor.cat").returncode == 0
        reload(netmon)
        send_battery(netmon, tool, 2)
        netmon.wait_settled(captured=2)
        assert "sirenBattery.0=empty(2)" in netmon.command_line("traps", "-n", "1").stdout
        catalogue.write_bytes(b"damaged")
        checked = netmon.command_line("check")
        assert (checked.returncode, "mibs.catalogues[0]: " in checked.stderr) == (2, True)
        reload(netmon)
        send_battery(netmon, tool, 2)
        netmon.wait_settled(captured=3)
        found = newest(netmon)
        assert ("name" in found, found["trap_oid"]) == (False, "1.3.6.1.4.1.424242.0.1")
        assert "names.catalogue_refused" in netmon.log_file.read_text("utf-8")
