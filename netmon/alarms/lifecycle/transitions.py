"""How one alarm comes and goes: what notifications make of it, and what operators do with it. Pure.

What an alarm is follows from the event times of its notifications, not from the order in which they arrive: the newest one tells
whether it is raised, the newest raise how severe it is. docs/alarms.md has the diagram and the rules.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from netmon.alarms.lifecycle import marks as remembered
from netmon.alarms.lifecycle.marks import MARKS_MIN, Marks
from netmon.alarms.model import (
    COMMENTS_MAX,
    HISTORY_MAX,
    SEVERITIES,
    Alarm,
    ChangeKind,
    Command,
    CommandKind,
    Comment,
    Observation,
    OperatorState,
    StateChange,
    alarm_id,
)
from netmon.alarms.settings import Lifecycle

NS: Final = 1_000_000_000
TEXT_MAX: Final = 2_000
"""Characters of a reason or a comment."""
BY_MAX: Final = 100
"""Characters of the name of whoever did something."""
CLOCK_TOLERANCE_S: Final = 1
"""An alarm whose newest notification lies further in the future has seen a clock that was set back since: what is heard now is newer."""

_RANKS: Final = {severity: rank for rank, severity in enumerate(SEVERITIES)}

_NEXT: Final[Mapping[tuple[OperatorState, CommandKind], OperatorState]] = {
    ("none", "ack"): "ack",
    ("none", "shelve"): "shelved",
    ("none", "close"): "closed",
    ("none", "comment"): "none",
    ("ack", "unack"): "none",
    ("ack", "shelve"): "shelved",
    ("ack", "close"): "closed",
    ("ack", "comment"): "ack",
    ("shelved", "shelve"): "shelved",
    ("shelved", "unshelve"): "none",
    ("shelved", "close"): "closed",
    ("shelved", "comment"): "shelved",
    ("closed", "comment"): "closed",
}
_REFUSED: Final[Mapping[tuple[OperatorState, CommandKind], str]] = {
    ("none", "unack"): "nobody has acknowledged it",
    ("none", "unshelve"): "it is not shelved",
    ("ack", "ack"): "it is acknowledged already",
    ("ack", "unshelve"): "it is not shelved",
    ("shelved", "ack"): "it is shelved; unshelve it first",
    ("shelved", "unack"): "it is shelved, which has ended an acknowledgement",
    ("closed", "ack"): "it is closed; the next raise opens it",
    ("closed", "unack"): "it is closed; the next raise opens it",
    ("closed", "shelve"): "it is closed; the next raise opens it",
    ("closed", "unshelve"): "it is closed; the next raise opens it",
    ("closed", "close"): "it is closed already",
}
"""Every pair of state and command is in one of the two."""

_TOLD_AS: Final[Mapping[CommandKind, ChangeKind]] = {
    "ack": "ack",
    "unack": "unack",
    "shelve": "shelved",
    "unshelve": "unshelved",
    "close": "closed",
    "comment": "comment",
}


class Record:
    """One alarm while it is worked with: what most notifications change is beside the alarm, so that a repeat is cheap."""

    __slots__ = ("alarm", "event_unix_ns", "evidence", "is_stale", "marks", "notifications", "raise_rank")

    def __init__(self, alarm: Alarm, marks: Marks) -> None:
        self.alarm = alarm
        """Whole, but for the fields below; `freeze` puts them in."""
        self.marks = marks
        self.event_unix_ns = alarm.event_unix_ns
        self.evidence = alarm.evidence
        self.notifications = alarm.notifications
        self.raise_rank = (remembered.newest(marks, raised=True), _RANKS[alarm.severity])
        """Of the raise that told severity and text: its event time and how severe it was."""
        self.is_stale = False
        """Whether `alarm` lacks something."""

    @property
    def says_raised(self) -> bool:
        """What the newest notification says; a flapping alarm stands whatever it says."""
        return self.marks[-1] > 0

    def freeze(self) -> Alarm:
        """The alarm as it is now."""
        if self.is_stale:
            self.is_stale = False
            self.alarm = replace(
                self.alarm,
                notifications=self.notifications,
                event_unix_ns=self.event_unix_ns,
                evidence=self.evidence,
                toggles_unix_ns=tuple(self.marks),
            )
        return self.alarm

    def change(self, kind: ChangeKind, at_unix_ns: int, now_unix_ns: int, by: str = "", text: str = "") -> None:
        """Write a line of history; somebody is to be told.

        A text with a figure in it changes with every notification. It is told, but it is no history: it would leave room for
        nothing else.
        """
        alarm, history = self.alarm, self.alarm.history
        if kind != "updated" or not history or alarm.severity != history[-1].severity:
            line = StateChange(at_unix_ns, kind, alarm.severity, by, text)
            at = bisect_right(history, at_unix_ns, key=lambda other: other.unix_ns)
            history = (*history[:at], line, *history[at:])[-HISTORY_MAX:]
        self.alarm = replace(alarm, version=alarm.version + 1, changed_unix_ns=now_unix_ns, history=history)
        self.is_stale = True


# --- What notifications do. ---


def thaw(alarm: Alarm) -> Record:
    """A record of an alarm that was kept; marks that are missing are made from the times of its last raise and clear."""
    marks = list(alarm.toggles_unix_ns)
    if not marks:
        times = [alarm.raised_unix_ns, *([-alarm.cleared_unix_ns] if alarm.cleared_unix_ns else [])]
        marks = sorted(times, key=lambda mark: (abs(mark), mark > 0))
    return Record(alarm, marks)


def open_alarm(observation: Observation, now_unix_ns: int, cleared_unix_ns: int = 0) -> Record:
    """An alarm that its first raise makes.

    Args:
        observation: The raise.
        now_unix_ns: When it is heard of.
        cleared_unix_ns: Event time of a clear that came before it; 0: none. If that is newer, the alarm begins as cleared.
    """
    key, event_unix_ns = observation.key, _event_time(observation)
    marks = [event_unix_ns]
    if cleared_unix_ns:
        remembered.insert(marks, -cleared_unix_ns, MARKS_MIN)
    is_cleared = marks[-1] < 0
    history = [StateChange(event_unix_ns, "raised", observation.severity)]
    if is_cleared:
        history.append(StateChange(cleared_unix_ns, "cleared", observation.severity))
    return Record(
        Alarm(
            id=alarm_id(key),
            resource=key.resource,
            alarm_type=key.alarm_type,
            qualifier=key.qualifier,
            place=observation.place,
            severity=observation.severity,
            is_cleared=is_cleared,
            event_type=observation.event_type,
            probable_cause=observation.probable_cause,
            text=observation.text,
            action=observation.action,
            trust=observation.trust,
            root=observation.root,
            created_unix_ns=event_unix_ns,
            raised_unix_ns=event_unix_ns,
            cleared_unix_ns=cleared_unix_ns if is_cleared else 0,
            event_unix_ns=max(event_unix_ns, cleared_unix_ns),
            changed_unix_ns=now_unix_ns,
            toggles_unix_ns=tuple(marks),
            history=tuple(history),
            evidence=observation.evidence,
        ),
        marks,
    )


def repeats(record: Record, observation: Observation) -> bool:
    """Take note of a notification that says once more what is known, and tell whether it was one; anything else is for `hear`."""
    marks, alarm, event_unix_ns = record.marks, record.alarm, observation.event_unix_ns
    last = marks[-1]
    if observation.cleared:
        if last > 0 or event_unix_ns < -last:
            return False
        mark = -event_unix_ns
    else:
        if last < 0 or event_unix_ns < last or alarm.operator_state == "closed":
            return False
        if observation.severity != alarm.severity or observation.trust != alarm.trust or observation.text != alarm.text:
            return False
        mark = event_unix_ns
        record.raise_rank = (event_unix_ns, record.raise_rank[1])
    if len(marks) > 1 and (marks[-2] > 0) == (last > 0):
        marks[-1] = mark
    elif mark != last:
        marks.append(mark)
    record.notifications += 1
    record.event_unix_ns = event_unix_ns
    record.evidence = observation.evidence
    record.is_stale = True
    return True


def hear(record: Record, observation: Observation, settings: Lifecycle, now_unix_ns: int) -> list[ChangeKind]:
    """What a notification makes of an alarm.

    Returns:
        What people are to be told, in this order; may be empty.
    """
    event_unix_ns = _event_time(observation)
    if abs(record.marks[-1]) > now_unix_ns + CLOCK_TOLERANCE_S * NS:
        remembered.end_by(record.marks, event_unix_ns - 1)
        record.raise_rank = min(record.raise_rank, (event_unix_ns - 1, record.raise_rank[1]))
    mark = -event_unix_ns if observation.cleared else event_unix_ns
    remembered.insert(record.marks, mark, max(MARKS_MIN, 4 * settings.flap_toggles))
    record.notifications += 1
    record.is_stale = True
    if record.marks[-1] == mark:
        record.event_unix_ns, record.evidence = event_unix_ns, observation.evidence
    differs = not observation.cleared and _listen(record, observation, event_unix_ns)
    closed_unix_ns = record.alarm.operator_unix_ns if record.alarm.operator_state == "closed" else 0
    kinds = _state_changes(record, settings, now_unix_ns)
    # A raise from before the closing says what whoever closed the alarm knew, unless it was believed to be cleared.
    if closed_unix_ns and record.says_raised and (kinds or mark > closed_unix_ns):
        _operator_state(record, "none", now_unix_ns)
        kinds = kinds or ["raised"]
    if differs and not kinds:
        kinds = ["updated"]
    for kind in kinds:
        record.change(kind, event_unix_ns, now_unix_ns)
    return kinds


def settle(record: Record, settings: Lifecycle, now_unix_ns: int) -> list[ChangeKind]:
    """What time makes of a flapping alarm: after a quiet while it is again what its newest notification said."""
    quiet_ns = now_unix_ns - remembered.last_toggle(record.marks)
    if not record.alarm.flapping or quiet_ns < settings.flap_settle_s * NS:
        return []
    remembered.forget_toggles(record.marks)
    record.alarm = replace(record.alarm, flapping=False)
    record.change("settled", now_unix_ns, now_unix_ns)
    kinds = _state_changes(record, settings, now_unix_ns)
    for kind in kinds:
        record.change(kind, record.alarm.cleared_unix_ns, now_unix_ns)
    return ["settled", *kinds]


def _event_time(observation: Observation) -> int:
    """A mark needs a sign."""
    return max(1, observation.event_unix_ns)


def _listen(record: Record, observation: Observation, event_unix_ns: int) -> bool:
    """Take severity and text from a raise, unless a newer one has told them; whether anything differs.

    At the same time the more severe one counts, and then the one whose text is the later in the alphabet: any rule will do, as
    long as it does not depend on who came first.
    """
    rank, alarm = (event_unix_ns, _RANKS[observation.severity]), record.alarm
    if rank < record.raise_rank or (rank == record.raise_rank and observation.text.en <= alarm.text.en):
        return False
    record.raise_rank = rank
    record.alarm = replace(
        alarm,
        severity=observation.severity,
        event_type=observation.event_type,
        probable_cause=observation.probable_cause,
        text=observation.text,
        action=observation.action,
        trust=observation.trust,
        root=observation.root,
    )
    return observation.severity != alarm.severity or observation.text != alarm.text


def _state_changes(record: Record, settings: Lifecycle, now_unix_ns: int) -> list[ChangeKind]:
    """Bring the state of an alarm up to date with its marks; what that changes."""
    before, marks = record.alarm, record.marks
    window_ns, settle_ns = int(settings.flap_window_s * NS), int(settings.flap_settle_s * NS)
    flapping = before.flapping or remembered.toggles_fast(
        marks, settings.flap_toggles, window_ns, now_unix_ns - settle_ns
    )
    is_cleared = marks[-1] < 0 and not flapping
    is_raised_again = before.is_cleared and not is_cleared
    record.alarm = replace(
        before,
        flapping=flapping,
        is_cleared=is_cleared,
        created_unix_ns=min(before.created_unix_ns, next((mark for mark in marks if mark > 0), before.created_unix_ns)),
        raised_unix_ns=remembered.since(marks, raised=True) or before.raised_unix_ns,
        cleared_unix_ns=remembered.since(marks, raised=False) or before.cleared_unix_ns,
        raises=before.raises + is_raised_again,
    )
    if is_raised_again and before.operator_state == "ack":
        _operator_state(record, "none", now_unix_ns)
    if flapping and not before.flapping:
        return ["flapping"]
    if is_raised_again:
        return ["raised"]
    return ["cleared"] if is_cleared and not before.is_cleared else []


# --- What operators do. ---


def refusal(alarm: Alarm, command: Command, now_unix_ns: int) -> str:
    """Why a command cannot be done, for whoever gave it; empty: it can."""
    if not 0 < len(command.by) <= BY_MAX:
        return f"who does it has to be named, in 1 to {BY_MAX} characters"
    if len(command.text) > TEXT_MAX:
        return f"the text has {len(command.text)} characters, more than {TEXT_MAX}"
    if command.kind in ("shelve", "comment") and not command.text.strip():
        return "a shelf needs a reason" if command.kind == "shelve" else "a comment needs a text"
    if command.kind == "shelve" and command.until_unix_ns <= now_unix_ns:
        return "a shelf needs a time in the future at which it ends"
    return _REFUSED.get((alarm.operator_state, command.kind), "")


def operate(record: Record, command: Command, now_unix_ns: int) -> ChangeKind:
    """Do what `refusal` has nothing against; what people are to be told."""
    alarm, kind = record.alarm, _TOLD_AS[command.kind]
    if command.kind == "comment":
        comments = (*alarm.comments, Comment(now_unix_ns, command.by, command.text))[-COMMENTS_MAX:]
        record.alarm = replace(alarm, comments=comments)
        record.change(kind, now_unix_ns, now_unix_ns, command.by)
        return kind
    state = _NEXT[alarm.operator_state, command.kind]
    until_unix_ns = command.until_unix_ns if command.kind == "shelve" else 0
    _operator_state(record, state, now_unix_ns, command.by, command.text, until_unix_ns)
    record.change(kind, now_unix_ns, now_unix_ns, command.by, command.text)
    return kind


def unshelve_expired(record: Record, now_unix_ns: int) -> list[ChangeKind]:
    """What time makes of a shelved alarm: it is back when its shelf ends."""
    if record.alarm.operator_state != "shelved" or record.alarm.shelved_until_unix_ns > now_unix_ns:
        return []
    _operator_state(record, "none", now_unix_ns)
    record.change("unshelved", now_unix_ns, now_unix_ns)
    return ["unshelved"]


def _operator_state(
    record: Record, state: OperatorState, now_unix_ns: int, by: str = "", reason: str = "", until_unix_ns: int = 0
) -> None:
    record.alarm = replace(
        record.alarm,
        operator_state=state,
        operator_by=by,
        operator_unix_ns=now_unix_ns,
        operator_reason=reason,
        shelved_until_unix_ns=until_unix_ns,
    )
