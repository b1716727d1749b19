"""Sockets of real interfaces that go and come back: what could not leave is told, and the socket is opened again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from loadtest.lab.namespaces import Namespaces, missing
from netmon.active_probe.vantage.channel import REOPEN_MIN_NS, Channel, Poll
from netmon.inventory.probes import Pin, StampProbe

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a namespace is entered by its path, which takes root")


@pytest.fixture(scope="module")
def spaces() -> Iterator[Namespaces]:
    """`near` and `far`, without a cable."""
    if missing():
        pytest.skip(missing())
    with Namespaces() as spaces:
        spaces.add("near")
        spaces.add("far")
        yield spaces


def plug(spaces: Namespaces, address: str) -> None:
    """A cable, and this address at our end of it."""
    spaces.link("near", "wan", "far", "wan")
    spaces["near"].ip(f"address add {address}/24 dev wan")
    spaces["far"].ip("address add 10.92.1.9/24 dev wan")


def unplug(spaces: Namespaces) -> None:
    """The interface is gone, with its number and its addresses."""
    spaces["near"].ip("link del wan")
    for name in ("near", "far"):
        spaces[name].renew()


def sends(channel: Channel, now_ns: int) -> str:
    """Why it could not leave; empty: it has left."""
    try:
        channel.send(0, 0, now_ns, time.time_ns())
    except OSError as error:
        return str(error.strerror)
    return ""


def test_key_that_is_none_is_told_with_each_probe() -> None:
    """It concerns those alone who have it; the process goes on."""
    channel = Channel([StampProbe(address="127.0.0.1", key_file="stamp.key")], {"stamp.key": "short"}, Poll())

    said = {sends(channel, turn * REOPEN_MIN_NS // 2) for turn in range(4)}

    assert len(said) == 1
    assert said.pop().startswith("stamp.key: STAMP key: has 5 octets")


@pytest.mark.parametrize("way", [{"interface": "wan"}, {"source": "10.92.1.1"}], ids=["interface", "source"])
def test_socket_is_opened_again_when_its_interface_is_back(spaces: Namespaces, way: dict[str, str]) -> None:
    """With another number, as after a modem has restarted; tries in between are some time apart."""
    pin = Pin(netns=f"/proc/{spaces['near'].pid}/ns/net", **way)
    channel = Channel([StampProbe(address="10.92.1.9", pin=pin)], {}, poll := Poll())
    try:
        before = sends(channel, 0)
        plug(spaces, "10.92.1.1")
        too_soon = sends(channel, REOPEN_MIN_NS // 2)
        now_ns = 2 * REOPEN_MIN_NS
        assert sends(channel, now_ns) == ""
        assert len(poll) == 1
        unplug(spaces)
        errors = [sends(channel, now_ns := now_ns + REOPEN_MIN_NS) for _ in range(4)]
        assert len(poll) == 0
        plug(spaces, "10.92.1.1")
        while sends(channel, now_ns := now_ns + REOPEN_MIN_NS):
            assert now_ns < 100 * REOPEN_MIN_NS, "it stays dead"

        assert "pin to" in before
        assert too_soon == before
        assert all(errors)
        assert channel.reopened == 1
    finally:
        channel.close()
        poll.close()
        unplug(spaces)


def test_one_target_without_a_route_does_not_cost_the_others_their_socket(spaces: Namespaces) -> None:
    """Others still leave by it."""
    plug(spaces, "10.92.1.1")
    pin = Pin(netns=f"/proc/{spaces['near'].pid}/ns/net")
    probes = [StampProbe(address=address, pin=pin) for address in ("10.92.1.9", "203.0.113.1")]
    channel = Channel(probes, {}, poll := Poll())
    try:
        for turn in range(10):
            channel.send(0, turn, turn * REOPEN_MIN_NS, time.time_ns())
            with pytest.raises(OSError, match="unreachable"):
                channel.send(1, turn, turn * REOPEN_MIN_NS + 1, time.time_ns())

        assert channel.reopened == 0
    finally:
        channel.close()
        poll.close()
        unplug(spaces)
