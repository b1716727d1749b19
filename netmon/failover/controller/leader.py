"""One controller's time as the leader: what is heard goes into the coordinator, what it decides is written, and only then ordered.

What is known is in a `Kept`, which outlives this object when Redis has only been away: then Redis is brought up to what we know. When another
controller has led meanwhile, what it wrote counts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from itertools import islice
from typing import Final, Literal

import msgspec

from netmon.active_probe.vantage.clock import SET_NS, Clock
from netmon.buffer.alarm_reader import Batch, CommandReader
from netmon.buffer.failover_reader import AlarmsReader, PulseReader
from netmon.buffer.failover_store import COMMANDS, GROUPS, ORDERS, POSITION_FIELD
from netmon.buffer.failover_writer import FailoverWriter, Flush
from netmon.buffer.line_reader import LineReader
from netmon.failover.actuators.base import Way
from netmon.failover.controller import audit as audits
from netmon.failover.controller import commands, standing
from netmon.failover.controller.decisions import Decisions, Kept, parts
from netmon.failover.controller.dispatch import Dispatch
from netmon.failover.controller.intake import FENCE_STEP_MAX, Intake
from netmon.failover.controller.pending import Pending
from netmon.failover.controller.plans import Planner, View
from netmon.failover.controller.report import Counts
from netmon.failover.controller.standing import LED_FIELD, Standing
from netmon.failover.plan.model import Reported
from netmon.failover.record import Audit, Command, Loads
from netmon.failover.region.coordinator import Coordinator
from netmon.failover.settings import ControllerSettings
from netmon.log import limited, log

PATIENCE_NS: Final = 2_000_000_000
"""For so long after the lead was taken, nothing is decided before the lines have been read."""
SHARE_NS: Final = 1_000_000_000
"""Between two looks at what is not urgent: loads, reports of gateways, who is silent."""
COMMAND_BYTES_MAX: Final = 64 << 10
"""Of one command; a hundredth of it is what a person writes."""
LOADS_SHARE: Final = 100
"""What all lines carry is written again after so many times as long as it takes: a large region has better to do in a disaster."""
_SLEEP_MIN_S: Final = 0.001
"""Until a timer, so that one that is due for ever keeps no processor busy."""
_LEASE_SHARE: Final = 3
"""Renewals in the time of a lease."""
_GOOD_SHARE: Final = 2 / 3
"""Of a lease, from its renewal: later, nothing is ordered."""
_PART_MAX: Final = 2_000
"""Groups, gateways or plans of one transaction, where all are written."""

_PLANS_MAX: Final = 50
"""Plans of one transaction, or that are told again in one pass: each has some thousand octets."""
_PLANS_S: Final = 0.01
"""Between two such passes."""

News = Literal["", "pulse", "urgent"]
"""What has come: nothing; that all is as it was; what may lead to orders."""

_ID: Final = re.compile(rb"\d{1,20}-\d{1,20}")
_command = msgspec.json.Decoder(Command).decode


class Leader:
    """Failover while this process leads.

    Attributes:
        kept: What is known.
        intake: What has been heard.
        decisions: What follows from it.
        plans: Of the gateways.
        usable_bps: Line ID to what of it is given away.
        calm_until_unix_ns: Before this nothing moves that can wait: the leader is new.
        lag_s: Largest time between news and the orders that follow from it; whoever reports it sets it back.
    """

    def __init__(
        self,
        settings: ControllerSettings,
        writer: FailoverWriter,
        name: str,
        counts: Counts,
        *,
        kept: Kept | None,
        fence_known: int,
        ring: Callable[[], None],
    ) -> None:
        """Reads everything from Redis. Raises UnavailableError.

        Args:
            settings: Of the process.
            writer: It has just taken the lease.
            name: Of this controller, the same after a restart.
            counts: Counted up here.
            kept: What we knew when we last led, if nobody else has led since.
            fence_known: The greatest number of a leader that we have heard of.
            ring: Called by other threads when there is something to work on.
        """
        self._began_ns, now_unix_ns = time.monotonic_ns(), time.time_ns()
        self._clock = Clock()
        self._offset_ns = self._clock.told(0)
        self.lag_s = 0.0
        self._settings, self._writer, self._counts = settings, writer, counts
        stands = standing.load(writer, counts)
        self._is_unknown = writer.fence == 1 and kept is None
        """Redis knows of no leader, and so do we."""
        if writer.fence == 1:
            # Redis knows of no leader, which may be because it has lost everything: a carrier that knows would refuse all that we ask.
            fence_known = max(fence_known, now_unix_ns // 1_000_000_000)
        writer.raise_fence(max(fence_known, _fence_in(stands, max(writer.fence, fence_known))))
        self.calm_until_unix_ns = 0
        if kept is None and stands.led != name:
            self.calm_until_unix_ns = now_unix_ns + int(settings.lock_delay_s * 1e9)
        self._was_kept = kept is not None
        self.kept = kept or self._go_on(stands, now_unix_ns)
        self.kept.coordinator.fence = writer.fence
        self.kept.pending.under(writer.fence)
        self.intake = Intake(self.kept.coordinator, settings, counts, mono_ns=self._began_ns, fence=writer.fence)
        for reported in stands.gateways.values():
            self.intake.remember(reported, now_unix_ns)
        self.decisions = Decisions(settings, self.kept, self.intake, counts, writer.fence)
        self.plans = Planner(settings, stands.plans, writer.fence, ring)
        self._dispatch = Dispatch(settings, writer.fence, ring)
        self._readers = (
            LineReader(settings.redis, b"0-0", ring, "failover.lines"),
            PulseReader(settings.redis, ring),
            AlarmsReader(settings.redis, ring, with_ports=settings.trap_trust is not None),
            CommandReader(
                settings.redis,
                "failover.commands",
                COMMANDS,
                stands.position if _ID.fullmatch(stands.position) else b"0-0",
                ring,
            ),
        )
        self.usable_bps: dict[str, int] = {}
        self._plans_again = list(self.plans.known.values())
        """That are still to be told again, some with each pass: orders do not wait behind ten thousand plans."""
        self._read: set[str] = set()
        self._share_due = self._loads_due = 0
        self._are_loads_due = True
        self._has_obeyed = False
        self._lease_due = self._good_until_ns = 0
        self._stands: Standing | None = stands
        self._name = name

    def begin(self) -> None:
        """Brings Redis up to what we know, gives again what is under way, and begins to listen. Raises UnavailableError."""
        now_unix_ns, stands = self._now_ns(), self._stands
        assert stands is not None, "it has begun"
        self._bring_up(stands, self._name, now_unix_ns)
        self._renew(time.monotonic_ns())
        self.decisions.give_again(now_unix_ns)
        self._dispatch.start()
        self._flush()
        self.plans.start(time.time_ns)
        for reader in self._readers:
            reader.start()
        log.info(
            "failover.lead_taken",
            fence=self._writer.fence,
            groups=len(self._settings.groups),
            stored=len(stands.states),
            kept=self._was_kept,
            load_s=round((time.monotonic_ns() - self._began_ns) / 1e9, 3),
        )
        self._stands = None

    def close(self) -> None:
        """Ends readers and actuators; nothing goes out any more."""
        for reader in self._readers:
            reader.stop()
        self.plans.stop()
        self._dispatch.close()

    def leave(self) -> None:
        """Writes what is left to write, and hands over: what waits for its turn is ordered by whoever leads next. Raises UnavailableError."""
        self._dispatch.good_until(0.0)
        self._flush()
        self._writer.release()

    def ways(self) -> dict[str, Way]:
        """How orders get to gateways, as it is now."""
        return self._dispatch.ways()

    # -- what stood before

    def _go_on(self, stands: Standing, now_unix_ns: int) -> Kept:
        """What the leader before has left."""
        settings, pending = self._settings, Pending()
        coordinator = Coordinator(
            settings.lines,
            settings.groups,
            stands.states.values(),
            started_unix_ns=now_unix_ns,
            calm_from_unix_ns=self.calm_until_unix_ns,
        )
        for request in sorted(stands.requests.values(), key=lambda request: (request.unix_ns, request.id)):
            if coordinator.ask(request, now_unix_ns):
                # Its end has come, or the region has changed.
                pending.audits.append(audits.of_expiry(request, fence=self._writer.fence, unix_ns=now_unix_ns))
        if stands.freeze is not None:
            coordinator.freeze(stands.freeze, now_unix_ns)
        return Kept(
            coordinator, pending, {name: stands.orders[name] for name in stands.orders if name in coordinator.states}
        )

    def _bring_up(self, stands: Standing, name: str, now_unix_ns: int) -> None:
        """Writes what Redis does not have, or has otherwise, and drops what it should not have. Raises UnavailableError."""
        coordinator, pending, orders = self.kept
        gone: dict[str, list[str | bytes]] = {key: list(fields) for key, fields in stands.rubbish.items()}
        for key, known in ((GROUPS, stands.states), (ORDERS, stands.orders)):
            gone.setdefault(key, []).extend(group_id for group_id in known if group_id not in coordinator.states)
        self._writer.flush(Flush(gone=gone, meta={LED_FIELD: name}))
        differing = (state for name, state in coordinator.states.items() if stands.states.get(name) != state)
        while states := list(islice(differing, _PART_MAX)):
            self._writer.flush(Flush(states=states))
        missing = (order for name, order in orders.items() if name not in stands.orders and name not in pending.orders)
        while some := list(islice(missing, _PART_MAX)):
            self._writer.flush(Flush(orders=some))
        requests = self.decisions.requests
        pending.request(requests.values(), stands.requests.keys() - requests.keys())
        pending.freeze(self.decisions.frozen)
        pending.audits.append(Audit(kind="lead", unix_ns=now_unix_ns, fence=self._writer.fence, why=name))

    # -- one pass

    def work(self) -> float:
        """Takes what has come, decides, writes, orders; returns how long to sleep, in seconds.

        Raises:
            UnavailableError: Redis does not answer, or another process leads: this time as the leader is over.
        """
        mono_ns = time.monotonic_ns()
        self._follow_clock()
        if mono_ns >= self._lease_due:
            was_away = mono_ns >= self._good_until_ns
            self._renew(mono_ns)
            if was_away:
                # We were stopped, or Redis was: who has not been heard meanwhile may have spoken.
                self.intake.forgive(mono_ns)
        news = self._take(mono_ns)
        if not self._is_ready(mono_ns):
            return 0.0 if news else _until(min(self._lease_due, self._began_ns + PATIENCE_NS))
        now_unix_ns = self._now_ns()
        decided = self.kept.coordinator.step(now_unix_ns)
        self._counts.steps += 1
        is_share_due = mono_ns >= self._share_due
        if decided.states or self._has_obeyed or is_share_due:
            # Before anything is written: a command is done when what it asked for stands, not earlier.
            self._has_obeyed = False
            self.decisions.follow_up(now_unix_ns)
        for part in parts(decided):
            # When a region fails, sirens are on their way before what is decided for cameras is so much as written.
            self.decisions.note(part, now_unix_ns)
            self._flush()
        if self._is_unknown:
            self._is_unknown = False
            self.decisions.state_all(now_unix_ns)
        self._are_loads_due = self._are_loads_due or bool(decided.states)
        if is_share_due:
            self._share_due = mono_ns + SHARE_NS
            self._share(mono_ns, now_unix_ns)
        self._flush()
        if news == "urgent":
            self.lag_s = max(self.lag_s, (time.monotonic_ns() - mono_ns) / 1e9)
        if self._plans_again:
            some, self._plans_again = self._plans_again[:_PLANS_MAX], self._plans_again[_PLANS_MAX:]
            self._dispatch.plan([self.plans.known[plan.gateway_id] for plan in some])
        if news or self._plans_again:
            return 0.0 if news else _PLANS_S
        sleep_s = _until(min(self._lease_due, self._share_due))
        if decided.due_unix_ns:
            sleep_s = min(sleep_s, max((decided.due_unix_ns - self._now_ns()) / 1e9, _SLEEP_MIN_S))
        return sleep_s

    def _is_ready(self, mono_ns: int) -> bool:
        """Whether enough has been read to decide: what is unknown only for a moment must end no timer, and move nothing that is well."""
        if mono_ns - self._began_ns > PATIENCE_NS:
            return True
        has_heard = not self._is_unknown or self.intake.told.issuperset(self.intake.agents)
        return has_heard and {"lines", "pulse"} <= self._read

    def _now_ns(self) -> int:
        """The time of day as far as it is followed: it moves on by itself, and jumps in `_follow_clock` alone."""
        return self._clock.now_ns() + self._offset_ns

    def _follow_clock(self) -> None:
        """When the clock is set, timers run on as if it had not been: no return is earlier for it, and no order has failed by it."""
        self._clock.adjust()
        by_ns = self._clock.told(0) - self._offset_ns
        if abs(by_ns) > SET_NS:
            self._offset_ns += by_ns
            self.decisions.shift(by_ns)
            log.warning("failover.clock_followed", by_s=by_ns / 1e9)

    def _renew(self, mono_ns: int) -> None:
        """Says that we live. Raises UnavailableError."""
        lease_ns = int(self._settings.lease_s * 1e9)
        self._writer.renew()
        self._lease_due = mono_ns + lease_ns // _LEASE_SHARE
        self._good_until_ns = mono_ns + int(lease_ns * _GOOD_SHARE)
        self._dispatch.good_until(self._good_until_ns / 1e9)

    # -- what comes in

    def _take(self, mono_ns: int) -> News:
        """Takes what the readers and the actuators have, one reply of each. Raises UnavailableError."""
        now_unix_ns = self._now_ns()
        news: News = ""
        for batch in [batch for reader in self._readers for batch in reader.take()]:
            self._read.add(batch.kind)
            news = "urgent" if batch.kind != "pulse" else news or "pulse"
            if batch.kind == "lines":
                self.intake.lines(batch, now_unix_ns)
            elif batch.kind == "pulse":
                self.intake.pulse(batch, now_unix_ns, mono_ns)
            elif batch.kind == "alarms":
                self.intake.alarms(batch)
            else:
                self._obey(batch, now_unix_ns)
        events = self._dispatch.take()
        for reported in events.reports:
            self._hear(reported, now_unix_ns, mono_ns)
        for result in events.results:
            self.decisions.result(result, now_unix_ns)
        for actual in events.actual:
            self.decisions.compare(actual, now_unix_ns)
        self.kept.pending.plans |= self.plans.take(_PLANS_MAX)
        if self.intake.fence_heard > self._writer.fence:
            self._raise_fence(now_unix_ns)
        return "urgent" if events.reports or events.results else news

    def _hear(self, reported: Reported, now_unix_ns: int, mono_ns: int) -> None:
        is_first = reported.gateway_id not in self.intake.gateways
        self.intake.gateway(reported, now_unix_ns, mono_ns)
        if is_first:
            self.decisions.restate(reported.gateway_id)

    def _raise_fence(self, now_unix_ns: int) -> None:
        """Somebody knows a greater number than ours: Redis has lost what a leader had written there. Raises UnavailableError."""
        self._writer.raise_fence(self.intake.fence_heard)
        fence = self.decisions.fence = self.kept.coordinator.fence = self._writer.fence
        self._counts.fences_raised += 1
        self.kept.pending.under(fence)
        self._dispatch.lead(fence)
        self.plans.lead(fence)
        reason = "an actuator knew a greater one: Redis has lost what a former leader wrote"
        log.warning("failover.fence_raised", fence=fence, reason=reason)
        self.decisions.give_again(now_unix_ns)

    def _obey(self, batch: Batch, now_unix_ns: int) -> None:
        """Does what operators want, each command once. Raises UnavailableError."""
        wanted: dict[str, Command] = {}
        for entry_id, fields in batch.entries:
            is_one = len(fields) == 2 and fields[0] == b"command" and len(fields[1]) <= COMMAND_BYTES_MAX
            try:
                command = _command(fields[1] if is_one else b"")
            except (msgspec.DecodeError, RecursionError, ValueError) as error:
                self._unreadable(entry_id, str(error))
                continue
            if commands.is_readable(command):
                wanted.setdefault(command.id, command)
            else:
                self._unreadable(entry_id, "its id is not 1 to 64 letters without spaces")
        done = self._writer.known_results(list(wanted)) | {each.command_id for each in self.kept.pending.results}
        for command in wanted.values():
            if command.id not in done:
                self.decisions.obey(command, now_unix_ns)
        self.kept.pending.meta[POSITION_FIELD] = batch.entries[-1][0]
        self._has_obeyed = True

    def _unreadable(self, entry_id: bytes, detail: str) -> None:
        self._counts.commands_unreadable += 1
        limited.warning("failover.command_unreadable", entry=entry_id.decode(), detail=detail[:200])

    # -- what is not urgent

    def _share(self, mono_ns: int, now_unix_ns: int) -> None:
        """Looks who is silent, and writes what others read."""
        pending, intake = self.kept.pending, self.intake
        intake.tend(mono_ns)
        for gateway_id in list(islice(intake.told, _PART_MAX)):
            intake.told.discard(gateway_id)
            pending.gateways[gateway_id] = intake.gateways[gateway_id]
        if self._are_loads_due and mono_ns >= self._loads_due:
            self._are_loads_due = False
            pending.loads = self._loads(now_unix_ns)
            took_ns = time.monotonic_ns() - mono_ns
            self._loads_due = mono_ns + LOADS_SHARE * took_ns
        self.plans.see(self._view())

    def _loads(self, now_unix_ns: int) -> Loads:
        loads = self.kept.coordinator.loads
        self.usable_bps = {line_id: load.usable_bps for line_id, load in loads.items()}
        _, shed_bps = self.decisions.tally.shed()
        return Loads(unix_ns=now_unix_ns, lines=tuple(loads[line_id] for line_id in sorted(loads)), shed_bps=shed_bps)

    def _view(self) -> View:
        coordinator = self.kept.coordinator
        return View(
            failed=coordinator.failed,
            failing=coordinator.failing,
            locked=frozenset(
                (request.group_id, request.line_id)
                for request in self.decisions.requests.values()
                if request.kind == "lockout" and request.line_id
            ),
        )

    # -- writing

    def _flush(self) -> None:
        """Writes what has been decided; then hands out what was ordered. Raises UnavailableError."""
        pending = self.kept.pending
        if not pending.is_empty:
            self._writer.flush(pending.flush())
            self._counts.flushes += 1
        orders = [*pending.orders.values(), *pending.restated.values()]
        plans = list(pending.plans.values())
        pending.clear()
        if not orders and not plans:
            return
        if time.monotonic_ns() >= self._good_until_ns:
            # What was written took as long as a lease: it is asked whether we lead still.
            self._renew(time.monotonic_ns())
        self._counts.orders += len(orders)
        self._counts.plans_pushed += len(plans)
        self._dispatch.order(orders)
        self._dispatch.plan(plans)


def _fence_in(stands: Standing, known: int) -> int:
    """The greatest number of a leader that is told of in what stands, if anybody can have meant it."""
    told = [order.fence for order in stands.orders.values()]
    told += [
        max((reported.fence, *(group.fence for group in reported.groups))) for reported in stands.gateways.values()
    ]
    told += [plan.fence for plan in stands.plans.values()]
    return max((fence for fence in told if fence <= known + FENCE_STEP_MAX), default=0)


def _until(mono_ns: int) -> float:
    return max(mono_ns - time.monotonic_ns(), 0) / 1e9
