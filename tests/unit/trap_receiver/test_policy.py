"""Whom we listen to, and how far we trust what is said."""

from __future__ import annotations

import pytest

from netmon.model import AllowRule
from netmon.trap_receiver import policy as module
from netmon.trap_receiver.policy import ALLOW_LISTED, COMMUNITY_NOT_ALLOWED, OTHER, SOURCE_NOT_ALLOWED, Policy

RULES = (
    AllowRule(sources=("192.0.2.0/24", "2001:db8:7::/48"), communities=("sesame", "öffne")),
    AllowRule(sources=("192.0.2.128/25",), communities=("second",)),
    AllowRule(sources=("198.51.100.7/32", "fe80::/10")),
    AllowRule(sources=("203.0.113.0/24",), communities=()),
)


@pytest.mark.parametrize(
    ("peer", "community", "verdict"),
    [
        ("192.0.2.1", b"sesame", ALLOW_LISTED),
        ("192.0.2.1", "öffne".encode(), ALLOW_LISTED),
        ("192.0.2.255", b"sesame", ALLOW_LISTED),
        ("192.0.3.0", b"sesame", SOURCE_NOT_ALLOWED),
        ("192.0.2.1", b"Sesame", COMMUNITY_NOT_ALLOWED),
        ("192.0.2.1", b"", COMMUNITY_NOT_ALLOWED),
        ("192.0.2.1", b"\xff\xfe", COMMUNITY_NOT_ALLOWED),
        ("192.0.2.1", b"second", COMMUNITY_NOT_ALLOWED),
        ("192.0.2.129", b"second", ALLOW_LISTED),
        ("192.0.2.129", b"third", COMMUNITY_NOT_ALLOWED),
        ("2001:db8:7::1", b"sesame", ALLOW_LISTED),
        ("2001:db8:8::1", b"sesame", SOURCE_NOT_ALLOWED),
        ("198.51.100.7", b"anything", ALLOW_LISTED),
        ("198.51.100.7", b"", ALLOW_LISTED),
        ("198.51.100.8", b"anything", SOURCE_NOT_ALLOWED),
        ("fe80::1%2", b"x", ALLOW_LISTED),
        ("fe80::1%eth0", b"x", ALLOW_LISTED),
        ("fec0::1%2", b"x", SOURCE_NOT_ALLOWED),
        ("203.0.113.1", b"x", COMMUNITY_NOT_ALLOWED),
        ("203.0.113.1", None, ALLOW_LISTED),
        ("192.0.2.1", None, ALLOW_LISTED),
        ("192.0.3.0", None, SOURCE_NOT_ALLOWED),
    ],
)
def test_verdict(peer: str, community: bytes | None, verdict: str) -> None:
    """Any rule with the source and the community allows; twice the same answer."""
    policy = Policy(RULES, ())

    assert [policy.judge(peer, community), policy.judge(peer, community)] == [verdict, verdict]


def test_without_rules_everybody_is_heard_and_nobody_is_trusted() -> None:
    """The tier says so."""
    assert Policy((), ()).judge("192.0.2.1", b"public") == OTHER


def test_verdicts_are_the_words_that_decode_compares() -> None:
    """By identity: it is done for every trap."""
    assert Policy(RULES, ()).judge("192.0.2.1", b"sesame") is ALLOW_LISTED
    assert Policy((), ()).judge("192.0.2.1", b"") is OTHER


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("198.51.100.7", True),
        ("198.51.100.8", False),
        ("2001:db8::5", True),
        ("2001:db9::5", False),
        ("fe80::9%3", True),
    ],
)
def test_only_a_listed_relay_speaks_for_others(peer: str, trusted: bool) -> None:
    """Networks of both families; a zone does not matter. Allow rules do not make a relay."""
    policy = Policy(RULES, ("198.51.100.7/32", "2001:db8::/32", "fe80::/64"))

    assert [policy.trusts_relay(peer), policy.trusts_relay(peer)] == [trusted, trusted]
    assert not Policy(RULES, ()).trusts_relay(peer)


def test_forged_sources_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered is bounded, and forgetting changes no verdict."""
    monkeypatch.setattr(module, "_REMEMBERED_MAX", 8)
    policy = Policy(RULES, ("192.0.2.0/25",))
    verdicts, relays, sizes = [], [], set()
    for host in [*range(256), *range(256)]:
        verdicts.append(policy.judge(f"192.0.2.{host}", b"second"))
        relays.append(policy.trusts_relay(f"192.0.2.{host}"))
        sizes |= {len(policy._verdicts), len(policy._relay_verdicts)}

    assert verdicts == ([COMMUNITY_NOT_ALLOWED] * 128 + [ALLOW_LISTED] * 128) * 2
    assert relays == ([True] * 128 + [False] * 128) * 2
    assert max(sizes) == 8


def test_a_network_that_is_none_is_refused() -> None:
    """The configuration has checked it before."""
    with pytest.raises(ValueError, match=r"192\.0\.2\.0/33"):
        Policy((AllowRule(sources=("192.0.2.0/33",)),), ())
