"""Laws of the book of alarms, over anything that devices, operators and time may do to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Literal, get_args

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from netmon.alarms.lifecycle.book import Book, Counters
from netmon.alarms.lifecycle.causes import LINK_DOWN, level_of
from netmon.alarms.lifecycle.derived import LINE_DOWN
from netmon.alarms.model import (
    SEVERITIES,
    Alarm,
    Change,
    CommandKind,
    Evidence,
    Observation,
    Probed,
    Severity,
    Text,
)
from netmon.buffer.line_store import CHANGES
from tests.unit.alarms.samples import NOON, REGION, SECOND, book, causes, command, fault, numbered, port, power

SPEAKERS = [
    *(lambda at, site=site, **more: power(site, at, **more) for site in ("port", "hill")),
    *(
        lambda at, device=device, index=index, **more: msgspec.structs.replace(port(device, index, at), **more)
        for device, index in (("core", 1), ("core", 2), ("core", 3), ("r-port", 1), ("r-farm", 1), ("r-farm", 2))
    ),
    *(
        lambda at, device=device, **more: fault(device, "no-answer", at, **more)
        for device in ("siren-port-0", "siren-hill-0", "siren-farm-0", "r-port")
    ),
    lambda at, **more: fault("core", "bgp-down", at, event_type="communicationsAlarm", **more),
    *(lambda at, n=n, **more: numbered(n, at, source="source/192.0.2.1", **more) for n in range(4)),
]
"""Each makes an observation about one alarm."""
LIMITS = {"alarms_max": 18, "purge_cleared_s": 400, "late_clear_s": 200}


class Life(RuleBasedStateMachine):
    """A book, and somebody who believes what the book tells."""

    def __init__(self) -> None:
        super().__init__()
        self.book: Book = book(**LIMITS)
        self.now_s = 1_000.0
        self.told: dict[str, Alarm] = {}
        """As a mirror that hears only of changes knows it."""
        self.kept: dict[str, Alarm] = {}
        """As Redis has it."""
        self.commands = 0
        self.probed: dict[str, str] = {}
        """What the prober said last of each line."""

    # --- What may happen. ---

    @rule(
        speaker=st.sampled_from(SPEAKERS),
        ago_s=st.sampled_from([0, 0, 0, 1, 5, 90]),
        cleared=st.booleans(),
        severity=st.sampled_from(SEVERITIES),
    )
    def say(self, speaker: Callable[..., Observation], ago_s: float, cleared: bool, severity: Severity) -> None:
        """A device says something, perhaps late."""
        said = speaker(self.now_s - ago_s, cleared=cleared, severity=severity)
        self.book.observe(said, self.now_unix_ns)

    @rule(
        line=st.sampled_from([line.id for line in REGION.lines]),
        ago_s=st.sampled_from([0, 1, 90]),
        state=st.sampled_from(["up", "degraded", "down", "down"]),
    )
    def probe(self, line: str, ago_s: float, state: Literal["up", "degraded", "down"]) -> None:
        """The prober says something, in its order; its clock may be behind."""
        since_unix_ns = self.now_unix_ns - int(ago_s * SECOND)
        text = Text(f"Line {line} is down for the prober", "断線")
        said = Probed(state=state, unix_ns=since_unix_ns, text=text, evidence=Evidence(CHANGES, f"{since_unix_ns}-1"))
        self.book.probe(line, said, self.now_unix_ns)
        self.probed[line] = state

    @rule(seconds=st.sampled_from([0, 0.5, 3, 31, 301]))
    def wait(self, seconds: float) -> None:
        """Time goes on."""
        self.now_s += seconds
        self.book.tick(self.now_unix_ns)

    @rule(data=st.data(), kind=st.sampled_from(get_args(CommandKind)))
    def operate(self, data: st.DataObject, kind: CommandKind) -> None:
        """Somebody does something with an alarm of the list."""
        if not self.kept:
            return
        alarm = data.draw(st.sampled_from(sorted(self.kept)))
        self.commands += 1
        asked = command(
            kind,
            self.now_s,
            id=f"{self.commands}",
            alarm_id=alarm,
            until_unix_ns=self.now_unix_ns + 20 * SECOND,
        )
        known = self.book.alarms.get(alarm)
        result = self.book.command(asked, self.now_unix_ns)
        if result.outcome == "done":
            assert known is None or (result.alarm is not None and result.alarm.version > known.version)
            changes = self.collect()
            assert [change.kind for change in changes if change.command_id == asked.id] != []

    @rule()
    def take(self) -> None:
        """Everything is told and kept."""
        self.collect()

    def collect(self) -> list[Change]:
        """What is told; nothing of it twice, and it is enough to know what there is."""
        taken = self.book.take()
        again = self.book.take()
        for alarm in taken.dirty:
            self.kept[alarm.id] = alarm
        for alarm_id in taken.purged:
            self.kept.pop(alarm_id, None)
        for change in taken.changes:
            self.told[change.alarm.id] = change.alarm
        for alarm_id in taken.purged:
            self.told.pop(alarm_id, None)

        assert self.kept == self.book.alarms
        assert said_to_be(self.book, LINE_DOWN) == self.lines_down()
        assert (again.changes, again.dirty, again.purged) == ([], [], [])
        assert (
            max(
                Counter((change.alarm.id, change.kind, change.command_id) for change in taken.changes).values(),
                default=1,
            )
            == 1
        )
        assert {seen(alarm) for alarm in self.told.values()} == {seen(alarm) for alarm in self.kept.values()}
        return taken.changes

    @rule()
    def restart(self) -> None:
        """Another book goes on with what was kept, and has nothing to tell."""
        self.take()
        after = book(**LIMITS)
        after.load(msgspec.json.decode(msgspec.json.encode(list(self.kept.values())), type=list[Alarm]))
        after.counters.refused = self.book.counters.refused
        assert (after.alarms, after.counters) == (self.book.alarms, self.book.counters)
        self.book = after
        assert self.collect() == []

    def lines_down(self) -> set[str]:
        """Lines that the prober says are down, or a port at one of their ends."""
        by_prober = {line for line, state in self.probed.items() if state == "down"}
        return (by_prober | said_to_be(self.book, LINK_DOWN)) - {""}

    # --- What always holds. ---

    @invariant()
    def nothing_is_its_own_cause(self) -> None:
        """A cause is in the list, on a higher level, and has none itself; its count is true once counted."""
        alarms = self.book.alarms
        for alarm in alarms.values():
            if alarm.cause is not None:
                assert alarm.is_active
                assert level_of(alarms[alarm.cause]) > level_of(alarm)

    @invariant()
    def list_is_bounded(self) -> None:
        """But for the few that netmon finds out."""
        assert len(self.book.alarms) <= LIMITS["alarms_max"] + 4 + 2 + len(self.told)

    def teardown(self) -> None:
        """All is counted again; and when nothing more happens, every cause stands by itself, and nothing flaps.

        What was found step by step is what somebody finds who sees the alarms for the first time.
        """
        self.take()
        assert self.book.counters == recounted(self.book)
        for _ in range(30):
            self.now_s += 31
            self.book.tick(self.now_unix_ns)
        self.take()
        alarms = self.book.alarms
        for alarm in alarms.values():
            assert alarm.cause is None or (alarms[alarm.cause].is_active and alarms[alarm.cause].cause is None)
            assert alarm.is_cleared == (alarm.toggles_unix_ns[-1] < 0)
        anew = book(**LIMITS)
        anew.load(msgspec.structs.replace(alarm, cause=None, caused=0) for alarm in alarms.values())
        anew.take()
        assert causes(anew) == causes(self.book)

    @property
    def now_unix_ns(self) -> int:
        """Time."""
        return NOON + int(self.now_s * SECOND)


def seen(alarm: Alarm) -> tuple[object, ...]:
    """What nobody may be wrong about who hears of changes only; how many a cause explains comes within a second."""
    return (
        alarm.id,
        alarm.is_cleared,
        alarm.severity,
        alarm.flapping,
        alarm.operator_state,
        alarm.cause,
        alarm.text,
        alarm.version,
        alarm.comments,
    )


def said_to_be(alarms: Book, alarm_type: str) -> set[str]:
    """Lines of the alarms of a type that their newest word has raised, also where they flap or are closed."""
    found = (alarm for alarm in alarms.alarms.values() if alarm.alarm_type == alarm_type)
    return {alarm.place.line for alarm in found if alarm.toggles_unix_ns[-1] > 0}


def recounted(alarms: Book) -> Counters:
    """The counters, from nothing but the list."""
    active = [alarm for alarm in alarms.alarms.values() if alarm.is_active]
    explained = Counter(alarm.cause for alarm in active if alarm.cause is not None)
    assert {alarm.id: alarm.caused for alarm in alarms.alarms.values() if alarm.caused} == dict(explained)
    return Counters(
        active=Counter(alarm.severity for alarm in active),
        flapping=sum(alarm.flapping for alarm in active),
        shelved=sum(alarm.operator_state == "shelved" for alarm in active),
        explained=explained.total(),
        roots=len(active) - explained.total(),
        causes=sum(alarm.caused > 0 for alarm in active),
        refused=alarms.counters.refused,
    )


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
