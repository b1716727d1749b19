"""What a gateway has on its disk: what is written is there again, and what is damaged or somebody else's is as good as missing."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from netmon.failover.agent.held import Kept
from netmon.failover.agent.store import DESIRED_FILE, MEMORY_FILE, PLAN_FILE, Memory, Store
from netmon.failover.model import GroupState
from netmon.failover.plan import sign
from tests.unit.failover.gateways import FIVE_G, GATEWAY, LIFE, desired, plan, wanted

PRIVATE, PUBLIC = sign.generate()
CENTRE = sign.private_key(PRIVATE)
MEMORY = Memory(boot_id="b", fence=7, groups=(Kept(state=GroupState(group_id=LIFE, on=FIVE_G), fence=7, generation=3),))


def store(folder: Path, gateway_id: str = GATEWAY) -> Store:
    """Of another process each time."""
    return Store(folder, gateway_id, sign.public_key(PUBLIC))


def written(folder: Path) -> Store:
    """A store with everything in it."""
    made = store(folder)
    made.keep_signed(PLAN_FILE, sign.sign(plan(), CENTRE))
    made.keep_signed(DESIRED_FILE, sign.sign(desired(wanted(FIVE_G, 3)), CENTRE))
    made.keep(MEMORY)
    return made


def test_what_is_kept_is_there_for_the_next_process_and_for_nobody_else(tmp_path: Path) -> None:
    """Plan, desired state, and where each class stands."""
    written(tmp_path)
    other = store(tmp_path)
    assert (other.plan(), other.desired(), other.memory()) == (plan(), desired(wanted(FIVE_G, 3)), MEMORY)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_nothing_is_there_at_first(tmp_path: Path) -> None:
    """And nothing is made of that."""
    empty = store(tmp_path)
    assert (empty.plan(), empty.desired(), empty.memory()) == (None, None, Memory())


@pytest.mark.parametrize("name", [PLAN_FILE, DESIRED_FILE, MEMORY_FILE])
def test_a_file_that_was_cut_or_changed_counts_as_missing(tmp_path: Path, name: str) -> None:
    """Here and there; the other files are what they were."""
    written(tmp_path)
    whole = (tmp_path / name).read_bytes()
    broken = [whole[:at] for at in range(0, len(whole), 31)]
    broken += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(0, len(whole), 31)]
    for octets in broken:
        (tmp_path / name).write_bytes(octets)
        other = store(tmp_path)
        found = {PLAN_FILE: other.plan(), DESIRED_FILE: other.desired(), MEMORY_FILE: other.memory()}
        whole_ones = {PLAN_FILE: plan(), DESIRED_FILE: desired(wanted(FIVE_G, 3)), MEMORY_FILE: MEMORY}
        assert found == whole_ones | {name: Memory() if name == MEMORY_FILE else None}


def test_what_is_signed_for_another_gateway_or_by_another_key_counts_as_missing(tmp_path: Path) -> None:
    """A disk that was put into another gateway."""
    written(tmp_path)
    assert store(tmp_path, "other").plan() is None
    stranger = sign.private_key(sign.generate()[0])
    store(tmp_path).keep_signed(PLAN_FILE, sign.sign(plan(), stranger))
    assert store(tmp_path).plan() is None


def test_one_kind_does_not_pass_for_another(tmp_path: Path) -> None:
    """However well it is signed."""
    made = written(tmp_path)
    made.keep_signed(PLAN_FILE, (tmp_path / DESIRED_FILE).read_bytes())
    assert store(tmp_path).plan() is None


def test_what_is_on_the_disk_already_is_not_written_again(tmp_path: Path) -> None:
    """Flash wears out."""
    made = written(tmp_path)
    (tmp_path / MEMORY_FILE).unlink()
    made.keep(MEMORY)
    assert not (tmp_path / MEMORY_FILE).exists()


def test_a_disk_that_takes_nothing_is_told_of_and_stops_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Traffic goes before notes."""
    made = store(tmp_path / "gone")
    made.keep(MEMORY)
    assert "agent.file_unwritten" in capsys.readouterr().err
    (tmp_path / "gone").mkdir()
    made.keep(MEMORY)
    assert store(tmp_path / "gone").memory() == MEMORY
