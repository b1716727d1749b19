"""What a gateway has on its disk: the newest plan and the newest desired state, as they were signed, and where each class stands.

Each file is put in place of the one before as a whole and synced. What is missing, damaged, or signed by somebody else does not exist: the
agent starts without it, and the routes of the kernel stay as they are until there is another.
"""

from __future__ import annotations

import os
import threading
import zlib
from pathlib import Path
from typing import Final

import msgspec

from netmon.errors import disk_cure
from netmon.failover.agent.held import Kept
from netmon.failover.plan.model import Desired, Plan
from netmon.failover.plan.sign import SIGNED_BYTES_MAX, Public, SignatureError, verify
from netmon.log import limited, log
from netmon.trap_receiver.disk import sync_directory

PLAN_FILE: Final = "plan.json"
DESIRED_FILE: Final = "desired.json"
MEMORY_FILE: Final = "edge.json"
_MEMORY_BYTES_MAX: Final = 1 << 20


class Memory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What no message of the centre can tell a gateway that starts again."""

    boot_id: str = ""
    """Of the kernel whose routes these are."""
    fence: int = 0
    """Greatest number of a leader that was seen."""
    groups: tuple[Kept, ...] = ()


class Store:
    """The files of one agent. All of it waits for the disk: call it in a thread, but at the start."""

    def __init__(self, folder: Path, gateway_id: str, public: Public) -> None:
        """Reads and writes in this folder what was signed with this key for this gateway."""
        self._folder = folder
        self._gateway_id = gateway_id
        self._public = public
        self._written: dict[str, int] = {}
        self._lock = threading.Lock()

    # -- in

    def plan(self) -> Plan | None:
        """The newest plan; None: there is none that can be believed."""
        told = self._signed(PLAN_FILE)
        return told if isinstance(told, Plan) else None

    def desired(self) -> Desired | None:
        """The newest desired state; None: the same."""
        told = self._signed(DESIRED_FILE)
        return told if isinstance(told, Desired) else None

    def memory(self) -> Memory:
        """Where each class stood; empty if that cannot be told."""
        octets = self._read(MEMORY_FILE, _MEMORY_BYTES_MAX)
        if octets is None:
            return Memory()
        head, _, body = octets.partition(b"\n")
        try:
            if head == b"%08x" % zlib.crc32(body):
                return msgspec.json.decode(body, type=Memory)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
        self._tell_damaged(MEMORY_FILE, "its check sum is wrong")
        return Memory()

    def _signed(self, name: str) -> object:
        octets = self._read(name, SIGNED_BYTES_MAX)
        if octets is None:
            return None
        try:
            return verify(octets, self._public, self._gateway_id)
        except SignatureError as error:
            self._tell_damaged(name, error.reason)
            return None

    def _read(self, name: str, bytes_max: int) -> bytes | None:
        try:
            with (self._folder / name).open("rb") as stream:
                return stream.read(bytes_max + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._tell_damaged(name, error.strerror or str(error))
            return None

    def _tell_damaged(self, name: str, why: str) -> None:
        cure = "the centre tells it anew; look at the disk if it happens again"
        log.error("agent.file_refused", file=str(self._folder / name), reason=why, cure=cure)

    # -- out

    def keep_signed(self, name: str, message: bytes) -> None:
        """Keeps a message of the centre, in PLAN_FILE or DESIRED_FILE."""
        self._write(name, message)

    def keep(self, memory: Memory) -> None:
        """Keeps where each class stands."""
        body = msgspec.json.encode(memory)
        self._write(MEMORY_FILE, b"%08x\n%b" % (zlib.crc32(body), body))

    def _write(self, name: str, octets: bytes) -> None:
        """What is there already is not written again: flash wears out."""
        digest = zlib.crc32(octets)
        with self._lock:
            if self._written.get(name) != digest and self._put(name, octets):
                self._written[name] = digest

    def _put(self, name: str, octets: bytes) -> bool:
        fresh = self._folder / f"{name}.new"
        try:
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as stream:
                stream.write(octets)
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(self._folder / name)
            sync_directory(self._folder)
        except OSError as error:
            # Traffic goes before notes: what cannot be written down is done all the same.
            limited.error("agent.file_unwritten", reason=error.strerror, file=name, cure=disk_cure(error))
            return False
        return True
