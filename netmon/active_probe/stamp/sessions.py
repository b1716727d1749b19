"""Whom a reflector answers, how often, and how many questions it has had in each session.

Pure. Owns the bounds: sessions, sources, answers a second. Sessions that nobody uses are forgotten after the time that RFC 5357 section
4.2 gives them (REFWAIT).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable, Sequence
from typing import Final

SESSIONS_MAX: Final = 65_536
"""That are counted. Beyond, answers copy the question's number, as a stateless reflector's do (RFC 8762 section 4.3)."""
SESSION_IDLE_NS: Final = 900 * 1_000_000_000
SOURCES_MAX: Final = 4_096
"""Source addresses that are told apart within a second."""
SECOND_NS: Final = 1_000_000_000

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Sessions:
    """How many questions each session has had; those used last stand last."""

    def __init__(self, sessions_max: int = SESSIONS_MAX) -> None:
        self._sessions_max = sessions_max
        self._counts: dict[Hashable, tuple[int, int]] = {}

    def __len__(self) -> int:
        """Sessions that are counted now."""
        return len(self._counts)

    def next_number(self, session: Hashable, mono_ns: int) -> int | None:
        """The number of this session's next answer, from 0; None: the table is full of sessions that are in use."""
        count, _ = self._counts.pop(session, (0, 0))
        if not count and len(self._counts) >= self._sessions_max and not self._forget_oldest(mono_ns):
            return None
        self._counts[session] = (count + 1, mono_ns)
        return count & 0xFFFF_FFFF

    def forget_idle(self, mono_ns: int) -> None:
        """Forgets all that nobody has used for `SESSION_IDLE_NS`."""
        while self._counts and self._forget_oldest(mono_ns):
            pass

    def _forget_oldest(self, mono_ns: int) -> bool:
        session, (_, used_ns) = next(iter(self._counts.items()))
        if mono_ns - used_ns < SESSION_IDLE_NS:
            return False
        del self._counts[session]
        return True


class Limits:
    """Answers of the present second, of each source and of all together."""

    def __init__(self, total_max: int, source_max: int) -> None:
        self._total_max = total_max
        self._source_max = source_max
        self._second = 0
        self._total = 0
        self._sources: dict[str, int] = {}

    def refusal(self, source: str, mono_ns: int) -> str:
        """Counts one question; why it is not answered: `rate_total`, `rate_source`, or empty: it is.

        A source beyond `SOURCES_MAX` in one second is refused, too: only forged ones are so many.
        """
        second = mono_ns // SECOND_NS
        if second != self._second:
            self._second, self._total = second, 0
            self._sources.clear()
        count = self._sources.get(source, 0)
        if count >= self._source_max or (not count and len(self._sources) >= SOURCES_MAX):
            return "rate_source"
        if self._total >= self._total_max:
            return "rate_total"
        self._sources[source] = count + 1
        self._total += 1
        return ""


class Allowed:
    """Source addresses that are answered; all of them when no network is named."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        self._known: dict[str, bool] = {}

    def __contains__(self, source: str) -> bool:
        """Whether it is answered; `source` is an IP address without a zone."""
        if not self._networks:
            return True
        known = self._known.get(source)
        if known is None:
            if len(self._known) >= SOURCES_MAX:
                self._known.clear()
            address = ipaddress.ip_address(source)
            known = self._known[source] = any(address in network for network in self._networks)
        return known
