"""The alarms of the netmon under test as they stand in Redis, once its worker has seen everything."""

from __future__ import annotations

import time
from typing import Final

import msgspec

from loadtest.earthquake.story import Story
from loadtest.earthquake.verdict import Verdict, judge
from loadtest.lanes import Deployment
from netmon.buffer.alarm_reader import KINDS, position_field
from netmon.buffer.alarm_store import META, AlarmView
from netmon.buffer.connection import Connection
from netmon.buffer.stream import parse_id

_POLL_S: Final = 0.1
SETTLE_S: Final = 45.0
"""After the worker has seen everything, so long until what follows from time alone has followed: postures are confirmed, and what a
cause explained is let go when the cause is gone."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a story, and when."""

    done: bool
    """Whether the worker had seen everything in time."""
    done_s: float
    """From the call until it had."""
    settled_s: float
    """From then until everything was as it must be, or the waiting was over."""
    verdict: Verdict

    @property
    def faults(self) -> list[str]:
        """What is wrong, a sentence for each."""
        late = [] if self.done else ["the alarm worker had not finished when the waiting time was over"]
        count = len(self.verdict.differences)
        return [*late, *([f"{count:,} alarms, causes or postures are not as they must be"] if count else [])]


def await_verdict(deployment: Deployment, story: Story, *, timeout_s: float, settle_s: float = SETTLE_S) -> Outcome:
    """Waits until the alarm worker has seen all that is in the streams now, and then until the alarms are as they must be.

    Args:
        deployment: The netmon under test, whose lanes are drained.
        story: What was sent to it.
        timeout_s: Most seconds to wait for the worker.
        settle_s: Most seconds to wait after that.

    Raises:
        UnavailableError: Redis does not answer.
    """
    start_s = time.monotonic()
    done = _await_worked(deployment, start_s + timeout_s)
    done_s = time.monotonic()
    view = AlarmView(deployment.redis)
    try:
        verdict = _verdict(view, story)
        while verdict.differences and time.monotonic() < done_s + settle_s:
            time.sleep(_POLL_S)
            verdict = _verdict(view, story)
    finally:
        view.close()
    return Outcome(done=done, done_s=done_s - start_s, settled_s=time.monotonic() - done_s, verdict=verdict)


def _verdict(view: AlarmView, story: Story) -> Verdict:
    postures = {area: shown.posture for area, shown in view.meta().postures.items()}
    return judge(story, view.alarms(), postures)


def _await_worked(deployment: Deployment, deadline_s: float) -> bool:
    connection = Connection(deployment.redis)
    try:
        waiting = _newest(connection, deployment)
        while waiting and time.monotonic() < deadline_s:
            waiting = {field: newest for field, newest in waiting.items() if _position(connection, field) < newest}
            time.sleep(_POLL_S if waiting else 0)
        return not waiting
    finally:
        connection.close()


def _newest(connection: Connection, deployment: Deployment) -> dict[str, tuple[int, int]]:
    """Field of a position to the ID that it must reach."""
    found: dict[str, tuple[int, int]] = {}
    for lane in deployment.lanes:
        owner = connection.command("GET", f"{lane.key_prefix}:owner")
        for kind in KINDS:
            key = f"{lane.key_prefix}:{kind}"
            entries = connection.command("XREVRANGE", key, "+", "-", "COUNT", 1)
            if owner and entries:
                found[position_field(owner.decode(), key)] = parse_id(entries[0][0])
    return found


def _position(connection: Connection, field: str) -> tuple[int, int]:
    found = connection.command("HGET", META, field)
    return parse_id(found) if found else (0, 0)
