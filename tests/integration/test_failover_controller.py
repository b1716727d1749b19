"""The controller of failover on a real Valkey: each order has its reasons before it goes out, and is obeyed once, whoever dies when."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.cluster import RedisCluster
from redis.crc import key_slot

from netmon.alarms.posture.model import AreaPosture
from netmon.buffer import alarm_store, failover_store, line_store
from netmon.buffer.failover_store import (
    ACTIONS,
    COMMANDS,
    GATEWAYS,
    GROUPS,
    LEASE,
    LOADS,
    META,
    ORDERS,
    PLANS,
    REQUESTS,
    result_key,
)
from netmon.failover.model import GroupState
from tests.integration.controlling import Carrier, Centre, Controller, Judge, carriers, centre, group, region
from tests.integration.faketime import faked_clock
from tests.integration.valkey import Valkey, wait_until

GW = "gw-port"
LIFE = group(GW)
ID = LIFE.id


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One server for all tests that leave it alive."""
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def server(valkey: Valkey) -> Valkey:
    """The same, empty."""
    client = valkey.client()
    client.flushall()
    client.close()
    return valkey


@pytest.fixture
def judge(server: Valkey) -> Iterator[Judge]:
    """All lines are up."""
    with Judge(server.client()) as judge:
        yield judge


@pytest.fixture
def people(server: Valkey) -> Iterator[Centre]:
    """What they see and want."""
    with centre(server) as people:
        yield people


def test_a_cut_is_ordered_with_its_evidence_and_home_it_goes_when_the_line_is_back(
    server: Valkey, judge: Judge, people: Centre, tmp_path: Path
) -> None:
    """Intent, applied, verified: each in the audit, and what it took in the report."""
    with Controller(tmp_path, server, region("dry_run", LIFE)) as controller:
        wait_until(lambda: people.on(ID) == "fibre", "it is at home")
        judge.say("fibre", "down")
        people.wait_on(ID, "radio")
        judge.say("fibre", "up")
        people.wait_on(ID, "fibre")
        wait_until(lambda: people.view.loads() is not None, "loads are told")
        assert controller.stop() == 0

    out, back = (each for each in people.audit(ID) if each.kind == "intent")
    assert (out.before, out.to, out.reason, out.generation) == ("fibre", "radio", "signal_fail", 1)
    assert any("fibre is down" in text for text in out.evidence)
    assert (back.before, back.to, back.reason, back.generation) == ("radio", "fibre", "revert", 2)
    verified = [each for each in people.audit(ID) if each.kind == "verified"]
    assert [each.to for each in verified] == ["radio", "fibre"]
    assert verified[0].phases_s["detect"] == pytest.approx(0.05)
    assert verified[0].phases_s.keys() >= {"detect", "hold", "decide", "act"}
    report = controller.report()
    assert report is not None
    assert (report.state, report.counts.switches) == ("stopped", {"signal_fail": 1, "revert": 1})
    assert sum(report.counts.phases["decide"].counts) == 1


def test_operators_commands(server: Valkey, judge: Judge, people: Centre, tmp_path: Path) -> None:
    """Forced, manual, lockout, clear, freeze: done once, told, ended; refused with the reason and what to do."""
    with Controller(tmp_path, server, region("dry_run", LIFE)):
        forced = people.command("forced", ID, "modem")
        assert people.view.ask(forced, 30) == people.view.ask(forced, 30)
        people.wait_on(ID, "modem")
        assert (people.phase(ID), [each.kind for each in people.view.requests()]) == ("FS", ["forced"])
        assert people.ask("clear", ID).outcome == "done"
        people.wait_on(ID, "fibre")

        assert people.ask("manual", ID, "radio").outcome == "done"
        people.wait_on(ID, "radio")
        people.ask("clear", ID)
        people.wait_on(ID, "fibre")

        soon = time.time_ns() + 800_000_000
        assert people.ask("lockout", ID, until_unix_ns=soon).until_unix_ns == soon
        wait_until(lambda: people.phase(ID) == "LO", "it is locked out")
        judge.say("fibre", "down")
        people.wait_on(ID, "radio")  # when the lockout has run out
        assert people.view.requests() == []

        assert people.ask("freeze").outcome == "done"
        judge.say("radio", "down")
        wait_until(lambda: people.phase(ID) == "FROZEN", "it is frozen")
        assert people.view.meta().freeze is not None
        assert people.on(ID) == "radio"
        assert people.ask("unfreeze").outcome == "done"
        people.wait_on(ID, "modem")

        refused = {
            "nobody": people.ask("forced", ID, "radio", by=" "),
            "no reason": people.ask("forced", ID, "radio", why=""),
            "no group": people.ask("forced", "gw-nowhere/life", "radio"),
            "no line of it": people.ask("manual", ID, "moon"),
            "over": people.ask("lockout", ID, until_unix_ns=1),
            "for ever": people.ask("lockout", ID, until_unix_ns=1 << 62),
            "not proposed": people.ask("approve", ID, generation=77),
            "not frozen": people.ask("unfreeze"),
        }

    assert {name: (result.outcome, bool(result.detail and result.cure)) for name, result in refused.items()} == (
        dict.fromkeys(refused, ("refused", True))
    )
    kinds = people.kinds(ID)
    intents = [(each.to, each.by, each.why) for each in people.audit(ID) if each.kind == "intent"]
    assert intents[0] == ("modem", "sato", "works in the duct")
    assert kinds.count("expired") == 1
    assert [each.kind for each in people.audit() if each.kind in ("freeze", "unfreeze")] == ["freeze", "unfreeze"]
    assert sum(each.command_id == forced.id and each.kind == "command" for each in people.audit()) == 1


def test_what_is_only_proposed_waits_for_its_approval(
    server: Valkey, judge: Judge, people: Centre, tmp_path: Path
) -> None:
    """Mode advise: nothing is ordered before somebody has said so; mode observe: nothing ever is."""
    advised, observed = group(GW, mode="advise"), group("gw-hill", mode="observe")
    with Controller(tmp_path, server, region("dry_run", advised, observed)):
        wait_until(lambda: people.on(observed.id) == "fibre", "it is at home")
        judge.say("fibre", "down")
        wait_until(
            lambda: {"proposed"} == set(people.kinds(ID)) == set(people.kinds(observed.id)), "both say what to do"
        )
        (proposal,) = people.audit(ID)
        assert people.ask("approve", ID, generation=proposal.generation).outcome == "done"
        people.wait_on(ID, "radio")
        assert people.ask("approve", observed.id, generation=1).outcome == "refused"

    assert people.on(observed.id) == "fibre"
    assert "intent" not in people.kinds(observed.id)


def test_an_actuator_that_fails_and_then_the_next_candidate(
    server: Valkey, judge: Judge, people: Centre, tmp_path: Path
) -> None:
    """What could not be done is told, and the other line is tried."""

    def no_radio(asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        state = "failed" if asked["line"] == "radio" else "verified"
        return 200, {
            "state": state,
            "line": asked["line"] if state == "verified" else "fibre",
            "detail": "no radio here",
        }

    with Carrier() as carrier:
        carrier.answer = no_radio
        with Controller(tmp_path, server, region("webhook", LIFE, webhooks=carriers(carrier.url))):
            wait_until(lambda: carrier.stated == [ID], "it is said where it belongs")
            judge.say("fibre", "down")
            people.wait_on(ID, "modem")

    failed = next(each for each in people.audit(ID) if each.kind == "failed")
    assert (failed.to, failed.why) == ("radio", "no radio here")
    assert carrier.moved == [(ID, "modem")]


def test_killed_in_the_middle_of_a_command_and_started_again(
    server: Valkey, judge: Judge, people: Centre, tmp_path: Path
) -> None:
    """kill -9 while the carrier works: the order is given again, the same one, and moved once."""
    told, lets_go = threading.Event(), threading.Event()

    def slowly(asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        told.set()
        lets_go.wait(30)
        return 200, {"state": "verified", "line": asked["line"]}

    with Carrier() as carrier:
        carrier.answer = slowly
        controller = Controller(tmp_path, server, region("webhook", LIFE, webhooks=carriers(carrier.url)))
        with controller:
            wait_until(lambda: people.on(ID) == "fibre", "it is at home")
            judge.say("fibre", "down")
            assert told.wait(30)
            assert "intent" in people.kinds(ID)
            controller.kill()
            lets_go.set()
            controller.start()
            people.wait_on(ID, "radio")

    first, again = ((asked["fence"], asked["generation"], asked["line"]) for asked in carrier.asked)
    assert again == (first[0] + 1, first[1], first[2])
    assert carrier.moved == [(ID, "radio")]
    assert people.kinds(ID).count("verified") == 1


def test_two_controllers_and_one_acts_also_when_the_leader_stands_still(
    server: Valkey, judge: Judge, people: Centre, tmp_path: Path
) -> None:
    """SIGSTOP beyond the lease: the other one leads and orders; what the first one still sends when it goes on is refused."""
    is_out = threading.Event()
    is_out.set()

    def in_trouble(asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return (503, {}) if is_out.is_set() else (200, {"state": "verified", "line": asked["line"]})

    with Carrier() as carrier:
        carrier.answer = in_trouble
        told = region("webhook", LIFE, webhooks=carriers(carrier.url))
        with Controller(tmp_path / "a", server, told) as first, Controller(tmp_path / "b", server, told) as second:
            wait_until(lambda: {first.state(), second.state()} == {"leading", "waiting"}, "one leads")
            leader, other = (first, second) if first.state() == "leading" else (second, first)
            judge.say("fibre", "down")
            wait_until(lambda: carrier.asked, "it has ordered, and tries again")
            leader.freeze()
            is_out.clear()
            people.wait_on(ID, "radio")
            other.wait_led()
            leader.send(signal.SIGCONT)
            leader.wait_led("waiting")
            judge.say("radio", "down")
            people.wait_on(ID, "modem")
            assert other.state() == "leading"
            assert leader.events("failover.lead_lost") != []

    assert carrier.moved == [(ID, "radio"), (ID, "modem")]
    fences = [each.fence for each in people.audit()]
    assert fences == sorted(fences)


def test_redis_killed_in_the_middle_of_a_command(tmp_path: Path) -> None:
    """While it is away nothing is ordered; when it is back, what was under way ends well, and what was wanted is wanted still."""
    told, lets_go = threading.Event(), threading.Event()

    def slowly(asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        told.set()
        lets_go.wait(30)
        return 200, {"state": "verified", "line": asked["line"]}

    other = group("gw-hill")
    server = Valkey(tmp_path / "valkey", appendonly="yes", appendfsync="always")
    with Carrier() as carrier:
        carrier.answer = slowly
        settings = region("webhook", LIFE, other, webhooks=carriers(carrier.url))
        alive = Controller(tmp_path / "a", server, settings)
        with server, Judge(server.client()) as judge, alive as controller, centre(server) as people:
            people.ask("lockout", other.id)
            judge.say("fibre", "down")
            assert told.wait(30)
            server.kill()
            controller.wait_led("unreachable")
            lets_go.set()
            with server:
                people.wait_on(ID, "radio")
                judge.say("radio", "down")
                people.wait_on(ID, "modem")
                assert people.phase(other.id) == "LO"
                wait_until(lambda: controller.counts().redis_errors != {}, "it is counted")

    assert {asked["group"] for asked in carrier.asked} == {ID}
    assert carrier.moved == [(ID, "radio"), (ID, "modem")]
    assert [asked["generation"] for asked in carrier.asked] == sorted(asked["generation"] for asked in carrier.asked)


def test_after_flushall_redis_has_all_of_it_again(server: Valkey, judge: Judge, people: Centre, tmp_path: Path) -> None:
    """Where groups are, what operators want, and a number that is greater than all before: nothing moves for it."""
    locked = group("gw-hill")
    with Controller(tmp_path, server, region("dry_run", LIFE, locked)):
        people.ask("lockout", locked.id)
        judge.say("fibre", "down")
        people.wait_on(ID, "radio")
        before = people.view.meta().fence
        client = server.client()
        client.flushall()
        judge.tell_all()
        people.wait_on(ID, "radio")
        wait_until(lambda: [each.group_id for each in people.view.requests()] == [locked.id], "the lockout is there")
        wait_until(lambda: people.view.meta().fence > before, "the number is a greater one")
        assert people.phase(locked.id) == "LO"
        judge.say("radio", "down")
        people.wait_on(ID, "modem")
        client.close()

    assert people.on(locked.id) == "fibre"
    assert {each.to for each in people.audit(ID)} == {"modem"}


def test_a_new_leader_waits_with_what_can_wait(server: Valkey, judge: Judge, people: Centre, tmp_path: Path) -> None:
    """Not with an escape; and not at all when it was the leader before."""
    told = region("dry_run", LIFE, lock_delay_s=1.0)
    with Controller(tmp_path / "a", server, told) as first:
        judge.say("fibre", "down")
        people.wait_on(ID, "radio")
        assert first.stop() == 0
        judge.say("fibre", "up")
        judge.say("radio", "down")
    with Controller(tmp_path / "b", server, told) as second:
        second.wait_led()
        led = time.monotonic()
        people.wait_on(ID, "fibre")  # it is no return: the radio has failed
        urgent_s = time.monotonic() - led
        judge.say("radio", "up")
        judge.say("fibre", "down")
        people.wait_on(ID, "radio")
        judge.say("fibre", "up")
        people.wait_on(ID, "fibre")
        calm_s = time.monotonic() - led
        judge.say("fibre", "down")
        people.wait_on(ID, "radio")
        assert second.stop() == 0
        judge.say("fibre", "up")
        second.start()
        people.wait_on(ID, "fibre")
        assert second.report() is not None

    lead = [each for each in people.audit() if each.kind == "lead"]
    assert [each.fence - lead[0].fence for each in lead] == [0, 1, 2]
    assert urgent_s < 1.0 < calm_s + 0.2


def test_a_clock_that_is_set_ends_no_wait_and_blinds_nobody(
    server: Valkey, judge: Judge, people: Centre, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """Two hours ahead, then an hour back, for the controller alone: the return comes when it would have, and the next cut is left as ever."""
    wait_s = 6.0
    patient = group(GW, timers=msgspec.structs.replace(LIFE.timers, wtr_s=wait_s))
    controller = Controller(tmp_path, server, region("dry_run", patient))
    set_clock = faked_clock(tmp_path, require_tool)
    controller.environment = set_clock.environment
    with controller:
        wait_until(lambda: people.on(ID) == "fibre", "it is at home")
        judge.say("fibre", "down")
        people.wait_on(ID, "radio")
        judge.say("fibre", "up")
        wait_until(lambda: people.phase(ID) == "WTR", "it waits to restore")
        began_s = time.monotonic()

        set_clock(7_200)
        wait_until(lambda: len(controller.events("failover.clock_followed")) == 1, "that is noticed")
        set_clock(3_600)
        wait_until(lambda: len(controller.events("failover.clock_followed")) == 2, "that is noticed")
        people.wait_on(ID, "fibre")
        assert time.monotonic() - began_s > wait_s - 1.0
        judge.say("fibre", "down")
        people.wait_on(ID, "radio")

    assert [each.kind for each in people.audit(ID) if each.kind == "failed"] == []


def test_a_flood_of_spoofed_traps_moves_nothing(server: Valkey, judge: Judge, people: Centre, tmp_path: Path) -> None:
    """Ports at the ends of a line are down, say traps that nobody vouches for. One that is trusted is believed."""
    client: Any = server.client()

    def say(number: int, trust: str) -> None:
        alarm = {
            "id": f"a{number}", "alarm_type": "link-down", "trust": trust, "place": {"line": "fibre"}, "event_unix_ns": time.time_ns(),
        }  # fmt: skip
        change = {"kind": "raised", "unix_ns": 0, "alarm": alarm}
        client.xadd(alarm_store.STREAM, {"change": msgspec.json.encode(change)})

    client.xadd(alarm_store.STREAM, {"flood": b"{}"})
    with Controller(tmp_path, server, region("dry_run", LIFE, trap_trust="v3_auth")) as controller:
        wait_until(lambda: people.on(ID) == "fibre", "it is at home")
        for number in range(200):
            say(number, ("other", "allow_listed")[number % 2])
        wait_until(lambda: controller.counts().traps_ignored == 200, "all were heard")
        assert people.kinds(ID) == []
        say(0, "v3_auth_priv")
        wait_until(lambda: "verified" in people.kinds(ID), "a trusted one is heeded")
    client.close()


def test_blind_observers_freeze_the_region(server: Valkey, judge: Judge, people: Centre, tmp_path: Path) -> None:
    """All lines fail, and nobody is left who could see: nothing moves, also after a restart, until somebody says so."""
    with Controller(tmp_path, server, region("dry_run", LIFE)) as controller:
        wait_until(lambda: people.on(ID) == "fibre", "it is at home")
        judge.vantage("stale")
        for line_id in ("modem", "radio", "fibre"):
            judge.say(line_id, "down")
        wait_until(lambda: people.phase(ID) == "FROZEN", "it is frozen")
        controller.kill()
        judge.say("modem", "up")
        controller.start()
        wait_until(lambda: len([each for each in people.audit() if each.kind == "lead"]) == 2, "it leads again")
        assert people.ask("forced", ID, "modem").outcome == "done"
        people.wait_on(ID, "modem")  # an operator's word counts all the same
        freeze = people.view.meta().freeze
        assert people.ask("unfreeze").outcome == "done"

    assert freeze is not None
    assert (freeze.by, "1 vantages" in freeze.why) == ("netmon", True)
    assert [(each.to, each.reason) for each in people.audit(ID) if each.kind == "intent"] == [("modem", "forced")]
    assert [each.by for each in people.audit() if each.kind in ("freeze", "unfreeze")] == ["netmon", "sato"]


def test_the_posture_of_an_area_is_heard(server: Valkey, judge: Judge, people: Centre, tmp_path: Path) -> None:
    """As it stands when the controller begins; then nothing is exercised."""
    client: Any = server.client()
    posture = AreaPosture(area="hoshimi", posture="disaster")
    client.hset(alarm_store.META, "posture:hoshimi", msgspec.json.encode(posture))
    client.xadd(alarm_store.STREAM, {"flood": b"{}"})
    client.close()
    with Controller(tmp_path, server, region("dry_run", LIFE)) as controller:
        wait_until(
            lambda: (told := controller.report()) is not None and told.areas == {"hoshimi": "disaster"}, "it knows"
        )
        refused = people.ask("exercise", ID)

    assert (refused.outcome, "disaster" in refused.detail) == ("refused", True)


def test_what_strangers_write_is_put_aside(server: Valkey, judge: Judge, people: Centre, tmp_path: Path) -> None:
    """Rubbish in every hash and stream: counted, dropped, and the controller goes on."""
    client: Any = server.client()
    for key in (GROUPS, ORDERS, REQUESTS, GATEWAYS, PLANS):
        client.hset(key, mapping={"junk": b"\xff", ID: b'{"group_id": "another"}'})
    client.hset(META, mapping={"commands": "never", "freeze": "[", "led": b"\xff"})
    client.hset(line_store.LINES, "fibre ", b"{")
    for key in (COMMANDS, line_store.CHANGES, alarm_store.STREAM):
        client.xadd(key, {"command": b"\x00", "line": b"{", "posture": b"[]"})
        client.xadd(key, {"posture": b"{}"})
        client.xadd(key, {"line": b"{" * 5_000})
    client.xadd(COMMANDS, {"command": msgspec.json.encode(people.command("clear", ID, id="a b"))})
    with Controller(tmp_path, server, region("dry_run", LIFE)) as controller:
        judge.say("fibre", "down")
        people.wait_on(ID, "radio")
        wait_until(lambda: controller.counts().commands_unreadable == 4, "they are counted")
        assert controller.counts().unreadable >= 10
    assert client.hkeys(GROUPS) == [ID.encode()]
    assert client.hkeys(PLANS) == []
    client.close()


@pytest.mark.parametrize(
    "key", [ACTIONS, COMMANDS, GATEWAYS, LEASE, LOADS, META, ORDERS, PLANS, REQUESTS, result_key("c1")]
)
def test_all_keys_are_in_one_slot_of_a_cluster(key: str) -> None:
    """Else no transaction could span them."""
    assert key_slot(key.encode()) == key_slot(failover_store.GROUPS.encode())


def test_in_a_cluster(cluster: list[Valkey], tmp_path: Path) -> None:
    """Lines, their changes, areas and groups are on different nodes."""
    node = RedisCluster(host="127.0.0.1", port=cluster[0].port)
    settings = region("dry_run", LIFE)
    with Judge(node) as judge, Controller(tmp_path / "c", cluster[0], settings), centre(cluster[0]) as people:
        wait_until(lambda: people.on(ID) == "fibre", "it is at home")
        judge.say("fibre", "down")
        people.wait_on(ID, "radio")
        assert people.ask("forced", ID, "modem").outcome == "done"
        people.wait_on(ID, "modem")


def test_groups_that_are_no_more_leave_redis(server: Valkey, judge: Judge, people: Centre, tmp_path: Path) -> None:
    """The region has changed: state and order of what is gone go, requests of it end."""
    gone = group("gw-gone")
    with Controller(tmp_path, server, region("dry_run", LIFE, gone)) as controller:
        people.ask("forced", gone.id, "modem")
        people.wait_on(gone.id, "modem")
        controller.stop()
    with Controller(tmp_path, server, region("dry_run", LIFE)):
        wait_until(lambda: people.on(gone.id) is None, "it is gone")
        wait_until(lambda: people.view.requests() == [], "so is what was wanted of it")
        assert isinstance(people.view.group(ID), GroupState)
