"""The configuration of a probe agent: the file that is shipped, and what is said about files that are wrong or doubtful."""

from __future__ import annotations

from pathlib import Path

import pytest

from netmon import config
from netmon.config import kinds, probe_agent
from netmon.config import source as config_source
from netmon.errors import ConfigError
from netmon.model import RedisSettings

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = REPOSITORY / "config" / "probe-agent.yml"


def mistakes_in(folder: Path, text: str) -> list[str]:
    """What `load` says about a text, without the file's name."""
    file = folder / "agent.yml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        probe_agent.load(file)
    return [mistake.removeprefix(f"{file}:") for mistake in caught.value.mistakes]


def test_the_file_that_is_shipped_asks_what_the_sample_has_for_its_vantage() -> None:
    """And shows every section."""
    agent = probe_agent.load(SHIPPED)
    told = probe_agent.agent_settings(agent)
    sections = {path[0] for path in config_source.parse(SHIPPED.read_text()).lines if path}

    assert (told.vantage_id, [line.line_id for line in told.lines], len(told.anchors)) == (
        "dc",
        ["fibre-hall-dc", "fibre-mountain"],
        2,
    )
    assert (told.redis, told.directory) == (
        RedisSettings(url="redis://127.0.0.1:6379/0"),
        str(REPOSITORY / "var" / "probe-agent"),
    )
    assert {name.partition(".")[0] for name in kinds.names(probe_agent.Agent)} - sections == set()


def test_what_has_no_default_is_missed(tmp_path: Path) -> None:
    """All at once."""
    assert mistakes_in(tmp_path, "") == [
        "1: redis: missing; expected it, since it has no default",
        "1: region: missing; expected it, since it has no default",
        "1: vantage: missing; expected it, since it has no default",
    ]
    assert mistakes_in(tmp_path, "vantage: a b\nregion: {}\nredis: {}\nprobe: {}\n") == [
        "1: vantage: found 'a b'; expected an ID: 1 to 64 letters, digits, dots, hyphens and underscores",
        "2: region.file: missing; expected it, since it has no default",
        "3: redis: found url: embedded; expected the Redis of the centre, such as rediss://redis.example:6380/0",
        "4: probe: unknown setting; expected one of vantage, data_dir, region, redis, keepalives, log",
    ]


def test_a_vantage_that_nobody_knows_or_that_has_nothing_to_ask_is_told(tmp_path: Path) -> None:
    """With the region's file, for that is where it is put right."""
    text = SHIPPED.read_text().replace("region.example.yml", str(REPOSITORY / "config" / "region.example.yml"))
    for vantage, cure in (("dcc", "did you mean dc?"), ("nowhere", "expected one of centre, dc")):
        (tmp_path / "agent.yml").write_text(text.replace("vantage: dc\n", f"vantage: {vantage}\n"))
        with pytest.raises(ConfigError, match="there is no vantage") as caught:
            probe_agent.agent_settings(probe_agent.load(tmp_path / "agent.yml"))
        assert caught.value.mistakes[0].endswith(cure)

    (tmp_path / "empty.yml").write_text("vantages: {dc: }\n")
    (tmp_path / "agent.yml").write_text(SHIPPED.read_text().replace("region.example.yml", str(tmp_path / "empty.yml")))
    with pytest.raises(ConfigError, match="no line is asked from dc"):
        probe_agent.agent_settings(probe_agent.load(tmp_path / "agent.yml"))


def test_a_password_that_goes_unencrypted_or_lies_open_is_warned_of(tmp_path: Path) -> None:
    """As of netmon itself."""
    (tmp_path / "password").write_text("geheim\n")
    (tmp_path / "password").chmod(0o644)
    (tmp_path / "region.yml").touch()
    (tmp_path / "agent.yml").write_text(
        "{vantage: a, region: {file: region.yml}, redis: {url: 'redis://192.0.2.1', password_file: password}}"
    )
    agent = probe_agent.load(tmp_path / "agent.yml")

    assert config.agent_warnings(agent.redis, agent.keepalives) == [
        "redis.url: sends the password unencrypted; rediss:// would not",
        f"redis.password_file: {tmp_path}/password can be read by every user; chmod 640 would do",
    ]
