"""Entries of the streams on their way to the book: what is counted as what, and what happens when netmon fails at one."""

from __future__ import annotations

import msgspec
import pytest

from netmon.alarms.model import Observation
from netmon.alarms.rules.matcher import Matcher
from netmon.alarms.rules.model import ResourceOf, Rule
from netmon.alarms.worker.intake import EntryError, Intake
from netmon.alarms.worker.report import Counts
from netmon.buffer.alarm_reader import Batch
from netmon.inventory.model import Area, Device, Inventory, Site
from netmon.inventory.topology import Topology
from netmon.model import TrapEvent

KEY = "netmon:{test:0}:traps"
LINK_DOWN, COLD_START, OTHER = "1.3.6.1.6.3.1.1.5.3", "1.3.6.1.6.3.1.1.5.1", "1.3.6.1.4.1.9.9.9.9"
RULES = [
    Rule(id="down", trap_oids=(LINK_DOWN,), resource=ResourceOf(kind="device"), alarm_type="link-down"),
    Rule(id="known", trap_oids=(COLD_START,), resource=ResourceOf(kind="device"), alarm_type="none", effect="none"),
]
REGION = Topology(
    Inventory(
        areas=(Area(id="a", name="A", code="011002"),),
        sites=(Site(id="s", name="S", area_id="a", longitude=141.0, latitude=43.0),),
        devices=(Device(id="d", name="D", site_id="s", kind="router", addresses=("192.0.2.1",)),),
    )
)


def event(trap_oid: str, source: str = "192.0.2.1", **fields: object) -> bytes:
    """JSON of a notification."""
    told = TrapEvent(
        seq=1,
        received_unix_ns=5_000_000_000,
        event_unix_ns=5_000_000_000,
        event_time_from="received",
        source=source,
        peer=source,
        peer_port=162,
        local="127.0.0.1",
        version="v2c",
        pdu="trap",
        trust="other",
        trap_oid=trap_oid,
        uptime_centis=1,
        varbinds=[],
        digest="0123456789abcdef",
    )
    return msgspec.json.encode(msgspec.structs.replace(told, **fields))


def batch(*bodies: bytes) -> Batch:
    """Entries of the traps stream, numbered from 1."""
    return Batch("traps", KEY, "o", [(b"1-%d" % at, [b"trap", body]) for at, body in enumerate(bodies, 1)])


def test_each_entry_is_counted_once() -> None:
    """What speaks of an alarm, what is known and what is not; areas by the device's place, whatever a rule says."""
    counts, heard, unmatched = Counts(), [], []
    intake = Intake(
        Matcher(RULES, REGION),
        REGION,
        counts,
        lambda said, _: heard.append(said),
        unmatched=unmatched.append,
        hear=lambda _: None,
    )

    intake.take(batch(event(LINK_DOWN), event(COLD_START), event(OTHER), event(OTHER, "192.0.2.99")), 0)

    assert (counts.matched, counts.ignored, counts.unmatched) == (1, 1, 2)
    assert [said.evidence.entry_id for said in heard] == ["1-1"]
    assert [one.source for one in unmatched] == ["192.0.2.1", "192.0.2.99"]
    assert intake.area_seconds == {("a", 5): 3}
    assert intake.area_totals == {"a": 3}


def test_an_entry_that_netmon_fails_at_is_named_and_then_left_out() -> None:
    """Whatever goes wrong inside: the leader learns which entry it was, and the next time it is only counted."""
    counts, heard = Counts(), []

    def observe(said: Observation, _: int) -> None:
        if said.evidence.entry_id == "1-2" and not heard[1:]:
            raise ZeroDivisionError
        heard.append(said.evidence.entry_id)

    def intake(*left_out: tuple[str, bytes]) -> Intake:
        matcher = Matcher(RULES, REGION)
        return Intake(
            matcher, REGION, counts, observe, unmatched=lambda _: None, hear=lambda _: None, left_out=left_out
        )

    downs = batch(event(LINK_DOWN), event(LINK_DOWN), event(LINK_DOWN))
    with pytest.raises(EntryError) as error:
        intake().take(downs, 0)
    assert error.value.entry == (KEY, b"1-2")

    heard.clear()
    intake(error.value.entry).take(downs, 0)
    assert heard == ["1-1", "1-3"]
    assert counts.failed == 1
