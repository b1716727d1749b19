"""From entries of `netmon:line-changes`, or of the hash of all lines, to the book: what the prober says of lines and vantages.

No I/O: the leader hands in what its reader has read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

import msgspec

from netmon.active_probe.model import LineChange, LineStatus, VantageChange
from netmon.alarms.lifecycle.book import Book
from netmon.alarms.model import Evidence, Probed, Text
from netmon.alarms.worker.intake import EntryError
from netmon.alarms.worker.lines import (
    LINE_DEGRADED,
    VANTAGE_ISOLATED,
    VANTAGE_SILENT,
    degraded_of,
    probed_of,
    restated,
    vantage_said,
    well,
)
from netmon.alarms.worker.report import Counts
from netmon.buffer.alarm_reader import Batch
from netmon.buffer.line_store import LINES
from netmon.inventory.topology import Topology

GIVEN_UP: Final = Evidence("", "given up")
"""Of what is cleared because nobody asks any more."""

_decode_line: Final[Callable[[bytes], LineChange]] = msgspec.json.Decoder(LineChange).decode
_decode_status: Final[Callable[[bytes], LineStatus]] = msgspec.json.Decoder(LineStatus).decode
_decode_vantage: Final[Callable[[bytes], VantageChange]] = msgspec.json.Decoder(VantageChange).decode


class LineIntake:
    """Takes batches of the stream of lines."""

    def __init__(
        self,
        book: Book,
        topology: Topology,
        counts: Counts,
        *,
        vantage_ids: Collection[str],
        left_out: Collection[tuple[str, bytes]] = (),
    ) -> None:
        """Prepares.

        Args:
            book: Gets what is said.
            topology: The region: of lines that are not in it, nothing is listened to.
            counts: Counted up here.
            vantage_ids: The same of vantages.
            left_out: Stream key and ID of entries that netmon failed at.
        """
        self._book = book
        self._topology = topology
        self._counts = counts
        self._vantage_ids = frozenset(vantage_ids)
        self._left_out = frozenset(left_out)

    def take(self, batch: Batch, now_unix_ns: int) -> None:
        """Takes all entries of a batch, in order. Raises EntryError."""
        for entry_id, fields in batch.entries:
            if (batch.key, entry_id) in self._left_out:
                self._counts.failed += 1
                continue
            try:
                self._take(fields, Evidence(batch.key, entry_id.decode()), now_unix_ns)
            except Exception as error:
                # As with notifications: one that netmon fails at must not come again for ever.
                raise EntryError(batch.key, entry_id) from error

    def give_up(self, probed_line_ids: Collection[str], now_unix_ns: int) -> None:
        """Clear what was said of lines and vantages that are none any more, or that nobody asks any more."""
        probed = frozenset(probed_line_ids)
        for alarm in list(self._book.alarms.values()):
            kind, _, name = alarm.resource.partition("/")
            if alarm.is_cleared:
                continue
            if kind == "vantage" and alarm.alarm_type in {VANTAGE_ISOLATED, VANTAGE_SILENT}:
                if name not in self._vantage_ids:
                    live = VantageChange(vantage_id=name, before="", after="live", unix_ns=now_unix_ns)
                    self._vantage(live, GIVEN_UP, now_unix_ns)
            elif kind == "line" and (alarm.probed or alarm.alarm_type == LINE_DEGRADED) and name not in probed:
                nobody_asks = Probed(state="unknown", unix_ns=now_unix_ns, text=Text("", ""), evidence=GIVEN_UP)
                self._book.probe(name, nobody_asks, now_unix_ns)
                self._book.follow(well(name, now_unix_ns, GIVEN_UP, self._topology), now_unix_ns)

    def _take(self, fields: list[bytes], evidence: Evidence, now_unix_ns: int) -> None:
        kind, body = fields if len(fields) == 2 else (b"", b"")
        try:
            if kind == b"line":
                line = _decode_line(body)
                self._line(line, evidence, now_unix_ns)
            elif kind == b"status":
                status = _decode_status(body)
                self._line(restated(status), Evidence(LINES, status.line_id), now_unix_ns)
            elif kind == b"vantage":
                vantage = _decode_vantage(body)
                if vantage.vantage_id in self._vantage_ids:
                    self._vantage(vantage, evidence, now_unix_ns)
            else:
                self._counts.line_changes_unreadable += 1
                return
        except msgspec.DecodeError:
            self._counts.line_changes_unreadable += 1
            return
        self._counts.line_changes += 1

    def _line(self, change: LineChange, evidence: Evidence, now_unix_ns: int) -> None:
        if change.line_id not in self._topology.lines:
            return
        probed = probed_of(change, evidence, self._topology)
        degraded = degraded_of(change, evidence, self._topology)
        if probed is not None and degraded is not None:
            self._book.probe(change.line_id, probed, now_unix_ns)
            self._book.follow(degraded, now_unix_ns)

    def _vantage(self, change: VantageChange, evidence: Evidence, now_unix_ns: int) -> None:
        for observation in vantage_said(change, evidence, self._topology):
            self._book.follow(observation, now_unix_ns)
