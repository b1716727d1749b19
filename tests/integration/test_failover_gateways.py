"""The controller and a gateway with its agent, over a real broker: whatever is killed in the middle, the order arrives once, and both agree."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from netmon.buffer.failover_store import META
from netmon.failover.agent.local import Question, ask
from netmon.failover.settings import MqttSettings
from tests.integration.controlling import Agent, Centre, Controller, Judge, centre, group, port, region
from tests.integration.services import Mosquitto
from tests.integration.valkey import Valkey, wait_until

GW = "gw-port"
FUTURE = 3_000_000_000
"""Number of a leader that is greater than the seconds since 1970."""
LIFE, BULK = group(GW), group(GW, "bulk", 3)


class Stage:
    """All processes but the controller; each test has a broker's state of its own, because it has a prefix of its own."""

    def __init__(self, folder: Path, server: Valkey, broker: Mosquitto, broker_port: int, judge: Judge) -> None:
        self.folder, self.server, self.broker, self.judge = folder, server, broker, judge
        self.mqtt = MqttSettings(url=f"mqtt://127.0.0.1:{broker_port}", prefix=f"netmon/{folder.name}")

    def agent(self) -> Agent:
        """Not started."""
        return Agent(self.folder / "agent", GW, self.mqtt)

    def controller(self, name: str = "centre", **settings: Any) -> Controller:
        """Not started."""
        told = region("agent", LIFE, BULK, mqtt=self.mqtt, beat_s=0.3, gateway_silent_s=2.0)
        return Controller(self.folder / name, self.server, told, **settings)


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One server for all."""
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def stage(tmp_path: Path, valkey: Valkey, require_tool: Callable[[str], str]) -> Iterator[Stage]:
    """All lines are up."""
    require_tool("mosquitto")
    client = valkey.client()
    client.flushall()
    client.close()
    number = port()
    with (
        Mosquitto(tmp_path / "mosquitto", number, settings=["set_tcp_nodelay true"]) as broker,
        Judge(valkey.client()) as judge,
    ):
        yield Stage(tmp_path, valkey, broker, number, judge)


@pytest.fixture
def people(stage: Stage) -> Iterator[Centre]:
    """What they see and want."""
    with centre(stage.server) as people:
        yield people


def wait_planned(people: Centre) -> None:
    """Until the gateway has its plan, as it says."""
    wait_until(lambda: (told := people.view.gateway(GW)) is not None and told.plan_version > 0, "it has its plan")


def test_the_broker_and_then_the_gateway_die_in_the_middle_of_a_command(stage: Stage, people: Centre) -> None:
    """The order stays, and is obeyed when they are back; no other line is tried meanwhile."""
    with stage.agent() as agent, stage.controller() as controller:
        wait_planned(people)
        stage.broker.kill()
        stage.judge.say("fibre", "down")
        wait_until(lambda: "unreachable" in people.kinds(LIFE.id), "it cannot be told")
        with stage.broker:
            people.wait_on(LIFE.id, "radio")
            people.wait_on(BULK.id, "radio")
            agent.kill()
            stage.judge.say("radio", "down")
            wait_until(lambda: people.kinds(LIFE.id).count("unreachable") == 2, "it cannot be told again")
            agent.start()
            people.wait_on(LIFE.id, "modem")
            report = controller.report()

    intents = [(each.generation, each.to) for each in people.audit(LIFE.id) if each.kind == "intent"]
    assert intents == [(1, "radio"), (2, "modem")]
    assert report is not None
    assert report.gateways_total == 1


def test_what_a_gateway_did_while_nobody_led_is_adopted(stage: Stage, people: Centre) -> None:
    """An operator at the gateway has moved it meanwhile: the next leader finds it there, and orders nothing else."""
    with stage.agent() as agent:
        with stage.controller() as controller:
            wait_planned(people)
            controller.kill()
            answer = ask(
                agent.folder,
                Question(kind="force", class_id="life", line_id="modem", by="ito", why="on site", for_s=600),
            )
            assert answer.refused == ""
            controller.start()
            people.wait_on(LIFE.id, "modem")

        adopted = next(each for each in people.audit(LIFE.id) if each.kind == "adopted")
        assert (adopted.before, adopted.to, adopted.by) == ("fibre", "modem", "edge")
        assert "intent" not in people.kinds(LIFE.id)


def test_a_number_that_redis_has_forgotten_is_learnt_from_the_gateway(stage: Stage, people: Centre) -> None:
    """Redis and the controller's own note are lost, and its clock is wrong: the new number is above what the gateway knows all the same."""
    client: Any = stage.server.client()
    client.hset(META, "fence", FUTURE)
    with stage.agent():
        with stage.controller():
            wait_planned(people)
            stage.judge.say("fibre", "down")
            people.wait_on(LIFE.id, "radio")
            people.wait_on(BULK.id, "radio")
        client.flushall()
        client.close()
        stage.judge.tell_all()
        with stage.controller("another") as another:
            people.wait_on(LIFE.id, "radio")
            stage.judge.say("radio", "down")
            people.wait_on(LIFE.id, "modem")
            assert another.events("failover.fence_raised") != []

    assert people.view.meta().fence == FUTURE + 2
    assert next(each for each in people.audit(LIFE.id) if each.kind == "verified").to == "modem"


def test_a_leader_that_stood_still_is_heard_by_no_gateway(stage: Stage, people: Centre) -> None:
    """SIGSTOP beyond the lease, and on: the gateway knows the number of the one after it."""
    with stage.agent(), stage.controller("a") as first:
        wait_planned(people)
        first.freeze()
        with stage.controller("b") as second:
            second.wait_led()
            stage.judge.say("fibre", "down")
            people.wait_on(LIFE.id, "radio")
            first.send(signal.SIGCONT)
            first.wait_led("waiting")
            stage.judge.say("fibre", "up")
            people.wait_on(LIFE.id, "fibre")
            reported = people.view.gateway(GW)

    assert reported is not None
    assert {each.fence for each in people.audit(LIFE.id)} == {reported.fence}
