"""Failover in Redis: the keys, and what everybody but the controller does with them.

    view = FailoverView(settings)
    after = view.last_id()                     # first where the audit is, then the groups: nothing falls in between
    groups = {state.group_id: state for state in view.groups()}
    while True:
        for told in view.actions(after, block_ms=1_000):
            after = told.entry_id
            ...

Only the controller that leads writes (`netmon.buffer.failover_writer`); others read, and put commands. All keys are in one slot of
a Redis Cluster: the braces of `{netmon:groups}` hold the text that is the whole key of the groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from netmon.buffer.view import READ_MAX, View, readable
from netmon.failover.model import Freeze, GroupState, Request
from netmon.failover.plan.model import Plan, Reported
from netmon.failover.record import Audit, Command, CommandResult, Loads

GROUPS: Final = "netmon:groups"
"""Hash: group ID to JSON of the GroupState."""
ACTIONS: Final = "{netmon:groups}:actions"
"""Stream, the audit: one field, `action`, JSON of an Audit."""
COMMANDS: Final = "{netmon:groups}:commands"
"""Stream of what operators want: one field, `command`, JSON of a Command."""
REQUESTS: Final = "{netmon:groups}:requests"
"""Hash: ID of an operator's request to JSON of the Request, while it is in force."""
ORDERS: Final = "{netmon:groups}:orders"
"""Hash: group ID to JSON of the newest Order, as it was given to the actuator; it is given again after a restart, the same."""
GATEWAYS: Final = "{netmon:groups}:gateways"
"""Hash: gateway ID to JSON of what it last reported (Reported)."""
PLANS: Final = "{netmon:groups}:plans"
"""Hash: gateway ID to JSON of the Plan, as it was last told to the gateway."""
LOADS: Final = "{netmon:groups}:loads"
"""String: JSON of Loads."""
META: Final = "{netmon:groups}:meta"
"""Hash: whose turn it is to lead, how far the commands have been done, freeze."""
LEASE: Final = "{netmon:groups}:lease"
"""String: the controller that leads, for as long as it says so."""

COMMAND_ENTRIES_MAX: Final = 10_000
RESULT_S: Final = 86_400
"""How long the result of a command can be asked for, and how long the same command is recognised."""
FREEZE_FIELD: Final = "freeze"
"""Of META: JSON of the Freeze, while there is one."""
POSITION_FIELD: Final = "commands"
"""Of META: ID of the last command that was done, or refused."""

_state = msgspec.json.Decoder(GroupState).decode
_request = msgspec.json.Decoder(Request).decode
_reported = msgspec.json.Decoder(Reported).decode
_plan = msgspec.json.Decoder(Plan).decode
_audit = msgspec.json.Decoder(Audit).decode
_result = msgspec.json.Decoder(CommandResult).decode
_freeze = msgspec.json.Decoder(Freeze).decode
_loads = msgspec.json.Decoder(Loads).decode


def result_key(command_id: str) -> str:
    """Key of the result of a command."""
    return f"{{netmon:groups}}:result:{command_id}"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the audit; None for what this netmon does not know, or nobody can read."""

    entry_id: str
    audit: Audit | None = None


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """What stands beside the groups."""

    fence: int = 0
    """Number of the leader; 0: there has been none yet."""
    freeze: Freeze | None = None


class FailoverView(View):
    """Failover as the API, the command line and metrics see it; see `View` for how it fails.

    What no netmon has written is left out: others may write to these hashes, too.
    """

    stream = ACTIONS

    # -- what stands

    def groups(self) -> Iterator[GroupState]:
        """All groups, in no order; one may come twice, the later one counts."""
        return (state for _, state in self._values(GROUPS, _state))

    def group(self, group_id: str) -> GroupState | None:
        """One group; None when no controller has ever led for it."""
        return self._one(GROUPS, group_id, _state)

    def requests(self) -> list[Request]:
        """What operators want and has not ended, oldest first."""
        found = dict(self._values(REQUESTS, _request))
        return sorted(found.values(), key=lambda request: (request.unix_ns, request.id))

    def gateways(self) -> dict[str, Reported]:
        """Gateway ID to what it last reported, however long ago (`unix_ns`, by the gateway's clock)."""
        return dict(self._values(GATEWAYS, _reported))

    def gateway(self, gateway_id: str) -> Reported | None:
        """What one gateway last reported; None: never anything."""
        return self._one(GATEWAYS, gateway_id, _reported)

    def plan(self, gateway_id: str) -> Plan | None:
        """The plan that a gateway was last told; None: none yet."""
        return self._one(PLANS, gateway_id, _plan)

    def loads(self) -> Loads | None:
        """What the lines carry, as of a second ago; None: no controller has ever led."""
        body = self._ask(lambda client: client.get(LOADS))
        return None if body is None else readable(_loads, body)

    def meta(self) -> Meta:
        """What stands beside the groups."""
        fence, freeze = self._ask(lambda client: client.hmget(META, "fence", FREEZE_FIELD))
        number = int(fence) if fence is not None and fence.isdigit() else 0
        return Meta(fence=number, freeze=None if freeze is None else readable(_freeze, freeze))

    def has_controller(self) -> bool:
        """Whether a controller leads: without one, commands wait."""
        return bool(self._ask(lambda client: client.exists(LEASE)))

    # -- the audit

    def actions(self, after: str, *, block_ms: int | None = None, count: int = READ_MAX) -> list[Told]:
        """What came after an entry of the audit, oldest first; arguments as those of `entries`."""
        return [told_of(*entry) for entry in self.entries(after, block_ms=block_ms, count=count)]

    def newest_actions(self, count: int) -> list[Told]:
        """The last entries of the audit, oldest first."""
        entries = self._ask(lambda client: client.xrevrange(ACTIONS, count=count))
        return [told_of(*entry) for entry in reversed(entries)]

    # -- wishes

    def put_command(self, command: Command) -> None:
        """Asks the controller for something. The same ID again, within a day, does nothing."""
        body = msgspec.json.encode(command)
        self._ask(lambda client: client.xadd(COMMANDS, {"command": body}, maxlen=COMMAND_ENTRIES_MAX, approximate=True))

    def result(self, command_id: str) -> CommandResult | None:
        """What became of a command; None while it is not done, and a day after it was."""
        body = self._ask(lambda client: client.get(result_key(command_id)))
        return None if body is None else readable(_result, body)

    def ask(self, command: Command, timeout_s: float) -> CommandResult | None:
        """Puts a command and waits for what becomes of it; None when no controller has done it in time: it may be done later."""
        self.put_command(command)
        return self._until(lambda: self.result(command.id), timeout_s)


def told_of(entry_id: bytes, fields: dict[bytes, bytes]) -> Told:
    """An entry of the audit."""
    body = fields.get(b"action")
    return Told(entry_id=entry_id.decode(), audit=None if body is None else readable(_audit, body))
