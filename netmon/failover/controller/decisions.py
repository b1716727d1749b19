"""From what the coordinator decides to what is written and ordered: states, orders, audit, what operators' requests have become.

No I/O: everything goes into a `Pending`, which the leader writes and then hands out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from netmon.failover.actuators.base import Order
from netmon.failover.controller import audit as audits
from netmon.failover.controller import commands
from netmon.failover.controller.dispatch import Actual
from netmon.failover.controller.intake import Intake
from netmon.failover.controller.pending import Pending
from netmon.failover.controller.report import Counts
from netmon.failover.controller.tally import Tally, count_audit, refuse
from netmon.failover.model import Action, ActionResult, Freeze, Group, GroupState, Request
from netmon.failover.plan.model import Reported, ReportedGroup
from netmon.failover.record import Audit, Command, CommandResult
from netmon.failover.region.coordinator import Coordinator, Decided
from netmon.failover.settings import ControllerSettings
from netmon.log import limited, log

_UNKNOWN: Final = "Redis knows of no leader, so nobody knows what was ordered before; this is where it belongs"
GROUPS_MAX: Final = 200
"""That something is done with, in one transaction."""


class Kept(NamedTuple):
    """What we know, for when we lead again and nobody else has led since."""

    coordinator: Coordinator
    pending: Pending
    orders: dict[str, Order]
    """Group ID to its newest order."""


class _Timing(NamedTuple):
    """How long it took until a switch was ordered."""

    generation: int
    phases_s: dict[str, float]


class Decisions:
    """One time as the leader.

    Attributes:
        fence: Our number.
        tally: The groups, counted.
        requests: Operators' requests that are in force, by ID.
        frozen: Why nothing moves by itself; None: it is not so.
    """

    def __init__(self, settings: ControllerSettings, kept: Kept, intake: Intake, counts: Counts, fence: int) -> None:
        """Prepares."""
        self.fence = fence
        self._coordinator, self._pending, self._orders = kept
        self._intake = intake
        self._counts = counts
        self._groups: dict[str, Group] = {group.id: group for group in settings.groups}
        self._agents = {gateway.gateway_id for gateway in settings.gateways if gateway.actuator == "agent"}
        self._mute = {
            gateway.gateway_id for gateway in settings.gateways if gateway.actuator in ("webhook", "iota_json")
        }
        """Gateways that obey, and do not tell where their groups are."""
        self._group_ids: dict[str, list[str]] = {}
        for group in settings.groups:
            self._group_ids.setdefault(group.gateway_id, []).append(group.id)
        self._before: dict[str, GroupState] = dict(self._coordinator.states)
        self.tally = Tally(self._groups, self._before.values())
        self.requests = self._in_force()
        self.frozen = self._coordinator.frozen
        self._results: dict[str, ActionResult] = {}
        self._unreachable: dict[str, int] = {}
        """Group ID to the generation of which that was told."""
        self._timings: dict[str, _Timing] = {}
        self._cleared: set[str] = set()
        """Groups whose requests were taken back since the last look."""
        self._unfrozen_by = ""

    # -- what was decided

    def note(self, decided: Decided, now_unix_ns: int) -> None:
        """Takes a decision in."""
        states = {state.group_id: state for state in decided.states}
        for group_id, after in states.items():
            before = self._before.get(group_id, after)
            self._tell_change(before, after, now_unix_ns)
            self._before[group_id] = after
            self.tally.put(after)
        self._pending.states |= states
        for action in decided.actions:
            self._act(action, now_unix_ns)
        for gateway_id in decided.gateways:
            self.restate(gateway_id)
        if decided.actions:
            given = sum(action.kind in ("switch", "abandon") for action in decided.actions)
            log.info("failover.decided", actions=len(decided.actions), orders=given, groups=len(states))

    def shift(self, by_ns: int) -> None:
        """The clock was set by so much."""
        for state in self._coordinator.shift(by_ns):
            self._before[state.group_id] = self._pending.states[state.group_id] = state
            self.tally.put(state)

    def _act(self, action: Action, now_unix_ns: int) -> None:
        state = self._coordinator.states[action.group_id]
        request = action.request or self._request_of(state)
        self.tell(
            audits.of_action(
                action,
                state,
                fence=self.fence,
                unix_ns=now_unix_ns,
                evidence=self._coordinator.evidence(action),
                request=request,
            )
        )
        if action.kind == "page":
            limited.warning("failover.people_called", group=action.group_id, word=action.text)
        if action.kind not in ("switch", "abandon"):
            return
        group = self._groups[action.group_id]
        order = Order(
            group_id=group.id,
            gateway_id=group.gateway_id,
            class_id=group.class_id,
            fence=self.fence,
            generation=action.generation,
            on=action.to,
            before=action.before,
            phase=state.phase,
            reason=action.reason,
            forced=action.forced,
            locked=self._coordinator.locked(group.id),
            avoid=self._coordinator.avoid(group.id),
            delay_s=0.0 if action.urgent else self._coordinator.delay_s(action),
            unix_ns=now_unix_ns,
        )
        self._order(order)
        if action.kind == "switch":
            self._time(action, now_unix_ns)

    def _order(self, order: Order) -> None:
        self._orders[order.group_id] = order
        self._pending.order(order)

    def _time(self, action: Action, now_unix_ns: int) -> None:
        """Notes how long it took from the first probe that was missing to the order, of an escape from a line."""
        phases_s: dict[str, float] = {}
        if action.reason == "signal_fail" and (found := self._intake.failed(action.before)) is not None:
            group, state = self._groups[action.group_id], self._coordinator.states[action.group_id]
            hold_ns = min(int(group.timers.hold_off_s * 1e9), max(now_unix_ns - found.since_unix_ns, 0))
            if found.detect_s is not None:
                phases_s["detect"] = found.detect_s
            phases_s["hold"] = hold_ns / 1e9
            is_first = state.attempt is None or not state.tried
            if is_first:
                phases_s["decide"] = max(now_unix_ns - found.since_unix_ns - hold_ns, 0) / 1e9
        self._timings[action.group_id] = _Timing(action.generation, phases_s)

    def _tell_change(self, before: GroupState, after: GroupState, now_unix_ns: int) -> None:
        tried = before.attempt
        timing = self._timings.get(after.group_id)
        is_timed = tried is not None and timing is not None and timing.generation == tried.generation
        phases_s = timing.phases_s if timing is not None and is_timed else {}
        told = self._told_of(before)
        for entry in audits.of_change(before, after, told, fence=self.fence, unix_ns=now_unix_ns, phases_s=phases_s):
            self.tell(entry)
            if entry.kind in ("adopted", "failed", "refused"):
                limited.warning(
                    f"failover.group_{entry.kind}",
                    group=entry.group,
                    before=entry.before,
                    to=entry.to,
                    detail=entry.why,
                )

    def _told_of(self, before: GroupState) -> audits.Told | None:
        """What was last told of a group: of its attempt, if that has been said, else where its gateway has it."""
        result, attempt = self._results.get(before.group_id), before.attempt
        if result is not None and attempt is not None and result.generation == attempt.generation:
            return result
        group = self._groups.get(before.group_id)
        return None if group is None else self._intake.reported(group.gateway_id, before.group_id)

    def tell(self, entry: Audit) -> None:
        """Takes an entry of the audit."""
        self._pending.audits.append(entry)
        count_audit(self._counts, entry)

    # -- what is told again

    def restate(self, gateway_id: str) -> None:
        """Tells a gateway with an agent again what is wanted of it, with what it may do by itself now.

        What was ordered stands under the number that it was ordered under, and what never was under the number that the gateway has dealt with
        last: it is no order, and a gateway that has moved by itself since stays where it is.
        """
        if gateway_id not in self._agents:
            return
        for group_id in self._group_ids.get(gateway_id, ()):
            order = self._orders.get(group_id)
            if order is not None:
                self._pending.restate(self._as_now(order))
            elif self._coordinator.locked(group_id) or self._coordinator.avoid(group_id):
                self._pending.restate(self._as_now(self._known(group_id)))

    def _as_now(self, order: Order) -> Order:
        return msgspec.structs.replace(
            order,
            locked=self._coordinator.locked(order.group_id),
            avoid=self._coordinator.avoid(order.group_id),
            phase=self._coordinator.states[order.group_id].phase,
            delay_s=0.0,
        )

    def _known(self, group_id: str) -> Order:
        """What stands of a group that we have ordered nothing of."""
        group, state = self._groups[group_id], self._coordinator.states[group_id]
        reported = self._intake.reported(group.gateway_id, group_id)
        return Order(
            group_id=group_id,
            gateway_id=group.gateway_id,
            class_id=group.class_id,
            fence=0 if reported is None else reported.fence,
            generation=0 if reported is None else reported.generation,
            on=state.on if reported is None else reported.on,
            phase=state.phase,
            unix_ns=0,
        )

    def state_all(self, now_unix_ns: int) -> None:
        """Orders groups of which nobody knows where they are, and nobody can tell, to be where they are thought to be.

        Redis knows of no leader. If it is a new one, that changes nothing; if it has lost everything, it puts right what was moved before.
        """
        for group in self._groups.values():
            state = self._coordinator.states[group.id]
            if group.mode != "act" or group.gateway_id not in self._mute or group.id in self._orders or state.attempt:
                continue
            stands = self._as_now(self._known(group.id))
            self._order(msgspec.structs.replace(stands, fence=self.fence, reason="reconcile", unix_ns=now_unix_ns))
            entry = Audit(
                kind="intent",
                unix_ns=now_unix_ns,
                fence=self.fence,
                group=group.id,
                generation=stands.generation,
                before=stands.on,
                to=stands.on,
                phase=stands.phase,
                reason="reconcile",
                evidence=(_UNKNOWN,),
            )
            self.tell(entry)

    def give_again(self, now_unix_ns: int) -> None:
        """Orders once more, under our number, what is under way; and tells gateways once more what was ordered of them before."""
        for group_id, order in list(self._orders.items()):
            attempt = self._coordinator.states[group_id].attempt
            is_open = attempt is not None and attempt.stage in ("ordered", "applied")
            if is_open and attempt is not None and attempt.generation == order.generation:
                left_ns = order.unix_ns + int(order.delay_s * 1e9) - now_unix_ns
                delay_s = min(max(left_ns / 1e9, 0.0), order.delay_s)
                again = msgspec.structs.replace(order, fence=self.fence, delay_s=delay_s, unix_ns=now_unix_ns)
                self._order(again)
            elif order.gateway_id in self._agents:
                self._pending.restate(self._as_now(order))

    # -- what was heard of orders

    def result(self, result: ActionResult, now_unix_ns: int) -> None:
        """Takes what an actuator tells."""
        state = self._coordinator.states.get(result.group_id)
        if state is None:
            return
        self._results[result.group_id] = result
        self._coordinator.result(result)
        attempt = state.attempt
        if result.outcome != "unreachable" or attempt is None or attempt.generation != result.generation:
            return
        if self._unreachable.get(result.group_id) == result.generation:
            return
        self._unreachable[result.group_id] = result.generation
        self.tell(
            Audit(
                kind="unreachable",
                unix_ns=now_unix_ns,
                fence=self.fence,
                group=result.group_id,
                generation=result.generation,
                before=state.on,
                to=attempt.to,
                phase=state.phase,
                reason=attempt.reason,
                why=audits.cut(result.detail),
            )
        )

    def compare(self, actual: Actual, now_unix_ns: int) -> None:
        """Tells the coordinator where groups are whose gateways tell nothing by themselves, but for those that are being moved."""
        found: dict[str, list[ReportedGroup]] = {}
        for group_id, on in actual.on.items():
            group, state = self._groups.get(group_id), self._coordinator.states.get(group_id)
            if group is None or state is None or state.attempt is not None or state.on == on:
                continue
            ordered = self._orders.get(group_id)
            if max(state.since_unix_ns, 0 if ordered is None else ordered.unix_ns) < actual.unix_ns:
                told = ReportedGroup(group_id=group_id, on=on, fence=self.fence, generation=state.generation)
                found.setdefault(group.gateway_id, []).append(told)
        for gateway_id, groups in found.items():
            self._coordinator.see_gateway(_read(gateway_id, groups, actual.unix_ns), now_unix_ns)

    # -- what operators want

    def obey(self, command: Command, now_unix_ns: int) -> None:
        """Does what an operator wants, or refuses it."""
        self._counts.commands[command.kind] = self._counts.commands.get(command.kind, 0) + 1
        result, word = commands.obey(command, self._coordinator, now_unix_ns)
        if word:
            refuse(self._counts, f"command_{word}")
        elif command.kind == "clear":
            self._cleared.add(command.group_id)
        elif command.kind == "unfreeze":
            self._unfrozen_by = command.by
        self._pending.results.append(result)
        self.tell(audits.of_command(command, result, fence=self.fence, unix_ns=now_unix_ns))
        _log_command(command, result)

    def follow_up(self, now_unix_ns: int) -> None:
        """Finds out which requests are in force now, and whether the region is frozen."""
        now = self._in_force()
        if now.keys() != self.requests.keys():
            gone = self.requests.keys() - now.keys()
            self._pending.request((now[name] for name in now.keys() - self.requests.keys()), gone)
            for request in (self.requests[name] for name in sorted(gone)):
                if request.group_id not in self._cleared:
                    self.tell(audits.of_expiry(request, fence=self.fence, unix_ns=now_unix_ns))
            self.requests = now
        self._cleared.clear()
        if self._coordinator.frozen != self.frozen:
            self._tell_freeze(self._coordinator.frozen, now_unix_ns)
            self.frozen = self._coordinator.frozen
        self._unfrozen_by = ""

    def _tell_freeze(self, freeze: Freeze | None, now_unix_ns: int) -> None:
        self._pending.freeze(freeze)
        if freeze is None:
            by = self._unfrozen_by or "netmon"
            self.tell(Audit(kind="unfreeze", unix_ns=now_unix_ns, fence=self.fence, by=audits.cut(by)))
            log.info("failover.region_unfrozen", by=by)
        else:
            why = audits.cut(freeze.why)
            self.tell(Audit(kind="freeze", unix_ns=now_unix_ns, fence=self.fence, by=audits.cut(freeze.by), why=why))
            cure = "nothing moves by itself; netmon failover unfreeze lifts it"
            log.warning("failover.region_frozen", by=freeze.by, why=why, cure=cure)

    def _in_force(self) -> dict[str, Request]:
        return {request.id: request for asked in self._coordinator.requests.values() for request in asked}

    def _request_of(self, state: GroupState) -> Request | None:
        asked: Iterable[Request] = self._coordinator.requests.get(state.group_id, ())
        return next((request for request in asked if request.id == state.request_id), None)


def _read(gateway_id: str, groups: Iterable[ReportedGroup], unix_ns: int) -> Reported:
    """What was read from whatever moves a gateway's traffic, as if the gateway had told it."""
    return Reported(gateway_id=gateway_id, beat=unix_ns, started_unix_ns=1, unix_ns=unix_ns, groups=tuple(groups))


def _log_command(command: Command, result: CommandResult) -> None:
    log.info(
        "failover.command_done" if result.outcome == "done" else "failover.command_refused",
        kind=command.kind,
        group=audits.cut(command.group_id),
        line=audits.cut(command.line_id),
        by=audits.cut(command.by),
        detail=result.detail,
    )


def parts(decided: Decided) -> Iterator[Decided]:
    """A decision in parts that are written one after the other, in its order; all that concerns one group is in the same one."""
    states = {state.group_id: state for state in decided.states}
    by_group: dict[str, list[Action]] = {}
    for action in decided.actions:
        by_group.setdefault(action.group_id, []).append(action)
    names = list(by_group)
    for at in range(0, len(names), GROUPS_MAX):
        some = names[at : at + GROUPS_MAX]
        actions = [action for name in some for action in by_group[name]]
        yield Decided(actions, [states.pop(name) for name in some if name in states], [], 0)
    if states or decided.gateways:
        yield Decided([], list(states.values()), decided.gateways, 0)
