"""One gateway with its agent as it runs in earnest: real lines to be cut, a broker to be killed, and a centre that signs what it says.

with Outpost(folder) as outpost:
    outpost.agent.start()
    outpost.region.cut("fibre")
    outpost.until(lambda: outpost.on() == "radio", "it has moved")
"""

from __future__ import annotations

import base64
import contextlib
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import pytest

from loadtest.lab.gateways import CENTRE, Region
from loadtest.lab.namespaces import end, missing
from netmon.errors import UnavailableError
from netmon.failover.agent.local import Question, ask
from netmon.failover.agent.report import AgentReport
from netmon.failover.model import Timers
from netmon.failover.mqtt.wire import Topics, decode_reported
from netmon.failover.plan import sign
from netmon.failover.plan.model import (
    Beat,
    Desired,
    DesiredGroup,
    Plan,
    PlannedGroup,
    PlannedLine,
    Ranking,
    Reported,
    ReportedGroup,
)
from netmon.failover.settings import AgentSettings, MqttSettings
from netmon.inventory.probes import Pin, StampProbe
from tests.integration.lab import FAST, LIMIT_S
from tests.integration.services import Mosquitto
from tests.integration.telling import Say

GATEWAY: Final = "harbour"
FIBRE, RADIO, MODEM = "fibre", "radio", "modem"
LINES: Final = (FIBRE, RADIO, MODEM)
SIREN, CAMERA = "harbour/siren", "harbour/camera"
MARK: Final = 0x10
BROKER_PORT: Final = 1883
FORGETFUL: Final = msgspec.structs.replace(FAST, window_s=0.5)
"""A line that answers again is up again within a second."""


def groups(**fields: Any) -> tuple[PlannedGroup, ...]:
    """Life safety and bulk, both at home on the fibre; with these fields."""
    rankings = tuple(
        Ranking(failed=tuple(sorted(failed)), order=tuple(each for each in LINES if each not in failed))
        for size in range(len(LINES) + 1)
        for failed in combinations(LINES, size)
    )
    given: dict[str, Any] = {
        "working": FIBRE,
        "protections": (RADIO, MODEM),
        "rankings": rankings,
        "timers": Timers(wtr_s=0.3, verify_s=3.0, guard_s=0.1),
    }
    given |= fields
    return (
        PlannedGroup(group_id=SIREN, class_id="siren", priority=0, mark=MARK, table=1001, **given),
        PlannedGroup(group_id=CAMERA, class_id="camera", priority=3, mark=MARK + 1, table=1002, **given),
    )


class Agent:
    """The process at the gateway."""

    def __init__(self, region: Region, folder: Path, settings: AgentSettings) -> None:
        """Not started yet."""
        self.folder = folder
        self.settings = settings
        self._region = region
        self._log = folder.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self) -> None:
        """Returns at once."""
        with self._log.open("ab") as output:
            process = self._region.start(
                GATEWAY, ["-m", "netmon.failover.agent"], stdin=subprocess.PIPE, stdout=output, stderr=output
            )
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(self.settings))
        process.stdin.close()
        self._process = process

    def kill(self) -> None:
        """kill -9; returns when it is gone."""
        if self._process is not None:
            end(self._process)

    def terminate(self) -> int:
        """SIGTERM; returns its exit code."""
        assert self._process is not None, "not started"
        self._process.terminate()
        return self._process.wait(LIMIT_S)

    def ask(self, kind: str, **fields: Any) -> str:
        """What an operator asks; why it was refused."""
        return ask(self.folder, Question(kind=kind, **fields)).refused  # type: ignore[arg-type]

    def report(self) -> AgentReport | None:
        """How it is; None: it does not answer (yet)."""
        try:
            return ask(self.folder, Question(kind="status")).report
        except UnavailableError:
            return None

    def said(self) -> str:
        """Its log."""
        return self._log.read_text() if self._log.exists() else ""


class Outpost:
    """All of it. As a context manager the region is there, and what was started in it goes with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self._number = 0
        self.private, self.verify_key = sign.generate()
        self.key = sign.private_key(self.private)
        self.region: Region
        self.agent: Agent

    def __enter__(self) -> Self:
        if reason := missing():
            pytest.skip(reason)
        with contextlib.ExitStack() as stack:
            carriers = dict(zip(LINES, ("carrier-a", "carrier-b", "carrier-c"), strict=True))
            self.region = stack.enter_context(Region({GATEWAY: carriers}))
            listen = [word for line in self.region.of(GATEWAY) for word in ("--listen", f"{line.target}:862")]
            self.region.start(CENTRE, ["-m", "netmon.active_probe.stamp", *listen], stdin=subprocess.DEVNULL)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def manned(self, *, plan: Plan | None = None, broker: bool = False) -> Any:
        """An agent of its own for one test, with a plan on its disk; all lines are whole again afterwards.

        Args:
            plan: What it finds when it starts; None: nothing.
            broker: Whether it has one to talk to.
        """
        self._number += 1
        folder = self._folder / f"agent-{self._number}"
        folder.mkdir()
        if plan is not None:
            (folder / "plan.json").write_bytes(sign.sign(plan, self.key))
        mqtt = MqttSettings(url=f"mqtt://{self.region.centre_of(GATEWAY)}:{BROKER_PORT}") if broker else None
        settings = AgentSettings(
            gateway_id=GATEWAY, directory=str(folder), mqtt=mqtt, verify_key=self.verify_key, report_s=0.5
        )
        self.agent = Agent(self.region, folder, settings)
        broken: list[str] = []
        self._broken = broken
        try:
            self.agent.start()
            yield self.agent
        except BaseException as error:
            error.add_note(self.agent.said()[-4_000:])
            raise
        finally:
            self.agent.kill()
            self.mend(*broken)
            for line in ("ip rule flush protocol 78", "ip route flush table all protocol 78"):
                self.region[GATEWAY].start(line.split()).wait()

    # -- lines

    def cut(self, *line_ids: str) -> None:
        """Silently, behind the carrier's router."""
        self.region.cut(*line_ids)
        self._broken += line_ids

    def mend(self, *line_ids: str) -> None:
        """What `cut` did."""
        for line_id in line_ids:
            self.region.mend(line_id)
            self._broken.remove(line_id)

    # -- the plan

    def lines(self) -> tuple[PlannedLine, ...]:
        """As a plan has them."""
        return tuple(
            PlannedLine(
                line_id=line.line_id, profile=FORGETFUL, interface=line.interface, next_hop=line.next_hop,
                probes=(StampProbe(address=line.target, pin=Pin(interface=line.interface)),),
            )
            for line in self.region.of(GATEWAY)
        )  # fmt: skip

    def plan(self, version: int = 1, *, centre_lost_s: float = 3_600.0, **fields: Any) -> Plan:
        """Of both classes."""
        return Plan(
            gateway_id=GATEWAY, version=version, fence=1, made_unix_ns=time.time_ns(), lines=self.lines(),
            groups=groups(**fields), centre_lost_s=centre_lost_s,
        )  # fmt: skip

    # -- what is to be seen

    def until(self, holds: Callable[[], object], what: str) -> None:
        """Waits for what comes by itself."""
        deadline = time.monotonic() + LIMIT_S
        while not holds():
            assert time.monotonic() < deadline, f"not within {LIMIT_S} s: {what}; {self.agent.report()}"
            time.sleep(0.02)

    def group(self, group_id: str = SIREN) -> ReportedGroup | None:
        """How a class is, as the agent says."""
        report = self.agent.report()
        return next((each for each in report.reported.groups if each.group_id == group_id), None) if report else None

    def on(self, group_id: str = SIREN) -> str | None:
        """Where it is, as the agent says."""
        group = self.group(group_id)
        return group.on if group else None

    def sees(self, state: str, *line_ids: str) -> bool:
        """Whether the agent sees these lines so."""
        report = self.agent.report()
        states = {sight.line_id: sight.state for sight in report.reported.lines} if report else {}
        return all(states.get(line_id) == state for line_id in line_ids)

    def await_ready(self) -> None:
        """Every line is up, and every class is where it belongs, by a route."""
        self.until(lambda: self.sees("up", *LINES) and self.interface(MARK), "ready")

    def interface(self, mark: int) -> str:
        """By which interface the kernel sends what has this mark; empty: it refuses, or no table is there for it."""
        words = ["ip", "-j", "route", "get", "10.99.0.1", "mark", str(mark)]
        process = self.region[GATEWAY].start(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        output, _ = process.communicate()
        found = msgspec.json.decode(output) if output.strip() else []
        return str(found[0]["dev"]) if found and found[0].get("table") else ""

    def interface_of(self, line_id: str) -> str:
        """Name of the gateway's interface to a line."""
        return self.region.lines[line_id].interface


class Headquarters:
    """The broker, and a centre that talks by it. As a context manager both run."""

    def __init__(self, outpost: Outpost, folder: Path) -> None:
        region = outpost.region
        address = region.centre_of(GATEWAY)
        self._outpost = outpost
        self._topics = Topics("netmon")
        self._url = f"mqtt://{address}:{BROKER_PORT}"
        self.broker = Mosquitto(
            folder / "broker", BROKER_PORT, address=address, settings=["set_tcp_nodelay true"],
            start=region[CENTRE].start,
        )  # fmt: skip
        self._heard: queue.Queue[Say] = queue.Queue()
        self._process: subprocess.Popen[bytes]
        self.reports: list[Reported] = []
        self._version = 0
        self._beats = 0

    def __enter__(self) -> Self:
        self.broker.__enter__()
        words = [str(Path(__file__).with_name("telling.py")), self._url, self._topics.of(GATEWAY, "reported")]
        self._process = self._outpost.region.start(CENTRE, words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        end(self._process)
        self.broker.__exit__(kind, error, _)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._heard.put(msgspec.json.decode(line, type=Say))

    def say(self, topic: str, payload: bytes, *, retained: bool = True) -> None:
        """Publishes."""
        assert self._process.stdin is not None
        text = base64.b64encode(payload).decode()
        self._process.stdin.write(msgspec.json.encode(Say(topic=topic, payload=text, retained=retained)) + b"\n")
        self._process.stdin.flush()

    def plan(self, plan: Plan) -> None:
        """Signs and publishes a plan."""
        self.say(self._topics.of(GATEWAY, "plan"), sign.sign(plan, self._outpost.key))

    def desire(
        self, *wanted: DesiredGroup, fence: int = 1, key: sign.Private | None = None, version: int | None = None
    ) -> None:
        """Signs and publishes what is desired; with another key if one is given."""
        self._version += 1
        desired = Desired(
            gateway_id=GATEWAY, fence=fence, version=version or self._version, unix_ns=time.time_ns(), groups=wanted
        )
        self.say(self._topics.of(GATEWAY, "desired"), sign.sign(desired, key or self._outpost.key))

    def beat(self, fence: int = 1) -> None:
        """A sign of life."""
        self._beats += 1
        beat = Beat(fence=fence, beat=self._beats, unix_ns=time.time_ns())
        self.say(self._topics.centre, sign.sign(beat, self._outpost.key), retained=False)

    def reported(self) -> Reported | None:
        """The newest report of the gateway."""
        with contextlib.suppress(queue.Empty):
            while True:
                said = self._heard.get_nowait()
                if said.payload:
                    self.reports.append(decode_reported(base64.b64decode(said.payload), GATEWAY))
        return self.reports[-1] if self.reports else None

    def group(self, group_id: str = SIREN) -> ReportedGroup | None:
        """A class as the newest report has it."""
        reported = self.reported()
        return next((each for each in reported.groups if each.group_id == group_id), None) if reported else None


def resident_mb(pid: int) -> float:
    """Memory of a process that is in RAM."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no such process")


def imported(pid: int, names: Sequence[str]) -> list[str]:
    """Which of these libraries a process has mapped, by their compiled parts."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return [name for name in names if f"/{name}" in maps]
