"""The netmon under test as its files and streams show it: which lanes, what their ledgers say, what Redis holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from loadtest import proc
from loadtest.reconcile import (
    Audit,
    Audited,
    Quantiles,
    Reconciliation,
    histogram_quantiles,
    number_in_entry,
    number_in_reject,
)
from loadtest.storm import Sent
from netmon import config as configuration
from netmon.buffer import embedded
from netmon.buffer.connection import Connection
from netmon.errors import ConfigError
from netmon.model import RedisSettings
from netmon.trap_receiver import ledger

_CHUNK: Final = 5_000
"""Entries of one XRANGE."""
_POLL_S: Final = 0.02
_STALLED_S: Final = 5.0
"""Without any progress for so long, what was sent and is not accounted for is not on its way any more."""


class Lane(msgspec.Struct, frozen=True):
    """One lane of a running netmon."""

    directory: str
    key_prefix: str


class Deployment(msgspec.Struct, frozen=True):
    """Where a running netmon keeps things."""

    lanes: list[Lane]
    redis: RedisSettings


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """The ledgers of all lanes added up."""

    captured: int = 0
    kernel_drops: int = 0
    stored: int = 0
    """In a stream: buffered, express, rejected or late."""
    in_flight: int = 0
    waiting: int = 0
    """Shed, and to be decoded late."""
    difference: int = 0
    lost: int = 0
    trimmed: int = 0
    latency_counts: list[int] = []


def from_config(path: Path) -> Deployment:
    """The deployment that a configuration file describes.

    Raises:
        ConfigError: The file cannot be used.
    """
    config = configuration.load(path)
    url = embedded.url(config.data_dir) if config.redis.url == configuration.EMBEDDED else config.redis.url
    lanes = [Lane(lane.directory, lane.key_prefix) for lane in configuration.lane_settings(config, redis_url=url)]
    return Deployment(lanes, configuration.redis_settings(config, redis_url=url))


def from_data_dir(directory: Path) -> Deployment:
    """The deployment that lives in a data directory and uses the embedded Valkey.

    Raises:
        ConfigError: There is no lane in it.
    """
    folders = sorted(directory.absolute().glob("*/lane-*"))
    if not folders:
        raise ConfigError([f"--data-dir {directory}: there is no RECEIVER/lane-N in it; has netmon run there?"])
    lanes = [Lane(str(f), f"netmon:{{{f.parent.name}:{f.name.removeprefix('lane-')}}}") for f in folders]
    return Deployment(lanes, RedisSettings(url=embedded.url(directory)))


def totals(deployment: Deployment) -> Totals:
    """The ledgers of all lanes as last published."""
    books = [ledger.read(Path(lane.directory)) for lane in deployment.lanes]
    return Totals(
        captured=sum(book.captured for book in books),
        kernel_drops=sum(book.kernel_drops for book in books),
        stored=sum(map(_stored, books)),
        in_flight=sum(book.in_flight for book in books),
        waiting=sum(book.waiting[ledger.SHED] for book in books),
        difference=sum(abs(book.difference) for book in books),
        lost=sum(book.lost for book in books),
        trimmed=sum(book.trimmed for book in books),
        latency_counts=[sum(counts) for counts in zip(*(book.latency_counts for book in books), strict=True)],
    )


def _stored(book: ledger.LaneLedger) -> int:
    by_reason = (book.rejected, book.late, book.late_rejected)
    return book.buffered + book.express + sum(sum(counts.values()) for counts in by_reason)


class Drain(msgspec.Struct, frozen=True):
    """How the waiting for netmon ended."""

    done: bool
    """Nothing was under way any more."""
    mono_s: float
    """When that was so for the first time, or the last progress (time.monotonic)."""


def await_drained(deployment: Deployment, port: int, before: Totals, *, sent: int, timeout_s: float) -> Drain:
    """Waits until all that was sent is accounted for and nothing is under way, or nothing moves any more."""
    deadline_s = time.monotonic() + timeout_s
    moved_s, last = time.monotonic(), before
    while time.monotonic() < deadline_s:
        now = totals(deployment)
        if now != last:
            moved_s, last = time.monotonic(), now
        idle = now.in_flight == 0 and proc.udp_sockets(port).queue_bytes == 0
        arrived = now.captured - before.captured + now.kernel_drops - before.kernel_drops
        if idle and arrived >= sent and now.waiting == 0:
            return Drain(True, time.monotonic())
        if time.monotonic() - moved_s > _STALLED_S and idle:
            return Drain(now.waiting == 0, moved_s)
        time.sleep(_POLL_S)
    return Drain(False, moved_s)


def entries(connection: Connection, key: str) -> Iterator[list[bytes]]:
    """The JSON of all entries of a stream, oldest first, in chunks; none when the stream does not exist.

    Raises:
        UnavailableError: Redis does not answer.
    """
    start = b"-"
    while chunk := connection.command("XRANGE", key, start, "+", "COUNT", _CHUNK):
        yield [fields[1] for _, fields in chunk]
        start = b"(" + chunk[-1][0]


def audit_streams(deployment: Deployment, sent: Sent) -> tuple[Audited, int, int]:
    """Looks for every number of a storm in all streams.

    Returns:
        The audit; entries of this storm in the traps, express and late streams; in the rejects streams.

    Raises:
        UnavailableError: Redis does not answer.
    """
    audit = Audit(sent.run, sent.count)
    connection = Connection(deployment.redis)
    traps = sum(
        _audit_kind(connection, deployment.lanes, audit, kind, number_in_entry) for kind in ("traps", "express", "late")
    )
    rejects = _audit_kind(connection, deployment.lanes, audit, "rejects", number_in_reject)
    connection.close()
    return audit.result(), traps, rejects


def _audit_kind(
    connection: Connection,
    lanes: Sequence[Lane],
    audit: Audit,
    kind: str,
    number_in: Callable[[bytes], int | None],
) -> int:
    count, foreign = 0, audit.foreign
    for lane in lanes:
        for chunk in entries(connection, f"{lane.key_prefix}:{kind}"):
            audit.add(map(number_in, chunk))
            count += len(chunk)
    return count - (audit.foreign - foreign)


def reconcile(
    deployment: Deployment,
    sent: Sent,
    before: Totals,
    drain: Drain,
    latency: Quantiles | None = None,
    audited: Audited | None = None,
) -> Reconciliation:
    """Looks every number of a storm up, unless that was done beside the storm, and adds up.

    Args:
        deployment: The netmon under test.
        sent: What was sent.
        before: `totals` before the storm.
        drain: From `await_drained`.
        latency: As a follower measured it; without it, netmon's own histogram is used.
        audited: What an `Auditor` found in the traps, express and late streams; without it, all streams are read now.

    Raises:
        UnavailableError: Redis does not answer.
    """
    after = totals(deployment)
    if audited is None:
        audited, in_traps, in_rejects = audit_streams(deployment, sent)
    else:
        in_traps, in_rejects = audited.found + audited.repeated, 0
    histogram = [b - a for a, b in zip(before.latency_counts, after.latency_counts, strict=True)]
    captured = after.captured - before.captured
    kernel_dropped = after.kernel_drops - before.kernel_drops
    return Reconciliation(
        sent=sent.count,
        backlog_dropped=sent.backlog_dropped,
        kernel_dropped=kernel_dropped,
        captured=captured,
        unaccounted=sent.count + (sent.retransmitted or 0) - captured - kernel_dropped,
        in_traps=in_traps,
        in_rejects=in_rejects,
        repeated=audited.repeated,
        retransmitted=sent.retransmitted or 0,
        missing=sent.count - audited.found,
        missing_ranges=audited.missing,
        inversions=audited.inversions,
        trimmed=after.trimmed - before.trimmed,
        unanswered=sent.unanswered or 0,
        difference=after.difference,
        lost=after.lost - before.lost,
        drained=drain.done,
        lag_s=max(0.0, drain.mono_s - sent.ended_mono_s),
        latency=latency or histogram_quantiles(histogram, ledger.LATENCY_BOUNDS_MS),
    )
