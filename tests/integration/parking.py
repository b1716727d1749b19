"""Traps that wait in the journal, without a device that speaks SNMPv3: marked by hand, and counted as if decode had parked them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import msgspec

from netmon.model import RejectEvent, TrapEvent
from netmon.trap_receiver.journal.marks import PARKED_MARKS, Marks
from netmon.trap_receiver.journal.segment import segments
from netmon.trap_receiver.late.reread import segment_of
from netmon.trap_receiver.ledger import DECODE_FIELDS, DECODE_STATE
from netmon.trap_receiver.state import StatePage
from tests.integration.harness import Netmon
from tests.integration.sending import NUMBER_OID


def park(netmon: Netmon, seqs: Iterable[int], reason: str = "usm_unknown_user") -> None:
    """Make what has been decoded look as if it had been parked; decode must not be running."""
    page = StatePage(netmon.directory() / DECODE_STATE, DECODE_FIELDS)
    marks, kept = Marks(netmon.directory()), segments(netmon.directory())
    for seq in seqs:
        segment = segment_of(netmon.directory(), kept, seq)
        assert segment is not None
        marks.write(segment, seq, bytes([PARKED_MARKS[reason]]))
        page.values["buffered"] -= 1
        page.values[f"parked_{reason}"] += 1
    marks.close()
    page.publish()


def late_entries(netmon: Netmon) -> list[tuple[str, TrapEvent | RejectEvent]]:
    """The whole late stream, oldest first."""
    with contextlib.closing(netmon.redis()) as client:
        found: Any = client.xrange(netmon.key("late"))
    return [
        (
            entry_id.decode(),
            msgspec.json.decode(fields[b"trap"], type=TrapEvent)
            if b"trap" in fields
            else msgspec.json.decode(fields[b"reject"], type=RejectEvent),
        )
        for entry_id, fields in found
    ]


def late_numbers(netmon: Netmon) -> list[int]:
    """The numbers of our test traps in the late stream, in its order; 0 for a rejection."""
    return [number_of(event) for _, event in late_entries(netmon)]


def number_of(event: TrapEvent | RejectEvent) -> int:
    """The number of a test trap."""
    if isinstance(event, RejectEvent):
        return 0
    return next(int(varbind.value or 0) for varbind in event.varbinds if varbind.oid == NUMBER_OID)
