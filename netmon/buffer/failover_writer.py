"""Failover in Redis as the controller writes it: one leader at a time, and each flush all or nothing.

States, audit, orders, requests and results of one flush are in one fenced transaction (`netmon.buffer.fenced`): what is ordered of an
actuator stands there before, with its reasons, and a command is done exactly once. All keys are in one slot of a Redis Cluster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec

from netmon.buffer.connection import encode_command
from netmon.buffer.failover_store import (
    ACTIONS,
    GATEWAYS,
    GROUPS,
    LEASE,
    LOADS,
    META,
    ORDERS,
    PLANS,
    REQUESTS,
    RESULT_S,
    result_key,
)
from netmon.buffer.fenced import FencedWriter
from netmon.failover.actuators.base import Order
from netmon.failover.model import GroupState, Request
from netmon.failover.plan.model import Plan, Reported
from netmon.failover.record import Audit, CommandResult, Loads
from netmon.model import RedisSettings

HASHES: Final = (GROUPS, ORDERS, REQUESTS, GATEWAYS, PLANS)
FIELDS_MAX: Final = 2_000
"""Of one command; more of them go in several."""

_Value = TypeVar("_Value")

_encode = msgspec.json.Encoder().encode


class Flush(NamedTuple):
    """What one transaction writes."""

    states: Sequence[GroupState] = ()
    """As they are now."""
    orders: Sequence[Order] = ()
    """That are given to actuators after this."""
    audits: Sequence[Audit] = ()
    """Entries of the stream, in order."""
    requests: Sequence[Request] = ()
    """That are in force now."""
    gateways: Sequence[Reported] = ()
    plans: Sequence[Plan] = ()
    results: Sequence[CommandResult] = ()
    """What became of commands."""
    gone: Mapping[str, Sequence[str | bytes]] = {}
    """Key of a hash to fields that leave it."""
    meta: Mapping[str, bytes | str] = {}
    """Fields of the hash beside the groups."""
    meta_gone: Sequence[str] = ()
    loads: Loads | None = None


class FailoverWriter(FencedWriter):
    """One controller's hold on failover; see `FencedWriter` for how it fails."""

    def __init__(self, settings: RedisSettings, name: str, *, lease_ms: int, stream_entries_max: int) -> None:
        """Prepares.

        Args:
            settings: The server.
            name: Of this controller, the same after a restart.
            lease_ms: How long the lease outlives a controller that is silent.
            stream_entries_max: Entries of the audit that are kept.
        """
        super().__init__(settings, name, lease_ms=lease_ms, lease=LEASE, meta=META)
        self._tell = [b"XADD", ACTIONS.encode(), b"MAXLEN", b"~", b"%d" % stream_entries_max, b"*", b"action"]

    # -- reading what stands

    def load(self, key: str) -> Iterator[tuple[bytes, bytes]]:
        """Fields and values of one of HASHES. Take all of them before anything else."""
        return self._pairs(key)

    def known_results(self, command_ids: Sequence[str]) -> set[str]:
        """Which of these commands have been done already, or refused."""
        if not command_ids:
            return set()
        self.settle()
        found = self._command("MGET", *map(result_key, command_ids))
        return {name for name, result in zip(command_ids, found, strict=True) if result is not None}

    # -- writing

    def flush(self, flush: Flush) -> None:
        """Writes a transaction; on return Redis has all of it, and nothing of it after a FencedError."""
        self._transact(self._commands(flush))
        self.settle()

    def raise_fence(self, above: int) -> None:
        """Makes our number greater than one that somebody has heard of; the same or smaller is left as it is."""
        if self.fence > above:
            return
        self._transact([encode_command("HSET", META, "fence", above + 1)])
        self.settle()
        self.fence = above + 1

    def _commands(self, flush: Flush) -> list[bytes]:
        commands: list[bytes] = []
        for key, names in flush.gone.items():
            commands += [encode_command("HDEL", key, *some) for some in _parts(names)]
        commands += _set(GROUPS, [(state.group_id, state) for state in flush.states])
        commands += _set(ORDERS, [(order.group_id, order) for order in flush.orders])
        commands += _set(REQUESTS, [(request.id, request) for request in flush.requests])
        commands += _set(GATEWAYS, [(reported.gateway_id, reported) for reported in flush.gateways])
        commands += _set(PLANS, [(plan.gateway_id, plan) for plan in flush.plans])
        commands += [encode_command(*self._tell, _encode(audit)) for audit in flush.audits]
        if flush.meta:
            commands.append(encode_command("HSET", META, *(word for pair in flush.meta.items() for word in pair)))
        if flush.meta_gone:
            commands.append(encode_command("HDEL", META, *flush.meta_gone))
        if flush.loads is not None:
            commands.append(encode_command("SET", LOADS, _encode(flush.loads)))
        commands += [
            encode_command("SET", result_key(result.command_id), _encode(result), "EX", RESULT_S)
            for result in flush.results
        ]
        return commands


def _set(key: str, pairs: Sequence[tuple[str, msgspec.Struct]]) -> list[bytes]:
    return [
        encode_command("HSET", key, *(word for name, value in some for word in (name, _encode(value))))
        for some in _parts(pairs)
    ]


def _parts(values: Sequence[_Value]) -> Iterator[Sequence[_Value]]:
    return (values[at : at + FIELDS_MAX] for at in range(0, len(values), FIELDS_MAX))
