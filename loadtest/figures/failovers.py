"""The figures of failover: how long a class is away when its line is cut, by the gateway's own plan and by the centre; and that nothing flaps.

Real packets in network namespaces (`loadtest.lab.gateways`). A cut is silent and behind the carrier's router. The outage is what the receiver
of the class's flow has missed, by the kernel's time of the datagrams before and after.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from loadtest.figures.lines import quantile
from loadtest.figures.outcome import Outcome
from loadtest.lab.deployment import BROKER_PORT, MBPS, Carried, Deployment, Drawn, Scene, is_open, region_of
from loadtest.lab.flows import Came, Gap
from loadtest.lab.gateways import CENTRE, FLOW_PORT, SERVICE, Traffic
from loadtest.lab.namespaces import require
from netmon.buffer.failover_store import FailoverView
from netmon.failover.agent.report import REPORT_FILE, AgentReport, decode
from netmon.failover.plan.model import ReportedGroup

EDGE_BARS_MS: Final = (180.0, 250.0)
"""Median and 95th percentile."""
CENTRE_BARS_MS: Final = {"fast": 1_000.0, "usual": 3_000.0}
"""95th percentile."""
_CUTS: Final = 40
_CENTRE_CUTS: Final = 20
_APART_S: Final = {"fast": (1.0, 1.5), "fibre": (6.0, 8.0)}
"""From one cut to the next: so that the line that was mended is up again."""
FLAP_S: Final = 20.0
"""From one cut to the next; half of it the line is well."""
SWITCHES_MAX: Final = 2
_CYCLES: Final = 30
_QUICK_CYCLES: Final = 1
_QUICK_CUTS: Final = 4
_SEED: Final = 8_031
_WAIT_S: Final = 30.0
_POLL_S: Final = 0.02
_CLASSES: Final = {
    "siren": Carried(priority=0, bandwidth_bps=1 * MBPS, mark=0x10, to=(SERVICE, FLOW_PORT), interval_s=0.001),
    "pump": Carried(priority=1, bandwidth_bps=2 * MBPS, mark=0x11, to=(SERVICE, FLOW_PORT), interval_s=0.01),
    "gauge": Carried(priority=2, bandwidth_bps=2 * MBPS, mark=0x12, to=(SERVICE, FLOW_PORT), interval_s=0.01),
    "camera": Carried(priority=3, bandwidth_bps=20 * MBPS, mark=0x13, to=(SERVICE, FLOW_PORT), interval_s=0.01),
}


class Cut(msgspec.Struct, frozen=True):
    """One of them."""

    group_id: str
    line_id: str
    outage_ms: float
    lost: int
    phases_ms: dict[str, float]
    """As the gateway tells them."""


def edge(work_dir: Path, quick: bool) -> Outcome:
    """Silent cuts of the line that all classes of a gateway are on, at random moments; the gateway has its plan, and nobody to ask."""
    count = _QUICK_CUTS if quick else _CUTS
    gateways = ("harbour", "ridge")
    scene = _scene(gateways, "fast")
    moments = random.Random(_SEED)
    require()
    with _folder(work_dir) as folder, region_of(scene) as region, Deployment(scene, region, folder) as netmon:
        netmon.reflect()
        for gateway in gateways:
            netmon.start_agent(gateway, is_alone=True)
        _await(lambda: all(_is_ready(netmon, gateway) for gateway in gateways), "the agents have their plans")
        with _flows(netmon) as traffic:
            cuts = [
                cut
                for turn in range(count)
                for cut in _cut(netmon, traffic, gateways[turn % 2], moments.uniform(0.2, 0.5))
            ]
    sirens = [cut for cut in cuts if cut.group_id.endswith("/siren")]
    outages = [cut.outage_ms for cut in sirens]
    median, p95 = statistics.median(outages), quantile(outages, 0.95)
    return Outcome(
        passed=median <= EDGE_BARS_MS[0] and p95 <= EDGE_BARS_MS[1],
        figures={
            "median ms": median,
            "p95 ms": p95,
            "most ms": max(outages),
            "cuts": len(sirens),
            **{
                f"{name}: median ms": statistics.median(cut.outage_ms for cut in cuts if cut.group_id.endswith(name))
                for name in list(_CLASSES)[1:]
            },
        },
        faults=[],
        detail=cuts,
    )


def centre(work_dir: Path, quick: bool) -> Outcome:
    """Cuts that the gateway itself cannot see: prober, verdict, controller, broker, gateway, route, verified; by the fast and the usual profile."""
    count = _QUICK_CUTS if quick else _CENTRE_CUTS
    cuts = {name: _centre_cuts(work_dir, profile, count) for name, profile in (("fast", "fast"), ("usual", "fibre"))}
    outages = {name: [cut.outage_ms for cut in made if cut.group_id.endswith("/siren")] for name, made in cuts.items()}
    return Outcome(
        passed=all(quantile(outages[name], 0.95) <= CENTRE_BARS_MS[name] for name in outages),
        figures={
            f"{name}: {what}": value
            for name, values in outages.items()
            for what, value in (
                ("median ms", statistics.median(values)),
                ("p95 ms", quantile(values, 0.95)),
                ("most ms", max(values)),
                ("cuts", len(values)),
            )
        },
        faults=[],
        detail=cuts,
    )


def flap(work_dir: Path, quick: bool) -> Outcome:
    """A line that comes and goes, with the defaults of everything: how often the classes of its gateway move."""
    cycles = _QUICK_CYCLES if quick else _CYCLES
    scene = _scene(("harbour",), "fast")
    working = next(iter(scene.gateways["harbour"]))
    with _centre(work_dir, scene) as netmon, _flows(netmon) as traffic:
        before = traffic.report()
        began = time.monotonic()
        for cycle in range(cycles):
            for change, share in ((netmon.region.cut, 0.0), (netmon.region.mend, 0.5)):
                time.sleep(max(0.0, began + (cycle + share) * FLAP_S - time.monotonic()))
                change(working)
        time.sleep(max(0.0, began + cycles * FLAP_S - time.monotonic()))
        after = traffic.report()
    switches = {scene.group_of(number): len(came.moves) - len(before[number].moves) for number, came in after.items()}
    return Outcome(
        passed=1 <= max(switches.values()) <= SWITCHES_MAX,
        figures={
            "switches of a class, at most": max(switches.values()),
            "siren: switches": switches["harbour/siren"],
            "siren: lost": sum(gap.lost for gap in after[0].gaps),
            "flaps": cycles,
        },
        faults=[],
        detail=switches,
    )


@contextlib.contextmanager
def _centre(work_dir: Path, scene: Scene, *, is_blind: bool = False) -> Iterator[Deployment]:
    """A region with the processes of the centre and an agent at each gateway, all of which are ready."""
    require("mosquitto")
    with (
        _folder(work_dir) as folder,
        region_of(scene) as region,
        Deployment(scene, region, folder, is_blind=is_blind) as netmon,
    ):
        netmon.reflect()
        netmon.serve_broker()
        netmon.serve_redis()
        _await(lambda: is_open(region[CENTRE], BROKER_PORT) and netmon.is_redis_up(), "broker and Redis")
        netmon.start_centre()
        for gateway in scene.gateways:
            netmon.start_agent(gateway)
        with contextlib.closing(FailoverView(netmon.redis)) as view:
            groups = len(scene.gateways) * len(scene.classes)
            _await(lambda: all(_is_ready(netmon, gateway) for gateway in scene.gateways), "the agents have their plans")
            _await(lambda: len(list(view.groups())) == groups, "the centre knows all groups")
            yield netmon


def _centre_cuts(work_dir: Path, profile: str, count: int) -> list[Cut]:
    gateways = ("harbour", "ridge")
    moments = random.Random(_SEED)
    with _centre(work_dir, _scene(gateways, profile), is_blind=True) as netmon, _flows(netmon) as traffic:
        return [
            cut
            for turn in range(count)
            for cut in _cut(netmon, traffic, gateways[turn % 2], moments.uniform(*_APART_S[profile]))
        ]


def _cut(netmon: Deployment, traffic: Traffic, gateway: str, after_s: float) -> list[Cut]:
    """Cuts the line that the first class of a gateway is on, waits until all classes flow again, and mends it."""
    region, scene = netmon.region, netmon.scene
    numbers = {flow.number: scene.group_of(flow.number) for flow in scene.flows(gateway)}
    time.sleep(after_s)
    before = traffic.report()
    interface = before[min(numbers)].interface
    line = next(line for line in region.lines.values() if line.far_interface == interface)
    gone = [number for number in numbers if before[number].interface == interface]
    began_unix_ns = time.time_ns()
    region.cut(line.line_id)
    try:
        _await(lambda: all(_has_moved(traffic.report()[number], interface) for number in gone), f"off {line.line_id}")
    finally:
        region.mend(line.line_id)
    after = traffic.report()
    moved = {numbers[number] for number in gone}
    _await(lambda: all(group.since_unix_ns > began_unix_ns for group in _groups(netmon, gateway, moved)), "it is told")
    phases = {group.group_id: group.phases_s for group in _groups(netmon, gateway, moved)}
    return [
        Cut(
            group_id=numbers[number],
            line_id=line.line_id,
            outage_ms=gap.outage_ms,
            lost=gap.lost,
            phases_ms={name: value * 1e3 for name, value in phases.get(numbers[number], {}).items()},
        )
        for number in gone
        for gap in [_longest(before[number], after[number])]
    ]


def _scene(gateways: Sequence[str], profile: str) -> Scene:
    """Gateways with four lines each, of four carriers, any of which has room for everything."""
    lines = {
        name: {f"{name}-{way}": Drawn(carrier=f"carrier-{way}", profile=profile) for way in "abcd"} for name in gateways
    }
    return Scene(gateways=lines, areas=dict.fromkeys(gateways, "coast"), classes=_CLASSES)


@contextlib.contextmanager
def _flows(netmon: Deployment) -> Iterator[Traffic]:
    """All classes of all gateways flow."""
    scene = netmon.scene
    with Traffic(netmon.region, {gateway: scene.flows(gateway) for gateway in scene.gateways}) as traffic:
        _await(lambda: len(traffic.report()) == len(scene.gateways) * len(scene.classes), "all flows have come")
        yield traffic


def _longest(before: Came, after: Came) -> Gap:
    """What was missed between two reports, the longest if there is more than one."""
    new = [gap for gap in after.gaps if gap.last_unix_ns >= before.newest_unix_ns]
    return max(new, key=lambda gap: gap.outage_ms)


def _has_moved(came: Came, interface: str) -> bool:
    return came.interface != interface


def _is_ready(netmon: Deployment, gateway: str) -> bool:
    """Whether an agent has its classes where they belong, and all its lines up."""
    try:
        reported = _report(netmon, gateway).reported
    except FileNotFoundError:
        return False
    lines = netmon.scene.gateways[gateway]
    up = {sight.line_id for sight in reported.lines if sight.state == "up"}
    return up == set(lines) and len(reported.groups) == len(netmon.scene.classes)


def _groups(netmon: Deployment, gateway: str, names: Collection[str]) -> list[ReportedGroup]:
    return [group for group in _report(netmon, gateway).reported.groups if group.group_id in names]


def _report(netmon: Deployment, gateway: str) -> AgentReport:
    return decode((netmon.folder / gateway / "data" / REPORT_FILE).read_bytes())


@contextlib.contextmanager
def _folder(work_dir: Path) -> Iterator[Path]:
    work_dir.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="failover-", dir=work_dir))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _await(holds: Callable[[], bool], what: str) -> None:
    """Raises TimeoutError: it does not come to be; says `what`."""
    deadline = time.monotonic() + _WAIT_S
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_WAIT_S} s: {what}")
        time.sleep(_POLL_S)
