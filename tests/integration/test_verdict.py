"""The verdict process on a real Valkey: what vantages say is told once and at once, whoever dies when."""

from __future__ import annotations

import contextlib
import itertools
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from redis.cluster import RedisCluster
from redis.crc import key_slot

from netmon.active_probe.model import LineMonth, LineStatus
from netmon.active_probe.verdict.accounts import month_before, month_of
from netmon.buffer.line_store import (
    CHANGES,
    HEARD,
    LEASE,
    LINES,
    META,
    NEWS,
    OUTBOX,
    VANTAGES,
    LineView,
    month_key,
    votes_key,
)
from netmon.model import RedisSettings
from tests.integration.test_buffer_schema import program
from tests.integration.valkey import Valkey, wait_until
from tests.integration.verdict import HEARTBEAT_S, Place, Verdict, all_changes, changes, states, stored

LINES_OF_TEST = ("a", "b", "c")
UP = ("up", "")


@contextlib.contextmanager
def places(server: Valkey, names: Sequence[str], lines: Sequence[str] = LINES_OF_TEST) -> Iterator[list[Place]]:
    """Vantages that live."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Place(server.client(), name, lines)) for name in names]


def wait_all_up(client: redis.Redis, lines: Sequence[str] = LINES_OF_TEST) -> None:
    """Until every line is."""
    wait_until(lambda: states(client) == dict.fromkeys(lines, UP), "all lines are up")


def wait_state(client: redis.Redis, line_id: str, state: str, reason: str = "") -> None:
    """Until a line is in a state, for a reason."""
    wait_until(lambda: states(client).get(line_id) == (state, reason), f"{line_id} is {state} ({reason})")


def wait_led(verdict: Verdict, state: str = "leading") -> None:
    """Until a process says of itself that it leads, or waits."""
    wait_until(lambda: verdict.state() == state, f"it is {state}")


def assert_told(client: redis.Redis, lines: Sequence[str] = LINES_OF_TEST) -> None:
    """Each change begins where the one before has ended, and the last one is what the hash has."""
    now, told = stored(client), all_changes(client)
    for line_id in lines:
        state = "unknown"
        for change in told[line_id]:
            assert change.before == state, f"{line_id}: {change}"
            state = change.after
        assert now[line_id].state == state
        assert now[line_id].since_unix_ns == told[line_id][-1].status.since_unix_ns


def test_two_vantages_that_disagree_and_one_that_falls_silent(
    server: Valkey, client: redis.Redis, tmp_path: Path
) -> None:
    """Disagreement is degraded, two are enough for down, and who is silent is heard no longer."""
    with Verdict(tmp_path, server, LINES_OF_TEST, ("v1", "v2")) as verdict, places(server, ("v1", "v2")) as (one, two):
        wait_all_up(client)
        one.say("a", "down", "no_answer")
        wait_state(client, "a", "degraded", "disagreement")
        two.say("a", "down", "no_answer")
        wait_state(client, "a", "down", "no_answer")
        one.say("a", "up")
        wait_state(client, "a", "degraded", "disagreement")
        one.fall_silent()
        wait_state(client, "a", "down", "no_answer")
        two.fall_silent()
        wait_state(client, "a", "unknown", "stale")
        assert_told(client)
        view = LineView(RedisSettings(url=server.url))
        assert {name: change.after for name, change in view.judged_vantages().items()} == {"v1": "stale", "v2": "stale"}
        assert [told.vantage.after for told in view.changes("0-0") if told.vantage] == [
            "live",
            "live",
            "stale",
            "stale",
        ]
        assert {status.line_id for status in view.lines()} == set(LINES_OF_TEST)
        assert view.has_judge()
        assert verdict.stop() == 0
        assert [account.failures for account in view.months(month_of(time.time_ns()))] == [2, 0, 0]
        assert not view.has_judge()
        view.close()


def test_what_was_heard_speaks_for_a_line(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """One vantage has no answers, and traps still come: one-way, for as long as they come."""
    with Verdict(tmp_path, server, LINES_OF_TEST, ("v1",), heard_s=1.0), places(server, ("v1",)) as (one,):
        wait_all_up(client)
        missed = time.time_ns() - 1_000_000
        client.hset(HEARD, "a", msgspec.json.encode((time.time_ns(), "trap from rt-1")))
        one.say("a", "down", "no_answer", missed)
        wait_state(client, "a", "degraded", "one_way")
        assert stored(client)["a"].one_way
        wait_state(client, "a", "down", "no_answer")
        assert_told(client)


def test_kill_at_any_moment_tells_everything_once(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """Killed again and again while lines come and go: hash, stream and accounts never disagree."""
    lines = [f"l{number}" for number in range(30)]
    verdict = Verdict(tmp_path, server, lines, ("v1",))
    chance = random.Random(7)
    with places(server, ("v1",), lines) as (one,):
        with verdict:
            wait_all_up(client, lines)
        told_before = client.xlen(CHANGES)
        for _ in range(3):
            fence = client.hget(META, "fence")
            with verdict:
                wait_until(lambda fence=fence: client.hget(META, "fence") != fence, "it leads")
                ending = time.monotonic() + chance.uniform(0.3, 0.6)
                # Whatever it tells again at the start, and something new besides.
                while time.monotonic() < ending or client.xlen(CHANGES) <= told_before + len(lines):
                    one.say(chance.choice(lines), *chance.choice([("up", ""), ("down", "no_answer")]))
            assert_told(client, lines)
            told_before = client.xlen(CHANGES)
        for line_id in lines:
            one.say(line_id, "up")
        fence = client.hget(META, "fence")
        with verdict:
            wait_until(lambda: client.hget(META, "fence") != fence, "it leads")
            wait_all_up(client, lines)
            assert verdict.stop() == 0
    assert_told(client, lines)
    falls = {
        line_id: sum(change.before != "down" and change.after == "down" for change in told)
        for line_id, told in all_changes(client).items()
    }
    assert {line_id: account(client, line_id).failures for line_id in lines} == falls


def account(client: redis.Redis, line_id: str) -> LineMonth:
    """Of this month."""
    body: Any = client.hget(month_key(month_of(time.time_ns())), line_id)
    return msgspec.json.decode(body, type=LineMonth)


def test_a_stopped_leader_is_replaced_and_writes_nothing_more(
    server: Valkey, client: redis.Redis, tmp_path: Path
) -> None:
    """SIGSTOP beyond the lease, another one takes over, SIGCONT: what the stale one would write is refused."""
    folders = (tmp_path / "a", tmp_path / "b")
    first, second = (Verdict(folder, server, LINES_OF_TEST, ("v1",)) for folder in folders)
    with first, places(server, ("v1",)) as (one,):
        wait_all_up(client)
        with second:
            wait_led(second, "waiting")
            one.say("b", "down", "no_answer")
            wait_state(client, "b", "down", "no_answer")
            first.send(signal.SIGSTOP)
            one.say("a", "down", "no_answer")
            wait_state(client, "a", "down", "no_answer")
            one.say("a", "up")
            wait_state(client, "a", "up")
            first.send(signal.SIGCONT)
            wait_led(first, "waiting")
            one.say("b", "up")
            wait_state(client, "b", "up")
            assert len(first.events("lines.lead_lost")) == 1
            assert second.stop() == 0
            one.say("c", "down", "no_answer")
            wait_state(client, "c", "down", "no_answer")
    assert_told(client)
    assert [change.after for change in changes(client, "b") if change.restated] == ["down"]


def test_nobody_is_unknown_while_the_process_is_started_again(
    server: Valkey, client: redis.Redis, tmp_path: Path
) -> None:
    """What stood is told again, and nothing else: not unknown, and not up and down."""
    verdict = Verdict(tmp_path, server, LINES_OF_TEST, ("v1", "v2"), lease_s=60.0)
    with places(server, ("v1", "v2")) as (one, two):
        with verdict:
            wait_all_up(client)
            one.say("a", "down", "no_answer")
            two.say("a", "down", "no_answer")
            wait_state(client, "a", "down", "no_answer")
        before = len(client.xrange(CHANGES))
        with verdict:
            one.say("b", "down", "no_answer")
            wait_state(client, "b", "degraded", "disagreement")
        entries: Any = client.xrange(CHANGES)
    told = [msgspec.json.decode(fields[b"line"]) for _, fields in entries[before:] if b"line" in fields]
    assert [(change["line_id"], change["before"], change["after"]) for change in told] == [
        ("a", "down", "down"),
        ("b", "up", "degraded"),
    ]


def test_after_flushall_everything_is_written_again(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """By who led, not by who waited: he knows what Redis has lost, and the month's account, too."""
    first, second = (Verdict(tmp_path / name, server, LINES_OF_TEST, ("v1",), lease_s=60.0) for name in ("a", "b"))
    with first, places(server, ("v1",)) as (one,):
        wait_all_up(client)
        with second:
            wait_led(second, "waiting")
            one.say("a", "down", "no_answer")
            wait_state(client, "a", "down", "no_answer")
            client.flushall()
            wait_until(lambda: len(stored(client)) == len(LINES_OF_TEST), "all is there again")
            assert [(change.before, change.after, change.restated) for change in changes(client, "a")] == [
                ("down", "down", True)
            ]
            assert changes(client, "b") == []
            assert states(client) == {"a": ("down", "no_answer"), "b": UP, "c": UP}
            assert account(client, "a").failures == 1
            assert (first.state(), second.state()) == ("leading", "waiting")
            assert first.stop() == 0
            one.say("a", "up")
            wait_state(client, "a", "up")


def test_redis_killed_and_back(tmp_path: Path) -> None:
    """It hangs, and dies, and comes back with its file: what is told goes on where it stood; nobody was silent meanwhile."""
    own = Valkey(tmp_path / "valkey", appendonly="yes", appendfsync="always")
    with own, Verdict(tmp_path / "verdict", own, LINES_OF_TEST, ("v1",)) as verdict, places(own, ("v1",)) as (one,):
        client = own.client()
        wait_all_up(client)
        one.say("a", "down", "no_answer")
        wait_state(client, "a", "down", "no_answer")
        own.send(signal.SIGSTOP)
        time.sleep(4 * HEARTBEAT_S)
        own.send(signal.SIGCONT)
        one.say("b", "degraded", "loss")
        wait_state(client, "b", "degraded", "loss")
        own.kill()
        wait_until(lambda: verdict.state() == "unreachable", "it has noticed")
        with own:
            one.say("a", "up")
            wait_state(client, "a", "up")
            assert_told(client)
            assert "unknown" not in [change.after for line_id in LINES_OF_TEST for change in changes(client, line_id)]
            report = verdict.report()
            assert report is not None
            assert report.counts.redis_errors
        client.close()


def test_news_that_were_trimmed_while_we_were_away(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """More came than the stream keeps: what the hashes hold counts."""
    with Verdict(tmp_path, server, LINES_OF_TEST, ("v1",), lease_s=60.0) as verdict, places(server, ("v1",)) as (one,):
        wait_all_up(client)
        verdict.freeze()
        # The first answers what it had asked before it was stopped.
        one.beat()
        one.say("a", "down", "no_answer")
        client.xtrim(NEWS, maxlen=0, approximate=False)
        for _ in range(150):
            one.beat()
        verdict.send(signal.SIGCONT)
        wait_state(client, "a", "down", "no_answer")
        assert verdict.events("lines.news_missed")


def test_rubbish_hurts_nobody(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """Whatever others write into its keys: it is counted, and lines are judged."""
    chance = random.Random(3)
    vote = b'{"line_id":"a","vantage_id":"v1","state":"down","since_unix_ns":1,"unix_ns":1}'
    rubbish = [
        b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 5_000, b'{"a":' * 5_000, b"1e999", b"[[]]", b'"' + b"x" * 100_000,
        b"[" + vote.replace(b'"v1"', b'"\\ud800"') + b"]",
        b"[" + vote.replace(b'"a"', b'"nobody"') + b"]",
        b"[" + vote.replace(b":1,", b":1e30,") + b"]",
        b"[" + vote.replace(b"}", b',"targets":[{"label":"x","state":"up","sent":-1,"lost":9e99}]}') + b"]",
        *(chance.randbytes(chance.randrange(1, 200)) for _ in range(50)),
        *(vote[:at] for at in range(0, len(vote), 5)),
    ]  # fmt: skip
    month = month_of(time.time_ns())
    for key in (LINES, META, VANTAGES, HEARD, votes_key("v1"), month_key(month)):
        client.hset(key, mapping={field: chance.choice(rubbish) for field in ("a", "b", "v1", "vantage:v1", "months")})
    for body in rubbish:
        client.xadd(CHANGES, {chance.choice(("line", "vantage")): body})
    view = LineView(RedisSettings(url=server.url))
    assert [*view.lines(), *view.vantages(), *view.judged_vantages(), *view.heard(), *view.votes("v1")] == []
    assert view.months(month) == []
    assert len(view.changes("0-0")) == len(rubbish)
    view.close()
    with Verdict(tmp_path, server, LINES_OF_TEST, ("v1",)) as verdict, places(server, ("v1",)) as (one,):
        wait_led(verdict)
        assert set(client.hkeys(LINES)) <= {line.encode() for line in LINES_OF_TEST}
        for field, body in itertools.product((b"votes", b"health", b"\xff", b"line"), rubbish):
            client.xadd(NEWS, {field: body})
        client.hset(HEARD, mapping={"a": rubbish[4], "b": b"[99999999999999999999,1]", "c": b'[1,"x"]'})
        one.say("b", "down", "no_answer")
        wait_state(client, "b", "down", "no_answer")
        one.say("a", "degraded", "loss")
        wait_state(client, "a", "degraded", "loss")
        assert verdict.stop() == 0
        report = verdict.report()
        assert report is not None
        assert report.counts.unreadable > 100
        assert report.counts.foreign >= 1
        assert len(verdict.events("lines.entry_unreadable")) < 5


def test_lines_that_are_no_more_and_months_that_are_too_old(
    server: Valkey, client: redis.Redis, tmp_path: Path
) -> None:
    """A line leaves with a last word; a month goes when there are more than are to be kept."""
    this = month_of(time.time_ns())
    kept, old = month_before(this, 2), month_before(this, 3)
    gone = LineStatus(line_id="gone", state="down", since_unix_ns=1, unix_ns=1)
    client.hset(LINES, "gone", msgspec.json.encode(gone))
    client.hset(META, "months", msgspec.json.encode([old, kept]))
    for month in (old, kept):
        client.hset(month_key(month), "a", msgspec.json.encode(LineMonth(line_id="a", month=month, failures=1)))
    with Verdict(tmp_path, server, LINES_OF_TEST, ("v1",), months_kept=3), places(server, ("v1",)):
        wait_all_up(client)
        wait_until(lambda: client.exists(month_key(this)), "this month is begun")
    assert [(change.before, change.after) for change in changes(client, "gone")] == [("down", "unknown")]
    assert (client.exists(month_key(kept)), client.exists(month_key(old))) == (1, 0)


def test_five_vantages_of_which_one_says_goodbye(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """Two of five are no majority; when one of the others goes, two of four are none either; of three they are."""
    names = [f"v{number}" for number in range(5)]
    with Verdict(tmp_path, server, LINES_OF_TEST, names) as verdict, places(server, names) as those:
        wait_all_up(client)
        for place in those[:2]:
            place.say("a", "down", "no_answer")
        wait_state(client, "a", "degraded", "disagreement")
        those[4].reason = "stopped"
        those[4].beat()
        wait_until(lambda: stored(client)["a"].vantages_stale == 1, "one has gone")
        those[3].state = "isolated"
        those[3].beat()
        wait_state(client, "a", "down", "no_answer")
        status = stored(client)["a"]
        assert (status.vantages_live, status.vantages_isolated, status.vantages_stale) == (3, 1, 1)
        assert len(status.votes) == 5
        wait_until(lambda: (r := verdict.report()) is not None and r.lines["a"].state == "down", "it is reported")


def test_the_consumer_in_the_documents(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """The program of docs/buffer-schema.md prints what is not up, and what becomes of it; the status shown there is one."""
    assert msgspec.json.decode(program("json", "Lines"), type=LineStatus).state == "down"
    output = tmp_path / "output.txt"
    with (
        Verdict(tmp_path, server, LINES_OF_TEST, ("v1",)),
        places(server, ("v1",)) as (one,),
        output.open("wb") as file,
    ):
        wait_all_up(client)
        one.say("a", "down", "no_answer")
        wait_state(client, "a", "down", "no_answer")
        consumer = subprocess.Popen([sys.executable, "-c", program("python", "Lines"), server.url], stdout=file)
        try:
            wait_until(lambda: output.read_text() == "a down no_answer\n", "it has read the hash")
            one.say("a", "up")
            wait_until(lambda: output.read_text() == "a down no_answer\na down > up\n", "it is told")
        finally:
            consumer.kill()
            consumer.wait()


def test_in_a_cluster(cluster: list[Valkey], tmp_path: Path) -> None:
    """The stream is on another node than the rest, and no transaction spans both: each change is in it once all the same."""
    client: Any = RedisCluster(host="127.0.0.1", port=cluster[0].port)
    verdict = Verdict(tmp_path, cluster[0], LINES_OF_TEST, ("v1",))
    with Place(RedisCluster(host="127.0.0.1", port=cluster[0].port), "v1", LINES_OF_TEST) as one:
        with verdict:
            wait_all_up(client)
            one.say("a", "down", "no_answer")
            wait_until(lambda: states_told(client, "a") == ["up", "down"], "it is in the stream")
        # A change that was not copied any more, and one that was.
        outbox = client.xrange(OUTBOX)
        client.delete(CHANGES)
        for entry_id, fields in outbox[:-1]:
            client.xadd(CHANGES, fields, id=entry_id)
        with verdict:
            wait_until(lambda: states_told(client, "a") == ["up", "down", "down"], "it is told again")
            one.say("a", "up")
            wait_until(lambda: states_told(client, "a")[-1] == "up", "it is up again")
            assert_told(client)
    client.close()


def states_told(client: redis.Redis, line_id: str) -> list[str]:
    """The states that a line was told to have come to."""
    return [change.after for change in changes(client, line_id)]


@pytest.mark.parametrize("key", [VANTAGES, NEWS, HEARD, META, LEASE, OUTBOX, votes_key("v1"), month_key("2026-11")])
def test_one_slot_of_a_cluster(key: str) -> None:
    """What is written in one transaction has to be."""
    assert key_slot(key.encode()) == key_slot(LINES.encode())
