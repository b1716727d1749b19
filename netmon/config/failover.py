"""From the configuration and the region to what the controller of failover is told: groups, lines, gateways, and how they are reached.

Everything is read again with each call, so that SIGHUP brings a changed region, and keys that were changed, too. No process is wanted
where no gateway carries a class: None says so.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from netmon import config as configuration
from netmon.active_probe.measure.profiles import profile_of
from netmon.config import Config, probe
from netmon.config import source as config_source
from netmon.config.failover_section import Failover
from netmon.config.kinds import lines_of
from netmon.errors import ConfigError
from netmon.failover.model import Group, LineFacts, Timers
from netmon.failover.plan.model import PlannedGroup, PlannedLine
from netmon.failover.settings import ControllerSettings, GatewaySettings, MqttSettings, WebhookSettings
from netmon.inventory import schema
from netmon.inventory.gateways import table_of
from netmon.inventory.model import Gateway, Inventory, Line, TrafficClass
from netmon.inventory.probes import AnyProbe, Pin
from netmon.inventory.topology import Topology

LEO_HOLD_OFF_S: Final = 2.0
"""Of a working line by LEO: a handover between satellites takes a second, and comes every 15 s."""
_GROUP_BYTES: Final = 4_096
"""Of a group in Redis: its state, its newest order, what operators want of it, its part of the plan and of what its gateway reports."""
_ACTION_BYTES: Final = 2_048
"""Of an entry of the audit, with its evidence."""
_PROVEN_S: Final = LineFacts(line_id="").proven_s


def controller_settings(config: Config, *, redis_url: str) -> ControllerSettings | None:
    """What `python -m netmon.failover.controller` is told; None when there is nothing to move.

    Args:
        config: From `netmon.config.load`.
        redis_url: The URL that is really used, never `embedded`.

    Raises:
        ConfigError: The region or a file with a secret cannot be used, or a gateway needs what is not configured.
    """
    section, file = config.failover, config.region.file
    if not section.enabled or file is None:
        return None
    topology = Topology(schema.read(file))
    planned = groups(topology, section)
    if not planned:
        return None
    if not config.probe.rehearsal and (wrong := list(_unreachable(section, topology.inventory))):
        raise ConfigError([f"{config_source.dotted(path)}: {text}" for path, text in wrong])
    is_dry = config.probe.rehearsal
    return ControllerSettings(
        redis=configuration.redis_settings(config, redis_url=redis_url),
        directory=str(config.data_dir),
        lines=line_facts(topology),
        groups=planned,
        gateways=gateways(topology, config),
        mqtt=None if is_dry else _mqtt(section),
        webhooks=() if is_dry else tuple(_webhooks(section)),
        signing_key="" if is_dry or section.signing_key_file is None else _word(section.signing_key_file),
        secrets={} if is_dry else probe.secrets_of(_asked_here(topology), file),
        vantage_ids=_voters(config, topology.inventory),
        trap_trust=section.trap_trust,
        centre_lost_s=section.centre_lost_s,
        gateway_silent_s=section.gateway_silent_s,
        lease_s=section.lease_s,
        lock_delay_s=section.lock_delay_s,
        stream_entries_max=section.stream_entries_max,
        log_level=config.log.level,
        log_format=configuration.log_format(config),
    )


def _voters(config: Config, region: Inventory) -> tuple[str, ...]:
    """Vantages that say how lines are, wherever they run."""
    section = config.probe
    lines = probe.judged(region, section.own, rehearsal=section.rehearsal)
    return tuple(dict.fromkeys(name for line in lines for name in line.vantage_ids))


# --- Groups and lines. ---


def line_facts(topology: Topology) -> tuple[LineFacts, ...]:
    """All lines of a region, in its order: those that nobody uses tell what has failed, too."""
    return tuple(_facts(topology, line) for line in topology.inventory.lines)


def _facts(topology: Topology, line: Line) -> LineFacts:
    sites = [topology.sites[site] for site in line.endpoint_site_ids]
    profile = profile_of(line, topology.inventory)
    interval_s = profile.standby_interval_s if line.standby else profile.interval_s
    return LineFacts(
        line_id=line.id,
        medium=line.medium,
        carrier_id=line.carrier_id,
        area_ids=tuple(dict.fromkeys(site.area_id for site in sites)),
        cost_tier=line.cost_tier,
        capacity_bps=line.capacity_bps,
        risk_group_ids=tuple(sorted({*line.risk_group_ids, *(risk for site in sites for risk in site.risk_group_ids)})),
        standby=line.standby,
        proven_s=max(_PROVEN_S, 2 * interval_s),
    )


def groups(topology: Topology, section: Failover) -> tuple[Group, ...]:
    """The protection groups of a region: one for each class at each gateway, in the order of the file."""
    return tuple(
        _group(topology, gateway, topology.traffic_classes[name], section)
        for gateway in topology.inventory.gateways
        for name in gateway.class_ids
    )


def _group(topology: Topology, gateway: Gateway, carried: TrafficClass, section: Failover) -> Group:
    working, *protections = gateway.line_ids
    return Group(
        id=group_id(gateway.id, carried.id),
        gateway_id=gateway.id,
        class_id=carried.id,
        area_id=topology.sites[gateway.site_id].area_id,
        priority=carried.priority,
        working=working,
        protections=tuple(protections),
        bandwidth_bps=carried.bandwidth_bps,
        delay_ms_max=carried.delay_ms_max,
        both_ways=carried.both_ways,
        moves_on_sd=carried.moves_on_sd,
        revertive=carried.revertive,
        mode=gateway.mode or section.mode,
        leaves_by_itself=gateway.actuator == "agent",
        timers=_timers(topology.lines[working], carried, section),
    )


def group_id(gateway_id: str, class_id: str) -> str:
    """What a protection group is called."""
    return f"{gateway_id}/{class_id}"


def _timers(working: Line, carried: TrafficClass, section: Failover) -> Timers:
    usual_s = LEO_HOLD_OFF_S if working.medium == "leo" else 0.0
    hold_off_s = (each for each in (carried.hold_off_s, section.hold_off_s) if each is not None)
    return Timers(
        hold_off_s=next(hold_off_s, usual_s),
        wtr_s=section.wtr_s if carried.wtr_s is None else carried.wtr_s,
        verify_s=section.verify_s,
        approval_s=section.approval_s,
    )


# --- Gateways. ---


def gateways(topology: Topology, config: Config) -> tuple[GatewaySettings, ...]:
    """Those that carry classes, in the order of the file; in a rehearsal, nobody really moves their traffic."""
    is_dry = config.probe.rehearsal
    return tuple(_gateway(topology, each, config.failover, is_dry=is_dry) for each in _carrying(topology.inventory))


def _carrying(region: Inventory) -> Iterator[Gateway]:
    return (gateway for gateway in region.gateways if gateway.class_ids)


def _gateway(topology: Topology, gateway: Gateway, section: Failover, *, is_dry: bool) -> GatewaySettings:
    carried = [topology.traffic_classes[name] for name in gateway.class_ids]
    return GatewaySettings(
        gateway_id=gateway.id,
        area_id=topology.sites[gateway.site_id].area_id,
        actuator="dry_run" if is_dry else gateway.actuator,
        webhook="" if is_dry else gateway.webhook,
        lines=tuple(_planned_line(topology, gateway, topology.lines[name]) for name in gateway.line_ids),
        groups=tuple(_planned_group(_group(topology, gateway, each, section), each) for each in carried),
    )


def _planned_line(topology: Topology, gateway: Gateway, line: Line) -> PlannedLine:
    port = gateway.ports.get(line.id)
    return PlannedLine(
        line_id=line.id,
        capacity_bps=line.capacity_bps,
        probes=asked_by(topology, gateway, line),
        profile=profile_of(line, topology.inventory),
        standby=line.standby,
        interface=port.interface if port else "",
        next_hop=port.next_hop if port else "",
        next_hop6=port.next_hop6 if port else "",
    )


def asked_by(topology: Topology, gateway: Gateway, line: Line) -> tuple[AnyProbe, ...]:
    """What a gateway asks over one of its lines: the probes that name it in `from`, as they are; else those of others, by its own port.

    What others ask may stand beside the gateway itself, where the line is a way to it: what answers there says nothing of the line, and
    is left out. May be empty; the line is then never shown to be good.
    """
    own = tuple(_anonymous(each) for each in line.probes if gateway.id in each.vantage_ids)
    port = gateway.ports.get(line.id)
    if own or port is None:
        return own
    pin = Pin(interface=port.interface)
    near = {
        address for name in topology.devices_of_site(gateway.site_id) for address in topology.devices[name].addresses
    }
    far = {
        _anonymous(msgspec.structs.replace(each, pin=pin)): None for each in line.probes if address_of(each) not in near
    }
    return tuple(far)


def address_of(asked: AnyProbe) -> str:
    """The literal address that a probe goes to; empty when it goes to a URL."""
    return str(getattr(asked, "address", ""))


def _anonymous(asked: AnyProbe) -> AnyProbe:
    """Without those who ask: the gateway that gets it."""
    return msgspec.structs.replace(asked, vantage_ids=())


def _planned_group(group: Group, carried: TrafficClass) -> PlannedGroup:
    return PlannedGroup(
        group_id=group.id,
        class_id=group.class_id,
        priority=group.priority,
        working=group.working,
        protections=group.protections,
        mark=carried.mark,
        prefixes=carried.prefixes,
        table=table_of(group.class_id),
        bandwidth_bps=group.bandwidth_bps,
        both_ways=group.both_ways,
        moves_on_sd=group.moves_on_sd,
        verify=carried.verify,
        timers=group.timers,
        damping=group.damping,
        revertive=group.revertive,
        mode=group.mode,
    )


def _asked_here(topology: Topology) -> Iterator[tuple[config_source.Path, AnyProbe]]:
    """What this machine asks as a gateway, and where it stands in the region's file."""
    for gateway in topology.inventory.gateways:
        if gateway.actuator == "routes":
            for line in (topology.lines[name] for name in gateway.line_ids):
                named = any(gateway.id in each.vantage_ids for each in line.probes)
                asked = ((index, each) for index, each in enumerate(line.probes))
                here = ((index, each) for index, each in asked if not named or gateway.id in each.vantage_ids)
                yield from ((("lines", line.id, "probes", index), each) for index, each in here)
            for carried in (topology.traffic_classes[name] for name in gateway.class_ids):
                at = ("traffic_classes", carried.id, "verify")
                yield from (((*at, index), each) for index, each in enumerate(carried.verify))


# --- How they are reached. ---


def _mqtt(section: Failover) -> MqttSettings | None:
    mqtt = section.mqtt
    if mqtt.url is None:
        return None
    return MqttSettings(
        url=mqtt.url,
        prefix=mqtt.prefix,
        iota_apikey=mqtt.iota_apikey,
        username=mqtt.username,
        password="" if mqtt.password_file is None else _line(mqtt.password_file),
        tls_ca_file=_path(mqtt.tls_ca_file),
        tls_cert_file=_path(mqtt.tls_cert_file),
        tls_key_file=_path(mqtt.tls_key_file),
    )


def _webhooks(section: Failover) -> Iterator[WebhookSettings]:
    for name, webhook in section.webhooks.items():
        yield WebhookSettings(
            name=name,
            url=webhook.url,
            secret=_word(webhook.secret_file),
            tls_ca_file=_path(webhook.tls_ca_file),
            timeout_s=webhook.timeout_s,
        )


def _path(file: Path | None) -> str:
    return "" if file is None else str(file)


def _line(file: Path) -> str:
    """The first line of a file that was checked. Raises ConfigError: it cannot be used any more."""
    try:
        return lines_of(file)[0]
    except ValueError as error:
        raise ConfigError([str(error)]) from None


def _word(file: Path) -> str:
    return _line(file).strip()


def groups_wanted(config: Config) -> int:
    """How many protection groups there are; 0 of a region that cannot be read."""
    file = config.region.file
    if not config.failover.enabled or file is None:
        return 0
    try:
        return sum(len(gateway.class_ids) for gateway in schema.read(file).gateways)
    except ConfigError:
        return 0


def redis_bytes_max(config: Config) -> int:
    """Memory that failover may take in Redis: the groups, and the audit."""
    count = groups_wanted(config)
    return count * _GROUP_BYTES + config.failover.stream_entries_max * _ACTION_BYTES if count else 0


# --- What does not fit. ---


def misfits(config: Config) -> Iterator[tuple[config_source.Path, str]]:
    """Yield what of the section `failover` does not fit the region, and where it stands. A region that is wrong tells that itself."""
    section, file = config.failover, config.region.file
    if not section.enabled or config.probe.rehearsal or file is None:
        return
    try:
        region = schema.read(file)
    except ConfigError:
        return
    yield from _unreachable(section, region)


def unread(config: Config) -> list[str]:
    """What is wrong with files that this machine reads as a gateway; nothing of a region that is wrong, which tells that itself."""
    file = config.region.file
    if not config.failover.enabled or config.probe.rehearsal or file is None:
        return []
    try:
        region = schema.read(file)
    except ConfigError:
        return []
    try:
        probe.secrets_of(_asked_here(Topology(region)), file)
    except ConfigError as error:
        return error.mistakes
    return []


def _unreachable(section: Failover, region: Inventory) -> Iterator[tuple[config_source.Path, str]]:
    """Gateways whose actuator needs what is not configured."""
    first: Mapping[str, str] = {each.actuator: each.id for each in reversed([*_carrying(region)])}
    by_mqtt = next((kind for kind in ("agent", "iota_json") if kind in first), None)
    if by_mqtt is not None and section.mqtt.url is None:
        text = f"{first[by_mqtt]} has the actuator {by_mqtt}, and there is no broker; expected mqtt://HOST:PORT"
        yield ("failover", "mqtt", "url"), text
    if "agent" in first and section.signing_key_file is None:
        text = f"{first['agent']} has the actuator agent, which obeys what is signed alone"
        yield ("failover", "signing_key_file"), f"{text}; expected a file, as `netmon failover keys` makes it"
    for gateway in _carrying(region):
        if gateway.actuator == "webhook" and gateway.webhook not in section.webhooks:
            near = difflib.get_close_matches(gateway.webhook, section.webhooks, n=1)
            cure = f"did it mean {near[0]}?" if near else f"expected {gateway.webhook}: {{url: ..., secret_file: ...}}"
            yield ("failover", "webhooks"), f"{gateway.id} names {gateway.webhook!r}, and there is none; {cure}"
