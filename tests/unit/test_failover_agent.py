"""The configuration of a gateway's agent: the file that is shipped, and what is said about files that are wrong or doubtful."""

from __future__ import annotations

from pathlib import Path

import pytest

from netmon.config import failover_agent
from netmon.config import source as config_source
from netmon.errors import ConfigError
from netmon.failover.settings import MqttSettings

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = REPOSITORY / "config" / "agent.yml"
KEY = "3f" * 32


def configured(folder: Path, text: str) -> Path:
    """A file with this text, and the centre's key beside it."""
    (folder / "failover.pub").write_text(f"{KEY}\n")
    file = folder / "agent.yml"
    file.write_text(text)
    return file


def mistakes_in(folder: Path, text: str) -> list[str]:
    """What `load` says about a text, without the file's name."""
    file = configured(folder, text)
    with pytest.raises(ConfigError) as caught:
        failover_agent.load(file)
    return [mistake.removeprefix(f"{file}:") for mistake in caught.value.mistakes]


def test_the_file_that_is_shipped_is_right_once_the_centres_key_is_there(tmp_path: Path) -> None:
    """And shows every setting with its default, but for whose agent it is, and its broker."""
    agent = failover_agent.load(configured(tmp_path, SHIPPED.read_text()))
    told = failover_agent.agent_settings(agent)
    shown = {path[0] for path in config_source.parse(SHIPPED.read_text()).lines if path}

    assert shown == set(failover_agent.Agent.model_fields)
    assert (told.gateway_id, told.verify_key, told.mqtt) == ("gw-port", KEY, MqttSettings(url="mqtt://127.0.0.1:1883"))
    bare = failover_agent.load(configured(tmp_path, "gateway: gw-port\nverify_key_file: failover.pub\n"))
    defaults = bare.model_dump(exclude={"mqtt"})
    assert agent.model_dump(exclude={"mqtt"}) == defaults


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    """With its line, and what is expected."""
    text = "gateway: gw-port\nverify_key_file: agent.yml\nprotocol: 2\nreport_s: 0\nbroker: x\n"
    pair = "`netmon failover keys` at the centre makes a pair, and this is the .pub of it"
    known = "gateway, data_dir, verify_key_file, mqtt, secrets_dir, dry_run, protocol, report_s, log"
    assert mistakes_in(tmp_path, text) == [
        f"2: verify_key_file: {tmp_path}/agent.yml has no public key of 64 hexadecimal digits; {pair}",
        "3: protocol: found 2, which is the kernel's; expected 0 for netmon's own, or 5 to 255",
        "4: report_s: found 0; expected at least 1",
        f"5: broker: unknown setting; expected one of {known}",
    ]


def test_what_has_no_default_is_missed(tmp_path: Path) -> None:
    """Whose agent it is, and whom it believes."""
    assert [mistake.partition(": ")[2].split(":")[0] for mistake in mistakes_in(tmp_path, "dry_run: true\n")] == [
        "gateway",
        "verify_key_file",
    ]


def test_secrets_are_known_by_the_names_that_the_region_has_for_them(tmp_path: Path) -> None:
    """A plan names files, never what is in them."""
    (tmp_path / "secrets" / "stamp").mkdir(parents=True)
    (tmp_path / "secrets" / "stamp" / "key.txt").write_text("0123\n")
    text = "gateway: gw-port\nverify_key_file: failover.pub\nsecrets_dir: secrets\n"
    told = failover_agent.agent_settings(failover_agent.load(configured(tmp_path, text)))
    assert told.secrets == {"stamp/key.txt": "0123"}
    assert "0123" not in repr(told)


def test_a_folder_of_secrets_that_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    """Too many files, or one that is too long: somebody has named the wrong folder."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "long").write_text("x" * (failover_agent.SECRET_BYTES_MAX + 1))
    text = "gateway: gw-port\nverify_key_file: failover.pub\nsecrets_dir: secrets\n"
    agent = failover_agent.load(configured(tmp_path, text))
    with pytest.raises(ConfigError, match="long is larger than 65536 bytes"):
        failover_agent.agent_settings(agent)
    for number in range(failover_agent.SECRETS_MAX):
        (tmp_path / "secrets" / str(number)).write_text("x")
    with pytest.raises(ConfigError, match="has 257 files; expected at most 256"):
        failover_agent.agent_settings(agent)


def test_what_is_allowed_but_doubtful_is_told(tmp_path: Path) -> None:
    """No broker; a broker without TLS; a password that everybody can read."""
    text = "gateway: gw-port\nverify_key_file: failover.pub\n"
    assert failover_agent.warnings(failover_agent.load(configured(tmp_path, text))) == [
        "mqtt.url: none, so the centre cannot tell it anything; it acts by the plan that is in data_dir"
    ]
    password = tmp_path / "password.txt"
    password.write_text("secret\n")
    password.chmod(0o644)
    text += "mqtt: {url: mqtt://broker.example:1883, username: gw, password_file: password.txt}\n"
    assert failover_agent.warnings(failover_agent.load(configured(tmp_path, text))) == [
        "mqtt.url: everybody on the way can read where traffic goes; mqtts:// would hide it",
        f"mqtt.password_file: {password} can be read by every user; chmod 640 would do",
    ]
