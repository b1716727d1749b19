"""From a record of the journal to a notification and how far it is trusted; the one place where both are decided.

Decode, late and replay all ask here, so that a datagram is read in the same way whenever its turn comes.
"""

from __future__ import annotations

from netmon.errors import DecodeError
from netmon.mib.catalogue import load_names
from netmon.model import LaneSettings
from netmon.snmp import Notification, decode_notification
from netmon.trap_receiver.journal import Record
from netmon.trap_receiver.policy import ALLOW_LISTED, OTHER, Policy


class Decoder:
    """What one receiver's configuration makes of datagrams.

    Attributes:
        policy: Who is listened to.
    """

    def __init__(self, settings: LaneSettings) -> None:
        self.policy = Policy(settings.allow, settings.trusted_relays)
        self._limits = settings.limits
        self._names = load_names(settings.catalogues)

    def decode(self, record: Record) -> tuple[Notification, str]:
        """The notification in a datagram, and its trust tier (`TrapEvent.trust`).

        Raises:
            DecodeError: With a reason of `netmon.snmp.REASONS`, `source_not_allowed` or `community_not_allowed`.
        """
        notification = decode_notification(record.payload, self._limits, self._names)
        trust = self.policy.judge(record.peer, notification.community)
        if trust is OTHER or trust is ALLOW_LISTED:
            return notification, trust
        raise DecodeError(trust, 0)
