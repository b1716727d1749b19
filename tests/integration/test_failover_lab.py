"""The centre and a gateway over lines with real packets: a centre that is cut off, a brownout, a backup line that is too small, the way back.

One region for all, with the files that an operator would write: prober, verdict and controller, Mosquitto, an agent, and a flow per class. The
tests break it one after the other, and mend it again. Capacities are a thousandth of what they would be in earnest, and the kernel keeps to them.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from loadtest.lab.deployment import BROKER_PORT, Carried, Deployment, Drawn, Scene, is_open, region_of
from loadtest.lab.flows import Came
from loadtest.lab.gateways import CENTRE, FLOW_PORT, SERVICE, Traffic
from loadtest.lab.namespaces import missing
from loadtest.lab.prober import Course
from netmon.buffer.failover_store import FailoverView
from netmon.failover.model import SHED
from netmon.failover.record import Audit, Command
from tests.integration.lab import LIMIT_S, PORT, Faults

GATEWAY: Final = "harbour"
FIBRE, MODEM = "fibre", "modem"
KBPS: Final = 1_000
# In the order of the region the pump is first, so that nothing but its priority brings the siren home first.
SCENE: Final = Scene(
    gateways={
        GATEWAY: {
            FIBRE: Drawn(carrier="carrier-a", profile="patient"),
            MODEM: Drawn(carrier="carrier-b", profile="slow", capacity_bps=400 * KBPS, cost_tier=3),
        }
    },
    areas={GATEWAY: "coast"},
    profiles={
        # Often; a machine that is busy for 0.3 s cuts no line, and neither does the loss of every fourth probe.
        "patient": {
            "based_on": "fast", "interval_s": "30ms", "confirm_interval_s": "30ms", "timeout_s": "300ms", "confirm_timeout_s": "300ms",
            "fall": 8, "loss_down": 0.9, "loss_degraded_clear": 0.01, "window_s": "1s",
        },
        # Who is cut off himself loses sight of it a second later than of the other one.
        "slow": {
            "based_on": "fast", "timeout_s": "400ms", "confirm_timeout_s": "400ms", "fall": 24, "loss_down": 1.0, "window_s": "2s",
        },
        # By which anchors are asked.
        "fibre": {"interval_s": "100ms", "timeout_s": "300ms", "confirm_interval_s": "100ms", "confirm_timeout_s": "300ms"},
    },
    classes={
        "pump": Carried(priority=1, bandwidth_bps=85 * KBPS, mark=0x11, to=(SERVICE, FLOW_PORT), interval_s=0.01),
        "siren": Carried(
            priority=0, bandwidth_bps=85 * KBPS, mark=0x10, to=(SERVICE, FLOW_PORT), interval_s=0.01, moves_on_sd=True
        ),
        "camera": Carried(priority=3, bandwidth_bps=310 * KBPS, mark=0x13, to=(SERVICE, FLOW_PORT), interval_s=0.0027),
    },
)  # fmt: skip
PUMP, SIREN, CAMERA = "harbour/pump", "harbour/siren", "harbour/camera"
LOSS: Final = 0.25
TURN_S: Final = 0.8
"""Between two returns, which take turns of a second; less what a machine may be late by."""
CALM_S: Final = 0.6
"""With nothing wrong, in which nothing may happen."""


class Stage:
    """All of it as the tests see it."""

    def __init__(
        self, netmon: Deployment, traffic: Traffic, faults: Faults, view: FailoverView, course: Course
    ) -> None:
        self.netmon, self.region, self.traffic = netmon, netmon.region, traffic
        self.faults, self.view, self.course = faults, view, course

    def flows(self) -> dict[str, Came]:
        """Group ID to what has come of it."""
        return {SCENE.group_of(number): came for number, came in self.traffic.report().items()}

    def places(self) -> dict[str, str]:
        """Group ID to the line by which it comes."""
        lines = {line.far_interface: line.line_id for line in self.region.lines.values()}
        return {group: lines[came.interface] for group, came in self.flows().items()}

    def states(self) -> dict[str, str]:
        """Line to its state at the centre."""
        return {line: status.state for line, status in self.course.now().items()}

    def phases(self) -> dict[str, str]:
        """Group ID to its phase at the centre."""
        return {state.group_id: state.phase for state in self.view.groups()}

    def numbers(self) -> dict[str, tuple[str, int]]:
        """Group ID to its line at the gateway, and to the order that it knows."""
        reported = self.view.gateway(GATEWAY)
        assert reported is not None
        return {group.group_id: (group.on, group.generation) for group in reported.groups}

    def audit(self, after: str) -> list[Audit]:
        """What was done."""
        return [told.audit for told in self.view.actions(after) if told.audit is not None]

    def is_home(self) -> bool:
        """Whether everything is as in the beginning."""
        return (
            set(self.places().values()) == {FIBRE}
            and {group: on for group, (on, _) in self.numbers().items()} == dict.fromkeys(SCENE.groups(), FIBRE)
            and set(self.phases().values()) == {"NR"}
            and self.states() == {FIBRE: "up", MODEM: "up"}
        )

    def ask(self, **fields: Any) -> str:
        """An operator's command; returns what became of it."""
        command = Command(id=f"c{time.time_ns()}", by="sato", why="works", unix_ns=time.time_ns(), **fields)
        result = self.view.ask(command, LIMIT_S)
        assert result is not None, "nobody has done it"
        return result.outcome


def until(holds: Callable[[], bool], what: str) -> None:
    """Waits for what comes by itself."""
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> Iterator[Stage]:
    """All lines are up, and all flows come by the fibre."""
    require_tool("mosquitto")
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("lab")
    told: dict[str, Any] = {"wtr_s": 0.3, "lock_delay_s": 0}
    with contextlib.ExitStack() as stack:
        region = stack.enter_context(region_of(SCENE))
        netmon = stack.enter_context(Deployment(SCENE, region, folder, **told))
        lossy = region.lines[FIBRE].source
        faults = stack.enter_context(Faults(region, [lossy], PORT, space=GATEWAY))
        netmon.serve_broker()
        netmon.serve_redis()
        netmon.reflect(without=[lossy])
        until(lambda: is_open(region[CENTRE], BROKER_PORT) and netmon.is_redis_up(), "broker and Redis")
        netmon.start_centre()
        netmon.start_agent(GATEWAY)
        view = stack.enter_context(contextlib.closing(FailoverView(netmon.redis)))
        course = stack.enter_context(contextlib.closing(Course(netmon.redis.url)))
        traffic = stack.enter_context(Traffic(region, {GATEWAY: SCENE.flows(GATEWAY)}))
        stage = Stage(netmon, traffic, faults, view, course)
        until(lambda: set(view.gateways()) == {GATEWAY}, "the gateway is heard")
        until(lambda: len(traffic.report()) == len(SCENE.classes), "all flows come")
        until(stage.is_home, "all is well")
        yield stage


@pytest.fixture
def after(stage: Stage) -> str:
    """Newest entry of the audit before the test, when all is as in the beginning."""
    until(stage.is_home, "all is well")
    return stage.view.last_id()


@contextlib.contextmanager
def uplink_cut(stage: Stage) -> Iterator[None]:
    """Nothing comes back of what the centre's vantage asks, by no line and from no anchor; the gateway's own questions are answered."""
    asked = [
        (stage.region[line.carrier], f"iif f{line.number} ipproto udp dport {PORT} blackhole")
        for line in stage.region.lines.values()
    ]
    managed = stage.region.managed(GATEWAY)
    rules = [*asked, (stage.region[GATEWAY], f"from {managed} ipproto udp sport {PORT} blackhole")]
    for space, rule in rules:
        space.ip(f"rule add {rule}")
    try:
        yield
    finally:
        for space, rule in rules:
            space.ip(f"rule del {rule}")


def test_centre_that_is_cut_off_itself_moves_nothing(stage: Stage, after: str) -> None:
    """It sees no line any more, the fibre first; nobody is ordered anywhere, neither meanwhile nor when it sees again."""
    before, numbers, mark = stage.flows(), stage.numbers(), stage.course.mark()
    with uplink_cut(stage):
        stage.course.until(lambda: not {"up", "degraded"} & {*stage.states().values()}, "it sees none", LIMIT_S)
        time.sleep(CALM_S)
    until(stage.is_home, "it sees all again")
    stage.course.passes(CALM_S)

    assert [change.after for change in stage.course.vantages(mark)] == ["isolated", "live"]
    assert {line: "down" in stage.course.states(line, mark) for line in (FIBRE, MODEM)} == {FIBRE: False, MODEM: False}
    assert stage.audit(after) == []
    assert stage.numbers() == numbers
    assert {group: came.moves for group, came in stage.flows().items()} == {
        group: came.moves for group, came in before.items()
    }


def test_brownout_moves_those_who_mind(stage: Stage, after: str) -> None:
    """Every fourth probe of the fibre is lost: life safety, which minds, is on the modem until it is well again; the others stay."""
    stage.faults.set(stage.region.lines[FIBRE].source, loss=LOSS)
    until(lambda: stage.places()[SIREN] == MODEM, "the siren leaves")
    until(lambda: stage.phases()[SIREN] == "DEGRADED", "it has arrived")
    during = stage.places()
    stage.faults.set(stage.region.lines[FIBRE].source)
    until(stage.is_home, "all is well")

    assert during == {PUMP: FIBRE, SIREN: MODEM, CAMERA: FIBRE}
    moved = [(each.group, each.to, each.reason) for each in stage.audit(after) if each.kind == "verified"]
    assert moved == [(SIREN, MODEM, "signal_degrade"), (SIREN, FIBRE, "revert")]


@contextlib.contextmanager
def small_modem(stage: Stage) -> Iterator[None]:
    """The kernel takes no more of what the gateway sends by the modem than there is room for; as before where it cannot."""
    space, interface = stage.region[GATEWAY], stage.region.lines[MODEM].interface

    def tc(*words: str) -> bool:
        command = [*space.enter(), "tc", "qdisc", words[0], "dev", interface, "root", *words[1:]]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    if not tc("add", "tbf", "rate", "400kbit", "burst", "4kb", "limit", "8kb"):
        pytest.skip("the kernel has no tbf")
    try:
        yield
    finally:
        tc("del")


def test_small_backup_line_and_the_way_back(stage: Stage, after: str) -> None:
    """A camera uses it; sirens and pumps come, and the camera is refused at the gateway: of them nothing is lost. They return in their turn."""
    with small_modem(stage):
        assert stage.ask(kind="manual", group_id=CAMERA, line_id=MODEM) == "done"
        until(lambda: stage.places()[CAMERA] == MODEM, "the camera is where it was sent")
        stage.region.cut(FIBRE)
        until(lambda: stage.places() == {PUMP: MODEM, SIREN: MODEM, CAMERA: MODEM}, "both have moved")
        until(lambda: stage.numbers()[CAMERA][0] == SHED, "the camera is refused")
        moved = stage.flows()
        time.sleep(2 * CALM_S)
        calm = stage.flows()
        stage.region.mend(FIBRE)
        until(lambda: set(stage.places().values()) == {FIBRE}, "all flow by the fibre")

    gaps = {group: len(calm[group].gaps) - len(moved[group].gaps) for group in (PUMP, SIREN)}
    assert gaps == {PUMP: 0, SIREN: 0}
    came = {group: calm[group].received - moved[group].received > 0 for group in calm}
    assert came == {PUMP: True, SIREN: True, CAMERA: False}
    home = stage.region.lines[FIBRE].far_interface
    returned_s = {group: flow.moves[-1][0] / 1e9 for group, flow in stage.flows().items() if flow.interface == home}
    assert returned_s[PUMP] - returned_s[SIREN] >= TURN_S
    returns = [each.group for each in stage.audit(after) if each.kind == "intent" and each.reason == "revert"]
    assert returns == [SIREN, PUMP]
