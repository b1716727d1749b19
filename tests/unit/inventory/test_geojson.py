"""The region as GeoJSON, read by a library that is not ours."""

from __future__ import annotations

from pathlib import Path

import msgspec
from geojson_pydantic import FeatureCollection, LineString, Point

from netmon.inventory import geojson, schema
from netmon.inventory.model import Inventory

SAMPLE = schema.read(Path(__file__).resolve().parents[3] / "config" / "region.example.yml")


def test_the_sample_is_a_feature_collection_that_others_can_read() -> None:
    """Every site, line and located risk group is in it once, under an ID of its own, and nothing that RFC 7946 took away."""
    text = msgspec.json.encode(geojson.region(SAMPLE))

    read = FeatureCollection.model_validate_json(text)

    ids = [feature.id for feature in read.features]
    assert (
        len(ids)
        == len(set(ids))
        == len(SAMPLE.sites) + len(SAMPLE.lines) + sum(bool(g.geometry) for g in SAMPLE.risk_groups)
    )
    assert msgspec.json.decode(text).keys() == {"type", "features"}


def test_positions_have_the_longitude_first() -> None:
    """The other way round, a map shows Japan in the Antarctic."""
    sites = {feature["id"]: feature["geometry"] for feature in geojson.region(SAMPLE)["features"]}

    assert Point.model_validate(sites["site/hall"]).coordinates == (141.023, 38.301)


def test_a_line_has_its_course_or_goes_straight_or_is_nowhere() -> None:
    """A line to a satellite has one end, and is no LineString: those have two positions (RFC 7946 section 3.1.4)."""
    lines = {feature["id"]: feature["geometry"] for feature in geojson.region(SAMPLE)["features"]}

    assert len(LineString.model_validate(lines["line/fibre-mountain"]).coordinates) == 4
    assert LineString.model_validate(lines["line/fibre-hall-dc"]).coordinates == [(141.023, 38.301), (140.998, 38.32)]
    assert lines["line/leo-hall"] is None


def test_a_risk_group_is_a_point_or_a_course() -> None:
    """A bridge is one point, a duct several; a feeder without a course is not on the map."""
    found = {feature["id"]: feature for feature in geojson.region(SAMPLE)["features"]}

    bridge, duct = found["risk_group/bridge-shiomi"], found["risk_group/duct-kaigan"]
    assert (bridge["geometry"]["type"], duct["geometry"]["type"]) == ("Point", "LineString")
    assert (duct["properties"]["risk"], "risk_group/feeder-minato" in found) == ("duct", False)


def test_an_empty_region_is_an_empty_collection() -> None:
    """And still GeoJSON."""
    assert geojson.region(Inventory()) == {"type": "FeatureCollection", "features": []}
