"""A storm goes where it was meant to go."""

from __future__ import annotations

import pytest

from loadtest.target import Target, allow_target, parse_target
from netmon.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("127.0.0.1:1162", Target("127.0.0.1", 1162)),
        ("localhost:162", Target("127.0.0.1", 162)),
        ("[::1]:1162", Target("::1", 1162)),
        ("192.0.2.7:65535", Target("192.0.2.7", 65_535)),
    ],
)
def test_a_target_is_an_address_and_a_port(text: str, target: Target) -> None:
    """IPv6 in brackets."""
    assert parse_target(text) == target


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trap.example.org:162", "--target trap.example.org:162: 'trap.example.org' is not an IP address"),
        ("127.0.0.1", "--target 127.0.0.1: '' is not an IP address"),
        ("127.0.0.1:0", "--target 127.0.0.1:0: '0' is not a port from 1 to 65535"),
        ("127.0.0.1:snmp", "--target 127.0.0.1:snmp: 'snmp' is not a port from 1 to 65535"),
    ],
)
def test_anything_else_is_refused(text: str, message: str) -> None:
    """With what was expected."""
    with pytest.raises(ConfigError) as caught:
        parse_target(text)
    assert caught.value.mistakes == [message]


def test_the_loopback_needs_no_permission() -> None:
    """Nobody else is there."""
    allow_target(Target("127.0.0.9", 162), allow_remote=False, i_may_load=None, sources=2_000)
    allow_target(Target("::1", 162), allow_remote=False, i_may_load=None, sources=1)


@pytest.mark.parametrize(
    ("allow_remote", "i_may_load"), [(False, None), (True, None), (False, "192.0.2.7"), (True, "192.0.2.8")]
)
def test_a_remote_target_is_refused_unless_told_twice(allow_remote: bool, i_may_load: str | None) -> None:
    """Half a permission, or one for another address, is none."""
    with pytest.raises(ConfigError) as caught:
        allow_target(Target("192.0.2.7", 162), allow_remote=allow_remote, i_may_load=i_may_load, sources=1)
    assert caught.value.mistakes[0].endswith("say so twice: --allow-remote --i-may-load 192.0.2.7")


def test_a_remote_target_is_allowed_when_told_twice() -> None:
    """From one source, our own."""
    allow_target(Target("192.0.2.7", 162), allow_remote=True, i_may_load="192.0.2.7", sources=1)


@pytest.mark.parametrize("address", ["::1", "192.0.2.7"])
def test_many_sources_need_the_loopback_of_ipv4(address: str) -> None:
    """Only there every address is ours."""
    with pytest.raises(ConfigError) as caught:
        allow_target(Target(address, 162), allow_remote=True, i_may_load=address, sources=2)
    assert caught.value.mistakes == [
        "--sources above 1 needs an IPv4 loopback target: the sources are addresses of 127.0.0.0/8"
    ]
