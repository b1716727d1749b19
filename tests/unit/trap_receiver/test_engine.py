"""Our engine's ID and boots: made once, counted up, never back, whatever happens to the file."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from netmon.model import Engine
from netmon.trap_receiver import engine

MINUTE_NS = 60_000_000_000


def boots(found: Engine) -> int:
    """snmpEngineBoots now."""
    return found.boots_first + len(found.starts_unix_ns) - 1


def test_the_id_is_made_once_in_the_format_of_rfc_3411(tmp_path: Path) -> None:
    """First bit set, fifth octet 5, 17 octets of which 12 are random; another receiver gets another one."""
    first = engine.start(tmp_path / "trap1", None, 1_000)
    second = engine.start(tmp_path / "trap1", None, 2_000)
    other = engine.start(tmp_path / "trap2", None, 1_000)

    octets = bytes.fromhex(first.engine_id)
    assert (octets[0] & 0x80, octets[4], len(octets)) == (0x80, 5, 17)
    assert (second.engine_id, boots(first), boots(second)) == (first.engine_id, 1, 2)
    assert second.starts_unix_ns == (1_000, 2_000)
    assert other.engine_id != first.engine_id


def test_the_file_is_for_netmon_alone(tmp_path: Path) -> None:
    """Whoever knows boots and time of an engine is half way to a replay."""
    engine.start(tmp_path, None)

    assert stat.S_IMODE((tmp_path / engine.FILE).stat().st_mode) == 0o600


def test_only_the_last_starts_are_kept_and_the_count_goes_on(tmp_path: Path) -> None:
    """A receiver that restarts every minute for years has a small file."""
    for now in range(1, 201):
        found = engine.start(tmp_path, None, now)

    assert (len(found.starts_unix_ns), boots(found)) == (engine.STARTS_MAX, 200)
    assert (found.starts_unix_ns[0], found.boots_first) == (137, 137)


def test_a_clock_that_was_set_back_does_not_take_a_boot_back(tmp_path: Path) -> None:
    """Starts that lie in the future are forgotten; their number is not."""
    for now in (100, 200, 300):
        engine.start(tmp_path, None, now)

    found = engine.start(tmp_path, None, 150)

    assert (boots(found), found.starts_unix_ns) == (4, (100, 150))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"engine_id": "80"}', "\xff\x00"])
def test_a_broken_file_is_set_aside_and_the_engine_is_another(tmp_path: Path, text: str) -> None:
    """Never the same ID with a smaller count: devices would distrust it for good."""
    before = engine.start(tmp_path, None, 5_000_000)
    (tmp_path / engine.FILE).write_bytes(text.encode("latin-1"))

    after = engine.start(tmp_path, None, 7_000_000)

    assert (after.engine_id != before.engine_id, boots(after)) == (True, 1)
    assert (tmp_path / "engine.json.broken-7").read_bytes() == text.encode("latin-1")
    assert engine.start(tmp_path, None, 8_000_000).engine_id == after.engine_id


def test_a_configured_id_is_taken_with_more_boots_than_anybody_counted(tmp_path: Path) -> None:
    """It may come from another receiver, whose count we do not know."""
    now = 1_700_000_000_000_000_000
    first = engine.start(tmp_path, "80000000050102", now)
    again = engine.start(tmp_path, "80000000050102", now + MINUTE_NS)

    assert (first.engine_id, boots(first)) == ("80000000050102", now // MINUTE_NS)
    assert (again.engine_id, boots(again)) == ("80000000050102", now // MINUTE_NS + 1)


def test_a_configured_id_survives_a_broken_file(tmp_path: Path) -> None:
    """It cannot be changed, so its count has to be above what it may have been."""
    now = 1_700_000_000_000_000_000
    engine.start(tmp_path, "80000000050102", now)
    (tmp_path / engine.FILE).write_text("{")

    found = engine.start(tmp_path, "80000000050102", now + 3 * MINUTE_NS)

    assert boots(found) > now // MINUTE_NS


def test_an_id_that_was_configured_is_kept_when_it_no_longer_is(tmp_path: Path) -> None:
    """Devices know it by now."""
    engine.start(tmp_path, "80000000050102", 1_700_000_000_000_000_000)

    assert engine.start(tmp_path, None).engine_id == "80000000050102"


@pytest.mark.parametrize("used", [0, 1])
def test_used_up_boots_make_another_engine(tmp_path: Path, used: int) -> None:
    """RFC 3414 section 2.2.3: at the highest count, every message would be refused."""
    engine.start(tmp_path, None, 1)
    kept = json.loads((tmp_path / engine.FILE).read_text())
    (tmp_path / engine.FILE).write_text(json.dumps(kept | {"boots_first": engine.BOOTS_MAX - used}))

    found = engine.start(tmp_path, None, 2)

    assert (found.engine_id != kept["engine_id"], boots(found)) == (True, 1)


def test_what_cannot_be_kept_is_not_used_again(tmp_path: Path) -> None:
    """No folder can be made where a file is: the receiver works all the same, under an ID of its own each time."""
    (tmp_path / "trap1").write_text("no folder")

    first, second = (engine.start(tmp_path / "trap1", None, now) for now in (1, 2))

    assert (first.engine_id != second.engine_id, boots(first), boots(second)) == (True, 1, 1)


def test_roles_that_start_by_themselves_agree(tmp_path: Path) -> None:
    """The first one since the machine's start counts; a restart of one must not make the others wrong."""
    first = engine.join(tmp_path, None, 1)

    assert [engine.join(tmp_path, None, now) for now in (2, 3)] == [first, first]


def test_roles_that_start_by_themselves_count_the_starts_of_the_machine(tmp_path: Path) -> None:
    """Its clock may have stood still meanwhile."""
    first = engine.join(tmp_path, None, 1)
    kept = json.loads((tmp_path / engine.FILE).read_text())
    (tmp_path / engine.FILE).write_text(json.dumps(kept | {"machine_boot": "another"}))

    second = engine.join(tmp_path, None, 2)

    assert (second.engine_id, boots(second)) == (first.engine_id, 2)
