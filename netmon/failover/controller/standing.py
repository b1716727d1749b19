"""What stands in Redis when a controller begins to lead: read as a whole, and what nobody can read set apart.

Owns what is made of it: a coordinator that goes on where the one before ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, TypeVar

import msgspec

from netmon.buffer.failover_store import FREEZE_FIELD, GATEWAYS, GROUPS, ORDERS, PLANS, POSITION_FIELD, REQUESTS
from netmon.buffer.failover_writer import FailoverWriter
from netmon.failover.actuators.base import Order
from netmon.failover.controller.report import Counts
from netmon.failover.model import Freeze, GroupState, Request
from netmon.failover.plan.model import Plan, Reported
from netmon.log import limited

LED_FIELD: Final = "led"
"""Of the hash beside the groups: the controller that led last."""

_Value = TypeVar("_Value", bound=msgspec.Struct)

_state = msgspec.json.Decoder(GroupState).decode
_order = msgspec.json.Decoder(Order).decode
_request = msgspec.json.Decoder(Request).decode
_reported = msgspec.json.Decoder(Reported).decode
_plan = msgspec.json.Decoder(Plan).decode
_freeze = msgspec.json.Decoder(Freeze).decode


class Standing(NamedTuple):
    """All of it."""

    states: dict[str, GroupState]
    orders: dict[str, Order]
    """As they were last given."""
    requests: dict[str, Request]
    gateways: dict[str, Reported]
    plans: dict[str, Plan]
    freeze: Freeze | None
    led: str
    """Who led last; empty: nobody knows."""
    position: bytes
    """ID of the last command that was done."""
    rubbish: dict[str, list[bytes]]
    """Key of a hash to fields that no netmon has written."""


def load(writer: FailoverWriter, counts: Counts) -> Standing:
    """Reads everything. Raises UnavailableError.

    Args:
        writer: It has just taken the lease.
        counts: Counted up here.
    """
    rubbish: dict[str, list[bytes]] = {}

    def read(key: str, decode: Callable[[bytes], _Value], name_of: Callable[[_Value], str]) -> dict[str, _Value]:
        found = {}
        for name, body in list(writer.load(key)):
            for value in _readable(decode, body):
                if name_of(value).encode(errors="replace") == name:
                    found[name_of(value)] = value
                    break
            else:
                rubbish.setdefault(key, []).append(name)
        return found

    meta = writer.load_meta()
    standing = Standing(
        states=read(GROUPS, _state, lambda state: state.group_id),
        orders=read(ORDERS, _order, lambda order: order.group_id),
        requests=read(REQUESTS, _request, lambda request: request.id),
        gateways=read(GATEWAYS, _reported, lambda reported: reported.gateway_id),
        plans=read(PLANS, _plan, lambda plan: plan.gateway_id),
        freeze=next(_readable(_freeze, meta[FREEZE_FIELD]), None) if FREEZE_FIELD in meta else None,
        led=meta.get(LED_FIELD, b"").decode(errors="replace"),
        position=meta.get(POSITION_FIELD, b"0-0"),
        rubbish=rubbish,
    )
    if unreadable := sum(map(len, rubbish.values())):
        counts.unreadable += unreadable
        cure = "see who else writes to keys of {netmon:groups}"
        limited.warning("failover.fields_unreadable", fields=unreadable, cure=cure)
    return standing


def _readable(decode: Callable[[bytes], _Value], body: bytes) -> Iterator[_Value]:
    try:
        yield decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return
