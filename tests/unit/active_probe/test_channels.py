"""Which probes share a socket."""

from __future__ import annotations

from netmon.active_probe.vantage.channel import arrange
from netmon.inventory.probes import AnyProbe, IcmpProbe, Pin, StampProbe, TcpProbe

EAST, WEST = Pin(interface="east"), Pin(interface="west")


def test_one_socket_for_each_pin() -> None:
    """However many lines go by it; services have none."""
    probes: list[AnyProbe] = [
        StampProbe(address="192.0.2.1", pin=EAST),
        StampProbe(address="192.0.2.1", pin=WEST),
        TcpProbe(address="192.0.2.1", port=443, pin=EAST),
        StampProbe(address="192.0.2.2", pin=EAST),
    ]

    assert arrange(probes) == [[0, 3], [1]]


def test_kinds_families_and_keys_have_sockets_of_their_own() -> None:
    """A key that is none shall concern only those who have it."""
    probes: list[AnyProbe] = [
        StampProbe(address="192.0.2.1"),
        StampProbe(address="2001:db8::1"),
        IcmpProbe(address="192.0.2.1"),
        StampProbe(address="192.0.2.2", key_file="stamp.key"),
    ]

    assert arrange(probes) == [[0], [1], [2], [3]]


def test_no_two_probes_of_a_socket_ask_the_same_place() -> None:
    """An answer tells by its address whose it is: the second, and the third, get sockets of their own."""
    same = [StampProbe(address="192.0.2.1", port=862)] * 3
    other = [StampProbe(address="192.0.2.1", port=863), StampProbe(address="192.0.2.1", port=863)]

    assert arrange([*same, *other]) == [[0, 3], [1, 4], [2]]
