"""Our SNMP engine: an ID that is made once, and a count of its starts that never goes back (RFC 3414 section 2.2).

Devices that send INFORMs remember both, and distrust an engine whose count has gone back. So a count is on the disk
before it is used; and where it cannot be known or kept, the engine becomes another one, which devices discover anew,
rather than one that has forgotten: reception goes on in any case.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from netmon.log import log
from netmon.model import Engine
from netmon.trap_receiver.disk import sync_directory

FILE: Final = "engine.json"
BOOTS_MAX: Final = 2**31 - 1
"""RFC 3414 section 2.2.3: an engine that has counted so far is not to be trusted any more. It is never reached."""
STARTS_MAX: Final = 64
"""Starts that are remembered: datagrams from before the first of them are older than the journal."""

_ENTERPRISE: Final = (0x8000_0000 | 8072).to_bytes(4, "big")
"""First bit: the format of RFC 3411 section 5. 8072 is Net-SNMP's number; ours would have to be assigned."""
_ADMINISTRATIVE: Final = b"\x05"
"""Octets as the administrator, here netmon, likes."""
_RANDOM_OCTETS: Final = 12
_MACHINE_BOOT = Path("/proc/sys/kernel/random/boot_id")


class _Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file's contents."""

    engine_id: str
    boots_first: int
    starts_unix_ns: tuple[int, ...]
    machine_boot: str = ""
    """Which start of the machine the last start belongs to."""

    @property
    def boots(self) -> int:
        return self.boots_first + len(self.starts_unix_ns) - 1


def start(directory: Path, configured_id: str | None, now_unix_ns: int | None = None) -> Engine:
    """Counts a start of the receiver whose folder this is, and says who it is from now on.

    Never fails: what goes wrong with the file is logged with its cure, and leads to a new engine ID.

    Args:
        directory: Folder of the receiver, above its lanes.
        configured_id: `snmpv3.engine_id`.
        now_unix_ns: For tests.
    """
    now = time.time_ns() if now_unix_ns is None else now_unix_ns
    try:
        with _locked(directory):
            return _counted(directory, configured_id, now)
    except OSError as error:
        log.error(
            "engine.start_not_kept",
            file=str(directory / FILE),
            reason=error.strerror,
            cure="make room or give the right to write it; until the next start our engine ID is another one",
        )
        return Engine(engine_id=_made(), starts_unix_ns=(now,))


def join(directory: Path, configured_id: str | None, now_unix_ns: int | None = None) -> Engine:
    """The engine of a receiver whose roles are started one by one: the first since the machine's start counts one.

    All roles of all lanes must say the same of our engine, whichever is restarted.
    """
    with contextlib.suppress(OSError), _locked(directory):
        kept = _read(directory / FILE)
        if kept is not None and kept.machine_boot == _machine_boot() and configured_id in (None, kept.engine_id):
            return _engine(kept)
    return start(directory, configured_id, now_unix_ns)


def _counted(directory: Path, configured_id: str | None, now: int) -> Engine:
    file = directory / FILE
    kept = _read(file)
    if kept is None and file.exists():
        aside = file.with_name(f"{FILE}.broken-{now // 1_000_000}")
        file.rename(aside)
        log.error(
            "engine.file_broken", file=str(aside), cure="none needed: senders of INFORMs discover our new engine ID"
        )
    if kept is not None and kept.boots + 1 >= BOOTS_MAX:
        log.error("engine.boots_used_up", engine_id=kept.engine_id, cure="change snmpv3.engine_id if it is configured")
        kept, configured_id = None, None
    if kept is None or configured_id not in (None, kept.engine_id):
        kept = _new(configured_id, now)
    else:
        kept = _started(kept, now)
    _write(file, kept)
    return _engine(kept)


def _new(configured_id: str | None, now: int) -> _Kept:
    """An engine that this file knows nothing of."""
    # A configured ID may have been in use before, here or in another receiver: the minutes since 1970 are more than any
    # engine has starts, and grow faster.
    boots = 1 if configured_id is None else now // 60_000_000_000
    return _Kept(
        engine_id=configured_id or _made(), boots_first=boots, starts_unix_ns=(now,), machine_boot=_machine_boot()
    )


def _started(kept: _Kept, now: int) -> _Kept:
    # A clock that was set back must not put starts into the future: the count goes on, they are forgotten.
    starts = (*(start for start in kept.starts_unix_ns if start < now), now)[-STARTS_MAX:]
    return _Kept(
        engine_id=kept.engine_id,
        boots_first=kept.boots + 2 - len(starts),
        starts_unix_ns=starts,
        machine_boot=_machine_boot(),
    )


def _engine(kept: _Kept) -> Engine:
    return Engine(engine_id=kept.engine_id, starts_unix_ns=kept.starts_unix_ns, boots_first=kept.boots_first)


def _made() -> str:
    return (_ENTERPRISE + _ADMINISTRATIVE + secrets.token_bytes(_RANDOM_OCTETS)).hex()


def _machine_boot() -> str:
    return _MACHINE_BOOT.read_text("ascii").strip()


def _read(file: Path) -> _Kept | None:
    """What the file says; None when there is none, or one that makes no sense."""
    try:
        kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
        octets = len(bytes.fromhex(kept.engine_id))
    except (FileNotFoundError, ValueError):
        return None
    sound = 5 <= octets <= 32 and kept.starts_unix_ns and kept.boots_first >= 1 and kept.boots <= BOOTS_MAX
    return kept if sound else None


def _write(file: Path, kept: _Kept) -> None:
    """Puts the file in place of the one before, durably. Raises OSError."""
    fresh = file.with_suffix(".new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as stream:
        stream.write(msgspec.json.encode(kept))
        stream.flush()
        os.fsync(stream.fileno())
    fresh.rename(file)
    sync_directory(file.parent)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """The receiver's folder, made if it is not there, for one process at a time. Raises OSError."""
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
