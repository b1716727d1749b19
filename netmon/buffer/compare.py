"""Reads a period of several receivers' streams, to tell what each path missed: the shell around `netmon.buffer.union`.

Streams are read in pieces and merged by receive time, so that a day of traps needs no more memory than an hour. What was
decoded late stands in its stream in another order than it came, and is sorted first.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from netmon.buffer.consumer import ERRORS, Path, Server, Stream, servers_of
from netmon.buffer.union import Comparison, PathReport, Said, Union
from netmon.canary import message
from netmon.errors import UnavailableError

SETTLE_S: Final = 5.0
"""What is newer may be in one stream already and on its way to the other."""
MARGIN_S: Final = 60.0
"""Read before the period, so that a copy just inside it finds the one just outside."""
LATE_MAX: Final = 500_000
"""Entries of late streams that are sorted in memory; of more, the oldest are left out, and the report says so."""

_decode = msgspec.json.Decoder(Said).decode


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What each path of a union has missed."""

    from_unix_ns: int
    """Start of the period: as asked for, or from where on all paths still have what they told."""
    to_unix_ns: int
    total: int
    """Notifications in the period, each once."""
    paths: list[PathReport]
    newest_unix_ns: dict[str, int]
    """Receive time of the newest notification of each path, 0 without any: a path that is far behind may still tell."""
    late_left_out: int
    """Entries of late streams that were too many to be looked at."""

    @property
    def complete(self) -> bool:
        """Whether no path missed anything."""
        return all(path.missed == 0 for path in self.paths)


def compare(paths: Sequence[Path], from_unix_ns: int, to_unix_ns: int) -> Report:
    """What each path has and lacks of a period; netmon's own canaries are left out.

    Args:
        paths: The receivers.
        from_unix_ns: Start of the period.
        to_unix_ns: Its end; `SETTLE_S` ago or earlier, or what is under way counts as missed.

    Raises:
        UnavailableError: One of the servers does not answer, or knows nothing of a receiver.
    """
    servers = servers_of(paths, message.MARK)
    try:
        for server in servers:
            server.connect()
            _refuse_unknown(server)
        start = max(from_unix_ns, max(_complete_from_ms(server) for server in servers) * 1_000_000)
        return _report([path.receiver for path in paths], servers, start, max(start, to_unix_ns))
    except ERRORS as error:
        raise UnavailableError("connection", str(error)) from error
    finally:
        for server in servers:
            server.close()


def _refuse_unknown(server: Server) -> None:
    for receiver in server.receivers:
        if not server.exists(receiver):
            raise UnavailableError("refused", f"no receiver named {receiver} has written to that Redis")


def _complete_from_ms(server: Server) -> int:
    """From when on the receivers of a server still have all that they told; 0 when nothing was ever trimmed.

    What was trimmed was captured, and so received, before the oldest entry that is left was captured.
    """
    kept = (server.trimmed_to_ms(stream.key) for stream in server.streams)
    return max((ms + 1 for ms in kept if ms is not None), default=0)


def _report(names: list[str], servers: Sequence[Server], start: int, stop: int) -> Report:
    from_ms = max(start // 1_000_000 - int(MARGIN_S * 1_000), 0)
    comparison = Comparison(names, start, stop)
    union = Union(names, settled=comparison.settled)
    newest = dict.fromkeys(names, 0)
    late_left_out = 0
    merged: list[Iterator[tuple[int, str, int | None, Said]]] = []
    for server in servers:
        for stream in server.streams:
            entries = _entries(server, stream, from_ms)
            if stream.kind == "late":
                late, left_out = _sorted(entries)
                late_left_out += left_out
                entries = iter(late)
            merged.append(entries)
    for at, receiver, lane, said in heapq.merge(*merged, key=lambda x: x[0]):
        newest[receiver] = max(newest[receiver], at)
        union.tell(receiver, said, lane)
    union.finish()
    return Report(
        from_unix_ns=start,
        to_unix_ns=stop,
        total=comparison.total,
        paths=comparison.report(),
        newest_unix_ns=newest,
        late_left_out=late_left_out,
    )


def _entries(server: Server, stream: Stream, from_ms: int) -> Iterator[tuple[int, str, int | None, Said]]:
    lane = stream.lane if stream.kind == "traps" else None
    for body in server.bodies(stream, from_ms):
        try:
            said = _decode(body)
        except msgspec.DecodeError:
            continue
        yield said.received_unix_ns, stream.receiver, lane, said


def _sorted(
    entries: Iterator[tuple[int, str, int | None, Said]],
) -> tuple[list[tuple[int, str, int | None, Said]], int]:
    kept: deque[tuple[int, str, int | None, Said]] = deque(maxlen=LATE_MAX)
    count = 0
    for entry in entries:
        kept.append(entry)
        count += 1
    return sorted(kept, key=lambda x: x[0]), count - len(kept)
