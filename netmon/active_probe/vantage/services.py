"""Probes by services (TCP, HTTP, SNMP, MQTT): a task each, while the engine keeps their turns and their tracks."""

from __future__ import annotations

import asyncio
from typing import Final

from netmon.active_probe.probers import load_service_prober
from netmon.active_probe.probers.base import DETAIL_CHARS_MAX, Outcome, ServiceContext, ServiceProber
from netmon.active_probe.vantage.clock import Clock
from netmon.active_probe.vantage.engine import Engine
from netmon.active_probe.vantage.target import Target
from netmon.errors import ConfigError
from netmon.inventory.probes import AnyProbe, kind_of, label
from netmon.log import limited, log

UNDER_WAY_MAX: Final = 1_000
"""Probes at a time: each may have a socket, and TLS its memory."""
GRACE_S: Final = 0.25
"""A prober that has not come back so long after its time limit is stopped."""


class Refused:
    """In place of a prober that cannot be made: its probes cannot leave, and say why; the other lines are asked all the same."""

    def __init__(self, mistake: str) -> None:
        self._outcome = Outcome("local_error", None, mistake[:DETAIL_CHARS_MAX])

    async def probe(self, timeout_s: float) -> Outcome:  # noqa: ARG002 - takes no time
        """Always the same."""
        return self._outcome

    async def close(self) -> None:
        """Nothing is kept."""


def make_service(probe: AnyProbe, context: ServiceContext) -> ServiceProber:
    """The prober of a probe, or `Refused`."""
    try:
        return load_service_prober(kind_of(probe))(probe, context)
    except ConfigError as error:
        mistake, cure = "; ".join(error.mistakes), "netmon check"
    except ImportError as error:
        mistake, cure = f"{error.name} is not installed", f"pip install {error.name}"
    log.error("probe.prober_refused", line=context.line_id, probe=label(probe), reason=mistake, cure=cure)
    return Refused(mistake)


class Services:
    """Asks services for the engine."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._engine: Engine | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._under_way = 0
        self._let_go: set[Target] = set()
        """Who had a turn while the former probe was under way: asked as soon as that has ended."""

    def start(self, engine: Engine, tasks: asyncio.TaskGroup) -> None:
        """Works for this engine from now on."""
        self._engine, self._tasks = engine, tasks

    def ask(self, target: Target) -> None:
        """Begins one probe, unless the former one is still under way, or too many are."""
        assert self._engine is not None, "started"
        assert self._tasks is not None, "started"
        if target.busy or self._under_way >= UNDER_WAY_MAX:
            self._engine.counts.skipped += 1
            self._let_go.add(target)
            return
        target.busy = True
        self._under_way += 1
        self._let_go.discard(target)
        self._tasks.create_task(self._probe(target, self._engine), name=f"probe {target.key}")

    async def _probe(self, target: Target, engine: Engine) -> None:
        track, stalls = target.track, engine.counts.stalls
        started_ns = self._clock.now_ns()
        timeout_s = track.timeout_s()
        seq = target.number(started_ns)
        track.sent(seq, started_ns)
        engine.counts.probes_sent += 1
        try:
            outcome = await _outcome(target, timeout_s)
        finally:
            target.busy = False
            self._under_way -= 1
        if outcome.kind == "lost" and engine.counts.stalls != stalls:
            # Its time ran while nobody worked on the answer, which may have been there.
            outcome = Outcome("local_error", None, "this process was late")
        self._settle(target, seq, outcome, started_ns)
        if target in self._let_go and target.track.undecided:
            engine.hurry(target, self._clock.now_ns())
        self._let_go.discard(target)

    def _settle(self, target: Target, seq: int, outcome: Outcome, started_ns: int) -> None:
        engine, track, now_ns = self._engine, target.track, self._clock.now_ns()
        assert engine is not None, "started"
        match outcome.kind:
            case "reply":
                rtt_ns = now_ns - started_ns if outcome.rtt_s is None else int(outcome.rtt_s * 1e9)
                changed = track.replied(seq, rtt_ns, now_ns)
                engine.answer(target, started_ns)
            case "lost":
                changed = track.lost(seq, now_ns)
            case "failed":
                changed = track.failed(seq, outcome.detail, now_ns)
            case "local_error":
                engine.counts.local_errors += 1
                changed = track.local_error(seq, outcome.detail, now_ns)
        if changed:
            engine.note(target, now_ns)


async def _outcome(target: Target, timeout_s: float) -> Outcome:
    assert target.service is not None, "asked by a service"
    try:
        async with asyncio.timeout(timeout_s + GRACE_S):
            return await target.service.probe(timeout_s)
    except TimeoutError:
        return Outcome("lost")
    except Exception as error:
        # A fault of ours in one prober must not stop the thousands of others, and it says nothing of the line.
        limited.error("probe.prober_failed", reason=repr(error), probe=target.label, cure="tell its makers")
        return Outcome("local_error", None, type(error).__name__)
