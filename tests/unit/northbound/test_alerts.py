"""From alarms to alerts: what is a label, what is not, and when an alert begins and ends."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from netmon.alarms.model import SEVERITIES, Alarm, Place, Text
from netmon.inventory.model import Area, Inventory, Site
from netmon.northbound.alerts import Writer, body, camel_case, resolved, rfc3339
from netmon.northbound.severity import PROMETHEUS

NOW_NS = 1_795_000_000_000_000_000
SECOND_NS = 1_000_000_000
REGION = Inventory(
    areas=(Area(id="minato", name="みなと市", name_en="Minato", code="992011"),),
    sites=(Site(id="hall", name="市役所", area_id="minato", longitude=139.0, latitude=35.0),),
)


def alarm(**changes: Any) -> Alarm:
    """A port that is down."""
    base = Alarm(
        id="0123456789ab",
        resource="device/r1/interface/3",
        alarm_type="link-down",
        place=Place(area="minato", site="hall", line="fibre-1", device="r1", sectors=("water", "sirens")),
        severity="major",
        event_type="communicationsAlarm",
        probable_cause="loss_of_signal",
        text=Text("Port 3 is down", "ポート3が断"),
        action=Text("Look at the cable", "ケーブルを確認"),
        created_unix_ns=NOW_NS - 60 * SECOND_NS,
        raised_unix_ns=NOW_NS - 60 * SECOND_NS,
        event_unix_ns=NOW_NS,
        changed_unix_ns=NOW_NS,
    )
    return msgspec.structs.replace(base, **changes)


def test_labels_say_what_and_where() -> None:
    """With the area's code as the region, and nothing empty, as Alertmanager keeps them."""
    found = Writer(REGION).alert(alarm(), NOW_NS).labels
    assert found == {
        "alertname": "LinkDown",
        "severity": "critical",
        "alarm_id": "0123456789ab",
        "resource": "device/r1/interface/3",
        "region": "992011",
        "area": "minato",
        "site": "hall",
        "line": "fibre-1",
        "sector": "sirens,water",
        "source": "netmon",
    }
    assert "line" not in Writer(REGION).alert(alarm(place=Place(area="minato")), NOW_NS).labels


@pytest.mark.parametrize(
    "change",
    [
        {"caused": 312},
        {"notifications": 1_000, "raises": 7, "flapping": True},
        {"text": Text("other", "他")},
        {"severity": "critical"},
        {"operator_state": "ack", "operator_by": "taro"},
        {"event_unix_ns": NOW_NS + 1, "version": 9},
    ],
)
def test_what_changes_is_no_label(change: dict[str, Any]) -> None:
    """Else each change would be another alert. From major to critical the label stays the same."""
    writer = Writer(REGION)
    assert writer.alert(alarm(**change), NOW_NS).labels == writer.alert(alarm(), NOW_NS).labels


def test_people_read_their_language() -> None:
    """Text, cure, place and how many it explains are annotations."""
    ja = Writer(REGION, "ja", "https://wiki.example/{alarm_type}").alert(alarm(caused=312), NOW_NS).annotations
    en = Writer(REGION, "en").alert(alarm(), NOW_NS).annotations
    assert ja == {
        "summary": "ポート3が断",
        "description": "ケーブルを確認\n場所: みなと市 / 市役所 / fibre-1 / r1\n重大度: major\nこれが原因とみられる警報: 312",
        "runbook_url": "https://wiki.example/link-down",
    }
    assert en == {
        "summary": "Port 3 is down",
        "description": "Look at the cable\nPlace: Minato / 市役所 / fibre-1 / r1\nSeverity: major",
    }


def test_text_of_a_device_is_cut() -> None:
    """A rule's text may hold what a stranger has sent."""
    long = alarm(text=Text("x" * 100_000, "x" * 100_000), resource="source/" + "y" * 10_000)
    found = Writer(REGION).alert(long, NOW_NS)
    assert (len(found.annotations["summary"]), len(found.labels["resource"])) == (2_000, 500)


def test_an_alert_never_begins_in_the_future_nor_ends_before_it_began() -> None:
    """Clocks of devices are wrong at times; Alertmanager refuses an end before the beginning."""
    ahead = Writer(REGION).alert(alarm(raised_unix_ns=NOW_NS + 3_600 * SECOND_NS), NOW_NS)
    assert ahead.starts_unix_ns == NOW_NS
    assert resolved(ahead, NOW_NS - SECOND_NS, NOW_NS).ended_unix_ns == NOW_NS
    assert resolved(ahead, NOW_NS + 9 * SECOND_NS, NOW_NS + SECOND_NS).ended_unix_ns == NOW_NS + SECOND_NS


def test_the_body_is_what_the_api_takes() -> None:
    """A firing alert ends after a while if nobody repeats it, a resolved one when it did."""
    firing = Writer(REGION).alert(alarm(), NOW_NS)
    over = resolved(firing, NOW_NS - SECOND_NS, NOW_NS)
    found = json.loads(body([firing, over], NOW_NS + 240 * SECOND_NS))
    assert [(one["startsAt"], one["endsAt"]) for one in found] == [
        ("2026-11-18T11:05:40.000Z", "2026-11-18T11:10:40.000Z"),
        ("2026-11-18T11:05:40.000Z", "2026-11-18T11:06:39.000Z"),
    ]
    assert set(found[0]) == {"labels", "annotations", "startsAt", "endsAt"}


@pytest.mark.parametrize(
    ("alarm_type", "expected"),
    [("link-down", "LinkDown"), ("bgpPeer_lost", "BgpPeerLost"), ("ups.on-battery", "UpsOnBattery"), ("断", "Alarm")],
)
def test_alerts_are_named_in_camel_case(alarm_type: str, expected: str) -> None:
    """As alerts usually are."""
    assert camel_case(alarm_type) == expected


def test_every_severity_has_a_word() -> None:
    """Three words, as most receivers route by them."""
    assert set(PROMETHEUS) == set(SEVERITIES)
    assert [PROMETHEUS[severity] for severity in SEVERITIES] == ["info", "warning", "warning", "critical", "critical"]


def test_times_have_milliseconds() -> None:
    """And are UTC."""
    assert rfc3339(NOW_NS + 7_999_999) == "2026-11-18T11:06:40.007Z"
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
