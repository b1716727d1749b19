"""When trouble is over, the log says so: whoever is called at night wants to know whether to get up."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from netmon.config import settings
from tests.integration.harness import REPOSITORY, Netmon

SETTINGS = set(settings.names())


@pytest.fixture
def netmon(tmp_path: Path) -> Iterator[Netmon]:
    """A running netmon with its embedded Valkey, and ten traps in its stream."""
    with Netmon(tmp_path) as running:
        running.send(running.trap(number) for number in range(1, 11))
        running.wait_settled(captured=10)
        yield running


def test_a_redis_that_takes_traps_again_is_told_once(netmon: Netmon) -> None:
    """How long it was away and how many wait; not while it answers and still refuses what it is given."""
    before = len(netmon.events("redis.reachable_again"))
    with contextlib.closing(netmon.redis()) as client:
        client.config_set("maxmemory", 1)
        netmon.send(netmon.trap(number) for number in range(11, 21))
        netmon.wait_until(lambda: netmon.ledger().unavailable["out_of_memory"] >= 4, what="refused again and again")
        assert len(netmon.events("redis.reachable_again")) == before
        client.config_set("maxmemory", 0)
    netmon.wait_until(lambda: len(netmon.events("redis.reachable_again")) > before, what="told")
    (told,) = netmon.events("redis.reachable_again")[before:]
    assert told["away_s"] >= 0.1
    assert 1 <= told["backlog"] <= 10
    netmon.wait_settled(captured=20)


def test_a_redis_that_is_back_is_told_although_nothing_waits(netmon: Netmon) -> None:
    """In silence, too."""
    before = len(netmon.events("redis.reachable_again"))
    netmon.wait_restarted("valkey", netmon.signal(signal.SIGKILL, "valkey"))
    netmon.wait_until(lambda: len(netmon.events("redis.reachable_again")) > before, what="told")
    assert netmon.events("redis.reachable_again")[-1]["backlog"] == 0


def test_a_stream_that_is_whole_again_is_told(netmon: Netmon) -> None:
    """With its entries, after it was deleted and filled again."""
    with contextlib.closing(netmon.redis()) as client:
        client.flushall()
    netmon.wait_until(lambda: netmon.events("stream.rebuild_finished"), what="told")
    assert len(netmon.numbers()) == 10
    (told,) = netmon.events("stream.rebuild_finished")
    begun = netmon.events("stream.rebuild_begun")[0]
    assert (told["streams"], told["entries"]) == (begun["streams"], 10)


def test_the_events_that_the_documents_name_exist() -> None:
    """What somebody is to look for in a log can be found there."""
    named = set(re.findall(r"`([a-z]+\.[a-z]+_[a-z_]+)`", (REPOSITORY / "docs" / "operations.md").read_text()))
    events = named - SETTINGS
    sources = "".join(file.read_text() for file in (REPOSITORY / "netmon").rglob("*.py"))
    # These are put together, of what decode does with a datagram, and of which role leads.
    put_together = {"decode.datagram_refused", "decode.datagram_parked"} | {
        f"{role}.{event}"
        for role in ("alarms", "lines", "failover")
        for event in re.findall(r'f"{self\._name}\.([a-z_]+)"', (REPOSITORY / "netmon" / "leading.py").read_text())
    }
    assert {name for name in events if f'"{name}"' not in sources} <= put_together
    assert {"redis.reachable_again", "stream.rebuild_finished", "supervisor.upgrade_finished"} <= events


def test_an_upgrade_that_is_done_is_told(netmon: Netmon) -> None:
    """With the version that runs now."""
    netmon.signal(signal.SIGUSR2)
    netmon.wait_until(lambda: netmon.events("supervisor.upgrade_finished"), 30, "told")
    (told,) = netmon.events("supervisor.upgrade_finished")
    assert told["took_s"] >= 0
    assert told["version"]
    netmon.wait_ready()
