"""A gateway with its plan and nobody to ask: cuts, a twin in the same duct, a small line, a cable that is pulled; the flows say what it cost.

One region for all, with the files that an operator would write: the tests break lines one after the other, and mend them again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from loadtest.lab.deployment import MBPS, Carried, Deployment, Drawn, Scene, region_of
from loadtest.lab.gateways import FLOW_PORT, SERVICE, Region, Traffic
from loadtest.lab.namespaces import missing
from netmon.failover.agent.report import REPORT_FILE, decode
from netmon.failover.plan.model import Reported
from tests.integration.lab import LIMIT_S

GATEWAY: Final = "harbour"
SCENE: Final = Scene(
    gateways={
        GATEWAY: {
            "fibre": Drawn(carrier="carrier-a", duct="coast-road", profile="patient"),
            "twin": Drawn(carrier="carrier-b", duct="coast-road", profile="patient"),
            "modem": Drawn(carrier="carrier-c", profile="patient", capacity_bps=10 * MBPS, cost_tier=3),
        }
    },
    areas={GATEWAY: "coast"},
    # As often as `fast`, and a machine that is busy for 0.3 s cuts no line.
    profiles={"patient": {"based_on": "fast", "timeout_s": "300ms", "confirm_timeout_s": "300ms"}},
    classes={
        "siren": Carried(priority=0, bandwidth_bps=MBPS, mark=0x10, to=(SERVICE, FLOW_PORT), interval_s=0.005),
        "camera": Carried(priority=3, bandwidth_bps=20 * MBPS, to=("10.99.0.3", FLOW_PORT), interval_s=0.02),
    },
)
SIREN, CAMERA = 0, 1
"""Numbers of the flows."""


class Edge:
    """The gateway as it reports, and its flows as they come."""

    def __init__(self, netmon: Deployment, traffic: Traffic) -> None:
        self.netmon = netmon
        self.region: Region = netmon.region
        self.traffic = traffic

    def reported(self) -> Reported:
        """As its file has it; a second old at most."""
        return decode((self.netmon.folder / GATEWAY / "data" / REPORT_FILE).read_bytes()).reported

    def places(self) -> dict[str, str]:
        """Class to its line."""
        return {group.group_id.partition("/")[2]: group.on for group in self.reported().groups}

    def phases(self) -> dict[str, str]:
        """Class to its phase."""
        return {group.group_id.partition("/")[2]: group.phase for group in self.reported().groups}

    def states(self) -> dict[str, str]:
        """Line to its state."""
        return {sight.line_id: sight.state for sight in self.reported().lines}

    def comes_by(self, number: int, line_id: str) -> None:
        """Waits until a flow comes by a line."""
        interface = self.region.lines[line_id].far_interface
        until(lambda: self.traffic.report()[number].interface == interface, f"flow {number} by {line_id}")

    def mended(self, line_id: str) -> None:
        """Waits until a line may be used again, as the gateway sees it."""
        until(lambda: self.states()[line_id] in {"up", "degraded"}, f"{line_id} is mended")


def until(holds: Callable[[], bool], what: str) -> None:
    """Waits for what comes by itself."""
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """All lines are up, and all flows come by the fibre."""
    if reason := missing():
        pytest.skip(reason)
    with region_of(SCENE) as region, Deployment(SCENE, region, tmp_path_factory.mktemp("edge")) as netmon:
        region["centre"].ip("addr add 10.99.0.3/32 dev lo")
        netmon.reflect()
        netmon.start_agent(GATEWAY, is_alone=True)
        with Traffic(region, {GATEWAY: SCENE.flows(GATEWAY)}) as traffic:
            edge = Edge(netmon, traffic)
            until((netmon.folder / GATEWAY / "data" / REPORT_FILE).exists, "the agent reports")
            until(lambda: set(edge.states().values()) == {"up"} and len(edge.states()) == 3, "all lines are up")
            until(lambda: len(traffic.report()) == 2, "both flows have come")
            yield edge


def test_duct_takes_the_twin_with_it(edge: Edge) -> None:
    """The life-safety class goes to the line that shares no duct, which has no room for the camera; both flow when they can."""
    edge.region.cut("fibre", "twin")
    edge.comes_by(SIREN, "modem")
    until(lambda: edge.phases() == {"siren": "PROTECTING", "camera": "NO_BACKUP"}, "there is no room for the camera")
    # One after the other: the camera would take whichever is found to be good first.
    edge.region.mend("fibre")
    until(lambda: edge.phases()["camera"] == "NR", "the camera is well")
    edge.region.mend("twin")
    edge.mended("twin")

    siren, camera = (edge.traffic.report()[number] for number in (SIREN, CAMERA))
    fibre, modem = (edge.region.lines[name].far_interface for name in ("fibre", "modem"))
    assert [interface for _, interface in siren.moves] == [fibre, modem]
    assert [interface for _, interface in camera.moves] == [fibre]
    assert (len(siren.gaps), len(camera.gaps)) == (1, 1)
    assert siren.gaps[0].outage_ms < camera.gaps[0].outage_ms


def test_cable_that_is_pulled_at_the_gateway(edge: Edge) -> None:
    """No probe can leave by the line, which says enough here; the class flows by another one, and the line is known again when it is back."""
    edge.region.remove_modem("modem")
    edge.comes_by(SIREN, "fibre")
    until(lambda: edge.states()["modem"] == "down", "the line counts as down")
    edge.region.insert_modem("modem")
    edge.mended("modem")

    assert edge.places()["siren"] == "fibre"
