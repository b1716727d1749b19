"""From the configuration, and from the files that it names, to what the processes of the alarm service are told.

Everything is read again with each call, so that SIGHUP brings a changed region or changed rules as it brings changed settings.
A mistake in them costs no trap: whoever asks here decides what goes on with what was known before.
"""

from __future__ import annotations

from pathlib import Path

from netmon.alarms.rules import ruleset
from netmon.alarms.rules.model import Rule
from netmon.alarms.settings import AlarmSettings, Flood, Lifecycle, PostureSettings
from netmon.config import Config, log_format, redis_settings
from netmon.config.kinds import lines_of
from netmon.errors import ConfigError
from netmon.inventory import schema
from netmon.inventory.model import Inventory


def inventory(config: Config) -> Inventory:
    """The region, empty without a file.

    Raises:
        ConfigError: With every mistake in the file.
    """
    return Inventory() if config.region.file is None else schema.read(config.region.file)


def rules(config: Config) -> tuple[Rule, ...]:
    """The operator's rules in the order of their files, then the standard ones.

    Raises:
        ConfigError: With every mistake in all of the files.
    """
    return ruleset.load(config.alarms.rule_files, config.mibs.catalogues).rules


def receivers_of(config: Config) -> tuple[str, ...]:
    """Whose streams the alarms are made from: our own receiver, and the union's peers that write to the same Redis."""
    return (config.receiver.name, *(peer.receiver for peer in config.union.peers if peer.url is None))


def alarm_settings(config: Config, *, redis_url: str) -> AlarmSettings:
    """What the alarm worker is told. It reads our own streams, and those of the union's peers that write to the same Redis.

    Args:
        config: From `netmon.config.load`.
        redis_url: The URL that is really used, never `embedded`.

    Raises:
        ConfigError: Region, rules or the password's file cannot be used.
    """
    alarms, region = config.alarms, inventory(config)
    probed = tuple(line.id for line in region.lines if line.probes or config.probe.rehearsal)
    sites = {gateway.id: gateway.site_id for gateway in region.gateways}
    sites |= {vantage.id: vantage.site_id for vantage in region.vantages}
    own = config.probe.own
    settings = alarms.model_dump(include=set(Lifecycle.__struct_fields__))
    return AlarmSettings(
        receivers=receivers_of(config),
        redis=redis_settings(config, redis_url=redis_url),
        directory=str(config.data_dir),
        inventory=region,
        rules=rules(config),
        lifecycle=Lifecycle(**settings),
        flood=Flood(**alarms.flood.model_dump()),
        posture=PostureSettings(**config.posture.model_dump()),
        probed_line_ids=probed,
        vantage_ids=tuple(dict.fromkeys([*sites, *([own] if own else [])])) if probed else (),
        own_site_id=sites.get(own or "", ""),
        passive_evidence=not config.probe.rehearsal,
        lease_s=alarms.lease_s,
        stream_entries_max=alarms.stream_entries_max,
        log_level=config.log.level,
        log_format=log_format(config),
    )


def token(file: Path | None) -> str | None:
    """What stands in a `token_file`, None without one.

    Raises:
        ConfigError: It cannot be used any more.
    """
    try:
        return None if file is None else lines_of(file)[0].strip()
    except ValueError as error:
        raise ConfigError([str(error)]) from None
