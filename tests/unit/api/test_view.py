"""Alarms, postures and maps as the API shows them."""

from __future__ import annotations

import msgspec
import pytest

from netmon.alarms.model import SEVERITIES, Comment, Evidence, Key, Place, alarm_id
from netmon.alarms.posture.model import AreaPosture, Declaration, Reason
from netmon.api import geojson
from netmon.api.listing import Listing, Row, RowPlace
from netmon.api.view import BySeverity, alarm_view, by_severity, posture_view, time_or_none, time_text
from netmon.inventory.model import Inventory, Line, Site
from tests.unit.api.samples import ALARM, NOON


@pytest.mark.parametrize(
    ("unix_ns", "expected"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (NOON + 999_999_999, "2026-01-01T12:00:00.999999Z"),
        (253_402_300_799_000_000_000, "9999-12-31T23:59:59.000000Z"),
        (2**63 * 100, "9999-12-31T23:59:59.000000Z"),
        (-1, "1970-01-01T00:00:00.000000Z"),
    ],
)
def test_times_are_rfc_3339(unix_ns: int, expected: str) -> None:
    """Whatever a device's clock says."""
    assert time_text(unix_ns) == expected


def test_never_is_null() -> None:
    """Zero means that it did not happen."""
    assert (time_or_none(0), time_or_none(NOON)) == (None, "2026-01-01T12:00:00.000000Z")


def test_what_is_not_known_is_null() -> None:
    """Not an empty string, of which a page would make an empty line."""
    view = alarm_view(ALARM)
    assert (view.place.area, view.cleared_at, view.cause, view.operator.by, view.operator.shelved_until) == (None,) * 5
    assert (view.is_active, view.changed_at) == (True, "2026-01-01T12:00:00.123456Z")


def test_all_of_an_alarm_is_shown() -> None:
    """Place, comments, evidence."""
    comments = (Comment(NOON, "ito", "見た"),)
    place = Place(area="hama", sectors=("water",))
    view = alarm_view(
        msgspec.structs.replace(ALARM, place=place, comments=comments, evidence=Evidence("netmon:{r:0}:traps", "1-1"))
    )
    assert (view.place.area, view.place.sectors) == ("hama", ("water",))
    assert [(comment.by, comment.text) for comment in view.comments] == [("ito", "見た")]
    assert (view.evidence.stream, view.evidence.entry_id) == ("netmon:{r:0}:traps", "1-1")


def test_a_posture_is_shown_with_its_reasons() -> None:
    """And who has declared what."""
    reason = Reason("on_battery", "3 sites", "3拠点", NOON, "disaster")
    declaration = Declaration(posture="disaster", by="mayor", reason="津波", unix_ns=NOON)
    view = posture_view(
        AreaPosture(area="hama", posture="disaster", reasons=(reason,), declaration=declaration, since_unix_ns=NOON)
    )
    assert (view.reasons[0].text.ja, view.reasons[0].weight) == ("3拠点", "disaster")
    assert view.declaration is not None
    assert (view.declaration.by, view.declaration.until, view.drill) == ("mayor", None, None)


def test_counts_are_summed_by_severity() -> None:
    """Several counts of one severity, too."""
    expected = BySeverity(critical=3, minor=1)
    assert by_severity([("critical", 1), ("minor", 1), ("critical", 2)]) == expected
    assert set(BySeverity.__struct_fields__) == set(SEVERITIES)


REGION = Inventory(
    sites=(
        Site(id="a", name="甲", area_id="hama", longitude=135.0, latitude=34.0),
        Site(id="b", name="乙", name_en="B", area_id="hama", longitude=136.0, latitude=35.0),
    ),
    lines=(
        Line(id="ab", name="線", medium="fibre", carrier_id="kii", endpoint_site_ids=("a", "b"), capacity_bps=1),
        Line(
            id="bent",
            name="曲線",
            medium="radio",
            carrier_id="kii",
            endpoint_site_ids=("a", "b"),
            capacity_bps=1,
            geometry=((135.0, 34.0), (135.5, 34.0), (136.0, 35.0)),
        ),
        Line(id="sky", name="衛星", medium="geo", carrier_id="kii", endpoint_site_ids=("b",), capacity_bps=1),
    ),
)


def listed(resource: str, alarm_type: str, **place: str) -> Row:
    """An alarm that stands at a line or a site."""
    name = alarm_id(Key(resource, alarm_type))
    return Row(name, resource, alarm_type, "critical", NOON, place=RowPlace(**place))


def test_lines_have_a_shape_and_a_state() -> None:
    """Longitude first; down when the line's own alarm stands, alarmed when another one does."""
    listing = Listing()
    listing.put(listed("line/ab", "line-down", line="ab"), b"")
    listing.put(listed("device/r/interface/1", "link-down", line="bent"), b"")
    shapes = {feature["id"]: feature["geometry"] for feature in geojson.lines(REGION, listing)["features"]}
    states = {feature["id"]: feature["properties"]["state"] for feature in geojson.lines(REGION, listing)["features"]}
    assert shapes == {
        "ab": {"type": "LineString", "coordinates": [[135.0, 34.0], [136.0, 35.0]]},
        "bent": {"type": "LineString", "coordinates": [[135.0, 34.0], [135.5, 34.0], [136.0, 35.0]]},
        "sky": None,
    }
    assert states == {"ab": "down", "bent": "alarmed", "sky": "ok"}


def test_sites_have_a_place_and_a_state() -> None:
    """A site without power says so; one whose alarm is gone is well again."""
    listing = Listing()
    dark = listed("site/a", "power-failure", area="hama", site="a")
    listing.put(dark, b"")
    first, second = geojson.sites(REGION, listing)["features"]
    assert first["geometry"] == {"type": "Point", "coordinates": [135.0, 34.0]}
    assert (first["properties"]["state"], first["properties"]["severity"]) == ("power_failure", "critical")
    assert (second["properties"]["state"], second["properties"]["name_en"]) == ("ok", "B")
    listing.remove(dark.id)
    assert geojson.sites(REGION, listing)["features"][0]["properties"]["state"] == "ok"
