"""The agent of a gateway as it runs in earnest: real lines that are cut at the far end, real routes, a real broker, and a centre that signs.

One region for all; each test has an agent of its own.
"""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from loadtest.lab.flows import Flow
from loadtest.lab.gateways import FLOW_PORT, SERVICE, Traffic
from netmon.failover.plan import sign
from netmon.failover.plan.model import DesiredGroup
from netmon.inventory.probes import StampProbe
from tests.integration.outpost import (
    CAMERA,
    FIBRE,
    GATEWAY,
    LINES,
    MARK,
    MODEM,
    RADIO,
    SIREN,
    Headquarters,
    Outpost,
    imported,
    resident_mb,
)

RESIDENT_MB_MAX = 60.0
TOO_HEAVY = ("hiredis", "pydantic_core", "yaml", "aiohttp", "pysnmp")


@pytest.fixture(scope="module")
def outpost(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outpost]:
    """The gateway, and a reflector at the end of each of its lines."""
    with Outpost(tmp_path_factory.mktemp("outpost")) as outpost:
        yield outpost


@pytest.fixture(scope="module")
def headquarters(
    outpost: Outpost, tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]
) -> Iterator[Headquarters]:
    """A broker and a centre."""
    require_tool("mosquitto")
    with Headquarters(outpost, tmp_path_factory.mktemp("headquarters")) as headquarters:
        yield headquarters


def wanted(on: str, generation: int, *, group_id: str = SIREN, fence: int = 1, **fields: object) -> DesiredGroup:
    """An order."""
    return DesiredGroup(group_id=group_id, on=on, fence=fence, generation=generation, **fields)  # type: ignore[arg-type]


def test_a_silent_cut_moves_the_flow_and_the_agent_stays_small(outpost: Outpost) -> None:
    """With no centre and no broker: 1000 datagrams a second lose some tenths of a second, and it is told what took how long."""
    flow = Flow(number=1, to=(SERVICE, FLOW_PORT), interval_s=0.001, mark=MARK)
    with outpost.manned(plan=outpost.plan()) as agent:
        outpost.await_ready()
        with Traffic(outpost.region, {GATEWAY: [flow]}) as traffic:
            outpost.until(lambda: 1 in traffic.report(), "it flows")
            outpost.cut(FIBRE)
            radio = outpost.region.lines[RADIO].far_interface
            outpost.until(lambda: traffic.report()[1].interface == radio, "it flows by radio")
            lost = max(traffic.report()[1].gaps, key=lambda gap: gap.lost)
        outpost.until(lambda: "verify" in (outpost.group() or wanted).phases_s, "verified")  # type: ignore[union-attr]
        group = outpost.group()
        assert group is not None
        assert (group.on, group.phase, group.by, group.reason) == (RADIO, "PROTECTING", "edge", "signal_fail")
        assert list(group.phases_s) == ["detect", "hold", "decide", "act", "verify"]
        assert lost.outage_ms < 3_000
        assert imported(agent.pid, TOO_HEAVY) == []
        assert resident_mb(agent.pid) < RESIDENT_MB_MAX


def test_a_gateway_whose_lines_all_fall_silent_at_once_moves_nothing(outpost: Outpost) -> None:
    """It is more likely one thing here than three out there: none of them is called down."""
    with outpost.manned(plan=outpost.plan()):
        outpost.await_ready()
        outpost.cut(*LINES)
        outpost.until(lambda: outpost.sees("unknown", *LINES), "cut off")
        report = outpost.agent.report()
        assert report is not None
        assert report.isolated == "no_anchor"
        assert (outpost.on(), outpost.interface(MARK)) == (FIBRE, outpost.interface_of(FIBRE))
        assert "agent.group_moved" not in outpost.agent.said()


def test_alone_the_class_returns_when_its_line_has_been_well_for_long_enough(outpost: Outpost) -> None:
    """The centre is not heard, and WTR is a fraction of a second here."""
    with outpost.manned(plan=outpost.plan(centre_lost_s=0.1)):
        outpost.await_ready()
        outpost.cut(FIBRE)
        outpost.until(lambda: outpost.on() == RADIO, "it has left")
        outpost.mend(FIBRE)
        outpost.until(lambda: outpost.on() == FIBRE, "it is back")
        assert outpost.interface(MARK) == outpost.interface_of(FIBRE)


def test_killed_in_mid_switch_it_reads_back_what_the_kernel_has_and_goes_on(outpost: Outpost) -> None:
    """The route stands, the class's probe is not answered, kill -9: the next process finds the class where it is, and still protects it."""
    silent = StampProbe(address="10.99.0.1", port=4_000)
    with outpost.manned(plan=outpost.plan(verify=(silent,))) as agent:
        outpost.await_ready()
        outpost.cut(FIBRE)
        outpost.until(lambda: outpost.interface(MARK) == outpost.interface_of(RADIO), "the kernel has it")
        agent.kill()
        assert outpost.interface(MARK) == outpost.interface_of(RADIO)
        (agent.folder / "plan.json").write_bytes(sign.sign(outpost.plan(version=2), outpost.key))
        (agent.folder / "edge.json").write_bytes(b"lost")
        agent.start()
        outpost.until(lambda: outpost.sees("down", FIBRE) and outpost.sees("up", RADIO), "it looks again")
        assert (outpost.on(), outpost.interface(MARK)) == (RADIO, outpost.interface_of(RADIO))
        outpost.cut(RADIO)
        outpost.until(lambda: outpost.on() == MODEM, "it goes on")


def test_stopped_in_order_it_leaves_every_route_as_it_is(outpost: Outpost) -> None:
    """Traffic goes on while nobody is here; files and socket are for nobody else."""
    with outpost.manned(plan=outpost.plan()) as agent:
        outpost.await_ready()
        outpost.cut(FIBRE)
        outpost.until(lambda: outpost.on() == RADIO, "it has left")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in agent.folder.iterdir()}
        assert agent.terminate() == 0
        assert outpost.interface(MARK) == outpost.interface_of(RADIO)
        assert (modes["agent.sock"], modes["edge.json"]) == (0o600, 0o600)
        kept = json.loads((agent.folder / "agent.json").read_bytes())
        assert kept["reported"]["groups"][0]["on"] == RADIO


def test_with_damaged_files_it_touches_no_route_until_there_is_a_plan(outpost: Outpost) -> None:
    """It says which files, and what was moved stays where it is."""
    with outpost.manned(plan=outpost.plan()) as agent:
        outpost.await_ready()
        outpost.cut(FIBRE)
        outpost.until(lambda: outpost.on() == RADIO, "it has left")
        agent.kill()
        for name in ("plan.json", "edge.json"):
            (agent.folder / name).write_bytes(b"\xff{}")
        agent.start()
        outpost.until(agent.report, "it runs again")
        report = agent.report()
        assert report is not None
        assert (report.reported.plan_version, report.reported.groups) == (0, ())
        assert agent.said().count("agent.file_refused") == 2
        assert outpost.interface(MARK) == outpost.interface_of(RADIO)


def test_an_operator_at_the_gateway_can_force_a_class_without_anybody_elses_help(outpost: Outpost) -> None:
    """No centre, no broker; it stands until it is taken back, and who asked and why is noted."""
    with outpost.manned(plan=outpost.plan()) as agent:
        outpost.await_ready()
        assert agent.ask("force", class_id="siren", line_id=MODEM) == "who asks, and why? both are noted"
        words = ["agent", "force", "siren", MODEM, "--by", "sato", "--why", "mast is moved", "--dir", str(agent.folder)]
        done = subprocess.run([sys.executable, "-m", "netmon", *words], capture_output=True, text=True, check=True)
        assert done.stdout == "harbour/siren: on modem, FS\n"
        assert outpost.interface(MARK) == outpost.interface_of(MODEM)
        group = outpost.group()
        assert group is not None
        assert (group.on, group.phase) == (MODEM, "FS")
        assert outpost.on(CAMERA) == FIBRE
        assert agent.ask("clear", class_id="siren") == ""
        said = next(json.loads(line) for line in agent.said().splitlines() if "agent.switch_forced" in line)
        assert (said["by"], said["why"], said["line"]) == ("sato", "mast is moved", MODEM)


def test_it_obeys_the_centre_and_nobody_who_is_older_or_pretends(outpost: Outpost, headquarters: Headquarters) -> None:
    """Plan and orders come by the broker; an older leader, an older order, and another key move nothing, and are counted."""
    hq = headquarters
    with outpost.manned(broker=True) as agent:
        hq.plan(outpost.plan(version=7))
        outpost.await_ready()
        hq.desire(wanted(RADIO, 3, fence=5, phase="PROTECTING", reason="preempted"), fence=5)
        outpost.until(lambda: (group := hq.group()) is not None and group.outcome == "verified", "obeyed, and told")
        group = hq.group()
        assert group is not None
        assert (group.on, group.fence, group.generation, group.by) == (RADIO, 5, 3, "centre")
        assert outpost.interface(MARK) == outpost.interface_of(RADIO)

        hq.desire(wanted(MODEM, 9, fence=4), fence=4)
        hq.desire(wanted(MODEM, 2, fence=5), fence=5)
        hq.desire(wanted(MODEM, 9, fence=6), fence=6, key=sign.private_key(sign.generate()[0]))
        outpost.until(lambda: (told := hq.reported()) is not None and told.refused == 3, "all refused")
        assert outpost.interface(MARK) == outpost.interface_of(RADIO)

        agent.kill()
        agent.start()
        hq.desire(wanted(MODEM, 9, fence=4), fence=4)
        outpost.until(lambda: (told := agent.report()) is not None and told.reported.refused > 0, "still refused")
        assert (outpost.on(), outpost.interface(MARK)) == (RADIO, outpost.interface_of(RADIO))
        hq.desire(wanted(FIBRE, 4, fence=5), fence=5)
        outpost.until(lambda: outpost.on() == FIBRE, "the newest is obeyed")
        agent.terminate()
        outpost.until(lambda: (told := hq.reported()) is not None and told.stopped, "it has taken leave")


def test_with_the_broker_dead_it_acts_alone_and_tells_when_it_can(outpost: Outpost, headquarters: Headquarters) -> None:
    """The centre finds out what was done, and what the centre had wanted before does not undo it."""
    hq = headquarters
    with outpost.manned(plan=outpost.plan(version=20), broker=True) as agent:
        hq.desire(wanted(FIBRE, 30, fence=9), fence=9)
        outpost.await_ready()
        outpost.until(lambda: (group := hq.group()) is not None and group.generation == 30, "in touch")
        hq.broker.kill()
        outpost.cut(FIBRE)
        outpost.until(lambda: outpost.on() == RADIO, "it acts alone")
        outpost.until(lambda: (told := agent.report()) is not None and not told.connected, "it knows")
        outpost.mend(FIBRE)
        hq.broker.start()
        outpost.until(lambda: (group := hq.group()) is not None and (group.on, group.by) == (RADIO, "edge"), "told")
        outpost.until(lambda: outpost.sees("up", FIBRE), "its line is well again")
        assert outpost.on() == RADIO
        hq.desire(wanted(FIBRE, 31, fence=9), fence=9)
        outpost.until(lambda: outpost.on() == FIBRE, "ordered back")


def test_a_gateway_that_dies_is_told_of_by_the_broker(outpost: Outpost, headquarters: Headquarters) -> None:
    """Its last will: nobody has to wait for its silence."""
    hq = headquarters
    with outpost.manned(plan=outpost.plan(version=40), broker=True) as agent:
        outpost.until(lambda: (told := hq.reported()) is not None and not told.stopped, "in touch")
        agent.kill()
        outpost.until(lambda: (told := hq.reported()) is not None and told.stopped, "its will")
