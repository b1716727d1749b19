"""From a record of the journal to a notification and how far it is trusted; the one place where both are decided.

Decode, late and replay all ask here, so that a datagram is read in the same way whenever its turn comes. All of them know
the clocks of other SNMP engines that decode has learnt; decode alone keeps what it learns, in a file beside the journal.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from netmon.errors import DecodeError
from netmon.log import limited as log
from netmon.mib.catalogue import load_names
from netmon.model import LaneSettings
from netmon.snmp import Notification, decode_notification
from netmon.snmp.engines import EngineTable
from netmon.snmp.notification import decode_notification_v3
from netmon.snmp.usm import Usm
from netmon.trap_receiver.journal.segment import Record
from netmon.trap_receiver.policy import ALLOW_LISTED, OTHER, Policy

ENGINES_FILE: Final = "engines.bin"
BOOTS_RESET: Final = "engine_boots_reset"
"""The flag of a message that may be a recorded one: an engine that has forgotten its boots proves nothing by them."""

_IS_V3: Final = "usm_unknown_user"
"""What `decode_notification` says of a message of SNMPv3: it knows no users."""
_TIERS: Final = {"authPriv": "v3_auth_priv", "authNoPriv": "v3_auth"}
_REMEMBER_S: Final = 1.0
_DURABLE_S: Final = 30.0
"""How often what is remembered is brought to the disk: it costs decode a trip there."""


class Decoder:
    """What one receiver's configuration makes of datagrams.

    Attributes:
        policy: Who is listened to.
    """

    def __init__(self, settings: LaneSettings) -> None:
        self.policy = Policy(settings.allow, settings.trusted_relays)
        self._limits = settings.limits
        self._names = load_names(settings.catalogues) if settings.resolve_names else None
        self._engines_file = Path(settings.directory) / ENGINES_FILE
        self._usm = Usm(settings.snmpv3, _read_engines(self._engines_file), salt=0)  # it answers nothing
        self._remembered = self._usm.engines.changes
        self._remember_due = self._durable_due = 0.0

    def decode(self, record: Record) -> tuple[Notification, str]:
        """The notification in a datagram, and its trust tier (`TrapEvent.trust`).

        Raises:
            DecodeError: With a reason of `netmon.snmp.REASONS`, `source_not_allowed` or `community_not_allowed`.
        """
        try:
            notification = decode_notification(record.payload, self._limits, self._names)
        except DecodeError as error:
            # Asked only now, so that SNMPv1 and v2c pay nothing for SNMPv3.
            if error.reason != _IS_V3:
                raise
            return self._decode_v3(record)
        trust = self.policy.judge(record.peer, notification.community)
        if trust is OTHER or trust is ALLOW_LISTED:
            return notification, trust
        raise DecodeError(trust, 0)

    def _decode_v3(self, record: Record) -> tuple[Notification, str]:
        trust = self.policy.judge(record.peer, None)
        if trust is not OTHER and trust is not ALLOW_LISTED:
            # Before anything is computed for a stranger.
            raise DecodeError(trust, 0)
        opened = self._usm.open(record.payload, record.steady_unix_ns, self._limits)
        notification = decode_notification_v3(opened, self._limits, self._names)
        if BOOTS_RESET in notification.flags:
            return notification, OTHER
        return notification, _TIERS.get(opened.security_level, trust)

    def refresh(self) -> None:
        """Takes up what decode has learnt of other engines meanwhile; for late and replay."""
        self._usm.engines = _read_engines(self._engines_file)

    def remember(self, *, at_once: bool = False) -> None:
        """Keeps what was learnt of other engines, at most once a second or `at_once`; for decode alone.

        A disk that is full costs what is in the file no more than its freshness.
        """
        changes = self._usm.engines.changes
        if changes == self._remembered or (time.monotonic() < self._remember_due and not at_once):
            return
        now = time.monotonic()
        self._remember_due = now + _REMEMBER_S
        durably = at_once or now >= self._durable_due
        try:
            _write_engines(self._engines_file, self._usm.engines, durably=durably)
        except OSError as error:
            log.warning("decode.engines_not_kept", file=str(self._engines_file), reason=error.strerror)
            return
        self._remembered = changes
        if durably:
            self._durable_due = now + _DURABLE_S


def _read_engines(file: Path) -> EngineTable:
    try:
        return EngineTable.from_bytes(file.read_bytes())
    except FileNotFoundError:
        return EngineTable()


def _write_engines(file: Path, engines: EngineTable, *, durably: bool) -> None:
    """Puts the file in place of the one before. A power cut leaves an older one, or takes what was not `durably` written."""
    fresh = file.with_suffix(".new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as stream:
        stream.write(engines.to_bytes())
        if durably:
            stream.flush()
            os.fsync(stream.fileno())
    fresh.rename(file)
