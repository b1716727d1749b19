"""The errors of netmon, sorted by whose fault they are.

```
NetmonError
├── DecodeError       the peer's: a datagram that is not what the standards say
├── ConfigError       the operator's: a file that says something impossible
└── UnavailableError  the world's: Redis, a disk or a line that does not answer now; worth a retry
```

Our own faults are `AssertionError`s and everything that Python raises by itself: they crash the role, and the
supervisor restarts it.
"""

from __future__ import annotations


class NetmonError(Exception):
    """Any error that netmon raises on purpose."""


class DecodeError(NetmonError):
    """A datagram that cannot be decoded.

    Attributes:
        reason: A word of a closed set (`netmon.snmp.REASONS`), fit for a metric's label.
        offset: Bytes from the start of the datagram to where the decoder gave up.
    """

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"{reason} at byte {offset}")
        self.reason = reason
        self.offset = offset


class ConfigError(NetmonError):
    """A configuration that cannot be used; `mistakes` lists every one of them, each fit to be printed."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class UnavailableError(NetmonError):
    """Something outside netmon does not answer, or refuses, for now.

    Attributes:
        reason: A word of a closed set, fit for a metric's label: `connection`, `timeout`, `out_of_memory`,
            `read_only`, `loading`, `fenced`, `refused`.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
