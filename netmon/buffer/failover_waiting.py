"""What operators have asked for and no controller has looked at yet: it waits in the stream for one that leads."""

from __future__ import annotations

from typing import Final

import msgspec

from netmon.buffer.failover_store import COMMANDS, META, POSITION_FIELD
from netmon.buffer.stream import parse_id
from netmon.buffer.view import View
from netmon.failover.record import Command

WAITING_MAX: Final = 100
"""Of the newest commands so many are looked at."""

_command = msgspec.json.Decoder(Command).decode


class WaitingView(View):
    """The stream of commands; see `View` for how it fails."""

    stream = COMMANDS

    def waiting(self) -> list[Command]:
        """Commands behind the last one that was done or refused, oldest first; what nobody can read is left out."""
        position = self._ask(lambda client: client.hget(META, POSITION_FIELD)) or b"0-0"
        newest = self._ask(lambda client: client.xrevrange(COMMANDS, count=WAITING_MAX))
        found = []
        for entry_id, fields in reversed(newest):
            if parse_id(entry_id) > parse_id(position):
                try:
                    found.append(_command(fields.get(b"command", b"")))
                except (msgspec.DecodeError, RecursionError, ValueError):
                    continue
        return found
