"""What the controller reads beside lines and commands: what the alarm worker says of areas and of lines.

Each stream has a thread of its own; in a Redis Cluster they are on different nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import hiredis

from netmon.alarms.lifecycle.causes import LINK_DOWN
from netmon.buffer import alarm_store, line_store
from netmon.buffer.alarm_reader import Batch, Reader
from netmon.buffer.connection import Connection, encode_command
from netmon.buffer.following import Entries, FollowingReader, bodies_with, values_in
from netmon.model import RedisSettings

ALARMS: Final = "alarms"
"""Kind of batches with `area` (JSON of an AreaPosture) and `alarm`, how all is, and `posture` and `change` as they are in the stream."""
PULSE: Final = "pulse"
"""Kind of batches with `judged` (when the verdict process last looked), `health` of a vantage, and now and then each `status`."""

_POSTURE_PREFIX: Final = b"posture:"
_PORT_MARK: Final = f'"alarm_type":"{LINK_DOWN}"'.encode()

_STATUSES_MAX: Final = 50
_PULSE_S: Final = 1.0
_PULSES: Final = 5
"""After so many, all lines are read again: what is told as a change is no news of a line that stays as it is."""


class AlarmsReader(FollowingReader):
    """The stream `netmon:alarms`: postures; and, where traps count as evidence, that ports at the ends of lines are down.

    Not that lines are: such an alarm has the trust of whoever has spoken last, who need not be the one who says that it is down.
    """

    def __init__(self, settings: RedisSettings, ring: Callable[[], None], *, with_ports: bool) -> None:
        """`with_ports`: whether traps count."""
        super().__init__(settings, "failover.alarms", ring, ALARMS, alarm_store.STREAM, b"0-0")
        self._with_ports = with_ports

    def _stand(self) -> list[list[bytes]]:
        meta = values_in(self._settings, alarm_store.META)
        found = [[b"area", body] for name, body in meta if name.startswith(_POSTURE_PREFIX)]
        if self._with_ports:
            found += [[b"alarm", body] for body in bodies_with(self._settings, alarm_store.STATE, _PORT_MARK)]
        return found

    def _wanted(self, entries: Entries) -> Entries:
        return [entry for entry in entries if self._matters(entry[1])]

    def _matters(self, fields: list[bytes]) -> bool:
        if fields[0] == b"change":
            # Most of them are about other things; they are told apart before anybody decodes them.
            return self._with_ports and _PORT_MARK in fields[1]
        return fields[0] == b"posture"


class PulseReader(Reader):
    """Looks each second whether those who judge the lines live, so that a line that stays up is known to be up."""

    def __init__(self, settings: RedisSettings, ring: Callable[[], None]) -> None:
        """Prepares."""
        super().__init__(settings, "failover.pulse", ring)
        self.found = True
        self._pulses = 0

    def _read(self, connection: Connection) -> None:
        asked = [
            encode_command("HGET", line_store.META, line_store.JUDGED_FIELD),
            encode_command("HVALS", line_store.VANTAGES),
        ]
        self._pulses += 1
        if self._pulses % _PULSES == 0:
            asked.append(encode_command("HVALS", line_store.LINES))
        connection.send(b"".join(asked))
        judged, *hashes = connection.replies(len(asked))
        for reply in (judged, *hashes):
            if isinstance(reply, hiredis.ReplyError):
                raise connection.refusal(reply)
        health, *statuses = hashes
        found = [[b"health", body] for body in health] + [[b"judged", judged or b""]]
        self._tell(found)
        for bodies in statuses:
            # In small parts: there is something else to be done between them.
            for at in range(0, len(bodies), _STATUSES_MAX):
                self._tell([[b"status", body] for body in bodies[at : at + _STATUSES_MAX]])
        self._stopping.wait(_PULSE_S)

    def _tell(self, found: list[list[bytes]]) -> None:
        self._put([Batch(PULSE, line_store.META, "", [(b"", fields) for fields in found])])
