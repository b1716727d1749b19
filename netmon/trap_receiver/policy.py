"""Whom we listen to, and how far we trust what is said. Pure.

SNMPv1 and v2c carry no proof of who sent a message: an allow-list says which networks and communities are expected, and
that is all that the trust tier `allow_listed` claims. SNMPv3 has proofs of its own, so of a rule only the networks matter.
"""

from __future__ import annotations

import ipaddress

from netmon.model import AllowRule

ALLOW_LISTED = "allow_listed"
OTHER = "other"
SOURCE_NOT_ALLOWED = "source_not_allowed"
COMMUNITY_NOT_ALLOWED = "community_not_allowed"

_REMEMBERED_MAX = 65_536
"""Verdicts that are remembered; the memory is cleared when a flood of forged sources has filled it."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Policy:
    """The allow-list and the trusted relays of one receiver."""

    def __init__(self, allow: tuple[AllowRule, ...], trusted_relays: tuple[str, ...]) -> None:
        """Raises ValueError for a network that is none; the configuration has checked them before."""
        self._rules = [
            (_networks(rule.sources), None if rule.communities is None else {c.encode() for c in rule.communities})
            for rule in allow
        ]
        self._relays = _networks(trusted_relays)
        self._verdicts: dict[tuple[str, bytes | None], str] = {}
        self._relay_verdicts: dict[str, bool] = {}

    def judge(self, peer: str, community: bytes | None) -> str:
        """The trust tier of a message, `allow_listed` or `other`; or why it is refused: `source_not_allowed`,
        `community_not_allowed`.

        Args:
            peer: Address that the datagram came from.
            community: As in the message; None for SNMPv3, which has none.
        """
        if not self._rules:
            return OTHER
        verdict = self._verdicts.get((peer, community))
        if verdict is None:
            if len(self._verdicts) >= _REMEMBERED_MAX:
                self._verdicts.clear()
            verdict = self._verdicts[peer, community] = self._judge(peer, community)
        return verdict

    def _judge(self, peer: str, community: bytes | None) -> str:
        verdict = SOURCE_NOT_ALLOWED
        for networks, communities in self._rules:
            if not _contains(networks, peer):
                continue
            if community is None or communities is None or community in communities:
                return ALLOW_LISTED
            verdict = COMMUNITY_NOT_ALLOWED
        return verdict

    def trusts_relay(self, peer: str) -> bool:
        """Whether a peer may say on whose behalf it sends (snmpTrapAddress, RFC 3584 section 3.1)."""
        if not self._relays:
            return False
        verdict = self._relay_verdicts.get(peer)
        if verdict is None:
            if len(self._relay_verdicts) >= _REMEMBERED_MAX:
                self._relay_verdicts.clear()
            verdict = self._relay_verdicts[peer] = _contains(self._relays, peer)
        return verdict


def _networks(texts: tuple[str, ...]) -> list[Network]:
    return [ipaddress.ip_network(text, strict=False) for text in texts]


def _contains(networks: list[Network], address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return any(parsed in network for network in networks)
