"""Classes that are moved by routes: real tables, rules and packets at a gateway with two lines, and what others have put there.

One region for all: each test begins with the plan of its own, and ends with the gateway as it was.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import pytest

from loadtest.lab.flows import Came, Flow
from loadtest.lab.gateways import CENTRE, FLOW_PORT, SERVICE, SERVICE6, Region, Traffic
from loadtest.lab.namespaces import end, missing
from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.failover.actuators.base import Moved, Order
from netmon.failover.model import SHED, ActionResult, Timers
from netmon.failover.plan.model import PlannedGroup, PlannedLine
from netmon.inventory.probes import Pin, StampProbe, TcpProbe
from tests.integration.lab import LIMIT_S
from tests.integration.moving import Answer, Command

GATEWAY: Final = "harbour"
FIBRE, RADIO, MODEM = "fibre", "radio", "modem"
SIREN: Final = PlannedGroup(
    group_id="harbour/siren", class_id="siren", priority=0, working=FIBRE, protections=(RADIO, MODEM), mark=0x10, table=1001,
    timers=Timers(verify_s=5.0),
)  # fmt: skip
CAMERA: Final = PlannedGroup(
    group_id="harbour/camera", class_id="camera", priority=3, working=FIBRE, protections=(RADIO,),
    prefixes=("10.99.0.0/24", "fd99::/64"), table=1002, timers=Timers(verify_s=5.0),
)  # fmt: skip
MARKED: Final = Flow(number=1, to=(SERVICE, FLOW_PORT), interval_s=0.01, mark=0x10)
PLAIN: Final = Flow(number=2, to=(SERVICE, FLOW_PORT), interval_s=0.01)


class Mover:
    """The actuator's process at the gateway. As a context manager it starts, and is killed."""

    def __init__(self, region: Region, folder: Path) -> None:
        self._region = region
        self._folder = folder
        self._process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        end(self._process)

    def start(self) -> None:
        """Returns at once."""
        words = [str(Path(__file__).with_name("moving.py")), str(self._folder / "fences.json")]
        self._process = self._region.start(GATEWAY, words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def kill(self) -> None:
        """kill -9."""
        end(self._process)

    def ask(self, command: Command) -> Answer:
        """Has a command done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(command) + b"\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline(), type=Answer)

    def move(self, group: PlannedGroup, to: str, **more: Any) -> Moved:
        """Moves a class."""
        moved = self.ask(Command(do="move", group_id=group.group_id, to=to, **more)).moved
        assert moved is not None
        return moved

    def order(self, group: PlannedGroup, to: str, fence: int, generation: int) -> list[ActionResult]:
        """What is told of an order of the centre."""
        order = Order(
            group_id=group.group_id, gateway_id=GATEWAY, class_id=group.class_id, fence=fence, generation=generation,
            on=to, phase="PROTECTING", unix_ns=0,
        )  # fmt: skip
        return list(self.ask(Command(do="order", order=order)).results)

    def actual(self) -> dict[str, str]:
        """Where the classes are."""
        return self.ask(Command(do="actual")).actual

    def plan(self, *groups: PlannedGroup) -> tuple[str, ...]:
        """Takes a plan; returns its mistakes."""
        return self.ask(Command(do="plan", groups=groups, lines=lines(self._region))).mistakes


def lines(region: Region) -> tuple[PlannedLine, ...]:
    """The gateway's lines as a plan has them."""
    return tuple(
        PlannedLine(
            line_id=line.line_id, profile=BUILT_IN["fast"], interface=line.interface,
            next_hop=line.next_hop, next_hop6=line.next_hop6,
            probes=(StampProbe(address=line.target, pin=Pin(interface=line.interface)),),
        )
        for line in region.of(GATEWAY)
    )  # fmt: skip


@pytest.fixture(scope="module")
def region() -> Iterator[Region]:
    """A gateway with three lines, and a reflector at the end of each."""
    if reason := missing():
        pytest.skip(reason)
    with Region({GATEWAY: {FIBRE: "carrier-a", RADIO: "carrier-b", MODEM: "carrier-b"}}) as region:
        listen = [word for line in region.of(GATEWAY) for word in ("--listen", f"{line.target}:862")]
        region.start(CENTRE, ["-m", "netmon.active_probe.stamp", *listen], stdin=subprocess.DEVNULL)
        yield region


@pytest.fixture(scope="module")
def mover(region: Region, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mover]:
    """The process that all tests share."""
    with Mover(region, tmp_path_factory.mktemp("mover")) as mover:
        yield mover


@pytest.fixture(autouse=True)
def clean(region: Region, mover: Mover) -> Iterator[None]:
    """After each test nothing of netmon's is left in the kernel, so nothing of it was adopted by the next."""
    yield
    mover.plan()
    assert rules(region, "78") == []


def shown(region: Region, *words: str) -> list[dict[str, Any]]:
    """What ip(8) says at the gateway, in JSON."""
    process = region[GATEWAY].start(["ip", "-j", *words], stdout=subprocess.PIPE)
    output, _ = process.communicate()
    return list(json.loads(output or b"[]"))


def rules(region: Region, protocol: str) -> list[dict[str, Any]]:
    """Rules of one protocol at the gateway; ip(8) shows all of them in JSON, whatever it is asked for."""
    return [rule for rule in shown(region, "rule", "show") if rule.get("protocol") == protocol]


def way(region: Region, address: str, *words: str) -> str:
    """By which interface the kernel would send; empty: it would refuse."""
    found = shown(region, "route", "get", address, *words)
    return found[0]["dev"] if found else ""


def until(holds: Callable[[], bool], what: str) -> None:
    """Waits for what comes by itself."""
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def flowing(traffic: Traffic, number: int, interface: str) -> Came:
    """A flow once it comes by an interface."""
    until(lambda: traffic.report().get(number, Came()).interface == interface, f"flow {number} by {interface}")
    return traffic.report()[number]


def test_move_takes_the_class_and_nothing_else(region: Region, mover: Mover) -> None:
    """Both families, verified by a probe with the class's mark; the flow loses nothing, and what has no mark stays."""
    fibre, radio, _ = region.of(GATEWAY)
    assert mover.plan(SIREN) == ()

    with Traffic(region, {GATEWAY: [MARKED, PLAIN]}) as traffic:
        flowing(traffic, 1, fibre.far_interface)
        moved = mover.move(SIREN, RADIO)
        after = flowing(traffic, 1, radio.far_interface)
        plain = flowing(traffic, 2, fibre.far_interface)

    assert (moved.outcome, moved.on, set(moved.phases_s)) == ("verified", RADIO, {"act", "verify"})
    assert (after.gaps, plain.gaps) == ([], [])
    assert way(region, SERVICE, "mark", "0x10") == way(region, SERVICE6, "mark", "0x10") == radio.interface
    assert way(region, SERVICE) == fibre.interface
    assert mover.actual() == {SIREN.group_id: RADIO}


def test_class_told_by_its_destinations(region: Region, mover: Mover) -> None:
    """Without a mark, the prefixes lead to the class's table; everything else stays."""
    fibre, radio, _ = region.of(GATEWAY)
    mover.plan(SIREN, CAMERA)

    moved = mover.move(CAMERA, RADIO)

    assert moved.outcome == "verified"
    assert way(region, SERVICE) == way(region, SERVICE6) == radio.interface
    assert way(region, "10.98.0.1") == fibre.interface
    assert way(region, SERVICE, "mark", "0x10") == fibre.interface


def test_what_is_shed_is_refused(region: Region, mover: Mover) -> None:
    """Shed is told to the sender, in both families, and takes no room on another line."""
    mover.plan(SIREN)

    shed = mover.move(SIREN, SHED)
    refused = (way(region, SERVICE, "mark", "0x10"), way(region, SERVICE6, "mark", "0x10"))
    actual = mover.actual()
    back = mover.move(SIREN, FIBRE)

    assert (shed.outcome, shed.on, refused, actual) == ("verified", SHED, ("", ""), {SIREN.group_id: SHED})
    assert (back.outcome, way(region, SERVICE, "mark", "0x10")) == ("verified", region.lines[FIBRE].interface)


def test_what_does_not_arrive_is_put_back(region: Region, mover: Mover) -> None:
    """The kernel took the route, and yet no packet comes: the former line has it again, unless that is down."""
    quick = msgspec.structs.replace(SIREN, timers=Timers(verify_s=0.2))
    mover.plan(quick)
    region.cut(RADIO)

    back = mover.move(quick, RADIO)
    stays = mover.move(quick, RADIO, down=(FIBRE,))
    region.mend(RADIO)
    arrived = mover.move(quick, RADIO)

    assert (back.outcome, back.on) == ("failed", FIBRE)
    assert back.detail == f"does not arrive by radio: stamp {region.lines[RADIO].target}:862: no answer"
    assert (stays.outcome, stays.on) == ("failed", RADIO)
    assert arrived.outcome == "verified"


def test_class_is_verified_by_its_own_probes(region: Region, mover: Mover) -> None:
    """A port that refuses is an answer; the far end of the line is not asked."""
    asked = msgspec.structs.replace(SIREN, verify=(TcpProbe(address=SERVICE, port=9),), timers=Timers(verify_s=0.3))
    mover.plan(asked)

    arrived = mover.move(asked, RADIO)
    region.cut(MODEM)
    lost = mover.move(asked, MODEM)
    region.mend(MODEM)

    assert (arrived.outcome, arrived.detail) == ("verified", "tcp 10.99.0.1:9")
    assert (lost.outcome, lost.on) == ("failed", RADIO)
    assert lost.detail.startswith("does not arrive by modem: tcp 10.99.0.1:9: ")


def test_a_rule_that_goes_before_is_found(region: Region, mover: Mover) -> None:
    """The table says one thing, the kernel does another: that is no move."""
    mover.plan(SIREN)
    region[GATEWAY].ip("rule add pref 10 fwmark 0x10 lookup 10", "route add default dev mgmt table 10")

    moved = mover.move(SIREN, RADIO)
    region[GATEWAY].ip("rule del pref 10", "route flush table 10")

    assert (moved.outcome, moved.on) == ("failed", FIBRE)
    assert "leaves by mgmt: a rule or a route goes before netmon's" in moved.detail


def test_impossible_moves_say_why_and_change_nothing(region: Region, mover: Mover) -> None:
    """A next hop that is nowhere near, a line and a class that nobody knows."""
    far = lines(region)[0]
    far = msgspec.structs.replace(far, line_id="far", next_hop="192.0.2.1")
    mover.ask(Command(do="plan", groups=(SIREN,), lines=(*lines(region), far)))

    moved = mover.move(SIREN, "far")
    unknown = mover.move(SIREN, "moon")

    assert (moved.outcome, moved.on) == ("failed", FIBRE)
    assert "Nexthop has invalid gateway (no address of the interface is in the next hop's network" in moved.detail
    assert (unknown.outcome, unknown.detail) == ("failed", "line moon is not in the plan of this gateway")
    assert mover.actual() == {SIREN.group_id: FIBRE}


def test_mistakes_of_a_plan_are_told_at_once(mover: Mover) -> None:
    """Every one of them, and nothing is changed."""
    twin = msgspec.structs.replace(SIREN, group_id="harbour/twin", protections=("moon",))
    nameless = msgspec.structs.replace(CAMERA, prefixes=(), table=254)

    assert mover.plan(SIREN, twin, nameless) == (
        "group harbour/twin: line moon has no interface at this gateway; give it one under `ports` in region.yml",
        "group harbour/twin: table 1001 is that of harbour/siren, too; one machine can move them only together",
        "group harbour/twin: mark 0x10 is that of harbour/siren, too; one machine can move them only together",
        "group harbour/camera: table 254 is not free for a class",
        "group harbour/camera: has neither a mark nor prefixes, so nobody can tell its packets; give the class one in region.yml",
    )


def test_restart_adopts_what_stands(region: Region, mover: Mover) -> None:
    """kill -9 moves nothing, and neither does the next start; what is no longer in the plan goes."""
    mover.plan(SIREN, CAMERA)
    mover.move(SIREN, RADIO)
    mover.move(CAMERA, SHED)

    mover.kill()
    alone = way(region, SERVICE, "mark", "0x10")
    mover.start()
    mover.plan(SIREN, CAMERA)
    adopted = mover.actual()
    mover.plan(SIREN)

    assert alone == region.lines[RADIO].interface
    assert adopted == {SIREN.group_id: RADIO, CAMERA.group_id: SHED}
    assert shown(region, "route", "show", "table", "1002") == []
    assert {rule["table"] for rule in rules(region, "78")} == {"main", "1001"}


def test_what_is_only_observed_is_left_alone(region: Region, mover: Mover) -> None:
    """The kernel gets nothing of a class in mode observe, until somebody at the gateway moves it; what stands is kept when netmon may only observe."""
    observed = msgspec.structs.replace(SIREN, mode="observe")
    assert mover.plan(observed) == ()

    before = (mover.actual(), rules(region, "78"), shown(region, "route", "show", "table", str(SIREN.table)))
    moved = mover.move(observed, RADIO)
    mover.plan(observed)

    assert before == ({}, [], [])
    assert moved.outcome == "verified"
    assert mover.actual() == {SIREN.group_id: RADIO}
    assert way(region, SERVICE, "mark", "0x10") == region.lines[RADIO].interface


def test_what_others_have_put_there_stays(region: Region, mover: Mover) -> None:
    """Routes and rules of other daemons are neither changed nor removed; a table of theirs is not taken."""
    others = ["route add 198.51.100.0/24 dev mgmt proto 186", "rule add pref 77 fwmark 0x77 lookup 77 proto 186"]
    region[GATEWAY].ip(*others, "route add default dev mgmt table 1002 proto 186")
    before = shown(region, "route", "show"), rules(region, "bgp")

    refused = mover.plan(SIREN, CAMERA)
    mover.plan(SIREN)
    mover.move(SIREN, RADIO)
    mover.plan()
    after = shown(region, "route", "show"), rules(region, "bgp")
    region[GATEWAY].ip("route del 198.51.100.0/24", "rule del pref 77", "route flush table 1002")

    assert [mistake.partition(";")[0] for mistake in refused] == [
        "group harbour/camera: table 1002 has routes of somebody else: `ip route show table 1002`"
    ]
    assert after == before


def test_a_plan_that_is_refused_leaves_the_one_before_in_force(region: Region, mover: Mover) -> None:
    """What is broken meanwhile is put right, by that one: on the line to which the class was moved."""
    region[GATEWAY].ip("route add default dev mgmt table 1002 proto 186")
    mover.plan(SIREN)
    mover.move(SIREN, RADIO)

    assert mover.plan(SIREN, CAMERA) != ()
    region[GATEWAY].ip("rule del fwmark 0x10")
    until(lambda: way(region, SERVICE, "mark", "0x10") == region.lines[RADIO].interface, "its rule is back")
    actual = mover.actual()
    region[GATEWAY].ip("route flush table 1002")

    assert actual == {SIREN.group_id: RADIO}


def test_interface_that_is_gone_lets_nothing_fall_through(region: Region, mover: Mover) -> None:
    """The kernel takes the route of an interface that vanishes: packets are refused, and flow again when it is back."""
    mover.plan(SIREN)
    mover.move(SIREN, MODEM)

    region.remove_modem(MODEM)
    gone, nowhere = way(region, SERVICE, "mark", "0x10"), mover.actual()
    region.insert_modem(MODEM)
    until(lambda: way(region, SERVICE, "mark", "0x10") == region.lines[MODEM].interface, "its route is back")

    assert (gone, nowhere) == ("", {})
    assert mover.actual() == {SIREN.group_id: MODEM}


def test_rule_that_somebody_deletes_is_there_again(region: Region, mover: Mover) -> None:
    """And a route that somebody changes is changed back."""
    mover.plan(SIREN)
    radio = region.lines[RADIO]

    region[GATEWAY].ip(
        "rule del pref 20001 fwmark 0x10",
        f"route replace default via {radio.next_hop} dev {radio.interface} table 1001 metric 100 proto 78",
    )

    until(lambda: {rule["priority"] for rule in rules(region, "78")} == {20_000, 20_001}, "its rule is back")
    until(lambda: way(region, SERVICE, "mark", "0x10") == region.lines[FIBRE].interface, "its route is back")


def test_stale_leader_moves_nothing(region: Region, mover: Mover) -> None:
    """Fence and generation only grow, also across kill -9; the newest order may be told twice."""
    mover.plan(SIREN)

    obeyed = mover.order(SIREN, RADIO, 7, 3)
    mover.kill()
    mover.start()
    mover.plan(SIREN)
    again = mover.order(SIREN, RADIO, 7, 3)
    older = mover.order(SIREN, FIBRE, 7, 2)
    stale = mover.order(SIREN, FIBRE, 6, 9)

    assert [result.outcome for result in obeyed] == [result.outcome for result in again] == ["applied", "verified"]
    assert [result.outcome for result in (*older, *stale)] == ["refused", "refused"]
    assert mover.actual() == {SIREN.group_id: RADIO}


def test_without_the_right_it_says_which(tmp_path: Path, region: Region) -> None:
    """Routes cannot be changed by just anybody."""
    words = [str(Path(__file__).with_name("moving.py")), str(tmp_path / "fences.json")]
    bare = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", sys.executable, *words]
    process = region[GATEWAY].start(bare, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"PYTHONPATH": "."})
    command = Command(do="plan", groups=(SIREN,), lines=lines(region))

    output, _ = process.communicate(msgspec.json.encode(command) + b"\n")

    mistakes: Sequence[str] = msgspec.json.decode(output, type=Answer).mistakes
    assert [mistake.rpartition(" (")[2] for mistake in mistakes] == [
        "needs CAP_NET_ADMIN; add it to AmbientCapabilities= of the service)"
    ]
