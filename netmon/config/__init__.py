"""Reads the operator's YAML, and tells every mistake in it at once.

    config = load(Path("config/netmon.yml"))      # or ConfigError: each mistake as `FILE:LINE: path: found; expected`
    lanes = lane_settings(config, redis_url=url)  # what the roles are told

The settings themselves, their defaults and reasons, are in `netmon.config.settings`.
"""

from __future__ import annotations

import ipaddress
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal, Protocol
from urllib.parse import urlsplit

from netmon import model, sockets
from netmon.config import checked
from netmon.config import source as config_source
from netmon.config.failover_section import Failover
from netmon.config.kinds import MIB, lines_of
from netmon.config.probe_section import Keepalives
from netmon.config.settings import EMBEDDED, PEERS_MAX, AllowRule, Config, Log, Peer, Redis
from netmon.config.snmpv3 import User, weaknesses
from netmon.config.source import Mistake, Source, dotted
from netmon.errors import ConfigError
from netmon.mib import catalogue

__all__ = [
    "EMBEDDED",
    "PEERS_MAX",
    "Config",
    "agent_warnings",
    "embedded_memory_bytes_max",
    "lane_settings",
    "load",
    "log_format",
    "peers",
    "redis_settings",
    "v3_user",
    "warnings",
]

_FILE_BYTES_MAX: Final = MIB
"""Every setting with its comment is a fiftieth of this."""
_ALARM_BYTES: Final = 2_048
"""Of an alarm, or of a change of one, in Redis: one of ten changes and a comment has 1.5 kB."""


# --- From a file to settings. ---


def load(path: Path, *, thorough: bool = False) -> Config:
    """Read and check a configuration; relative paths in it start at its folder.

    Args:
        path: Of the YAML.
        thorough: Look into catalogues of names, the region and rules of alarms, too. A receiver runs without one that is
            damaged; `netmon check` tells.

    Raises:
        ConfigError: The file cannot be read, or is wrong; `mistakes` has all there is to say, by line.
    """
    source = config_source.parse(checked.text_of(path, _FILE_BYTES_MAX))
    elsewhere: list[str] = []
    context = {"folder": (Path.cwd() / path).parent, "thorough": thorough, "elsewhere": elsewhere}
    values = {} if source.values is None else source.values
    config, mistakes = checked.checked(Config, source, values, context=context)
    if config is not None and thorough:
        mistakes, unread = _beyond(config, source)
        elsewhere.extend(unread)
    if config is None or mistakes or source.mistakes or elsewhere:
        raise ConfigError([*checked.told(path, [*source.mistakes, *mistakes]), *elsewhere])
    return config


def _beyond(config: Config, source: Source) -> tuple[list[Mistake], list[str]]:
    """What of the prober and of failover does not fit the region, and what is wrong with files that the region names for them."""
    from netmon.config import failover, probe  # noqa: PLC0415 - they ask this package for settings, and import it

    mistakes = [source.mistake(*each) for each in (*probe.misfits(config), *failover.misfits(config))]
    unread = [] if mistakes else [*probe.unread(config), *failover.unread(config)]
    return mistakes, list(dict.fromkeys(unread))


# --- From settings to what the processes are told. ---


def lane_settings(config: Config, *, redis_url: str, engine: model.Engine | None = None) -> list[model.LaneSettings]:
    """What the roles of each lane are told: the lanes of the first listener, then those of the next.

    Args:
        config: From `load`.
        redis_url: The URL that is really used, never `embedded`.
        engine: Of `netmon.trap_receiver.engine`; commands that answer no INFORM need none.

    Raises:
        ConfigError: A file with a password or communities is not what it was when `load` looked at it.
    """
    receiver, journal = config.receiver, config.journal
    redis = redis_settings(config, redis_url=redis_url)
    snmpv3 = _v3_settings(config, engine)
    catalogue_digests = tuple(map(catalogue.digest, config.mibs.catalogues))
    allow = tuple(_allow_rule(rule) for rule in receiver.allow)
    listens = [listen for listen in receiver.listen for _ in range(receiver.lanes_per_listener)]
    return [
        model.LaneSettings(
            receiver=receiver.name,
            lane=lane,
            listen=listen,
            directory=str(config.data_dir / receiver.name / f"lane-{lane}"),
            redis=redis,
            receive_buffer_bytes=receiver.receive_buffer_bytes,
            inform_ack=receiver.inform_ack,
            redact_community=receiver.redact_community,
            allow=allow,
            trusted_relays=receiver.trusted_relays,
            limits=model.Limits(**receiver.limits.model_dump()),
            snmpv3=snmpv3,
            resolve_names=config.mibs.resolve_names,
            catalogues=tuple(map(str, config.mibs.catalogues)),
            catalogue_digests=catalogue_digests,
            shedding=model.SheddingSettings(**config.shedding.model_dump()),
            segment_bytes=journal.segment_bytes,
            journal_bytes_max=journal.size_bytes_max,
            journal_age_max_s=journal.age_s_max,
            sync_interval_ms=journal.sync_interval_ms,
            log_level=config.log.level,
            log_format=log_format(config),
        )
        for lane, listen in enumerate(listens)
    ]


class _WithRedis(Protocol):
    @property
    def redis(self) -> Redis: ...


class _WithLog(Protocol):
    @property
    def log(self) -> Log: ...


def redis_settings(config: _WithRedis, *, redis_url: str) -> model.RedisSettings:
    """How a process reaches the buffer at `redis_url`, with the password read from its file.

    Raises:
        ConfigError: The password's file cannot be used any more.
    """
    redis = config.redis
    return model.RedisSettings(
        url=redis_url,
        username=redis.username,
        password=None if redis.password_file is None else _secrets(redis.password_file)[0],
        tls_ca_file=None if redis.tls_ca_file is None else str(redis.tls_ca_file),
        stream_memory_bytes_max=redis.stream_memory_bytes_max,
        append_fsync_wait=redis.append_fsync_wait,
    )


def peers(config: Config, *, redis_url: str) -> list[tuple[str, model.RedisSettings]]:
    """The other receivers of a union: name, and how to reach the Redis that each writes to.

    Args:
        config: From `load`.
        redis_url: The URL of our own, never `embedded`.

    Raises:
        ConfigError: The password's file cannot be used any more.
    """
    own = redis_settings(config, redis_url=redis_url)
    return [(peer.receiver, own if peer.url is None else _peer_redis(peer)) for peer in config.union.peers]


def _peer_redis(peer: Peer) -> model.RedisSettings:
    assert peer.url is not None
    return model.RedisSettings(
        url=peer.url,
        username=peer.username,
        password=None if peer.password_file is None else _secrets(peer.password_file)[0],
        tls_ca_file=None if peer.tls_ca_file is None else str(peer.tls_ca_file),
    )


def embedded_memory_bytes_max(config: Config) -> int:
    """`maxmemory` for an embedded Valkey, so far above the streams' budgets that decode, not Valkey, says when to stop.

    A quarter more than the streams, for the consumer groups' lists of pending entries; 64 MiB for the rest: the
    clients' buffers and one batch of appends in flight; and what the alarms, the lines and failover may take at most.
    """
    from netmon.config import failover, probe  # noqa: PLC0415 - they ask this package for settings, and import it

    lanes = len(config.receiver.listen) * config.receiver.lanes_per_listener
    alarms = config.alarms.alarms_max + config.alarms.stream_entries_max if config.alarms.enabled else 0
    return (
        lanes * config.redis.stream_memory_bytes_max * 5 // 4
        + 64 * MIB
        + alarms * _ALARM_BYTES
        + probe.redis_bytes_max(config)
        + failover.redis_bytes_max(config)
    )


def log_format(config: _WithLog) -> Literal["console", "json"]:
    """The format of this process's log and its children's; `auto` looks at standard error."""
    if config.log.format != "auto":
        return config.log.format
    return "console" if sys.stderr.isatty() else "json"


def warnings(config: Config) -> list[str]:
    """What is allowed but worth a second look, each as `path: text`; may be empty."""
    return [f"{dotted(path)}: {text}" for path, text in _doubts(config)]


def _doubts(config: Config) -> Iterator[tuple[config_source.Path, str]]:
    receiver, redis, http, api = config.receiver, config.redis, config.http, config.api
    if not sockets.parse_address(http.listen).ip.is_loopback:
        yield ("http", "listen"), f"{http.listen} is open to the network, and nobody is asked for a password there"
    if api.enabled and not sockets.parse_address(api.listen).ip.is_loopback:
        yield ("api", "listen"), f"{api.listen} is open to the network without TLS; a web server before it would add it"
    for index, address in enumerate(config.alertmanager.urls):
        plain = address.startswith("http://") and not _is_loopback(urlsplit(address).hostname or "")
        if plain and (config.alertmanager.token_file or config.alertmanager.password_file):
            yield ("alertmanager", "urls", index), "gets the token or password unencrypted; https:// would not"
    yield from _unencrypted(redis)
    keepalives = config.probe.keepalives
    if keepalives.url is not None and keepalives.password_file is not None and is_open(keepalives.url, "mqtt"):
        yield ("probe", "keepalives", "url"), "gets the password unencrypted; mqtts:// would not"
    yield from _about_failover(config.failover)
    secrets: dict[config_source.Path, Path | None] = {
        ("redis", "password_file"): redis.password_file,
        ("failover", "mqtt", "password_file"): config.failover.mqtt.password_file,
        ("failover", "signing_key_file"): config.failover.signing_key_file,
        ("api", "token_file"): api.token_file,
        ("alertmanager", "token_file"): config.alertmanager.token_file,
        ("alertmanager", "password_file"): config.alertmanager.password_file,
        ("probe", "keepalives", "password_file"): keepalives.password_file,
    }
    for name, webhook in config.failover.webhooks.items():
        secrets["failover", "webhooks", name, "secret_file"] = webhook.secret_file
    for index, rule in enumerate(receiver.allow):
        secrets["receiver", "allow", index, "communities_file"] = rule.communities_file
    for index, user in enumerate(config.snmpv3.users):
        yield from ((("snmpv3", "users", index, name), text) for name, text in weaknesses(user))
        secrets["snmpv3", "users", index, "auth_passphrase_file"] = user.auth_passphrase_file
        secrets["snmpv3", "users", index, "priv_passphrase_file"] = user.priv_passphrase_file
    for index, peer in enumerate(config.union.peers):
        secrets["union", "peers", index, "password_file"] = peer.password_file
    yield from _open_files(secrets)


def _about_failover(section: Failover) -> Iterator[tuple[config_source.Path, str]]:
    """Orders are signed, so that nobody can make others of them; who reads them knows which line carries what."""
    if section.mqtt.url is not None and is_open(section.mqtt.url, "mqtt"):
        yield ("failover", "mqtt", "url"), "everybody on the way can read where traffic goes; mqtts:// would hide it"
    for name, webhook in section.webhooks.items():
        if is_open(webhook.url, "http"):
            text = "everybody on the way can read what is ordered; https:// would hide it"
            yield ("failover", "webhooks", name, "url"), text


def agent_warnings(redis: Redis, keepalives: Keepalives) -> list[str]:
    """The same of a probe agent, which has no more than these."""
    files: dict[config_source.Path, Path | None] = {
        ("redis", "password_file"): redis.password_file,
        ("keepalives", "password_file"): keepalives.password_file,
    }
    return [f"{dotted(path)}: {text}" for path, text in (*_unencrypted(redis), *_open_files(files))]


def _unencrypted(redis: Redis) -> Iterator[tuple[config_source.Path, str]]:
    if redis.password_file is not None and is_open(redis.url, "redis"):
        yield ("redis", "url"), "sends the password unencrypted; rediss:// would not"


def _open_files(secrets: Mapping[config_source.Path, Path | None]) -> Iterator[tuple[config_source.Path, str]]:
    for path, file in secrets.items():
        if file is not None and file.stat().st_mode & stat.S_IROTH:
            # Not refused: in a container such files are often 0644, and no other user exists.
            yield path, f"{file} can be read by every user; chmod 640 would do"


def is_open(address: str, scheme: str) -> bool:
    """Whether what goes to a URL can be read on its way: it has the scheme without TLS, and leaves this machine."""
    url = urlsplit(address)
    return url.scheme == scheme and not _is_loopback(url.hostname or "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _allow_rule(rule: AllowRule) -> model.AllowRule:
    communities = None if rule.communities_file is None else tuple(_secrets(rule.communities_file))
    return model.AllowRule(sources=rule.sources, communities=communities)


def _v3_settings(config: Config, engine: model.Engine | None) -> model.V3Settings:
    known = engine or model.Engine()
    return model.V3Settings(
        users=tuple(v3_user(user) for user in config.snmpv3.users),
        contexts=config.snmpv3.contexts,
        boots_reset=config.snmpv3.boots_reset,
        engine_id=known.engine_id,
        engine_starts_unix_ns=known.starts_unix_ns,
        engine_boots_first=known.boots_first,
    )


def v3_user(user: User) -> model.V3User:
    """The user with the passphrases of its files. Raises ConfigError: one cannot be used any more."""
    return model.V3User(
        name=user.name,
        auth=user.auth,
        auth_passphrase=None if user.auth_passphrase_file is None else _secrets(user.auth_passphrase_file)[0],
        priv=user.priv,
        priv_passphrase=None if user.priv_passphrase_file is None else _secrets(user.priv_passphrase_file)[0],
        engine_ids=user.engine_ids,
    )


def _secrets(file: Path) -> list[str]:
    try:
        return lines_of(file)
    except ValueError as error:
        raise ConfigError([str(error)]) from None
