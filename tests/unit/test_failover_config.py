"""From configuration and region to what the controller of failover is told: which groups there are, who moves them, when none runs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from netmon import config
from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.config import Config, failover, probe
from netmon.errors import ConfigError
from netmon.failover.model import Group, LineFacts, Timers
from netmon.failover.plan.model import PlannedGroup, PlannedLine
from netmon.failover.settings import ControllerSettings, GatewaySettings, MqttSettings, WebhookSettings
from netmon.inventory.gateways import table_of
from netmon.inventory.probes import IcmpProbe, Pin, StampProbe
from netmon.model import RedisSettings

URL = "redis://127.0.0.1"
KEY = "0123456789abcdef" * 4
REGION = """
areas: {a: {code: "131016"}, b: {code: "011002"}}
carriers: {c: {}}
risk_groups: {duct: {kind: duct}, feeder: {kind: power_feeder}}
sites:
  s: {area: a, latitude: 35, longitude: 139, risk_groups: [feeder]}
  t: {area: b, latitude: 35, longitude: 139}
devices: {rt: {site: s, kind: router, addresses: [192.0.2.1]}}
traffic_classes:
  life: {priority: P0, mark: 16, bandwidth_bps: 64kbps, delay_ms_max: 500, moves_on_sd: true, verify: [{icmp: 203.0.113.1}]}
  bulk: {priority: P3, prefixes: [203.0.113.0/24], both_ways: false, revertive: false, hold_off_s: 1, wtr_s: 60}
gateways:
  gw: {site: s, lines: [f, g], classes: [life, bulk], actuator: agent, mode: act, ports: {
      f: {interface: eth1, next_hop: 192.0.2.9}, g: {interface: eth2, next_hop6: "fe80::1"}}}
  sat: {site: s, lines: [g, f], classes: [bulk], actuator: webhook, webhook: carrier}
  idle: {site: t, lines: [f]}
lines:
  f: {medium: fibre, carrier: c, ends: [t, s], capacity_bps: 1Mbps, risk_groups: [duct], probes: [
      {stamp: 192.0.2.1, interface: wan0}, {icmp: 192.0.2.7, mark: 3, from: [sat]}, {icmp: 192.0.2.7, interface: wan0, from: [idle]}]}
  g: {medium: leo, carrier: c, ends: [s], capacity_bps: 8Mbps, cost_tier: 6, standby: true, probes: [
      {stamp: 192.0.2.8}, {icmp: 192.0.2.1, interface: eth7, from: [gw]}]}
  h: {medium: 5g, carrier: c, ends: [t], capacity_bps: 1Mbps}
"""
SECTION = """{mqtt: {url: "mqtts://broker.example:8883", prefix: a/b, username: u, password_file: password, tls_ca_file: pem},
  webhooks: {carrier: {url: "https://carrier.example/v1", secret_file: secret, timeout_s: 3}}, signing_key_file: key,
  trap_trust: v3_auth, wtr_s: 120, verify_s: 3, approval_s: 60, centre_lost_s: 40, gateway_silent_s: 50, lease_s: 5, lock_delay_s: 6,
  stream_entries_max: 2000}"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a region, and the files that the section names."""
    (tmp_path / "region.yml").write_text(REGION)
    for name, content in {
        "password": "geheim",
        "secret": "0123456789abcdefgeheim",
        "key": KEY,
        "pem": "certificate",
    }.items():
        (tmp_path / name).write_text(f"{content}\n")
    return tmp_path


def loaded(folder: Path, section: str = SECTION, *, rehearsal: bool = False) -> Config:
    """A configuration with this section `failover`."""
    file = folder / "netmon.yml"
    file.write_text(
        f"data_dir: var\nregion: {{file: region.yml}}\nfailover: {section}\nlog: {{format: json}}\n"
        f"probe: {{rehearsal: {str(rehearsal).lower()}}}\n"
    )
    return config.load(file)


def told(folder: Path, section: str = SECTION, *, rehearsal: bool = False) -> ControllerSettings:
    """What the controller gets of it."""
    settings = failover.controller_settings(loaded(folder, section, rehearsal=rehearsal), redis_url=URL)
    assert settings is not None
    return settings


def mistakes_in(folder: Path, section: str) -> list[str]:
    """What a thorough check says of it, without the folder's name."""
    loaded(folder, section)
    with pytest.raises(ConfigError) as caught:
        config.load(folder / "netmon.yml", thorough=True)
    return [mistake.replace(f"{folder}/", "") for mistake in caught.value.mistakes]


# --- What the controller is told. ---


def test_the_way_to_gateways_carriers_and_redis(folder: Path) -> None:
    """With what stands in the files, none of which is shown."""
    settings = told(folder)
    bare = msgspec.structs.replace(settings, lines=(), groups=(), gateways=())

    assert bare == ControllerSettings(
        redis=RedisSettings(url=URL),
        directory=str(folder / "var"),
        lines=(),
        groups=(),
        gateways=(),
        mqtt=MqttSettings(
            url="mqtts://broker.example:8883",
            prefix="a/b",
            username="u",
            password="geheim",
            tls_ca_file=str(folder / "pem"),
        ),
        webhooks=(
            WebhookSettings(
                name="carrier", url="https://carrier.example/v1", secret="0123456789abcdefgeheim", timeout_s=3.0
            ),
        ),
        signing_key=KEY,
        vantage_ids=("centre", "sat", "idle"),
        trap_trust="v3_auth",
        centre_lost_s=40.0,
        gateway_silent_s=50.0,
        lease_s=5.0,
        lock_delay_s=6.0,
        stream_entries_max=2000,
    )
    shown = repr((settings, settings.mqtt, settings.webhooks))
    assert [secret for secret in ("geheim", KEY) if secret in shown] == []


def test_all_lines_are_told_with_what_takes_them_down(folder: Path) -> None:
    """Also those that no gateway uses: they tell what has failed. A line on standby proves itself for twice its interval."""
    assert told(folder).lines == (
        LineFacts(
            line_id="f",
            medium="fibre",
            carrier_id="c",
            area_ids=("b", "a"),
            capacity_bps=1_000_000,
            risk_group_ids=("duct", "feeder"),
        ),
        LineFacts(
            line_id="g",
            medium="leo",
            carrier_id="c",
            area_ids=("a",),
            cost_tier=6,
            capacity_bps=8_000_000,
            risk_group_ids=("feeder",),
            standby=True,
            proven_s=60.0,
        ),
        LineFacts(line_id="h", medium="5g", carrier_id="c", area_ids=("b",), capacity_bps=1_000_000),
    )


def test_each_class_at_each_gateway_is_a_group(folder: Path) -> None:
    """Its own times, else the configuration's; a working line by LEO gets time for handovers; a gateway's mode is its own."""
    own = Timers(hold_off_s=1.0, wtr_s=60.0, verify_s=3.0, approval_s=60.0)
    usual = Timers(wtr_s=120.0, verify_s=3.0, approval_s=60.0)
    life = Group(
        id="gw/life",
        gateway_id="gw",
        class_id="life",
        area_id="a",
        priority=0,
        working="f",
        protections=("g",),
        bandwidth_bps=64_000,
        delay_ms_max=500,
        moves_on_sd=True,
        mode="act",
        leaves_by_itself=True,
        timers=usual,
    )
    bulk = Group(
        id="gw/bulk",
        gateway_id="gw",
        class_id="bulk",
        area_id="a",
        priority=3,
        working="f",
        protections=("g",),
        both_ways=False,
        revertive=False,
        mode="act",
        leaves_by_itself=True,
        timers=own,
    )
    other = msgspec.structs.replace(
        bulk,
        id="sat/bulk",
        gateway_id="sat",
        working="g",
        protections=("f",),
        mode="observe",
        leaves_by_itself=False,
    )

    assert told(folder).groups == (life, bulk, other)


@pytest.mark.parametrize(("written", "hold_off_s"), [("null", 2.0), ("0", 0.0), ("0.5", 0.5)])
def test_hold_off_of_a_working_line_by_leo(folder: Path, written: str, hold_off_s: float) -> None:
    """Longer than a handover, where nothing else is said."""
    (folder / "region.yml").write_text(
        REGION.replace(", hold_off_s: 1,", ",").replace("actuator: webhook, webhook: carrier", "mode: act")
    )
    settings = told(folder, SECTION.replace("wtr_s: 120", f"hold_off_s: {written}"))

    assert [group.timers.hold_off_s for group in settings.groups if group.gateway_id == "sat"] == [hold_off_s]


def test_a_gateway_knows_its_ports_its_packets_and_what_to_ask(folder: Path) -> None:
    """Probes that name it as they are; else those of others by its own port, but for what stands beside it."""
    gateway, other = told(folder).gateways
    life, bulk, _ = told(folder).groups

    assert gateway == GatewaySettings(
        gateway_id="gw",
        area_id="a",
        actuator="agent",
        lines=(
            PlannedLine(
                line_id="f",
                capacity_bps=1_000_000,
                probes=(IcmpProbe(address="192.0.2.7", pin=Pin(interface="eth1")),),
                profile=BUILT_IN["fibre"],
                interface="eth1",
                next_hop="192.0.2.9",
            ),
            PlannedLine(
                line_id="g",
                capacity_bps=8_000_000,
                probes=(IcmpProbe(address="192.0.2.1", pin=Pin(interface="eth7")),),
                profile=BUILT_IN["leo"],
                standby=True,
                interface="eth2",
                next_hop6="fe80::1",
            ),
        ),
        groups=(
            PlannedGroup(
                group_id="gw/life",
                class_id="life",
                priority=0,
                working="f",
                protections=("g",),
                mark=16,
                table=table_of("life"),
                bandwidth_bps=64_000,
                moves_on_sd=True,
                verify=(IcmpProbe(address="203.0.113.1"),),
                timers=life.timers,
            ),
            PlannedGroup(
                group_id="gw/bulk",
                class_id="bulk",
                priority=3,
                working="f",
                protections=("g",),
                prefixes=("203.0.113.0/24",),
                table=table_of("bulk"),
                both_ways=False,
                revertive=False,
                timers=bulk.timers,
            ),
        ),
    )
    assert (other.actuator, other.webhook, [line.probes for line in other.lines]) == (
        "webhook",
        "carrier",
        [(), (IcmpProbe(address="192.0.2.7", pin=Pin(mark=3)),)],
    )


def test_tables_are_the_same_for_ever() -> None:
    """They are in the kernels of gateways: a netmon that counts them otherwise would leave the old ones behind."""
    assert (table_of("life"), table_of("bulk")) == (1852653310, 1852692052)


def test_the_file_of_a_probe_that_this_machine_asks_is_read(folder: Path) -> None:
    """The gateway with the actuator routes is we ourselves; what other vantages ask needs no file here."""
    region = REGION.replace(
        "actuator: webhook, webhook: carrier", "actuator: routes, ports: {f: {interface: a}, g: {interface: b}}"
    )
    region = region.replace("{stamp: 192.0.2.8}", "{stamp: 192.0.2.8, key_file: hmac, from: [sat]}")
    (folder / "region.yml").write_text(
        region.replace("interface: eth7", "interface: eth7, key_file: theirs").replace(
            "icmp: 192.0.2.1", "stamp: 192.0.2.1"
        )
    )
    assert mistakes_in(folder, SECTION) == [
        "region.yml:21: lines.g.probes[0].key_file: hmac cannot be read: No such file or directory"
    ]

    (folder / "hmac").write_text("geheim geheim geheim\n")

    assert told(folder).secrets == {"hmac": "geheim geheim geheim"}
    assert told(folder).gateways[1].lines[0].probes == (StampProbe(address="192.0.2.8", key_file="hmac"),)


# --- When none runs, and when nothing is touched. ---


def test_a_rehearsal_moves_nothing_real(folder: Path) -> None:
    """Nor does it need a broker, carriers or keys."""
    settings = told(folder, "{mode: act}", rehearsal=True)

    assert (settings.mqtt, settings.webhooks, settings.signing_key, settings.secrets) == (None, (), "", {})
    assert [(gateway.actuator, gateway.webhook) for gateway in settings.gateways] == [("dry_run", ""), ("dry_run", "")]
    assert [group.mode for group in settings.groups] == ["act", "act", "act"]
    assert settings.vantage_ids == ("centre",)


@pytest.mark.parametrize(
    ("section", "region"),
    [
        ("{enabled: false}", REGION),
        (SECTION, REGION.replace("classes: [life, bulk], ", "").replace("classes: [bulk], ", "")),
    ],
)
def test_nothing_runs_where_nothing_is_to_be_moved(folder: Path, section: str, region: str) -> None:
    """Off, or no gateway carries a class."""
    (folder / "region.yml").write_text(region)

    assert failover.controller_settings(loaded(folder, section), redis_url=URL) is None


def test_a_gateway_with_an_agent_votes_on_no_line(folder: Path) -> None:
    """The verdict would wait for it: it tells the controller instead."""
    settings = probe.verdict_settings(loaded(folder), redis_url=URL)

    assert settings is not None
    assert [(line.line_id, line.vantage_ids) for line in settings.lines] == [
        ("f", ("centre", "sat", "idle")),
        ("g", ("centre",)),
    ]


def test_an_embedded_redis_has_room_for_it(folder: Path) -> None:
    """The audit above all; nothing where nothing is moved."""
    with_it, without = loaded(folder), loaded(folder, "{enabled: false}")

    assert failover.redis_bytes_max(with_it) == 3 * 4_096 + 2_000 * 2_048
    assert (
        config.embedded_memory_bytes_max(with_it) - config.embedded_memory_bytes_max(without)
        == 3 * 4_096 + 2_000 * 2_048
    )


# --- What does not fit. ---


def test_gateways_that_cannot_be_reached_are_told(folder: Path) -> None:
    """A thorough check tells each where it is to be mended; a netmon that runs without one does not start the controller."""
    cure = "as `netmon failover keys` makes it"
    expected = [
        "failover.mqtt.url: gw has the actuator agent, and there is no broker; expected mqtt://HOST:PORT",
        f"failover.signing_key_file: gw has the actuator agent, which obeys what is signed alone; expected a file, {cure}",
        "failover.webhooks: sat names 'carrier', and there is none; expected carrier: {url: ..., secret_file: ...}",
    ]

    assert mistakes_in(folder, "{}") == [f"netmon.yml:3: {each}" for each in expected]
    with pytest.raises(ConfigError) as caught:
        failover.controller_settings(loaded(folder, "{}"), redis_url=URL)
    assert caught.value.mistakes == expected


def test_what_everybody_can_read_is_doubted(folder: Path) -> None:
    """Orders are signed, but they tell where traffic goes; and a key is for nobody else."""
    (folder / "key").chmod(0o644)
    for name in ("password", "secret"):
        (folder / name).chmod(0o600)
    section = SECTION.replace("mqtts:", "mqtt:").replace("https:", "http:").replace(", tls_ca_file: pem", "")

    assert config.warnings(loaded(folder, section)) == [
        "failover.mqtt.url: everybody on the way can read where traffic goes; mqtts:// would hide it",
        "failover.webhooks.carrier.url: everybody on the way can read what is ordered; https:// would hide it",
        f"failover.signing_key_file: {folder}/key can be read by every user; chmod 640 would do",
    ]
