"""How lines are asked, from what an operator writes to what the processes have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.inventory import schema
from netmon.inventory.entries import ProfileEntry
from netmon.inventory.model import Inventory
from netmon.inventory.probe_entries import WAYS, ProbeEntry
from netmon.inventory.probes import (
    AnyProbe,
    HttpProbe,
    IcmpProbe,
    MqttProbe,
    Pin,
    Profile,
    SnmpProbe,
    StampProbe,
    TcpProbe,
    Vantage,
)

REPOSITORY = Path(__file__).resolve().parents[3]
REGION = """
areas: {{a: {{code: "131016"}}}}
carriers: {{c: {{}}}}
sites: {{s: {{area: a, latitude: 35, longitude: 139}}}}
gateways: {{gw: {{site: s, lines: [f]}}}}
lines:
  f:
    {{medium: leo, carrier: c, ends: [s], capacity_bps: 1Mbps, profile: slow, standby: true, probes: {probes}}}
vantages:
  centre: {{name: 中央, name_en: Centre, site: s, anchors: [{{icmp: 203.0.113.1}}]}}
  east:
profiles:
  slow: {{based_on: leo, interval_s: 10s, timeout_s: 2500ms, standby_interval_s: 1m, fall: 5, loss_down: 30%, rtt_floor_s: 0.2}}
  leo: {{window_s: 120}}
"""


def region(probes: str = "[]") -> Inventory:
    """The region with these probes of its only line."""
    inventory, mistakes = schema.parse(REGION.format(probes=probes))
    assert inventory is not None, mistakes
    return inventory


@pytest.mark.parametrize(
    ("written", "probe"),
    [
        ("{stamp: 192.0.2.49}", StampProbe(address="192.0.2.49", port=862)),
        (
            '{stamp: "[2001:DB8::1]:8620", key_file: keys/a, interface: eth1}',
            StampProbe(address="2001:db8::1", port=8620, key_file="keys/a", pin=Pin(interface="eth1")),
        ),
        ('{stamp: "2001:db8::1"}', StampProbe(address="2001:db8::1", port=862)),
        (
            "{icmp: '::ffff:192.0.2.1', mark: 0x11, from: [gw]}",
            IcmpProbe(address="192.0.2.1", pin=Pin(mark=17), vantage_ids=("gw",)),
        ),
        (
            "{tcp: '192.0.2.1:502', source: 192.0.2.2, expect_interface: wwan0}",
            TcpProbe(address="192.0.2.1", port=502, pin=Pin(source="192.0.2.2", expect_interface="wwan0")),
        ),
        (
            "{http: 'https://h.example/a', statuses: [200, 204], address: 192.0.2.3, tls_ca_file: ca, token_file: t}",
            HttpProbe(
                url="https://h.example/a", statuses=(200, 204), address="192.0.2.3", tls_ca_file="ca", token_file="t"
            ),
        ),
        ("{snmp: 192.0.2.4, community_file: c}", SnmpProbe(address="192.0.2.4", port=161, community_file="c")),
        (
            "{snmp: '192.0.2.4:1161', user_file: u.yml, if_index: 3, netns: /run/netns/x}",
            SnmpProbe(address="192.0.2.4", port=1161, user_file="u.yml", if_index=3, pin=Pin(netns="/run/netns/x")),
        ),
        (
            "{mqtt: 'mqtts://b.example:8883/', topic: a/b, username: u, password_file: p, tls_ca_file: ca}",
            MqttProbe(url="mqtts://b.example:8883", topic="a/b", username="u", password_file="p", tls_ca_file="ca"),
        ),
    ],
)
def test_a_probe_is_written_short(written: str, probe: AnyProbe) -> None:
    """The key says how to ask, and whom; ports that go without saying are left out."""
    assert region(f"[{written}]").lines[0].probes == (probe,)


def test_a_line_names_its_profile_and_a_vantage_its_anchors() -> None:
    """What is left out of a profile is as in the one that it is based on, or in the built-in one of its name."""
    inventory = region()
    line = inventory.lines[0]

    assert (line.profile, line.standby) == ("slow", True)
    assert inventory.vantages == (
        Vantage(id="centre", name="中央", name_en="Centre", site_id="s", anchors=(IcmpProbe(address="203.0.113.1"),)),
        Vantage(id="east", name="east"),
    )
    assert inventory.profiles == {
        "slow": msgspec.structs.replace(
            BUILT_IN["leo"],
            interval_s=10.0,
            timeout_s=2.5,
            standby_interval_s=60.0,
            fall=5,
            loss_down=0.3,
            rtt_floor_s=0.2,
        ),
        "leo": msgspec.structs.replace(BUILT_IN["leo"], window_s=120.0),
    }


def test_one_target_may_be_asked_by_each_vantage_in_its_own_way() -> None:
    """Interfaces have other names elsewhere."""
    written = "[{icmp: 192.0.2.1, interface: eth1, from: [centre]}, {icmp: 192.0.2.1, interface: wan0, from: [east]}]"

    assert [probe.vantage_ids for probe in region(written).lines[0].probes] == [("centre",), ("east",)]


def test_a_profile_can_say_all_that_profiles_have() -> None:
    """A threshold that the operator cannot set is one that is wrong somewhere."""
    assert [*ProfileEntry.model_fields] == ["based_on", *Profile.__struct_fields__]


@pytest.mark.parametrize("kind", WAYS)
def test_every_key_of_a_probe_is_in_the_documentation(kind: Any) -> None:
    """docs/region.md has a row for each way and each pin."""
    section = (REPOSITORY / "docs" / "region.md").read_text("utf-8").partition("### Probes:")[2].partition("\n### ")[0]
    pins = {info.alias or name for name, info in ProbeEntry.model_fields.items()}
    row = next(line for line in section.splitlines() if line.startswith(f"| `{kind}`"))
    own = {name for name in WAYS[kind].model_fields if name not in ProbeEntry.model_fields}

    assert [name for name in own if f"{name}" not in row] == []
    assert [name for name in pins if f"| `{name}` |" not in section] == []


@pytest.mark.parametrize("kind", [kind for kind in BUILT_IN if kind != "fast"])
def test_the_confirmation_is_never_slower_than_the_probing(kind: str) -> None:
    """What `profiles` refuses of an operator, no built-in profile does."""
    inventory, mistakes = schema.parse(f"profiles: {{{kind}: {{}}}}")

    assert (mistakes, inventory and inventory.profiles) == ([], {kind: BUILT_IN[kind]})
