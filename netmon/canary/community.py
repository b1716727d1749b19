"""The community that admits our own canaries: random, made once for a data directory, readable by its owner alone.

It lives as long as the journal, because what is in the journal may be decoded after a restart.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

FILE = "canary.community"


def find(data_dir: Path) -> str | None:
    """The community of a data directory; None when there is none, or it is not ours to read."""
    with contextlib.suppress(OSError):
        return (data_dir / FILE).read_text("ascii").strip() or None
    return None


def find_or_make(data_dir: Path) -> str:
    """The community of a data directory, which exists. Raises OSError when it cannot be written."""
    found = find(data_dir)
    if found is not None:
        return found
    made = secrets.token_hex(16)
    fresh = data_dir / f"{FILE}.new"
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
        file.write(made)
        os.fsync(file.fileno())
    fresh.rename(data_dir / FILE)
    return made
