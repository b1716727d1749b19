"""The configuration of a probe agent: one vantage, on a machine of its own, that tells Redis what it finds.

agent = load(Path("/etc/netmon/probe-agent.yml"))   # or ConfigError: every mistake at once
settings = agent_settings(agent)
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import BeforeValidator, field_validator

from netmon import config as configuration
from netmon.active_probe.settings import VantageSettings
from netmon.config import EMBEDDED, checked, probe
from netmon.config.alarms import RegionFile
from netmon.config.kinds import MIB, FolderPath, Section, section_or_defaults
from netmon.config.probe_section import Keepalives, VantageId
from netmon.config.settings import Log, Redis
from netmon.errors import ConfigError

_FILE_BYTES_MAX: Final = MIB


class AgentRegion(Section):
    """What there is to be asked."""

    file: RegionFile
    """A copy of the region that the centre has. No default: without one there is nothing to ask."""


class Agent(Section):
    """All settings of a probe agent."""

    vantage: VantageId
    """One of the region's vantages or gateways. No default: two of one name would contradict each other."""
    data_dir: FolderPath = Path("../var/probe-agent")
    """Folder of its report."""
    region: AgentRegion
    redis: Redis
    """That of the centre; never `embedded`."""
    keepalives: Annotated[Keepalives, BeforeValidator(section_or_defaults)] = Keepalives()
    log: Annotated[Log, BeforeValidator(section_or_defaults)] = Log()

    @field_validator("redis")
    @classmethod
    def _is_elsewhere(cls, value: Redis) -> Redis:
        if value.url == EMBEDDED:
            raise ValueError(
                "found url: embedded; expected the Redis of the centre, such as rediss://redis.example:6380/0"
            )
        return value


def load(path: Path) -> Agent:
    """Read and check a configuration; relative paths in it start at its folder.

    Raises:
        ConfigError: The file cannot be read, or is wrong; `mistakes` has all there is to say, by line.
    """
    return checked.read(Agent, path, _FILE_BYTES_MAX)


def agent_settings(agent: Agent) -> VantageSettings:
    """What its vantage process is told.

    Raises:
        ConfigError: The region or a file with a secret cannot be used, or nothing is to be asked from here.
    """
    post = probe.Post(
        vantage_id=agent.vantage,
        region=agent.region.file,
        redis=configuration.redis_settings(agent, redis_url=agent.redis.url),
        directory=agent.data_dir,
        keepalives=agent.keepalives,
        log_level=agent.log.level,
        log_format=configuration.log_format(agent),
    )
    settings = probe.settings_of(post)
    if settings is None:
        cure = f"expected a probe with from: [{agent.vantage}], or one without from"
        raise ConfigError([f"{agent.region.file}: no line is asked from {agent.vantage}; {cure}"])
    return settings
