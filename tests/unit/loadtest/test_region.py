"""Regions of any size from the sample: right in every reference, and the same each time."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from loadtest.earthquake.region import as_yaml, scaled
from netmon.inventory import schema

SAMPLE = schema.read(Path(__file__).resolve().parents[3] / "config" / "region.example.yml")


@pytest.mark.parametrize("devices", [1, len(SAMPLE.devices), len(SAMPLE.devices) + 1, 500])
def test_a_scaled_region_has_so_many_devices_and_no_mistake(devices: int) -> None:
    """It goes through YAML and back as what it was: every reference leads somewhere, no address is given twice."""
    region = scaled(SAMPLE, devices)

    assert len(region.devices) == devices
    assert schema.parse(as_yaml(region)) == (region, [])


def test_the_first_copy_is_the_sample_itself() -> None:
    """What is known of the sample holds in every size; only that nobody asks over its lines, since nobody would answer."""
    lines = tuple(msgspec.structs.replace(line, probes=(), profile="") for line in SAMPLE.lines)
    classes = tuple(msgspec.structs.replace(each, verify=()) for each in SAMPLE.traffic_classes)
    unasked = msgspec.structs.replace(SAMPLE, lines=lines, traffic_classes=classes, vantages=(), profiles={})

    assert scaled(SAMPLE, len(SAMPLE.devices)) == unasked
    assert scaled(SAMPLE, 300).sites[: len(SAMPLE.sites)] == SAMPLE.sites


def test_scaling_has_no_chance_in_it() -> None:
    """A result that was measured can be measured again."""
    assert scaled(SAMPLE, 300) == scaled(SAMPLE, 300)


def test_a_large_region_still_gives_each_area_a_code_and_each_device_an_address() -> None:
    """Nothing is shared that must not be."""
    region = scaled(SAMPLE, 20_000)
    addresses = [address for device in region.devices for address in device.addresses]

    assert len({area.code for area in region.areas}) == len(region.areas)
    assert len(set(addresses)) == len(addresses)
    assert max(abs(site.latitude) for site in region.sites) < 60
