"""A small region, and what its devices say."""

from __future__ import annotations

from typing import Any

import msgspec

from netmon.alarms.lifecycle.book import Book, Taken
from netmon.alarms.model import Alarm, Command, CommandKind, Evidence, Key, Observation, Place, Text, alarm_id
from netmon.alarms.settings import Flood, Lifecycle
from netmon.inventory.model import Area, Carrier, Device, Interface, Inventory, Line, RiskGroup, Site
from netmon.inventory.topology import Topology

SECOND = 1_000_000_000
NOON = 1_767_268_800 * SECOND

SIRENS = 3
"""At each site at the far end of a line."""


def _site(name: str, *groups: str) -> Site:
    return Site(id=name, name=name, area_id="hama", longitude=135.1, latitude=34.2, risk_group_ids=groups)


def _line(name: str, ends: tuple[str, str] | tuple[str], *groups: str) -> Line:
    return Line(
        id=name,
        name=f"{name}線",
        name_en=name,
        medium="fibre",
        carrier_id="kii",
        endpoint_site_ids=ends,
        capacity_bps=10**9,
        sectors=("water",),
        risk_group_ids=groups,
    )


def _router(name: str, site: str, *lines: str) -> Device:
    ports = tuple(Interface(index=index, line_id=line) for index, line in enumerate(lines, 1))
    return Device(id=name, name=name, site_id=site, kind="router", interfaces=ports)


def _siren(name: str, site: str) -> Device:
    return Device(id=name, name=name, site_id=site, kind="siren")


def _ups(site: str) -> Device:
    return Device(id=f"ups-{site}", name="UPS", site_id=site, kind="ups", is_power=True)


REGION = Inventory(
    areas=(Area(id="hama", name="浜町", code="302015"),),
    carriers=(Carrier(id="kii", name="紀伊通信"),),
    risk_groups=(
        RiskGroup(id="duct", name="国道の管路", name_en="duct under the highway", kind="duct"),
        RiskGroup(id="feeder", name="配電線", kind="power_feeder"),
        RiskGroup(id="alone", name="橋", kind="bridge"),
    ),
    sites=(_site("hall"), _site("port", "feeder"), _site("hill", "feeder"), _site("farm")),
    lines=(
        _line("to-port", ("hall", "port"), "duct"),
        _line("to-hill", ("hall", "hill"), "duct", "alone"),
        _line("to-farm", ("hall", "farm")),
        _line("sky", ("farm",)),
    ),
    devices=(
        _router("core", "hall", "to-port", "to-hill", "to-farm"),
        _router("r-port", "port", "to-port"),
        _router("r-hill", "hill", "to-hill"),
        _router("r-farm", "farm", "to-farm", "sky"),
        *(_siren(f"siren-{site}-{n}", site) for site in ("port", "hill", "farm") for n in range(SIRENS)),
        _ups("port"),
        _ups("hill"),
    ),
)
"""A town hall with a line to the port, one to the hill in the same duct, and one to a farm that has a satellite link, too."""
TOPOLOGY = Topology(REGION)
NO_FLOOD = Flood(raised_max=1_000_000)

OBSERVATION = Observation(
    key=Key("device/core/interface/9", "link-down"),
    cleared=False,
    severity="major",
    event_type="communicationsAlarm",
    probable_cause="loss_of_signal",
    text=Text("Port 9 is down", "ポート9が停止"),
    action=Text("Look at it", "確認してください"),
    place=Place(area="hama", site="hall", device="core"),
    event_unix_ns=NOON,
    trust="other",
    evidence=Evidence("netmon:{r:0}:traps", "1-1"),
)


def say(at_s: float = 0, **changes: Any) -> Observation:
    """An observation of so many seconds past noon, which differs from `OBSERVATION` in these fields."""
    unix_ns = NOON + int(at_s * SECOND)
    fields = {"event_unix_ns": unix_ns, "evidence": Evidence("netmon:{r:0}:traps", f"{unix_ns}-1"), **changes}
    return msgspec.structs.replace(OBSERVATION, **fields)


def port(device: str, index: int, at_s: float = 0, *, cleared: bool = False) -> Observation:
    """linkDown or linkUp of a port."""
    line = TOPOLOGY.line_at(device, index) or ""
    place = msgspec.structs.replace(TOPOLOGY.place(device), line=line)
    return say(at_s, key=Key(f"device/{device}/interface/{index}", "link-down"), place=place, cleared=cleared)


def fault(device: str, alarm_type: str, at_s: float = 0, **changes: Any) -> Observation:
    """Something at a device; by default equipment."""
    key = Key(f"device/{device}", alarm_type)
    return say(at_s, **{"key": key, "place": TOPOLOGY.place(device), "event_type": "equipmentAlarm", **changes})


def power(site: str, at_s: float = 0, **changes: Any) -> Observation:
    """A site is on battery; `severity="critical"`: and that is running out."""
    key = Key(f"site/{site}", "power-failure")
    fields = {"key": key, "place": TOPOLOGY.place_of_site(site), "event_type": "environmentalAlarm", "root": True}
    return say(at_s, **{**fields, **changes})


def numbered(number: int, at_s: float = 0, source: str = "device/core", **changes: Any) -> Observation:
    """One alarm of many."""
    return say(at_s, key=Key(f"{source}/part/{number}", "fault"), **changes)


def book(flood: Flood = NO_FLOOD, **lifecycle: Any) -> Book:
    """An empty book of the region."""
    return Book(Lifecycle(**lifecycle), flood, TOPOLOGY)


def observe(alarms: Book, *observations: Observation, at_s: float | None = None) -> None:
    """Each is heard of when it happens, or all at once, later."""
    for observation in observations:
        alarms.observe(observation, observation.event_unix_ns if at_s is None else NOON + int(at_s * SECOND))


def tick(alarms: Book, at_s: float) -> Taken:
    """Let time pass, and take."""
    alarms.tick(NOON + int(at_s * SECOND))
    return alarms.take()


def of(alarms: Book, resource: str, alarm_type: str = "link-down") -> Alarm:
    """The alarm, as last taken."""
    return alarms.alarms[alarm_id(Key(resource, alarm_type))]


def kinds(taken: Taken) -> list[str]:
    """What was told, in order."""
    return [change.kind for change in taken.changes]


def command(kind: CommandKind, at_s: float = 0, key: Key = OBSERVATION.key, **fields: Any) -> Command:
    """By the operator Ito."""
    unix_ns = NOON + int(at_s * SECOND)
    defaults = {"id": f"{kind}-{at_s}", "by": "ito", "text": "works on the mast"}
    return Command(**{**defaults, "kind": kind, "alarm_id": alarm_id(key), "unix_ns": unix_ns, **fields})


def give(alarms: Book, kind: CommandKind, at_s: float = 0, **fields: Any) -> str:
    """Give a command; its outcome."""
    asked = command(kind, at_s, **fields)
    return alarms.command(asked, asked.unix_ns).outcome


def causes(alarms: Book) -> dict[str, str | None]:
    """Resource of each active alarm to the resource of its cause."""
    known = alarms.alarms
    return {
        alarm.resource: None if alarm.cause is None else known[alarm.cause].resource
        for alarm in known.values()
        if alarm.is_active
    }
