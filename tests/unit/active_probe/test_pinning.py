"""Which errors of the kernel say something of the line, and which only that a probe did not leave."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from netmon.active_probe.arrival import interface_of, received_unix_ns, ttl_of
from netmon.active_probe.probers.icmp import ECHO, checksum
from netmon.active_probe.vantage.pinning import PinError, describe, family_of, is_local_error, netns_path, sockaddr_of
from netmon.inventory.probes import Pin


def error(code: int) -> OSError:
    """As the kernel gives it."""
    return OSError(code, os.strerror(code))


@pytest.mark.parametrize(
    "code",
    [
        errno.ENETUNREACH, errno.ENETDOWN, errno.EPERM, errno.EACCES, errno.ENOBUFS, errno.ENODEV, errno.EADDRNOTAVAIL,
        errno.EINVAL, errno.EAGAIN, errno.EMFILE, errno.EAFNOSUPPORT,
    ],
)  # fmt: skip
def test_what_did_not_leave_is_a_local_error(code: int) -> None:
    """It says nothing of the line; and the evidence says what it means."""
    assert is_local_error(error(code))
    assert describe(error(code)).startswith(errno.errorcode[code] + ": ")


@pytest.mark.parametrize("code", [errno.ECONNREFUSED, errno.ECONNRESET, errno.ETIMEDOUT, errno.EPIPE])
def test_what_the_far_end_does_is_none(code: int) -> None:
    """A refusal is an answer, whoever was asked."""
    assert (is_local_error(error(code)), is_local_error(error(code), at_send=True)) == (False, False)


def test_host_unreachable_is_local_only_when_sending_says_it() -> None:
    """Then it is a route of type `unreachable`; later, it is a router's word or a neighbour's silence."""
    unreachable = error(errno.EHOSTUNREACH)

    assert (is_local_error(unreachable), is_local_error(unreachable, at_send=True)) == (False, True)


def test_a_pin_that_cannot_be_had_is_always_local() -> None:
    """Whatever the kernel's number was; its text is the cure."""
    pin_error = PinError(errno.ENOENT, "pin to netns x: no such file")

    assert (is_local_error(pin_error), describe(pin_error)) == (True, "pin to netns x: no such file")


@pytest.mark.parametrize(
    ("address", "sockaddr"),
    [
        ("192.0.2.1", ("192.0.2.1", 862)),
        ("2001:db8::1", ("2001:db8::1", 862, 0, 0)),
        ("fe80::1%lo", ("fe80::1", 862, 0, socket.if_nametoindex("lo"))),
        ("fe80::1%7", ("fe80::1", 862, 0, 7)),
    ],
)
def test_addresses_become_what_the_kernel_wants(address: str, sockaddr: tuple[object, ...]) -> None:
    """Scopes only where there is a zone."""
    assert sockaddr_of(Pin(), address, 862) == sockaddr
    assert family_of(address) == (socket.AF_INET if len(sockaddr) == 2 else socket.AF_INET6)


def test_a_link_local_address_has_the_scope_of_its_pin() -> None:
    """Nobody has to write the interface twice; other addresses have none."""
    pin = Pin(interface="lo")

    assert sockaddr_of(pin, "fe80::1", 1)[3:] == (socket.if_nametoindex("lo"),)
    assert sockaddr_of(pin, "2001:db8::1", 1)[3:] == (0,)


def test_a_namespace_is_a_name_or_a_path() -> None:
    """As `ip netns add` has it, or anywhere."""
    assert netns_path("blue") == Path("/run/netns/blue")
    assert netns_path("/proc/7/ns/net") == Path("/proc/7/ns/net")


def test_control_messages_are_told_apart() -> None:
    """By level and kind: the same number means something else on another level."""
    messages = [
        (socket.IPPROTO_IP, 35, bytes(16)),
        (socket.SOL_SOCKET, 35, (3).to_bytes(8, "little") + (7).to_bytes(8, "little")),
        (socket.IPPROTO_IP, 8, (5).to_bytes(4, "little") + bytes(8)),
        (socket.IPPROTO_IPV6, 52, (61).to_bytes(4, "little")),
    ]

    assert (received_unix_ns(messages), interface_of(messages), ttl_of(messages)) == (3_000_000_007, 5, 61)
    assert (received_unix_ns([]), interface_of([]), ttl_of([])) == (0, 0, 0)


def test_the_checksum_of_an_echo_adds_up() -> None:
    """The words of the whole, with it, add up to all ones (RFC 1071)."""
    fields = (8, 0, 0xABCD, 7, 0xFFFF_FFFF_FFFF_FFFF, 3, 0xFFFF_0001)
    made = ECHO.pack(*fields[:2], checksum(ECHO.pack(*fields[:2], 0, *fields[2:])), *fields[2:])

    total = sum(int.from_bytes(made[at : at + 2], "big") for at in range(0, len(made), 2))

    assert total % 0xFFFF == 0
