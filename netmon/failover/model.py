"""Failover as values: protection groups, what is seen of their lines, what is asked, what is decided, what becomes of it.

Pure. Words are those of ITU-T G.808.1 and G.8031: a *protection group* is one class of traffic at one gateway; its *working* line is where it
belongs, its *protection* lines are where it may go. Times are nanoseconds since 1970 UTC; durations are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import msgspec

from netmon.active_probe.model import LineState
from netmon.alarms.posture.model import Posture
from netmon.inventory.model import FailoverMode, Medium

Priority = Literal[0, 1, 2, 3]
"""P0 life safety, P1 control, P2 telemetry and administration, P3 bulk."""

Phase = Literal[
    "NR",  # no request: on the working line
    "SF_PENDING",  # the line that is used has failed; hold-off
    "PROTECTING",  # on a protection line: SF on the working line, or the class had to make room there
    "DEGRADED",  # SD on the working line: on a better one
    "WTR",  # the working line is back: wait to restore (or to block, after a command was cleared)
    "DNR",  # do not revert: non-revertive, until an operator says so
    "FS",  # forced switch by an operator
    "MS",  # manual switch by an operator
    "LO",  # lockout of protection by an operator: nothing moves it
    "EXER",  # exercise: everything is tried but the switch
    "NO_BACKUP",  # it has to leave its line, and no other may be used; it is tried again and again
    "FROZEN",  # fail static: nothing moves by itself
]
PHASES: Final[tuple[Phase, ...]] = (
    "NR", "SF_PENDING", "PROTECTING", "DEGRADED", "WTR", "DNR", "FS", "MS", "LO", "EXER", "NO_BACKUP", "FROZEN",
)  # fmt: skip

SwitchReason = Literal[
    "",
    "signal_fail",  # SF: the line that was used is down, or one-way for a class that needs both ways
    "signal_degrade",  # SD, and another line is better
    "preempted",  # a class of greater weight needs the room
    "admitted",  # there is room again for what was shed
    "better",  # another protection line has been better by a whole rank for long enough
    "revert",  # the working line is good again
    "forced",  # an operator
    "manual",
    "cleared",  # an operator has taken his command back
    "verify_failed",  # the candidate before did not carry it
    "edge",  # the gateway moved it by its plan
    "reconcile",  # it was not where it should be
]

SHED: Final = ""
"""Where a class is that is nowhere: its packets are refused at the gateway, so that they take no room from others."""

RequestKind = Literal["lockout", "forced", "manual", "exercise"]
Mode = FailoverMode
"""observe: says what it would do; advise: does it when somebody approves it in time; act: does it."""


class Timers(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How long a group waits for what. Seconds."""

    hold_off_s: float = 0.0
    """From SF to the switch (G.8031: 0 to 10 s in steps of 100 ms); 2 s suits LEO."""
    wtr_s: float = 300.0
    """Wait to restore: the working line is good for so long before traffic returns (60 to 720 s)."""
    wtb_s: float = 5.5
    """Wait to block: before it returns when an operator's command is cleared."""
    guard_s: float = 0.5
    """After a switch, what is said of lines may be older than the switch."""
    verify_s: float = 2.0
    """From the order to when the moved class has to be shown to arrive."""
    proven_s: float = 5.0
    """A line that was not shown to be good for longer is no candidate (standby lines: twice their probes' interval, if that is longer)."""
    retry_s: float = 5.0
    """After every candidate was tried; doubled with each round, up to a minute."""
    better_s: float = 60.0
    """A rival has to be better by a whole rank for so long before traffic goes from one protection line to another."""
    approval_s: float = 120.0
    """Mode advise: how long a proposal waits for its approval."""


class Damping(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of the return to a line that fails again and again, never of the escape from it (RFC 2439 section 4.2)."""

    penalty: float = 1_000.0
    """For each SF of the working line."""
    half_life_s: float = 900.0
    suppress: float = 3_000.0
    """From here on there is no return ..."""
    reuse: float = 750.0
    """... until it has decayed to this."""
    suppress_max_s: float = 3_600.0


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A protection group as it is configured: one traffic class at one gateway."""

    id: str
    """`<gateway>/<class>`."""
    gateway_id: str
    class_id: str
    area_id: str = ""
    priority: Priority
    working: str
    """Line ID."""
    protections: tuple[str, ...] = ()
    """Line IDs, the preferred one first where nothing else decides."""
    bandwidth_bps: int = 0
    """Guaranteed rate; 0: as little as to need no room."""
    delay_ms_max: int | None = None
    both_ways: bool = True
    """It needs the direction to the gateway, too (sirens, pumps): a line that is one-way has failed for it."""
    moves_on_sd: bool = False
    """Also leaves a line that is only degraded."""
    revertive: bool = True
    mode: Mode = "act"
    leaves_by_itself: bool = False
    """Its gateway has an agent, which leaves a dead line by its plan without being told."""
    timers: Timers = Timers()
    damping: Damping = Damping()


class LineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One line as the region describes it; what does not change while a process lives."""

    line_id: str
    medium: Medium = "fibre"
    carrier_id: str = ""
    area_ids: tuple[str, ...] = ()
    """Of its ends' sites."""
    cost_tier: int = 1
    capacity_bps: int = 0
    risk_group_ids: tuple[str, ...] = ()
    """Its own and those of its ends' sites, sorted."""
    standby: bool = False
    proven_s: float = 5.0
    """For how long an answer proves it: twice its probes' interval where that is longer than 5 s."""


class LineSight(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """How one line is, as one observer sees it: the verdict, or the gateway that has it."""

    line_id: str
    state: LineState = "unknown"
    one_way: bool = False
    since_unix_ns: int = 0
    """When it came to this state."""
    good_unix_ns: int = 0
    """When it was last shown to be up or degraded; 0: never."""
    loss: float | None = None
    rtt_s: float | None = None
    reason: str = ""
    """Of `netmon.active_probe.model.Reason`, for the evidence."""


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an operator wants of a group, until it is cleared or expires."""

    id: str
    """Chosen by whoever asks; the same one twice is done once."""
    kind: RequestKind
    group_id: str
    line_id: str = ""
    """Where to, of `forced`, `manual` and `exercise`; of `lockout`: empty, or the one line that shall not be used."""
    by: str
    why: str
    ticket: str = ""
    unix_ns: int
    until_unix_ns: int
    """There is none without an end (8 hours where nothing is said)."""


class Freeze(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Fail static: nothing in the region moves by itself. Forced switches still do."""

    by: str
    """An operator, or `netmon` for the guard."""
    why: str
    unix_ns: int
    until_unix_ns: int = 0
    """0: until it is lifted."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A switch that is under way: ordered of the actuator, not yet verified."""

    generation: int
    to: str
    """Line ID, or SHED."""
    reason: SwitchReason
    began_unix_ns: int
    stage: Literal["proposed", "ordered", "applied", "refused"]
    """proposed: waits for approval (in mode observe nobody can give it: it shows what would be done); ordered: the actuator was told; applied: it
    says that it has done it, verification runs; refused: the actuator has seen a newer order, it is told again when this is due."""
    due_unix_ns: int
    """When it is given up; 0: it waits, because nobody can be told (`Seen.reachable`), or nobody can approve it."""
    delay_s: float = 0.0
    """The order is given only after so much time, so that not all of a region move at once; until then nobody can answer it."""


class GroupState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Where a group stands. All that the next step needs of the past is in here: it survives restarts and leaders."""

    group_id: str
    phase: Phase = "NR"
    since_unix_ns: int = 0
    """When it came to this phase."""
    on: str
    """Line that its traffic uses, as far as was verified or reported; or SHED."""
    on_unix_ns: int = 0
    """Since when it is there; 0: it is not known."""
    reason: SwitchReason = ""
    """Why it is there."""
    attempt: Attempt | None = None
    tried: tuple[str, ...] = ()
    """Candidates that failed in this round of attempts."""
    rounds: int = 0
    """Rounds in which every candidate failed, since one was verified."""
    due_unix_ns: int = 0
    """When the timer of the phase runs out (hold-off, WTR, WTB, retry); 0: none runs."""
    restore_unix_ns: int = 0
    """While frozen: when the wait to restore is over that ran before; 0: none did, or the working line has not been good since."""
    left_unix_ns: int = 0
    """When an operator's command took it off its working line, which has been good since; 0: it was otherwise."""
    guard_until_unix_ns: int = 0
    penalty: float = 0.0
    penalty_unix_ns: int = 0
    """When it had this value."""
    suppressed_unix_ns: int = 0
    """Since when the return is damped; 0: it is not."""
    working_failed: bool = False
    """As of the last step: an SF is counted once."""
    rival: str = ""
    rival_unix_ns: int = 0
    """Since when the rival has been better."""
    generation: int = 0
    """Of the newest attempt; grows for ever."""
    request_id: str = ""
    """Of the operator's request that it follows."""
    void_request_id: str = ""
    """Request that is over before its time: a manual switch that SF has overruled, or that failed; an exercise that has told what it found, or was
    not possible any more. Whoever keeps the requests may drop it."""

    @property
    def there_unix_ns(self) -> int:
        """Since when it is on its line; where that is not known, since when in its phase."""
        return self.on_unix_ns or self.since_unix_ns


class Candidate(NamedTuple):
    """A protection line that may be used now: proven, not locked out, with room."""

    line_id: str
    rank: tuple[int, ...]
    """The smaller, the better: risks shared with what has failed, too slow for the class, the working line's carrier, cost tier, class of delay.
    Equal: more room (in quarters), then the order of the group."""


class Seen(NamedTuple):
    """What one step of one group sees of the world."""

    sights: Mapping[str, LineSight]
    """Of its lines; one that is missing is unknown."""
    candidates: tuple[Candidate, ...] = ()
    """Protection lines that may be used now, the best first; the one that is used among them, if it is as good. The working line is not."""
    working_fits: bool = True
    """Whether there is room for it on its working line."""
    evicted: bool = False
    """Whether it has to leave where it is, to make room."""
    request: Request | None = None
    """Of the greatest weight among those in force, lockouts of single lines left out."""
    locked: frozenset[str] = frozenset()
    """Lines that operators have locked out, one by one."""
    clear: bool = False
    """An operator has just said `clear`: what waits (WTR, damping, DNR, the next round of attempts) waits no longer."""
    frozen: bool = False
    posture: Posture = "normal"
    reported: str | None = None
    """Where the gateway says that it is, if it said so after the newest attempt ended; None: nothing is known."""
    reachable: bool = True
    """Whether the actuator can be told anything; an order waits else, and no other candidate is tried."""
    result: ActionResult | None = None
    """What became of the attempt, if that is the news."""
    approved: int = 0
    """Generation that an operator has approved (mode advise)."""
    may_return: bool = True
    """Whether it is its turn to move for anything but an escape, to make room, or an operator's word: False while it waits for its turn
    (stepped revert), while the leader is new, and at a gateway while the centre is there."""


class ActionResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What became of an attempt, as the actuator tells."""

    group_id: str
    generation: int
    outcome: Literal["applied", "verified", "failed", "refused", "unreachable"]
    """failed: it could not, or the class did not arrive, and what stood before stands again; refused: stale fence or generation, or bad
    signature; unreachable: not told yet, and it is being tried."""
    on: str | None = None
    """Where the class is now, if that is known."""
    detail: str = ""
    phases_s: dict[str, float] = {}
    """How long what took: `act`, `verify`."""


PAGES: Final = (
    "no_backup",  # it has to leave its line, and there is no other
    "verify_failed",  # a switch was tried, and failed or was not confirmed in time
    "lockout_age",  # the group is locked out for hours: it has no protection
    "exercise_well",  # an exercise would have switched to `to`
    "exercise_no_target",  # an exercise found no line to switch to
)
"""What people are told."""


class Action(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What the core wants done, and tells in the audit."""

    kind: Literal["propose", "switch", "abandon", "page"]
    """propose: wait for approval; switch: order it; abandon: what was ordered is void, and what is ordered instead is to stay at `to`, with a
    generation of its own; page: tell people."""
    group_id: str
    generation: int = 0
    to: str = ""
    before: str = ""
    """Where it is."""
    reason: SwitchReason = ""
    urgent: bool = False
    """An escape, or an operator's word: neither staggered nor held back after a change of leaders."""
    forced: bool = False
    """By an operator, who knows that the line may not be good: the gateway does not ask its own probes."""
    text: str = ""
    """Of `page`: one of PAGES."""
    request: Request | None = None
    """What an operator has asked for and this answers; None: it stands in the group's state."""


class Step(NamedTuple):
    """What a step makes of a group."""

    state: GroupState
    actions: tuple[Action, ...] = ()
    due_unix_ns: int = 0
    """When to look again even if nothing happens; 0: need not be."""
    waiting: SwitchReason = ""
    """What it would move for now if `Seen.may_return` were true."""
