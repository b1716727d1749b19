"""Two receivers that both get every trap, but for some: the union has each once, and the ledger says who missed what."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netmon.buffer import consumer
from netmon.buffer.consumer import Follower
from netmon.buffer.union import Union
from netmon.model import RedisSettings, TrapEvent
from tests.integration.harness import Netmon, free_port
from tests.integration.sending import NUMBER_OID
from tests.integration.valkey import Valkey

COUNT = 3_000
NAMES = ("east", "west")


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """The Redis that both write to."""
    with Valkey(tmp_path / "shared", port=str(free_port(socket.SOCK_STREAM))) as running:
        yield running


def settings(name: str, url: str, **sections: Any) -> dict[str, Any]:
    """One of the two receivers."""
    return {"receiver": {"name": name}, "redis": {"url": url}, **sections}


@contextlib.contextmanager
def two(tmp_path: Path, urls: list[str], **sections: Any) -> Iterator[tuple[Netmon, Netmon]]:
    """Both receivers, east and west; `sections` are those of east."""
    with (
        Netmon(tmp_path / "east", settings("east", urls[0], **sections)) as east,
        Netmon(tmp_path / "west", settings("west", urls[-1])) as west,
    ):
        yield east, west


def withheld(seed: int) -> dict[str, set[int]]:
    """Numbers that each path does not get; the first and the last ones reach both, so that the period is known."""
    generator = random.Random(seed)
    east = set(generator.sample(range(10, COUNT - 10), 40))
    west = set(generator.sample([number for number in range(10, COUNT - 10) if number not in east], 90))
    return {"east": east, "west": west}


def storm(netmons: dict[str, Netmon], missing: dict[str, set[int]]) -> None:
    """Every number to both, a little out of step, but for what is withheld."""
    for first in range(0, COUNT, 500):
        for name, netmon in netmons.items():
            numbers = (number for number in range(first, first + 500) if number not in missing[name])
            netmon.send([netmon.trap(number) for number in numbers], rate=10_000)
    for name, netmon in netmons.items():
        netmon.wait_settled(COUNT - len(missing[name]))


def number_of(event: TrapEvent) -> int:
    """The test's number in a trap."""
    (value,) = (varbind.value for varbind in event.varbinds if varbind.oid == NUMBER_OID)
    assert isinstance(value, int)
    return value


def test_each_number_once_and_exactly_what_was_withheld(tmp_path: Path, valkey: Valkey) -> None:
    """A consumer in another process, the command line, and the ledger of the union; both in one Redis."""
    missing = withheld(seed=7)
    follower = Follower([consumer.Path(name, RedisSettings(url=valkey.url)) for name in NAMES])
    both, numbers = Union(NAMES), []
    with two(tmp_path, [valkey.url]) as (east, west):
        assert follower.newest(0) == []
        storm({"east": east, "west": west}, missing)
        for found in itertools.islice(follower.follow(), 2 * COUNT - 130):
            if both.tell(found.receiver, found.event, found.in_order_lane):
                numbers.append(number_of(found.event))  # noqa: PERF401 - as a consumer would
        assert sorted(numbers) == list(range(COUNT))

        shown = east.command_line("traps", "--union", "--receiver", "west", "--json", "-n", str(COUNT + 5))
        told = [json.loads(line)["varbinds"][0]["value"] for line in shown.stdout.splitlines()]
        assert sorted(told) == list(range(COUNT))
        west.wait_until(lambda: ledger(east)[1]["total"] == COUNT, 20, "what is told has settled")
        code, report = ledger(east)

    paths = {path["path"]: path for path in report["paths"]}
    assert (code, report["complete"], list(paths)) == (1, False, ["east", "west"])
    for name, other in (("east", "west"), ("west", "east")):
        assert paths[name]["missed"] == len(missing[name]) == paths[other]["only_here"]
        assert paths[name]["seen"] == COUNT - len(missing[name])
        assert paths[name]["missed_by_source"] == {"127.0.0.1": len(missing[name])}
        assert paths[name]["missed_ratio"] == len(missing[name]) / COUNT


def ledger(netmon: Netmon, *options: str) -> tuple[int, dict[str, Any]]:
    """Exit code and report of `netmon ledger --union`; `west` writes to the same Redis."""
    found = netmon.command_line("ledger", "--union", "--receiver", "west", "--json", *options)
    assert found.stdout, found.stderr
    report: dict[str, Any] = json.loads(found.stdout)
    return found.returncode, report


def test_each_receiver_with_a_redis_of_its_own(tmp_path: Path, valkey: Valkey) -> None:
    """The peer is in the configuration, with its password in a file; nothing was missed: exit code 0."""
    password = tmp_path / "password"
    password.write_text("hush-hush\n")
    password.chmod(0o600)
    with Valkey(tmp_path / "far", requirepass="hush-hush", port=str(free_port(socket.SOCK_STREAM))) as far:
        peer = {"receiver": "west", "url": far.url, "password_file": str(password)}
        with two(tmp_path, [valkey.url], union={"peers": [peer]}) as (east, west):
            west.configure({"redis": {"url": valkey.url}})
            storm({"east": east, "west": west}, {"east": set(), "west": set()})
            shown = east.command_line("traps", "--union", "--json", "-n", "20")
            told = [json.loads(line)["varbinds"][0]["value"] for line in shown.stdout.splitlines()]
            assert sorted(told) == list(range(COUNT - 20, COUNT))
            # West itself writes to the first Redis: nobody named west has ever written to the far one.
            refused = east.command_line("ledger", "--union")
            assert (refused.returncode, "no receiver named west" in refused.stderr) == (3, True)


def test_a_union_of_one_is_refused(tmp_path: Path) -> None:
    """Exit code 2, and how to name the others."""
    found = Netmon(tmp_path).command_line("traps", "--union")
    assert (found.returncode, "union.peers" in found.stderr) == (2, True)
    found = Netmon(tmp_path).command_line("traps", "--receiver", "west")
    assert (found.returncode, "--union" in found.stderr) == (2, True)
    found = Netmon(tmp_path).command_line("ledger", "--union", "--receiver", "west", "--since", "soon")
    assert (found.returncode, "15m" in found.stderr) == (2, True)
