"""The loss ledger: what reached the socket, and what became of every datagram of it.

Two identities, checked whenever somebody looks:

    delivered = kernel_drops + captured
    captured  = buffered + express + rejected{reason} + parked{reason} + control{reason} + in_flight

What is parked has a book of its own: `parked = waiting + late + late_rejected + expired`, for each reason.

`captured` is what capture has counted into the journal; `in_flight` is the distance from the journal's end to where
decode stands; the other terms are what decode has counted. The three are counted by different processes at different
ends, so that a datagram which goes astray in between shows as a `difference`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from netmon.snmp import REASONS
from netmon.trap_receiver.state import read_state

CAPTURE_STATE = "capture.state"
COMMIT_STATE = "commit.state"
DECODE_STATE = "decode.state"

LATE_STATE = "late.state"

SHED = "shed"
"""Parked because its source sent more than its share while decode was far behind."""
PARKED = ("usm_unknown_user", "usm_unknown_engine", "usm_wrong_key", "v3_unknown_context", "usm_decryption_error")
"""Of `netmon.snmp.REASONS`: the datagram waits in the journal for a configuration that can read it."""
PARK_REASONS = (SHED, *PARKED)
CONTROL_REASONS = ("v3_discovery",)
"""Of `netmon.snmp.REASONS`: the datagram is part of the protocol, and no notification."""

REJECT_REASONS = (
    *(reason for reason in REASONS if reason not in (*PARKED, *CONTROL_REASONS)),
    "source_not_allowed",
    "community_not_allowed",
)
"""Why a datagram goes to the rejects stream instead of the traps stream."""

UNAVAILABLE_REASONS = ("connection", "timeout", "out_of_memory", "read_only", "loading", "fenced", "refused")
"""Why Redis could not take a batch; `UnavailableError.reason`."""

LATENCY_BOUNDS_MS = (1, 2, 5, 10, 15, 20, 30, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 60_000, 600_000)
"""Upper bounds of the histogram of socket-to-stored latency; the last bucket is without bound."""

CAPTURE_FIELDS = (
    "captured",
    "captured_bytes",
    "frames",
    "kernel_drops",
    "socket_cookie",
    "socket_drops",
    "socket_queue_bytes",
    "receive_buffer_bytes",
    "segment",
    "offset",
    "held",
    "held_times",
    "held_ns",
    "write_failures",
    "recovered",
    "torn",
    "heartbeat_unix_ns",
)
COMMIT_FIELDS = (
    "segment",
    "offset",
    "seq",
    "syncs",
    "sync_ns",
    "sync_failures",
    "informs_answered",
    "informs_withheld",
    "inform_send_failures",
    "reports_sent",
    "reports_withheld",
    "journal_bytes",
    "journal_segments",
    "journal_oldest_unix_ns",
    "segments_deleted",
    *(f"expired_{reason}" for reason in PARK_REASONS),
    "expired_segment",
    "heartbeat_unix_ns",
)
LATE_FIELDS = (
    "pass_ms",
    "sent_ms",
    "sent_seq",
    "floor_ms",
    "floor_seq",
    "added_ms",
    "added_seq",
    "added",
    "changed",
    *(f"late_{reason}" for reason in PARK_REASONS),
    *(f"late_rejected_{reason}" for reason in PARK_REASONS),
    "replayed",
    "redis_up",
    "heartbeat_unix_ns",
)
"""`late_` and `late_rejected_` by the reason for which the datagram had been parked."""
DECODE_FIELDS = (
    "segment",
    "offset",
    "seq",
    "sent_ms",
    "sent_seq",
    "floor_ms",
    "floor_seq",
    "trimming",
    "buffered",
    "lost",
    *(f"rejected_{reason}" for reason in REJECT_REASONS),
    *(f"parked_{reason}" for reason in PARK_REASONS),
    *(f"control_{reason}" for reason in CONTROL_REASONS),
    "express",
    "express_sent",
    "express_sent_ms",
    "express_sent_seq",
    "express_floor_ms",
    "express_floor_seq",
    "express_length",
    "express_refused",
    "express_paused",
    "late_length",
    "head_skipped",
    "head_segment",
    "head_offset",
    "head_seq",
    "shedding",
    "sheddings",
    "refilled",
    "trimmed",
    "rebuilds",
    "duplicates",
    "flagged",
    "traps_length",
    "rejects_length",
    "stream_bytes",
    "paused",
    "redis_up",
    *(f"unavailable_{reason}" for reason in UNAVAILABLE_REASONS),
    "informs_answered",
    "informs_withheld",
    "inform_send_failures",
    *(f"latency_le_{bound}" for bound in LATENCY_BOUNDS_MS),
    "latency_over",
    "latency_sum_ns",
    "heartbeat_unix_ns",
)


class LaneLedger(msgspec.Struct, frozen=True, kw_only=True):
    """Where every datagram of one lane is, as last published by its roles. Counts are since the journal began."""

    delivered: int
    """Datagrams that reached the socket."""
    kernel_drops: int
    """Of those, dropped by the kernel at this socket: queue full, or a wrong UDP checksum."""
    captured: int
    """Of those, written to the journal."""
    buffered: int
    """Decoded and acknowledged by Redis."""
    rejected: dict[str, int]
    """In the rejects stream, by reason; every reason is present."""
    parked: dict[str, int]
    """Not decoded in their turn, raw in the journal, by reason; every reason is present. Only grows."""
    control: dict[str, int]
    """Part of the protocol and no notification, by reason; every reason is present."""
    express: int
    """In the express stream, decoded before their turn, which has come meanwhile."""
    waiting: dict[str, int]
    """Of the parked, those that still wait, by reason."""
    late: dict[str, int]
    """Of the parked, those decoded since and in the late stream, by the reason for which they had been parked."""
    late_rejected: dict[str, int]
    """Of the parked, those that turned out to be worth a rejection, and stand in the late stream as such."""
    expired: dict[str, int]
    """Of the parked, those that the journal let go of before anybody could read them."""
    express_sent: int
    """In the express stream, whether their turn has come or not."""
    express_refused: int
    """Worth going first, but beyond what may: they keep their turn."""
    express_skipped: int
    """Not looked at ahead of their turn, because even that could not keep up with what came: they keep their turn."""
    express_entries: int
    late_entries: int
    replayed: int
    """Entries that `netmon replay` has put into the late stream for what had been decoded otherwise before."""
    shedding: bool
    """Decode is far behind, and sorts what comes."""
    sheddings: int
    """Times that it was."""
    in_flight: int
    """In the journal, decode has not come to them yet."""
    lost: int
    """Captured, but gone from the journal before decode came to them: a damaged or deleted segment."""
    difference: int
    """`captured` less all that is accounted for; 0 when the ledger balances."""
    captured_bytes: int
    socket_queue_bytes: int
    """Kernel memory of datagrams that wait in the socket's queue."""
    receive_buffer_bytes: int
    """Kernel memory that the queue may use (SO_RCVBUF as the kernel reports it: twice what was asked for)."""
    held: bool
    """Capture is not reading, because the journal cannot grow: disk or quota full."""
    held_times: int
    held_seconds: float
    write_failures: int
    recovered: int
    """Datagrams that a killed capture had taken from the kernel and its successor brought home."""
    torn: int
    """Datagrams that a power cut took from the journal before they were on disk. They had not been answered or passed
    on, and are no longer counted as captured."""
    journal_bytes: int
    journal_segments: int
    journal_oldest_unix_ns: int
    segments_deleted: int
    durable: int
    """Last position that is on disk."""
    syncs: int
    sync_seconds: float
    sync_failures: int
    informs_answered: int
    informs_withheld: int
    inform_send_failures: int
    reports_sent: int
    """SNMPv3 Reports (RFC 3412 section 7.1): our engine ID and time for who asks, and why a message was refused."""
    reports_withheld: int
    """Reports beyond the rate that is safe against those who forge sources."""
    duplicates: int
    """Retransmitted INFORMs, recognised and marked in the stream."""
    flagged: int
    """Notifications that broke a rule and were accepted all the same."""
    refilled: int
    """Entries sent a second time, because Redis had lost them."""
    trimmed: int
    """Entries trimmed from the streams to stay within the memory budget."""
    rebuilds: int
    """Times that a stream was found changed by others and made anew from the journal."""
    traps_entries: int
    rejects_entries: int
    stream_bytes: int
    """Redis memory of the lane's streams, as last measured."""
    paused: bool
    """Decode waits because a consumer group that lags has filled the memory budget."""
    redis_up: bool
    unavailable: dict[str, int]
    """Batches that Redis did not take, by reason."""
    latency_counts: list[int]
    """Notifications by socket-to-stored latency: a count for each of `LATENCY_BOUNDS_MS`, and one beyond."""
    latency_sum_seconds: float
    capture_heartbeat_unix_ns: int
    commit_heartbeat_unix_ns: int
    decode_heartbeat_unix_ns: int
    late_heartbeat_unix_ns: int

    @property
    def balanced(self) -> bool:
        """Whether every captured datagram is accounted for."""
        return self.difference == 0


def read(directory: Path) -> LaneLedger:
    """The ledger of the lane that lives in a folder; all zero where nothing has run yet. Needs no running process."""
    # Who counts later is read earlier: what late has counted, decode has counted before, and capture before that.
    late = read_state(directory / LATE_STATE)
    commit = read_state(directory / COMMIT_STATE)
    decode = read_state(directory / DECODE_STATE)
    capture = read_state(directory / CAPTURE_STATE)
    # Counters that a file of an earlier version has not are 0.
    return _ledger(*(Counter(state) for state in (capture, commit, decode, late)))


def _ledger(capture: Counter[str], commit: Counter[str], decode: Counter[str], late: Counter[str]) -> LaneLedger:
    return LaneLedger(
        **_accounts(capture, decode),
        **_of_parked(commit, decode, late),
        **_of_capture(capture),
        **_of_commit(commit),
        **_of_decode(decode),
        informs_answered=commit["informs_answered"] + decode["informs_answered"],
        informs_withheld=commit["informs_withheld"] + decode["informs_withheld"],
        inform_send_failures=commit["inform_send_failures"] + decode["inform_send_failures"],
    )


def _accounts(capture: Counter[str], decode: Counter[str]) -> dict[str, Any]:
    """The terms of both identities."""
    captured, in_flight = capture["captured"], capture["captured"] - decode["seq"]
    rejected = {reason: decode[f"rejected_{reason}"] for reason in REJECT_REASONS}
    parked = {reason: decode[f"parked_{reason}"] for reason in PARK_REASONS}
    control = {reason: decode[f"control_{reason}"] for reason in CONTROL_REASONS}
    counted = (decode["buffered"], decode["express"], *rejected.values(), *parked.values(), *control.values())
    return {
        "delivered": capture["kernel_drops"] + captured,
        "kernel_drops": capture["kernel_drops"],
        "captured": captured,
        "buffered": decode["buffered"],
        "express": decode["express"],
        "rejected": rejected,
        "parked": parked,
        "control": control,
        "in_flight": in_flight,
        "difference": captured - sum(counted) - in_flight,
    }


def _of_parked(commit: Counter[str], decode: Counter[str], late: Counter[str]) -> dict[str, Any]:
    """The book of what was parked."""
    decoded = {reason: late[f"late_{reason}"] for reason in PARK_REASONS}
    rejected = {reason: late[f"late_rejected_{reason}"] for reason in PARK_REASONS}
    expired = {reason: commit[f"expired_{reason}"] for reason in PARK_REASONS}
    gone = {reason: decoded[reason] + rejected[reason] + expired[reason] for reason in PARK_REASONS}
    return {
        "waiting": {reason: decode[f"parked_{reason}"] - gone[reason] for reason in PARK_REASONS},
        "late": decoded,
        "late_rejected": rejected,
        "expired": expired,
        "late_entries": decode["late_length"],
        "replayed": late["replayed"],
        "late_heartbeat_unix_ns": late["heartbeat_unix_ns"],
    }


def _of_capture(capture: Counter[str]) -> dict[str, Any]:
    names = (
        "captured_bytes",
        "socket_queue_bytes",
        "receive_buffer_bytes",
        "held_times",
        "write_failures",
        "recovered",
    )
    return {
        **{name: capture[name] for name in (*names, "torn")},
        "held": bool(capture["held"]),
        "held_seconds": capture["held_ns"] / 1e9,
        "capture_heartbeat_unix_ns": capture["heartbeat_unix_ns"],
    }


def _of_commit(commit: Counter[str]) -> dict[str, Any]:
    names = (
        "journal_bytes",
        "journal_segments",
        "journal_oldest_unix_ns",
        "segments_deleted",
        "syncs",
        "sync_failures",
    )
    return {
        **{name: commit[name] for name in (*names, "reports_sent", "reports_withheld")},
        "durable": commit["seq"],
        "sync_seconds": commit["sync_ns"] / 1e9,
        "commit_heartbeat_unix_ns": commit["heartbeat_unix_ns"],
    }


def _of_decode(decode: Counter[str]) -> dict[str, Any]:
    names = ("lost", "duplicates", "flagged", "refilled", "trimmed", "rebuilds", "stream_bytes", "sheddings")
    return {
        **{name: decode[name] for name in (*names, "express_sent", "express_refused")},
        "express_skipped": decode["head_skipped"],
        "traps_entries": decode["traps_length"],
        "rejects_entries": decode["rejects_length"],
        "express_entries": decode["express_length"],
        "shedding": bool(decode["shedding"]),
        "paused": bool(decode["paused"]),
        "redis_up": bool(decode["redis_up"]),
        "unavailable": {reason: decode[f"unavailable_{reason}"] for reason in UNAVAILABLE_REASONS},
        "latency_counts": [decode[f"latency_le_{bound}"] for bound in LATENCY_BOUNDS_MS] + [decode["latency_over"]],
        "latency_sum_seconds": decode["latency_sum_ns"] / 1e9,
        "decode_heartbeat_unix_ns": decode["heartbeat_unix_ns"],
    }
