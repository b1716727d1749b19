"""`netmon rehearse`: which lines fail, as a file that is never there in part."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from netmon.active_probe.rehearsed import Fault
from netmon.cli.main import build
from netmon.cli.probing import changed, read_faults, write_faults
from netmon.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Of a rehearsal of the sample region."""
    file = tmp_path / "netmon.yml"
    region = REPOSITORY / "config" / "region.example.yml"
    file.write_text(f"data_dir: var\nregion: {{file: {region}}}\nprobe: {{rehearsal: true}}\n")
    return file


def rehearse(config: Path, *words: str) -> tuple[int, list[str]]:
    """Exit code and what was said."""
    result = CliRunner().invoke(build(["rehearse"]), ["rehearse", *words, "-c", str(config)])
    return result.exit_code, result.output.splitlines()


def test_faults_add_up_until_they_are_mended() -> None:
    """Others keep theirs; a line without faults is not in the file."""
    cut = changed({}, ["a", "b"], {"cut": True}, mend=False)
    slow = changed(cut, ["a"], {"delay_s": 0.3}, mend=False)

    assert slow == {"a": Fault(cut=True, delay_s=0.3), "b": Fault(cut=True)}
    assert changed(slow, ["a"], {"loss": 0.1}, mend=True) == {"a": Fault(loss=0.1), "b": Fault(cut=True)}
    assert changed(slow, ["a", "b"], {}, mend=True) == {}


def test_what_was_asked_for_stands_in_the_file(config: Path) -> None:
    """And is shown when nothing is asked for."""
    assert rehearse(config) == (0, ["no line of the rehearsal fails"])
    assert rehearse(config, "fibre-coast", "--cut") == (0, ["fibre-coast: cut"])
    assert rehearse(config, "5g-port", "--loss", "25%", "--delay", "300ms", "--one-way") == (
        0,
        ["5g-port: one way only, loses 25%, 0.3 s more"],
    )
    assert read_faults(config.parent / "var" / "rehearsal.json") == {
        "fibre-coast": Fault(cut=True),
        "5g-port": Fault(one_way=True, loss=0.25, delay_s=0.3),
    }
    assert rehearse(config, "--json")[1] == [
        '{"line":"fibre-coast","cut":true}',
        '{"line":"5g-port","one_way":true,"loss":0.25,"delay_s":0.3}',
    ]
    assert rehearse(config, "5g-port", "--mend") == (0, ["no line of the rehearsal fails"])
    assert rehearse(config, "--mend") == (0, ["no line of the rehearsal fails"])
    assert [path.name for path in (config.parent / "var").iterdir()] == ["rehearsal.json"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fibre-cost", "--cut"], "fibre-cost: there is no such line; did you mean fibre-coast?"),
        (["--cut"], "whose fault? expected LINE, such as netmon rehearse fibre-coast --cut"),
        (["fibre-coast", "--loss", "101"], "--loss: found '101'; expected percent, 0 to 100"),
        (["fibre-coast", "--loss", "nan"], "--loss: found 'nan'; expected percent, 0 to 100"),
        (["fibre-coast", "--delay", "soon"], "--delay: found 'soon'; expected a time, such as 500ms, 2s or 1m"),
        (["fibre-coast", "--delay", "1m"], "--delay: found 1m; expected at most 30s"),
    ],
)
def test_what_cannot_be_played_is_refused(config: Path, words: list[str], said: str) -> None:
    """Exit code 2, and the file is as it was."""
    assert rehearse(config, *words) == (2, [said])
    assert not (config.parent / "var").exists()


def test_the_real_lines_cannot_be_cut(config: Path) -> None:
    """Nobody is to believe that a rehearsal is on when it is not."""
    config.write_text(config.read_text().replace("rehearsal: true", "rehearsal: false"))

    code, said = rehearse(config, "fibre-coast", "--cut")

    assert (code, said[0].partition(".")[0]) == (2, "probe")


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    """Somebody has edited it."""
    (tmp_path / "rehearsal.json").write_text("{")
    with pytest.raises(ConfigError, match="is not what netmon has written"):
        read_faults(tmp_path / "rehearsal.json")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_faults(tmp_path / "rehearsal.json" / "x", {})
