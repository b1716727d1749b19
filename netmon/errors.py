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

import errno
from typing import Final

_CURES: Final = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there, or raise the quota",
    errno.EACCES: "give netmon the right to write there",
    errno.EPERM: "give netmon the right to write there",
    errno.EROFS: "mount it for writing; dmesg may say why it is not",
}


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


def disk_cure(error: OSError) -> str:
    """What a person can do when a disk refuses, in words for a log or a terminal."""
    return _CURES.get(error.errno or 0, "dmesg may say what is wrong with the disk")
