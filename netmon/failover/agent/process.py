"""The agent of one gateway as a process: watch, edge, hand, centre, desk and disk, put together. `__main__` runs it.

Everything that happens wakes the edge, which compares what is with what should be; what it orders is begun in the same turn of the loop. An
order of the centre is written down before it is obeyed; a dead line is left first, and that is written down afterwards.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from typing import TYPE_CHECKING, Final

import msgspec

from netmon.active_probe.model import LineState
from netmon.active_probe.vantage.clock import SET_NS, Clock
from netmon.errors import ConfigError, UnavailableError, disk_cure
from netmon.failover.actuators.base import Mover, Order
from netmon.failover.agent import machine
from netmon.failover.agent.edge import Edge
from netmon.failover.agent.hand import Hand
from netmon.failover.agent.local import Answer, Desk, Question
from netmon.failover.agent.report import REPORT_FILE, AgentReport, CentreState, Moves, encode
from netmon.failover.agent.store import DESIRED_FILE, PLAN_FILE, Memory, Store
from netmon.failover.agent.watch import Watch
from netmon.failover.model import ActionResult, Request
from netmon.failover.plan.model import Beat, Desired, Plan, Reported, ReportedGroup
from netmon.failover.plan.sign import Public, Told, public_key
from netmon.failover.settings import AgentSettings
from netmon.log import limited, log
from netmon.supervisor.service import notify

if TYPE_CHECKING:
    from netmon.failover.agent.centre import Centre

FORCE_S: Final = 8 * 3_600.0
"""How long a forced switch stands for which nobody said it."""
LOOK_S: Final = 1.0
"""Between two looks at the clock and at the kernel."""


class Agent:
    """One gateway."""

    def __init__(self, settings: AgentSettings, mover: Mover | None = None) -> None:
        """Reads what is on the disk; nothing is asked or moved yet.

        Args:
            settings: What it is told.
            mover: What moves classes; None: as the settings say.

        Raises:
            ConfigError: A key, the broker or the folder cannot be used.
        """
        self._settings = settings
        self._folder = machine.folder(settings.directory)
        public = public_key(settings.verify_key, "verify_key")
        self._store = Store(self._folder, settings.gateway_id, public)
        self._clock = Clock()
        self._offset_ns = self._clock.told(0)
        self._boot_id = machine.boot_id()
        memory = self._store.memory()
        self._is_same_boot = memory.boot_id in {"", self._boot_id}
        self._edge = Edge(settings.gateway_id, self._now_ns(), fence=memory.fence, kept=memory.groups)
        self._mover = mover or machine.mover(settings, self._edge.is_down)
        self._centre = self._make_centre(public)
        self._desk = Desk(self._folder, self._answer)
        self._hand: Hand | None = None
        self._watch: Watch | None = None
        self._plan: Plan | None = None
        self._mistakes: tuple[str, ...] = ()
        self._is_fitted = self._was_alone = False
        self._groups: tuple[ReportedGroup, ...] = ()
        self._lines: dict[str, LineState] = {}
        self._heard_unix_ns = self._woken_ns = 0
        self._decided_s: dict[str, float] = {}
        self._left: dict[str, str] = {}
        """Group ID to where it was before the move that is under way ..."""
        self._ended: dict[str, str] = {}
        """... or before one that has ended, of which the log has to be told."""
        self._moves = Moves()
        self._timer: asyncio.TimerHandle | None = None
        self._new_plan, self._news, self._moved = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._stopping = asyncio.Event()
        self._fault: Exception | None = None
        self._unsaved: dict[str, bytes] = {}
        self._waiting: list[Order] = []
        self._noted = {each.state.group_id: (each.fence, each.generation) for each in memory.groups}
        """Group ID to the newest order that is on the disk."""
        self._recall()

    def _make_centre(self, public: Public) -> Centre | None:
        if self._settings.mqtt is None:
            return None
        from netmon.failover.agent.centre import Centre  # noqa: PLC0415 - a gateway without a broker needs no MQTT

        try:
            return Centre(self._settings.mqtt, self._settings.gateway_id, public, self._take, self._reported)
        except ConfigError as error:
            # A certificate that has run out of its file is no reason to leave traffic on dead lines.
            log.error(
                "agent.broker_unfit",
                mistakes=error.mistakes,
                cure="it works by the plan that it has until it is restarted",
            )
            return None

    def _recall(self) -> None:
        """Goes on with the plan and the desired state that were there before."""
        plan, desired = self._store.plan(), self._store.desired()
        if plan is not None:
            self._take_plan(plan)
        if desired is not None:
            self._edge.desired(desired, is_known=True)

    # -- run

    def stop(self) -> None:
        """Makes `run` return. Fit for a signal handler."""
        self._stopping.set()

    async def run(self) -> None:
        """Works until `stop`; then everything stays where it is."""
        log.info("agent.run_started", gateway=self._settings.gateway_id, plan=self._plan.version if self._plan else 0)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._hand = Hand(self._mover, tasks, self._hear_result)
                tasks.create_task(self._follow_plans(), name="plans")
                tasks.create_task(self._note_again(), name="notes")
                tasks.create_task(self._look_again(), name="looks")
                tasks.create_task(self._desk.run(), name="desk")
                if self._centre is not None:
                    tasks.create_task(self._centre.run(), name="centre")
                    tasks.create_task(self._tell_moves(self._centre), name="moves")
                tasks.create_task(self._await_stop(), name="stop")
        except* _StoppedError:
            pass
        finally:
            if self._timer is not None:
                self._timer.cancel()
            await self._mover.close()
            self._write()
            log.info("agent.run_stopped", gateway=self._settings.gateway_id)

    async def _await_stop(self) -> None:
        """Ends everything by being raised, when it is time."""
        notify(os.environ, "READY=1")
        await self._stopping.wait()
        if self._fault is not None:
            raise self._fault
        notify(os.environ, "STOPPING=1")
        if self._centre is not None:
            await self._centre.leave()
        raise _StoppedError

    async def _follow_plans(self) -> None:
        """Asks over the lines of the newest plan."""
        while True:
            await self._new_plan.wait()
            self._new_plan.clear()
            plan = self._plan
            assert plan is not None, "there is a new one"
            await self._fit(plan)
            self._watch = Watch(self._settings.gateway_id, plan.lines, self._settings.secrets, self._clock, self._wake)
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(self._watch.run(), name="watch")
                await self._new_plan.wait()
                asking.cancel()
            self._watch = None

    async def _fit(self, plan: Plan) -> None:
        """Has the kernel know the plan's classes; what it cannot is told, and tried again."""
        self._is_fitted = False
        try:
            await self._mover.take_plan(plan.groups, plan.lines)
            places = await self._mover.actual()
        except (ConfigError, UnavailableError) as error:
            mistakes = tuple(error.mistakes) if isinstance(error, ConfigError) else (error.detail,)
            if mistakes != self._mistakes:
                log.error("agent.plan_unfit", mistakes=mistakes, cure="until then nothing is moved; it is tried again")
            self._mistakes = mistakes
            return
        self._edge.actual(places, is_anew=not self._is_same_boot)
        self._is_same_boot = self._is_fitted = True
        self._mistakes = ()
        self._wake()

    async def _look_again(self) -> None:
        """What no message tells: the clock, the kernel, the silence of the centre."""
        written, due_s = b"", 0.0
        while True:
            self._follow_clock()
            await self._look()
            self._wake()
            report = self._report()
            changed = msgspec.json.encode((self._groups, self._lines, self._mistakes, report.centre))
            if changed != written or time.monotonic() >= due_s:
                written, due_s = changed, time.monotonic() + self._settings.report_s
                await asyncio.to_thread(self._write_report, report)
                if self._centre is not None:
                    self._centre.tell()
            notify(os.environ, "WATCHDOG=1")
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        if self._mistakes and self._plan is not None:
            await self._fit(self._plan)
        if not self._is_fitted:
            return
        moves = self._moves
        try:
            places = await self._mover.actual()
        except UnavailableError as error:
            limited.warning("agent.look_failed", reason=error.reason, detail=error.detail)
            return
        if self._moves == moves:
            self._edge.actual(places)

    # -- time

    def _now_ns(self) -> int:
        """Time of day that never goes back: when the clock is set, everything is moved along."""
        return self._clock.now_ns() + self._offset_ns

    def _follow_clock(self) -> None:
        if self._watch is None:
            self._clock.adjust()
        by_ns = self._clock.told(0) - self._offset_ns
        if abs(by_ns) > SET_NS:
            self._offset_ns += by_ns
            self._edge.shift(by_ns)
            log.info("agent.clock_followed", by_s=by_ns / 1e9)

    # -- what the centre says

    def _take(self, told: Told, message: bytes) -> None:
        """A message whose signature is good."""
        match told:
            case Plan():
                refused = self._take_plan(told)
                self._unsaved |= {} if refused else {PLAN_FILE: message}
            case Desired():
                refused = self._edge.desired(told)
                self._unsaved |= {} if refused else {DESIRED_FILE: message}
            case Beat():
                refused = self._edge.beat(told, self._now_ns())
                self._heard_unix_ns = self._heard_unix_ns if refused else self._now_ns()
        if refused:
            what = type(told).__name__.lower()
            limited.warning("agent.order_refused", reason=refused, what=what, fence=told.fence)
        elif not isinstance(told, Beat):
            self._news.set()
        self._wake()

    def _take_plan(self, plan: Plan) -> str:
        if plan == self._plan:
            return ""
        refused = self._edge.plan(plan, self._now_ns())
        if not refused:
            log.info("agent.plan_taken", version=plan.version, groups=len(plan.groups), lines=len(plan.lines))
            self._plan = plan
            self._new_plan.set()
        return refused

    # -- what is done

    def _wake(self) -> None:
        """Something has happened: all of it that comes at once is decided at once."""
        if not self._woken_ns:
            self._woken_ns = self._clock.now_ns()
            asyncio.get_running_loop().call_soon(self._step_or_end)

    def _step_or_end(self) -> None:
        """A fault of ours in here must not leave a process that looks alive and decides nothing."""
        try:
            self._step()
        except Exception as error:
            self._fault = error
            self._stopping.set()

    def _step(self) -> None:
        woken_ns, self._woken_ns = self._woken_ns, 0
        if not self._is_fitted or self._stopping.is_set():
            return
        now_ns = self._now_ns()
        for look in self._watch.looks(self._offset_ns) if self._watch is not None else ():
            self._edge.sight(look.sight, look.first_miss_unix_ns)
        turn = self._edge.step(now_ns)
        self._begin(turn.orders, turn.groups, woken_ns)
        self._arm(turn.due_unix_ns, now_ns)
        self._tell_changes(turn.groups, now_ns)

    def _begin(self, orders: list[Order], groups: tuple[ReportedGroup, ...], woken_ns: int) -> None:
        """Escapes at once; orders of the centre when it is on the disk that they were heard."""
        assert self._hand is not None, "runs"
        numbers = {each.group_id: (each.fence, each.generation) for each in groups}
        for order in orders:
            self._left[order.group_id] = order.before
            self._decided_s[order.group_id] = (self._clock.now_ns() - woken_ns) / 1e9
            if numbers[order.group_id] == self._noted.get(order.group_id, (0, 0)):
                self._hand.order([order])
            else:
                self._waiting.append(order)
                self._news.set()

    def _arm(self, due_unix_ns: int, now_ns: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due_unix_ns:
            delay_s = max(due_unix_ns - now_ns, 0) / 1e9
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._wake)

    def _hear_result(self, result: ActionResult) -> None:
        """What became of an order."""
        if result.outcome == "applied":
            decided = {"decide": self._decided_s.pop(result.group_id, 0.0)}
            result = msgspec.structs.replace(result, phases_s=decided | result.phases_s)
        elif result.outcome == "verified":
            self._ended[result.group_id] = self._left.pop(result.group_id, "")
            self._moves = Moves(verified=self._moves.verified + 1, failed=self._moves.failed)
        else:
            self._moves = Moves(verified=self._moves.verified, failed=self._moves.failed + 1)
            log.warning("agent.move_failed", group=result.group_id, on=result.on, detail=result.detail)
        self._edge.result(result, self._now_ns())
        self._moved.set()
        self._wake()

    # -- what is told

    def _tell_changes(self, groups: tuple[ReportedGroup, ...], now_ns: int) -> None:
        lines = {sight.line_id: sight.state for sight in self._edge.sights}
        if (groups, lines) != (self._groups, self._lines):
            phases = {each.group_id: each.phase for each in self._groups}
            for group in groups:
                if group.group_id in self._ended:
                    _tell_group(group, self._ended.pop(group.group_id))
                if phases.get(group.group_id, "NR") != group.phase:
                    tell = log.warning if group.phase == "NO_BACKUP" else log.info
                    tell("agent.phase_changed", group=group.group_id, phase=group.phase, on=group.on or "nowhere: shed")
            for line_id, state in lines.items():
                if self._lines.get(line_id, "unknown") != state:
                    log.info("agent.line_changed", line=line_id, state=state)
            self._groups, self._lines = groups, lines
            self._news.set()
            if self._centre is not None:
                self._centre.tell()
        is_alone = self._edge.is_alone(now_ns)
        if is_alone != self._was_alone:
            self._was_alone = is_alone
            tell = log.warning if is_alone else log.info
            tell("agent.centre_lost" if is_alone else "agent.centre_found", gateway=self._settings.gateway_id)

    async def _tell_moves(self, centre: Centre) -> None:
        """The broker may be reached by the line that was just left."""
        while True:
            await self._moved.wait()
            self._moved.clear()
            await centre.tell_surely()

    def _reported(self) -> Reported:
        reported = self._edge.reported(self._now_ns())
        bad = sum(self._centre.refused.values()) if self._centre is not None else 0
        return msgspec.structs.replace(reported, refused=reported.refused + bad)

    def _report(self) -> AgentReport:
        link = self._centre.state if self._centre is not None else None
        centre: CentreState = "heard" if self._heard_unix_ns else "awaited"
        if self._edge.is_alone(self._now_ns()):
            centre = "lost"
        return AgentReport(
            unix_ns=self._now_ns(),
            pid=os.getpid(),
            reported=self._reported(),
            centre="none" if link is None else centre,
            heard_unix_ns=self._heard_unix_ns,
            connected=link is not None and link.connected,
            why="" if link is None else link.why,
            plan_mistakes=self._mistakes,
            isolated=self._watch.isolated if self._watch is not None else "",
            dry_run=self._settings.dry_run,
            local=self._edge.forced,
            bad_signatures=dict(self._centre.refused) if self._centre is not None else {},
            moves=self._moves,
        )

    def _answer(self, question: Question) -> Answer:
        """What an operator at the gateway asks."""
        group_id = question.class_id
        if "/" not in group_id:
            group_id = f"{self._settings.gateway_id}/{group_id}"
        refused = ""
        match question.kind:
            case "force":
                refused = self._force(question, group_id)
            case "clear":
                refused = self._edge.clear(group_id)
        if not refused and question.kind != "status":
            event = "agent.switch_forced" if question.kind == "force" else "agent.switch_cleared"
            log.warning(event, group=group_id, line=question.line_id, by=question.by, why=question.why)
            self._news.set()
            self._wake()
        return Answer(refused=refused, report=self._report())

    def _force(self, question: Question, group_id: str) -> str:
        if not question.by or not question.why:
            return "who asks, and why? both are noted"
        now_ns = self._now_ns()
        request = Request(
            id=str(uuid.uuid4()),
            kind="forced",
            group_id=group_id,
            line_id=question.line_id,
            by=question.by,
            why=question.why,
            unix_ns=now_ns,
            until_unix_ns=now_ns + round((question.for_s or FORCE_S) * 1e9),
        )
        return self._edge.force(request, now_ns)

    # -- the disk

    async def _note_again(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            waiting, self._waiting = self._waiting, []
            unsaved, self._unsaved = self._unsaved, {}
            memory = self._memory()
            await asyncio.to_thread(self._note, unsaved, memory)
            self._noted |= {each.state.group_id: (each.fence, each.generation) for each in memory.groups}
            assert self._hand is not None, "runs"
            self._hand.order(waiting)

    def _memory(self) -> Memory:
        return Memory(boot_id=self._boot_id, fence=self._edge.fence, groups=self._edge.kept())

    def _note(self, unsaved: dict[str, bytes], memory: Memory) -> None:
        """In a thread."""
        for name, message in unsaved.items():
            self._store.keep_signed(name, message)
        self._store.keep(memory)

    def _write(self) -> None:
        """The last notes."""
        self._note(self._unsaved, self._memory())
        self._write_report(self._report())

    def _write_report(self, report: AgentReport) -> None:
        fresh = self._folder / f"{REPORT_FILE}.new"
        try:
            fresh.write_bytes(encode(report))
            fresh.replace(self._folder / REPORT_FILE)
        except OSError as error:
            limited.warning("agent.report_refused", reason=error.strerror, cure=disk_cure(error))


class _StoppedError(Exception):
    """`stop` was called."""


def _tell_group(group: ReportedGroup, before: str) -> None:
    """A class that has moved, for the log."""
    log.info(
        "agent.group_moved",
        group=group.group_id,
        on=group.on or "nowhere: shed",
        before=before or "nowhere: shed",
        by=group.by,
        reason=group.reason,
        phases_s={name: round(spent_s, 4) for name, spent_s in group.phases_s.items()},
    )
