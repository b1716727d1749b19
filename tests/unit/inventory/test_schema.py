"""A region from YAML: what is said about files that are wrong, and what those that are right become.

Each file in tests/data/region/ has one kind of mistake, and the messages that it must lead to in `# expect:` comments.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from netmon.errors import ConfigError
from netmon.inventory import schema
from netmon.inventory.entries import KINDS
from netmon.inventory.model import (
    Area,
    Carrier,
    Device,
    Gateway,
    Interface,
    Inventory,
    Line,
    RiskGroup,
    Site,
    TrafficClass,
)
from netmon.inventory.topology import Topology

REPOSITORY = Path(__file__).resolve().parents[3]
INVALID = REPOSITORY / "tests" / "data" / "region"
SAMPLE = REPOSITORY / "config" / "region.example.yml"


COURSE = ((139.5, 35.5), (139.6, 35.6))
WRITTEN = """
name: 地域
areas:
  east: {name: 東市, name_en: East, code: "13101", jma_codes: ["quake:350", "1310101"]}
carriers:
  c: {name: 通信, contact: "0120"}
risk_groups:
  duct: {kind: duct, geometry: [[139.5, 35.5], [139.6, 35.6]]}
sites:
  hall: {area: east, latitude: 35.5, longitude: 139, risk_groups: [duct]}
  school: {area: east, latitude: -35.5, longitude: -139}
lines:
  f: {medium: fibre, carrier: c, ends: [hall, school], capacity_bps: 1.5Gbps, cost_tier: 2, sectors: [water],
      risk_groups: [duct], geometry: [[139.5, 35.5], [139.6, 35.6]]}
devices:
  rt: {site: hall, kind: router, addresses: ["::ffff:192.0.2.1", "2001:DB8::1"], engine_ids: ["0x80001F8801"],
       sectors: [traffic], uplinks: [f], interfaces: [{index: 7, line: f, name: ge7}], is_power: true}
traffic_classes:
  life: {priority: P0, sectors: [sirens], bandwidth_bps: 64kbps, delay_ms_max: 500}
gateways:
  gw: {site: hall, device: rt, lines: [f], classes: [life]}
"""
READ = Inventory(
    name="地域",
    areas=(Area(id="east", name="東市", name_en="East", code="131016", jma_codes=("quake:350", "1310101")),),
    carriers=(Carrier(id="c", name="通信", contact="0120"),),
    risk_groups=(RiskGroup(id="duct", name="duct", kind="duct", geometry=COURSE),),
    sites=(
        Site(id="hall", name="hall", area_id="east", longitude=139.0, latitude=35.5, risk_group_ids=("duct",)),
        Site(id="school", name="school", area_id="east", longitude=-139.0, latitude=-35.5),
    ),
    lines=(
        Line(
            id="f",
            name="f",
            medium="fibre",
            carrier_id="c",
            endpoint_site_ids=("hall", "school"),
            capacity_bps=1_500_000_000,
            cost_tier=2,
            sectors=("water",),
            risk_group_ids=("duct",),
            geometry=COURSE,
        ),
    ),
    devices=(
        Device(
            id="rt",
            name="rt",
            site_id="hall",
            kind="router",
            addresses=("192.0.2.1", "2001:db8::1"),
            engine_ids=("80001f8801",),
            sectors=("traffic",),
            uplink_line_ids=("f",),
            interfaces=(Interface(index=7, line_id="f", name="ge7"),),
            is_power=True,
        ),
    ),
    traffic_classes=(
        TrafficClass(
            id="life",
            name="life",
            priority=0,
            sectors=("sirens",),
            bandwidth_bps=64_000,
            delay_ms_max=500,
        ),
    ),
    gateways=(Gateway(id="gw", name="gw", site_id="hall", device_id="rt", line_ids=("f",), class_ids=("life",)),),
)


def mistakes_in(file: Path) -> list[str]:
    """What `read` says about a file, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        schema.read(file)
    return [mistake.removeprefix(f"{file}:") for mistake in caught.value.mistakes]


# --- Files that are wrong. ---


@pytest.mark.parametrize("name", sorted(file.stem for file in INVALID.glob("*.yml")))
def test_mistake_is_told_with_its_line_and_what_was_expected(name: str) -> None:
    """One invalid file per kind of mistake; the expected messages stand in it."""
    file = INVALID / f"{name}.yml"
    lines = file.read_text("utf-8").splitlines()
    expected = [line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: ")]

    assert expected != []
    assert mistakes_in(file) == expected


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """No line to name: the file itself is the mistake."""
    (tmp_path / "latin1.yml").write_bytes(b"name: k\xf6ln\n")

    assert mistakes_in(tmp_path / "none.yml") == [" cannot be read: No such file or directory"]
    assert mistakes_in(tmp_path / "latin1.yml") == [" not UTF-8 text at byte 7"]


def test_a_file_is_read_no_further_than_its_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """/dev/zero is a region without end."""
    monkeypatch.setattr(schema, "FILE_BYTES_MAX", 1_024)
    (tmp_path / "large.yml").write_text("#" * 1_025)

    assert mistakes_in(tmp_path / "large.yml") == [" has more than 1KiB"]


def test_more_things_than_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said once, not once for each."""
    monkeypatch.setattr(schema, "THINGS_MAX", 2)
    inventory, mistakes = schema.parse("carriers: {a: , b: , c: }")

    assert (inventory, [mistake.text for mistake in mistakes]) == (None, ["found 3; expected at most 2"])


def test_a_file_full_of_mistakes_is_told_in_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A program with one mistake in it writes a thousand; the rest is counted."""
    monkeypatch.setattr(schema, "MISTAKES_MAX", 2)
    file = tmp_path / "region.yml"
    file.write_text("areas: {a: {}, b: {}, c: {}, d: {}}\n")

    assert mistakes_in(file)[2:] == [" and 2 more mistakes"]


# --- Files that are right. ---


def test_every_key_reaches_the_region() -> None:
    """With names of what is referred to as the model has them; rates in bits, addresses and engine IDs in one way of writing."""
    assert schema.parse(WRITTEN) == (READ, [])


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "areas:\nsites:\n"])
def test_an_empty_region_is_one(text: str) -> None:
    """Whoever begins has nothing yet."""
    assert schema.parse(text) == (Inventory(), [])


def test_the_sample_stands_on_ground_for_documents_and_hangs_together() -> None:
    """It must not be taken for anybody's network; every site can be reached, every group has members, every line has ports."""
    topology = Topology(schema.read(SAMPLE))
    documents = ("192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:")
    addresses = [address for device in topology.devices.values() for address in device.addresses]

    assert [address for address in addresses if not address.startswith(documents)] == []
    assert [site for site in topology.sites if not topology.lines_of_site(site)] == []
    assert [line for line in topology.lines if not topology.ends(line)] == []
    groups = topology.risk_groups
    assert [g for g in groups if not topology.lines_of_risk_group(g) + topology.sites_of_risk_group(g)] == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_is_in_the_documentation(kind: str) -> None:
    """docs/region.md has a section for each kind, and a row for each key."""
    document = (REPOSITORY / "docs" / "region.md").read_text("utf-8")
    section = document.partition(f"### `{kind}`")[2].partition("\n#")[0]
    rows = "\n".join(line for line in section.splitlines() if line.startswith("| `"))

    assert [key for key in KINDS[kind].model_fields if key not in {"name", "name_en"} and f"`{key}`" not in rows] == []


# --- Whatever is written. ---

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
_VALUES = st.recursive(
    _SCALARS | st.sampled_from(["a", "131016", "1Gbps", "fibre"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "line", "index"]), inner, max_size=3)
    ),
    max_leaves=6,
)
_KEYS = [key for section in KINDS.values() for key in section.model_fields]
_SECTIONS = st.dictionaries(
    st.sampled_from([*KINDS, "name"]),
    _VALUES | st.dictionaries(st.sampled_from(["a", "b"]), st.dictionaries(st.sampled_from(_KEYS), _VALUES)),
)


@given(values=_SECTIONS)
def test_anything_is_a_region_or_has_mistakes(values: Any) -> None:
    """Never both, never neither, and never another exception."""
    inventory, mistakes = schema.parse(yaml.safe_dump(values, allow_unicode=True))

    assert (inventory is None) == bool(mistakes)
