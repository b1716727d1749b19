"""The configuration of a gateway's agent: who it is, whom it believes, where its broker is. What it has to do comes with the centre's plan.

agent = load(Path("/etc/netmon/agent.yml"))     # or ConfigError: every mistake at once
settings = agent_settings(agent)
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt

from netmon import config as configuration
from netmon.config import checked
from netmon.config.failover_section import Mqtt
from netmon.config.kinds import (
    KIB,
    MIB,
    FilePath,
    FolderPath,
    Rate,
    Section,
    line_like,
    lines_of,
    section_or_defaults,
    shown,
)
from netmon.config.probe_section import VantageId
from netmon.config.settings import Log
from netmon.errors import ConfigError
from netmon.failover.settings import AgentSettings, MqttSettings

SECRETS_MAX: Final = 256
SECRET_BYTES_MAX: Final = 64 * KIB
_FILE_BYTES_MAX: Final = MIB
_PUBLIC_KEY: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


_public_key = line_like(
    _PUBLIC_KEY,
    "has no public key of 64 hexadecimal digits; `netmon failover keys` at the centre makes a pair, and this is the .pub of it",
)


def _protocol(value: int) -> int:
    if value in {1, 2, 3, 4}:
        raise ValueError(f"found {shown(value)}, which is the kernel's; expected 0 for netmon's own, or 5 to 255")
    return value


class Agent(Section):
    """All settings of an agent."""

    gateway: VantageId
    """Its ID in the region. No default: an agent obeys what is meant for its gateway, and nothing else."""
    data_dir: FolderPath = Path("../var/agent")
    """Folder of the newest plan, of what is desired, of fences and of the report; for this agent alone."""
    verify_key_file: Annotated[FilePath, AfterValidator(_public_key)]
    """The centre's public key. No default: without it, anybody who reaches the broker could move traffic."""
    mqtt: Annotated[Mqtt, BeforeValidator(section_or_defaults)] = Mqtt()
    """Without a url it acts by the plan that it has, and tells nobody."""
    secrets_dir: FolderPath | None = None
    """Folder of what the region's probes name (`key_file`, ...), by the names that they have there; null: they name nothing."""
    dry_run: StrictBool = False
    """Off: an agent that is installed is there to move traffic, and what it may do stands in the region (`mode`)."""
    protocol: Annotated[StrictInt, Field(ge=0, le=255), AfterValidator(_protocol)] = 0
    """0: 78, which no routing daemon uses."""
    report_s: Annotated[Rate, Field(ge=1, le=3_600)] = 10.0
    """A third of how long the centre waits for a gateway that is silent (`failover.gateway_silent_s`)."""
    log: Annotated[Log, BeforeValidator(section_or_defaults)] = Log()


def load(path: Path) -> Agent:
    """Read and check a configuration; relative paths in it start at its folder.

    Raises:
        ConfigError: The file cannot be read, or is wrong; `mistakes` has all there is to say, by line.
    """
    return checked.read(Agent, path, _FILE_BYTES_MAX)


def warnings(agent: Agent) -> list[str]:
    """What is allowed but worth a second look, each as `path: text`; may be empty."""
    return list(_doubts(agent))


def _doubts(agent: Agent) -> Iterator[str]:
    if agent.mqtt.url is None:
        yield "mqtt.url: none, so the centre cannot tell it anything; it acts by the plan that is in data_dir"
    elif configuration.is_open(agent.mqtt.url, "mqtt"):
        yield "mqtt.url: everybody on the way can read where traffic goes; mqtts:// would hide it"
    password = agent.mqtt.password_file
    if password is not None and password.stat().st_mode & stat.S_IROTH:
        yield f"mqtt.password_file: {password} can be read by every user; chmod 640 would do"


def agent_settings(agent: Agent) -> AgentSettings:
    """What its process is told.

    Raises:
        ConfigError: A file with a secret cannot be used.
    """
    mqtt, mistakes = agent.mqtt, list[str]()
    secrets = _secrets(agent.secrets_dir, mistakes)
    if mistakes:
        raise ConfigError(mistakes)
    return AgentSettings(
        gateway_id=agent.gateway,
        directory=str(agent.data_dir),
        mqtt=None if mqtt.url is None else _mqtt(mqtt, mqtt.url),
        verify_key=lines_of(agent.verify_key_file)[0].strip(),
        dry_run=agent.dry_run,
        protocol=agent.protocol,
        secrets=secrets,
        report_s=agent.report_s,
        log_level=agent.log.level,
        log_format=configuration.log_format(agent),
    )


def _mqtt(mqtt: Mqtt, url: str) -> MqttSettings:
    def text(file: Path | None) -> str:
        return "" if file is None else str(file)

    return MqttSettings(
        url=url,
        prefix=mqtt.prefix,
        username=mqtt.username,
        password="" if mqtt.password_file is None else lines_of(mqtt.password_file)[0],
        tls_ca_file=text(mqtt.tls_ca_file),
        tls_cert_file=text(mqtt.tls_cert_file),
        tls_key_file=text(mqtt.tls_key_file),
    )


def _secrets(folder: Path | None, mistakes: list[str]) -> dict[str, str]:
    """File name, relative to the folder as the region's file has it, to its only line."""
    if folder is None:
        return {}
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if len(files) > SECRETS_MAX:
        mistakes.append(f"secrets_dir: {folder} has {len(files)} files; expected at most {SECRETS_MAX}")
        return {}
    found: dict[str, str] = {}
    for file in files:
        try:
            if file.stat().st_size > SECRET_BYTES_MAX:
                mistakes.append(f"secrets_dir: {file} is larger than {SECRET_BYTES_MAX} bytes; expected one line")
                continue
            lines = lines_of(file)
        except (OSError, ValueError) as error:
            mistakes.append(f"secrets_dir: {error}")
            continue
        found[str(file.relative_to(folder))] = lines[0].strip() if len(lines) == 1 else "\n".join(lines)
    return found
