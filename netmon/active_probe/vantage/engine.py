"""The loop that probes: all packet sockets in one epoll, all turns on one wheel, and one timer for the next of them.

Each wake first takes in what has come, then gives up what is overdue, then sends what is due: answers that wait in a socket count,
however late this process is. What became due while it was late is waited for as much longer; turns that were missed are let go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from netmon.active_probe.measure.track import WRONG_INTERFACE
from netmon.active_probe.probers.base import SEQ_MASK, Reply
from netmon.active_probe.vantage.channel import Channel, Poll
from netmon.active_probe.vantage.clock import Clock
from netmon.active_probe.vantage.pinning import describe
from netmon.active_probe.vantage.report import Counts
from netmon.active_probe.vantage.schedule import (
    BUNDLE_NS,
    GRID_MAX_NS,
    Wheel,
    bundle_max,
    grid_of,
    on_grid,
    phases,
)
from netmon.active_probe.vantage.target import Target

LATE_NS: Final = 50_000_000
"""A wake this late is a stall: what became due meanwhile is waited for longer."""
TURN_LATE_MAX_NS: Final = 100_000_000
"""A turn later than this, or than half of its interval, is let go."""
IDLE_NS: Final = 100_000_000
"""Longest sleep: how late the loop is shall be known even while nothing is due."""
ANCHOR_APART_NS: Final = 20_000_000
"""Between two probes of an anchor that misses of lines asked for."""
ROUNDS_MAX: Final = 64
"""Times that one wake looks for datagrams: enough for all answers of a stall, and a flood ends some time."""
LOOK_NS: Final = 50_000_000
"""How often to look how thick answers come."""
THICK_PER_S: Final = 300.0
JUDGED_PER_WAKE: Final = 16
"""Lines that one wake judges: about a millisecond's work."""

STAND_INS_MAX: Final = 4
"""Lines that are asked as anchors are, where there are none."""

Waiting = tuple[Target, int]
"""A probe: whom it asked, and its number."""


class Engine:
    """Probes the targets.

    Attributes:
        counts: What happened since the start; some of the fields are the process's.
        unasked: Answers to probes that were never sent, or too long ago.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        anchors: Sequence[Target],
        clock: Clock,
        *,
        changed: Callable[[Target], None],
        answered: Callable[[Target, int], None],
        ask_service: Callable[[Target], None],
        work: Callable[[int, int], bool],
    ) -> None:
        """Prepares.

        Args:
            targets: Of lines.
            anchors: The others.
            clock: All times are its.
            changed: Told when a track's state, reason or doubt has changed.
            answered: Told of each good answer, and when its probe was sent.
            ask_service: Begins one probe of a service prober.
            work: What else is to be done at each wake, given the time and how much of it; returns whether some is left.
        """
        self.counts = Counts()
        self.unasked = 0
        self.poll = Poll()
        self._targets = [*targets, *anchors]
        self._witnesses = anchors or stand_ins(targets)
        self._clock = clock
        self._changed = changed
        self._answered = answered
        self._ask_service = ask_service
        self._work = work
        self._per_second = sum(1 / target.period_s for target in self._targets)
        self._turns: Wheel[Target] = Wheel()
        self._deadlines: Wheel[Waiting] = Wheel()
        self._extended: Wheel[Waiting] = Wheel()
        self._channels: dict[Channel, list[Target]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fault: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self._look_ns = self._bundle_ns = 0
        self._recent = 0
        """Answers since `_look_ns`."""
        self._room = 0
        self._lag_ns = 0
        self._is_paced = self._is_awake = False

    # -- begin and end

    def add_channel(self, channel: Channel, targets: list[Target]) -> None:
        """These targets are asked by this channel; their place in the list is their index."""
        self._channels[channel] = targets
        for index, target in enumerate(targets):
            target.channel, target.index = channel, index

    async def run(self) -> None:
        """Probes until cancelled. What goes wrong in a wake is raised here: a loop that stands still must not look alive."""
        self._loop = asyncio.get_running_loop()
        self._fault = self._loop.create_future()
        self._start()
        await self._fault

    def _start(self) -> None:
        """Turns are spread over each target's interval."""
        assert self._loop is not None, "runs"
        now_ns = self._look_ns = self._bundle_ns = self._clock.now_ns()
        for period_s in {target.period_s for target in self._targets}:
            those = [target for target in self._targets if target.period_s == period_s]
            period_ns = int(period_s * 1e9)
            places = phases((target.key for target in those), period_ns, grid_of(period_ns, self._per_second))
            for target in those:
                target.take_place(now_ns - now_ns % GRID_MAX_NS + places[target.key])
                self._plan(target, target.next_turn_ns(now_ns))
        self._loop.add_reader(self.poll.fileno(), self._wake)
        self._arm(now_ns + BUNDLE_NS)

    def close(self) -> None:
        """Stops, and closes the channels."""
        if self._timer is not None:
            self._timer.cancel()
        if self._loop is not None:
            self._loop.remove_reader(self.poll.fileno())
        for channel in self._channels:
            channel.close()
        self.poll.close()

    def take_lag_s(self) -> float:
        """Largest delay of the loop since this was last asked, in seconds."""
        lag_ns, self._lag_ns = self._lag_ns, 0
        return lag_ns / 1e9

    @property
    def targets(self) -> int:
        """How many it asks."""
        return len(self._targets)

    @property
    def channels(self) -> Iterable[Channel]:
        """All of them."""
        return self._channels

    # -- one wake

    def _wake_by_timer(self) -> None:
        self._timer = None
        self._wake()

    def _wake(self) -> None:
        try:
            self._turn()
        except Exception as error:
            assert self._fault is not None, "runs"
            if not self._fault.done():
                self._fault.set_exception(error)

    def _turn(self) -> None:
        self._is_awake = True
        now_ns = self._clock.now_ns()
        late_ns = max(now_ns - self._timer_ns, 0)
        self._lag_ns = max(self._lag_ns, late_ns)
        if late_ns and self._timer is not None:
            # What it would have woken for is done now.
            self._timer.cancel()
            self._timer = None
        self._recent += self._receive(now_ns)
        now_ns = self._clock.now_ns()
        if late_ns > LATE_NS:
            self._extend(now_ns, late_ns)
        self._expire(now_ns)
        waits = self._send(now_ns)
        waits |= self._work(now_ns, JUDGED_PER_WAKE)
        self._is_awake = False
        if now_ns - self._look_ns >= LOOK_NS:
            self._choose_pace(now_ns)
        self._arm(self._next_ns(now_ns, waits=waits))

    def _choose_pace(self, now_ns: int) -> None:
        """While answers come thick, they wait a little for each other: the kernel has stamped them, and a wake for each would be most of
        all work. Else each of them wakes the loop.
        """
        assert self._loop is not None, "runs"
        per_second = self._recent * 1e9 / (now_ns - self._look_ns)
        self._recent, self._look_ns = 0, now_ns
        is_paced = per_second >= (THICK_PER_S / 2 if self._is_paced else THICK_PER_S)
        if is_paced == self._is_paced:
            return
        self._is_paced = is_paced
        if is_paced:
            self._loop.remove_reader(self.poll.fileno())
        else:
            self._loop.add_reader(self.poll.fileno(), self._wake)

    def _next_ns(self, now_ns: int, *, waits: bool) -> int:
        """When to wake next."""
        if waits:
            return now_ns + BUNDLE_NS
        next_ns = now_ns + (GRID_MAX_NS if self._is_paced else IDLE_NS)
        for wheel in (self._turns, self._deadlines, self._extended):
            due_ns = wheel.next_ns()
            if due_ns is not None and due_ns < next_ns:
                next_ns = due_ns
        return next_ns

    def _arm(self, at_ns: int) -> None:
        """One timer; one that is armed for an earlier moment is left. A wake arms it when all is done."""
        if self._is_awake:
            return
        if self._timer is not None:
            if self._timer_ns <= at_ns:
                return
            self._timer.cancel()
        assert self._loop is not None, "runs"
        self._timer_ns = at_ns
        delay_s = max(at_ns - self._clock.now_ns(), 0) / 1e9
        self._timer = self._loop.call_later(delay_s, self._wake_by_timer)

    # -- in

    def _receive(self, now_ns: int) -> int:
        """Takes in everything that has come; returns how many answers."""
        came: list[tuple[list[Target], Sequence[Reply]]] = []
        for _ in range(ROUNDS_MAX):
            ready = self.poll.ready()
            if not ready:
                break
            for channel in ready:
                replies = channel.receive(now_ns)
                if replies:
                    came.append((self._channels[channel], replies))
        # After reading: the clock may have been set while answers waited.
        is_step = self._clock.adjust()
        now_ns = self._clock.now_ns()
        count = 0
        for targets, replies in came:
            count += len(replies)
            for reply in replies:
                self._take(targets[reply[0]], reply, now_ns, is_step=is_step)
        return count

    def _take(self, target: Target, reply: Reply, now_ns: int, *, is_step: bool) -> None:
        _, wire_seq, received_unix_ns, forward_seq, wrong_interface = reply
        track = target.track
        seq = target.full_number(wire_seq)
        sent_ns = track.sent_ns(seq)
        if not sent_ns:
            self.unasked += 1
            return
        if wrong_interface:
            self.counts.wrong_interface += 1
            if track.local_error(seq, f"{WRONG_INTERFACE}: {wrong_interface}", now_ns):
                self._note(target, now_ns)
            return
        self.counts.replies += 1
        received_ns = now_ns if is_step or not received_unix_ns else self._clock.mono_of(received_unix_ns)
        # Both clocks are read apart from each other: by some microseconds, an answer may seem to have come before it was asked for.
        rtt_ns = min(max(received_ns, sent_ns), now_ns) - sent_ns
        if track.replied(seq, rtt_ns, now_ns, forward_seq):
            self._note(target, now_ns)
        self._answered(target, sent_ns)

    # -- overdue

    def _extend(self, now_ns: int, late_ns: int) -> None:
        """What became due while nobody looked is waited for as much longer, once."""
        self.counts.stalls += 1
        overdue = []
        while (bundle := self._deadlines.take(now_ns)) is not None:
            overdue.append(bundle)
        for due_ns, waiting in overdue:
            self.counts.extended += len(waiting)
            for one in waiting:
                self._extended.add(due_ns + late_ns, one)

    def _expire(self, now_ns: int) -> None:
        for wheel in (self._extended, self._deadlines):
            while (bundle := wheel.take(now_ns)) is not None:
                for target, seq in bundle[1]:
                    if target.track.lost(seq, now_ns):
                        self._note(target, now_ns)

    # -- out

    def _send(self, now_ns: int) -> bool:
        """Sends what is due, in even bundles; whether some is left for the next."""
        if now_ns - self._bundle_ns >= BUNDLE_NS:
            self._room = bundle_max(self._per_second, now_ns - self._bundle_ns)
            self._bundle_ns = now_ns
        while (bundle := self._turns.take(now_ns)) is not None:
            due_ns, targets = bundle
            for place, target in enumerate(targets):
                if target.due_ns != due_ns:
                    continue
                if not self._room:
                    self._put_back(due_ns, targets[place:])
                    return True
                if now_ns - due_ns > min(TURN_LATE_MAX_NS, max(target.interval_ns() // 2, BUNDLE_NS)):
                    self.counts.skipped += 1
                    self._plan(target, target.next_turn_ns(now_ns))
                    continue
                self._room -= 1
                self._ask(target)
        return False

    def _put_back(self, due_ns: int, targets: list[Target]) -> None:
        for target in targets:
            self._turns.add(due_ns, target)

    def _ask(self, target: Target) -> None:
        clock, track = self._clock, target.track
        now_ns = clock.now_ns()
        if track.judge(now_ns):
            self._note(target, now_ns)
        if target.channel is None:
            self._ask_service(target)
        else:
            self._send_packet(target, target.channel)
        self._plan(target, target.next_turn_ns(now_ns))

    def _send_packet(self, target: Target, channel: Channel) -> None:
        clock, track = self._clock, target.track
        seq = target.asked
        now_ns = clock.now_ns()
        try:
            channel.send(target.index, seq & SEQ_MASK, now_ns, clock.unix_of(now_ns))
        except OSError as error:
            track.sent(target.number(now_ns), now_ns)
            self.fail(target, seq, describe(error), now_ns)
            return
        target.number(now_ns)
        track.sent(seq, now_ns)
        self.counts.probes_sent += 1
        self._deadlines.add(on_grid(now_ns, int(track.timeout_s() * 1e9)), (target, seq))

    def fail(self, target: Target, seq: int, detail: str, now_ns: int) -> None:
        """A probe could not leave."""
        self.counts.local_errors += 1
        if target.track.local_error(seq, detail, now_ns):
            self._note(target, now_ns)

    def _plan(self, target: Target, at_ns: int) -> None:
        target.due_ns = self._turns.add(at_ns, target)

    def hurry(self, target: Target, at_ns: int) -> None:
        """Its next turn is at this moment, unless it is earlier anyway."""
        if at_ns < target.due_ns:
            self._plan(target, at_ns)
            self._arm(target.due_ns)

    # -- changes

    def answer(self, target: Target, sent_ns: int) -> None:
        """A service has answered a probe that was begun then."""
        self.counts.replies += 1
        self._answered(target, sent_ns)
        self._arm(self._clock.now_ns() + BUNDLE_NS)

    def note(self, target: Target, now_ns: int) -> None:
        """A track has changed outside of a wake: a service has answered, or not."""
        self._note(target, now_ns)
        self._arm(now_ns)

    def _note(self, target: Target, now_ns: int) -> None:
        """A track has changed: whoever is in doubt is asked at once, and so are the anchors."""
        track = target.track
        if track.undecided != target.confirming:
            target.confirming = track.undecided
            if target.confirming:
                # Anchors first: what they answer has to have been asked while the row of misses lasted, and this may be its last.
                if target.line_id:
                    self._ask_anchors(track.first_miss_ns + track.trip_ns, now_ns)
                self.hurry(target, now_ns)
        if target.line_id and ((track.state == "down" and track.misses) or track.reason == "loss"):
            self._ask_anchors(track.fell_ns, now_ns)
        self._changed(target)

    def _ask_anchors(self, missed_ns: int, now_ns: int) -> None:
        """Only an anchor that was asked after a line's first miss, and after the one that was one too many, can tell whether the line is to blame."""
        for anchor in self._witnesses:
            # A line that stands in has one chance at a time: if it is our own uplink, what it misses would be held against it.
            is_free = not anchor.line_id or anchor.track.answered_ns == anchor.asked_ns
            if anchor.asked_ns < missed_ns and is_free:
                self.hurry(anchor, max(now_ns, anchor.asked_ns + ANCHOR_APART_NS))


def stand_ins(targets: Iterable[Target]) -> list[Target]:
    """Who is asked instead of anchors: lines of both ends, those that are asked most often and those that are asked most rarely.

    The rare ones are asked by other ways, likely, and would not be asked in time; one more of the others, since it may be the first of
    them that is silent.
    """
    one_of_each = {target.line_id: target for target in targets}
    by_pace = sorted(one_of_each.values(), key=lambda target: (target.period_s, target.key))
    if len(by_pace) <= STAND_INS_MAX:
        return by_pace
    return by_pace[: STAND_INS_MAX // 2] + by_pace[-STAND_INS_MAX // 2 :]
