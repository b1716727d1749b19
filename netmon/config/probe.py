"""From the configuration and the region to what the processes of the prober are told.

Everything is read again with each call, so that SIGHUP brings a changed region, and keys that were changed, too. No process is wanted
where no line says how it is asked: None says so.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from netmon import config as configuration
from netmon.active_probe import rehearsed
from netmon.active_probe.measure.profiles import BUILT_IN, fall_s, profile_of
from netmon.active_probe.rehearsed import RehearsalSettings
from netmon.active_probe.settings import (
    JudgedLine,
    KeepaliveSettings,
    ProbedLine,
    VantageSettings,
    VerdictSettings,
)
from netmon.active_probe.stamp.packet import key_of
from netmon.config import Config, checked
from netmon.config import source as config_source
from netmon.config.kinds import MIB, lines_of
from netmon.config.probe_section import Keepalives
from netmon.config.snmpv3 import User
from netmon.errors import ConfigError
from netmon.inventory import schema
from netmon.inventory.model import Inventory
from netmon.inventory.probes import AnyProbe, Profile
from netmon.model import RedisSettings

ANCHOR_PROFILE: Final = "fibre"
"""By which anchors are asked: the own next hop is no further away than a fibre's far end."""
_REHEARSED_ANCHORS: Final = 2
_VOTE_BYTES: Final = 512
"""Of a vote on two targets, as JSON."""
_LINE_BYTES: Final = 4_096
"""Of a line's state, and of the votes of three vantages."""
_MONTH_BYTES: Final = 512
_CHANGE_BYTES: Final = 2_048


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """Where a vantage runs: what it needs to know that does not stand in the region."""

    vantage_id: str
    region: Path
    redis: RedisSettings
    directory: Path
    keepalives: Keepalives
    log_level: str
    log_format: Literal["console", "json"]


# --- What the processes are told. ---


def vantage_settings(config: Config, *, redis_url: str) -> VantageSettings | None:
    """What the vantage process is told; None when it has nothing to ask.

    Args:
        config: From `netmon.config.load`.
        redis_url: The URL that is really used, never `embedded`.

    Raises:
        ConfigError: The region or a file with a secret cannot be used, or the region does not know this vantage.
    """
    section = config.probe
    if not section.enabled or config.region.file is None:
        return None
    if section.rehearsal:
        return _rehearsing(config, schema.read(config.region.file), redis_url)
    if section.vantage is None:
        return None
    post = Post(
        vantage_id=section.vantage,
        region=config.region.file,
        redis=configuration.redis_settings(config, redis_url=redis_url),
        directory=config.data_dir,
        keepalives=section.keepalives,
        log_level=config.log.level,
        log_format=configuration.log_format(config),
    )
    return settings_of(post)


def settings_of(post: Post) -> VantageSettings | None:
    """What the process of a vantage is told; None when no line is asked from there.

    Raises:
        ConfigError: As `vantage_settings`.
    """
    region = schema.read(post.region)
    if (mistake := unknown_vantage(region, post.vantage_id)) is not None:
        raise ConfigError([f"{post.region}: vantages: {mistake}"])
    asked = list(_asked_from(post.vantage_id, region))
    secrets = secrets_of(asked, post.region)
    folder = post.region.parent
    of_line: dict[str, list[AnyProbe]] = {}
    for at, probe in asked:
        if at[0] == "lines":
            of_line.setdefault(str(at[1]), []).append(with_files_from(folder, probe))
    if not of_line:
        return None
    lines = {line.id: line for line in region.lines}
    return VantageSettings(
        vantage_id=post.vantage_id,
        redis=post.redis,
        directory=str(post.directory),
        lines=tuple(
            ProbedLine(
                line_id=name,
                profile=profile_of(lines[name], region),
                standby=lines[name].standby,
                probes=tuple(probes),
            )
            for name, probes in of_line.items()
        ),
        anchors=tuple(with_files_from(folder, probe) for at, probe in asked if at[0] == "vantages"),
        anchor_profile=_anchor_profile(region),
        secrets=secrets,
        keepalives=_keepalives(post.keepalives),
        log_level=post.log_level,
        log_format=post.log_format,
    )


def verdict_settings(config: Config, *, redis_url: str) -> VerdictSettings | None:
    """What the process is told that judges what all vantages say; None when no line is asked. As `vantage_settings`."""
    section = config.probe
    if not section.enabled or config.region.file is None:
        return None
    lines = tuple(judged(schema.read(config.region.file), section.own, rehearsal=section.rehearsal))
    if not lines:
        return None
    return VerdictSettings(
        redis=configuration.redis_settings(config, redis_url=redis_url),
        directory=str(config.data_dir),
        lines=lines,
        heard_s=section.heard_s,
        lease_s=section.lease_s,
        stream_entries_max=section.stream_entries_max,
        months_kept=section.months_kept,
        log_level=config.log.level,
        log_format=configuration.log_format(config),
    )


def judged(region: Inventory, own: str | None, *, rehearsal: bool) -> Iterator[JudgedLine]:
    """Yield each line that somebody asks, and who votes on it.

    Args:
        region: From its file.
        own: The vantage that runs here, if one does.
        rehearsal: It asks all lines then, and nobody else does.
    """
    # They tell the controller of failover what they see of their own lines, and vote on none.
    agents = {gateway.id for gateway in region.gateways if gateway.actuator == "agent"} - {own}
    for line in region.lines:
        at = ("lines", line.id)
        asking = [name for probe in line.probes for name in _askers(region, at, probe, own) if name not in agents]
        voters = dict.fromkeys([own] if rehearsal and own else asking)
        if voters:
            yield JudgedLine(line_id=line.id, fall_s=fall_s(profile_of(line, region)), vantage_ids=tuple(voters))


# --- Rehearsals. ---


def rehearsal_settings(config: Config, *, redis_url: str = "") -> RehearsalSettings | None:  # noqa: ARG001 - as all are asked
    """What the process is told that plays the far ends of all lines; None when nobody rehearses.

    Args:
        config: From `netmon.config.load`.
        redis_url: Nothing to it, and taken because the supervisor asks for all settings in one way.

    Raises:
        ConfigError: The region cannot be used, or has more lines than a rehearsal.
    """
    section, file = config.probe, config.region.file
    if not (section.enabled and section.rehearsal) or file is None:
        return None
    lines = tuple(line.id for line in schema.read(file).lines)
    if len(lines) > rehearsed.LINES_MAX:
        text = f"{file} has {len(lines):,} lines, and a rehearsal at most {rehearsed.LINES_MAX:,}; expected false"
        raise ConfigError([f"probe.rehearsal: {text}"])
    return RehearsalSettings(
        line_ids=lines,
        file=str(rehearsal_file(config)),
        place=str(config.data_dir),
        log_level=config.log.level,
        log_format=configuration.log_format(config),
    )


def rehearsal_file(config: Config) -> Path:
    """Where it stands which faults are played."""
    return config.data_dir / rehearsed.FILE_NAME


def _rehearsing(config: Config, region: Inventory, redis_url: str) -> VantageSettings | None:
    """The vantage of a rehearsal: every line by its own profile, at the addresses of the stand-ins."""
    told, own = rehearsal_settings(config), config.probe.own
    if told is None or own is None or not told.line_ids:
        return None
    return VantageSettings(
        vantage_id=own,
        redis=configuration.redis_settings(config, redis_url=redis_url),
        directory=str(config.data_dir),
        lines=tuple(
            ProbedLine(
                line_id=line.id,
                profile=profile_of(line, region),
                standby=line.standby,
                probes=(rehearsed.probe_of(index, told.place),),
            )
            for index, line in enumerate(region.lines)
        ),
        anchors=tuple(rehearsed.anchor_of(index, told.place) for index in range(_REHEARSED_ANCHORS)),
        anchor_profile=_anchor_profile(region),
        keepalives=_keepalives(config.probe.keepalives),
        log_level=config.log.level,
        log_format=configuration.log_format(config),
    )


# --- Who asks what. ---


def lines_asked(config: Config) -> int:
    """How many lines are asked, from wherever; 0 of a region that cannot be read."""
    section, file = config.probe, config.region.file
    if not section.enabled or file is None:
        return 0
    try:
        lines = schema.read(file).lines
    except ConfigError:
        return 0
    return sum(section.rehearsal or bool(line.probes) for line in lines)


def redis_bytes_max(config: Config) -> int:
    """Memory that the lines may take in Redis: their states and votes, accounts of months, the news, and the stream of changes."""
    from netmon.buffer.line_store import NEWS_ENTRIES_MAX, NEWS_VOTES_MAX  # noqa: PLC0415 - redis-py is slow to import

    lines = lines_asked(config)
    if not lines:
        return 0
    news = NEWS_ENTRIES_MAX * min(lines, NEWS_VOTES_MAX) * _VOTE_BYTES
    states = lines * (_LINE_BYTES + config.probe.months_kept * _MONTH_BYTES)
    return news + states + config.probe.stream_entries_max * _CHANGE_BYTES


def unknown_vantage(region: Inventory, vantage_id: str) -> str | None:
    """What is wrong with an ID of a vantage; None when the region has it, or names no vantages at all."""
    known = [*(vantage.id for vantage in region.vantages), *(gateway.id for gateway in region.gateways)]
    if not region.vantages or vantage_id in known:
        return None
    near = difflib.get_close_matches(vantage_id, known, n=1)
    cure = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(each.id for each in region.vantages)}"
    return f"there is no vantage {vantage_id!r}; {cure}"


def _probes(region: Inventory) -> Iterator[tuple[config_source.Path, AnyProbe]]:
    """All probes and anchors, and where they stand in the region's file."""
    for line in region.lines:
        yield from ((("lines", line.id, "probes", index), probe) for index, probe in enumerate(line.probes))
    for vantage in region.vantages:
        yield from ((("vantages", vantage.id, "anchors", index), probe) for index, probe in enumerate(vantage.anchors))


def _asked_from(vantage_id: str, region: Inventory) -> Iterator[tuple[config_source.Path, AnyProbe]]:
    """What a vantage asks, its anchors too."""
    return ((at, probe) for at, probe in _probes(region) if vantage_id in _askers(region, at, probe, vantage_id))


def _askers(region: Inventory, at: config_source.Path, probe: AnyProbe, own: str | None) -> Sequence[str]:
    """Vantages that ask so: an anchor's own one; of a probe those in `from`, else all of the region, else ours alone."""
    if at[0] == "vantages":
        return (str(at[1]),)
    return probe.vantage_ids or tuple(vantage.id for vantage in region.vantages) or ((own,) if own else ())


def _anchor_profile(region: Inventory) -> Profile:
    return region.profiles.get(ANCHOR_PROFILE, BUILT_IN[ANCHOR_PROFILE])


def misfits(config: Config) -> Iterator[tuple[config_source.Path, str]]:
    """Yield what of the section `probe` does not fit the region, and where it stands. A region that is wrong tells that itself."""
    section, file = config.probe, config.region.file
    if section.rehearsal and file is None:
        yield ("probe", "rehearsal"), "found true, and no lines to rehearse with; expected false, or region.file"
    try:
        region = Inventory() if file is None else schema.read(file)
    except ConfigError:
        return
    if section.enabled and not section.rehearsal and section.vantage is not None:
        mistake = unknown_vantage(region, section.vantage)
        if mistake is not None:
            yield ("probe", "vantage"), mistake
    lines = {line.id for line in region.lines}
    for topic, line in section.keepalives.topics.items():
        if line not in lines:
            near = difflib.get_close_matches(line, lines, n=1)
            cure = f"did you mean {near[0]}?" if near else "expected the ID of a line of the region"
            yield ("probe", "keepalives", "topics", topic), f"found {line!r}; there is no such line; {cure}"


# --- Files that probes name. ---


def unread(config: Config) -> list[str]:
    """What is wrong with files that the probes of the own vantage name; nothing of a region that is wrong, which tells that itself."""
    section, file = config.probe, config.region.file
    if not section.enabled or section.rehearsal or section.vantage is None or file is None:
        return []
    try:
        region = schema.read(file)
    except ConfigError:
        return []
    try:
        secrets_of(list(_asked_from(section.vantage, region)), file)
    except ConfigError as error:
        return error.mistakes
    return []


def with_files_from(folder: Path, probe: AnyProbe) -> AnyProbe:
    """With the absolute path of the certificates, which the process reads by itself; secrets keep the names that they are told by."""
    name = getattr(probe, "tls_ca_file", "")
    return msgspec.structs.replace(probe, tls_ca_file=str(folder / name)) if name else probe


def secrets_of(asked: Iterable[tuple[config_source.Path, AnyProbe]], region: Path) -> dict[str, str]:
    """What is in the files that probes name.

    Args:
        asked: Where each probe stands in the region's file, and the probe.
        region: That file.

    Raises:
        ConfigError: One cannot be used; each is told where the region names it.
    """
    found: dict[str, str] = {}
    wrong: list[tuple[config_source.Path, str]] = []
    elsewhere: list[str] = []
    for at, probe in asked:
        for field, read in _READ.items():
            name = getattr(probe, field, "")
            if not name or name in found:
                continue
            try:
                if (content := read(region.parent / name)) is not None:
                    found[name] = content
            except ValueError as error:
                wrong.append(((*at, field), str(error)))
            except ConfigError as error:
                elsewhere.extend(error.mistakes)
    if wrong or elsewhere:
        source = config_source.parse(checked.text_of(region, schema.FILE_BYTES_MAX))
        raise ConfigError([*checked.told(region, [source.mistake(*each) for each in wrong]), *elsewhere])
    return found


def _line_of(file: Path) -> str:
    """The only line of a file. Raises ValueError."""
    lines = lines_of(file)
    if len(lines) > 1:
        raise ValueError(f"{file} has {len(lines)} lines; expected one")
    return lines[0]


def _word_of(file: Path) -> str:
    """The same without blanks around it."""
    return _line_of(file).strip()


def _stamp_key_of(file: Path) -> str:
    word = _word_of(file)
    try:
        key_of(word)
    except ConfigError as error:
        raise ValueError(f"{file}: {'; '.join(error.mistakes)}") from None
    return word


def _certificates_of(file: Path) -> None:
    lines_of(file)


def _user_of(file: Path) -> str:
    """An SNMPv3 user with the passphrases, as JSON of `netmon.model.V3User`. Raises ConfigError with all of the file's mistakes."""
    lines_of(file)  # that it is not there is a mistake of the region, which names it
    source = config_source.parse(checked.text_of(file, MIB))
    values = {} if source.values is None else source.values
    user, mistakes = checked.checked(User, source, values, context={"folder": file.parent.absolute()})
    if user is None or source.mistakes:
        raise ConfigError(checked.told(file, [*source.mistakes, *mistakes]))
    return msgspec.json.encode(configuration.v3_user(user)).decode()


_READ: Final[dict[str, Callable[[Path], str | None]]] = {
    "key_file": _stamp_key_of,
    "community_file": _line_of,
    "user_file": _user_of,
    "token_file": _word_of,
    "password_file": _line_of,
    "tls_ca_file": _certificates_of,
}
"""Fields of probes that name a file, and what is told of its contents: of certificates nothing, since the process reads them."""


def _keepalives(section: Keepalives) -> KeepaliveSettings | None:
    if section.url is None or not section.topics:
        return None
    try:
        password = "" if section.password_file is None else _line_of(section.password_file)
    except ValueError as error:
        raise ConfigError([str(error)]) from None
    return KeepaliveSettings(
        url=section.url,
        topics=section.topics,
        username=section.username,
        password=password,
        tls_ca_file="" if section.tls_ca_file is None else str(section.tls_ca_file),
    )
