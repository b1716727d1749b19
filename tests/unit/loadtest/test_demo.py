"""What the demo tells: the timeline, what each class suffered, and every way in which it may not have gone as promised."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest

from loadtest.demo.record import Phase, Posture, Record, Told
from loadtest.demo.scene import CUT, RETURNING, SCENE, SHED, UNFIT
from loadtest.demo.story import tell
from loadtest.lab.flows import Came, Gap
from netmon.failover.record import Audit

MS: Final = 1_000_000
CUT_NS: Final = 1_700_000_000_000_000_000
MENDED_NS, RETURNED_NS, ENDED_NS = CUT_NS + 5_000 * MS, CUT_NS + 20_000 * MS, CUT_NS + 30_000 * MS
LINES: Final = [SCENE.line_id(name) for name in SCENE.lines()]
INTERFACES: Final = {f"e{number}": line for number, line in enumerate(LINES)}
BACKUPS: Final = {"harbour": "harbour-5g", "townhall": "townhall-radio", "ridge": "ridge-leo"}
GROUPS: Final = SCENE.groups()
MOVED: Final = [group for group in GROUPS if group not in UNFIT | SHED]


def interface(line: str) -> str:
    """Of the centre."""
    return f"e{LINES.index(line)}"


def came(group: str) -> Came:
    """A flow as it should be: P0 flows again after 130 ms, each other class 10 ms later."""
    gateway, _, name = group.partition("/")
    working, *_ = SCENE.lines_of(gateway)
    moves = [(CUT_NS - 9_000 * MS, interface(working))]
    if group in UNFIT:
        gap = Gap(last_unix_ns=CUT_NS, next_unix_ns=MENDED_NS + 9 * MS, lost=500)
        return Came(newest_unix_ns=ENDED_NS, interface=interface(working), moves=moves, gaps=[gap])
    if group in SHED:
        return Came(newest_unix_ns=CUT_NS + 150 * MS, interface=interface(working), moves=moves)
    back_ns = CUT_NS + (130 + 10 * SCENE.classes[name].priority) * MS
    moves.append((back_ns, interface(BACKUPS[gateway])))
    if group in RETURNING:
        moves.append((RETURNED_NS, interface(working)))
    gap = Gap(last_unix_ns=CUT_NS - MS, next_unix_ns=back_ns, lost=12)
    return Came(newest_unix_ns=ENDED_NS, interface=moves[-1][1], moves=moves, gaps=[gap])


def record(**changes: Any) -> Record:
    """A demo that went as promised, but for these changes."""
    audit = tuple(
        Audit(
            kind="verified",
            unix_ns=CUT_NS + 200 * MS,
            fence=1,
            group=group,
            to="backup",
            phases_s={"detect": 0.1, "act": 0.002},
        )
        for group in MOVED
    )
    audit += tuple(Audit(kind="verified", unix_ns=CUT_NS + 200 * MS, fence=1, group=group) for group in SHED)
    told = Told(
        unix_ns=CUT_NS + 120 * MS,
        gateway="harbour",
        event="agent.line_changed",
        facts={"line": "harbour-fibre", "state": "down"},
    )
    well = Record(
        storm_unix_ns=CUT_NS - 6_000 * MS,
        cut_unix_ns=CUT_NS,
        mended_unix_ns=MENDED_NS,
        ended_unix_ns=ENDED_NS,
        notifications=8_000,
        flows={group: came(group) for group in GROUPS},
        interfaces=INTERFACES,
        told=(told, msgspec.structs.replace(told, unix_ns=MENDED_NS + MS)),
        postures=(Posture(unix_ns=CUT_NS - MS, area="coast", posture="disaster", why="5 sites without mains power"),),
        phases=(Phase(unix_ns=MENDED_NS + 9_000 * MS, group="ridge/sirens", phase="WTR", on="ridge-leo"),),
        audit=audit,
    )
    return msgspec.structs.replace(well, **changes)


def flows(group: str, **changes: Any) -> dict[str, Came]:
    """All flows, one of them changed."""
    return {**record().flows, group: msgspec.structs.replace(came(group), **changes)}


def test_timeline_begins_with_the_storm_and_ends_with_the_return() -> None:
    """In order of time; a line that is found dead after it was mended is none of it."""
    story = tell(record())

    what = [moment.what for moment in story.moments]
    assert [moment.ms for moment in story.moments] == sorted(moment.ms for moment in story.moments)
    assert what[:4] == [
        "earthquake: a storm of traps begins",
        "coast: posture disaster",
        "coast-road-duct is cut, without a word",
        "harbour: finds harbour-fibre dead",
    ]
    assert sum("finds" in each for each in what) == 1
    assert what[-1].endswith("is back on ridge-fibre")
    assert story.faults == ()


def test_what_each_class_suffered() -> None:
    """From the last datagram before the cut to the first after it, with what the gateway tells of its move."""
    sirens = tell(record()).classes[0]

    assert (sirens.group, sirens.line, sirens.outage_ms, sirens.lost) == ("harbour/sirens", "harbour-5g", 131.0, 12)
    assert [one.group for one in tell(record()).classes if one.shed] == sorted(SHED)
    assert sirens.phases_ms == {"detect": 100.0, "act": 2.0}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"flows": flows("harbour/pumps", moves=[])}, "harbour/pumps was not moved"),
        (
            {"flows": flows("townhall/sirens", gaps=[Gap(last_unix_ns=CUT_NS, next_unix_ns=CUT_NS + 1_001 * MS, lost=9)])},
            "townhall/sirens was away for 1001 ms, more than 1000",
        ),
        (
            {"flows": flows("ridge/cameras", moves=[(CUT_NS + MS, interface("ridge-leo"))])},
            "ridge/cameras was moved to ridge-leo, where there is no room for it",
        ),
        ({"flows": flows("ridge/cameras", newest_unix_ns=CUT_NS)}, "ridge/cameras does not flow although the duct is mended"),
        ({"audit": record().audit[:-1]}, "pier/cameras was not shed"),
        ({"audit": record().audit[1:]}, "the centre does not know that harbour/sirens was moved"),
        ({"flows": flows("ridge/gauges", interface=interface("ridge-leo"))}, "ridge/gauges has not returned"),
        (
            {"flows": flows("harbour/pumps", interface=interface(CUT[0]))},
            "harbour/pumps has returned, in a disaster, after less than 12 minutes",
        ),
        (
            {"flows": flows("ridge/sirens", gaps=[Gap(last_unix_ns=RETURNED_NS, next_unix_ns=ENDED_NS, lost=3)])},
            "ridge/sirens lost 3 datagrams after the duct was mended",
        ),
        (
            {"flows": flows("harbour/sirens", moves=[(CUT_NS + 900 * MS, interface("harbour-5g"))])},
            "P0 was not the first to flow again at harbour",
        ),
    ],
)  # fmt: skip
def test_what_is_not_as_promised_is_told(changes: dict[str, Any], fault: str) -> None:
    """One sentence for each."""
    assert fault in tell(record(**changes)).faults
