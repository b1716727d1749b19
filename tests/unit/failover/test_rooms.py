"""Who has room in a region: who comes, who makes room, who is shed and admitted again, and who cannot leave."""

from __future__ import annotations

from netmon.failover.model import SHED
from netmon.failover.region.coordinator import Decided
from tests.unit.failover.regions import MBIT, Bench, crowd, cut_both, group, reported, told


def test_what_does_not_fit_stays_where_it_is_and_p0_comes_first() -> None:
    """Its line is dead: it takes no room there."""
    bench = crowd()
    cut_both(bench)

    assert bench.settle() == ["g1/p0>m1", "g1/p1>m1", "g1/p2>m1"]
    assert {name: bench.phase(name) for name in ("g1/p2", "g1/p3")} == {"g1/p2": "PROTECTING", "g1/p3": "NO_BACKUP"}


def test_who_is_in_the_way_is_told_to_leave_before_who_comes() -> None:
    """P3 lives on the small line; P0 of another gateway has no other."""
    groups = [
        group(1, 0, protections=("m1",), bandwidth_bps=4 * MBIT),
        group(2, 3, working="m1", protections=(), bandwidth_bps=6 * MBIT),
    ]
    bench = Bench(groups)
    bench.line("f1", "down")

    decided = bench.step()

    assert [told(action) for action in decided.actions] == ["g2/p3>nowhere", "g1/p0>m1"]
    assert decided.actions[0].reason == "preempted"
    assert [bench.core.delay_s(action) for action in decided.actions] == [0.0, 0.0]
    bench.verify(decided)
    assert (bench.on("g2/p3"), bench.core.loads["m1"].shed_bps) == ("", (0, 0, 0, 6 * MBIT))
    assert bench.core.loads["m1"].admitted_bps == (4 * MBIT, 0, 0, 0)


def test_what_was_shed_is_admitted_when_there_is_room_again() -> None:
    """As soon as whoever took it has returned."""
    bench = Bench(
        [
            group(1, 0, protections=("m1",), bandwidth_bps=4 * MBIT),
            group(2, 3, working="m1", protections=(), bandwidth_bps=6 * MBIT),
        ]
    )
    bench.line("f1", "down")
    bench.settle()
    bench.line("f1", "up")

    moves = bench.run(70)

    assert moves == ["61: g1/p0>f1", "62: g2/p3>m1"]


def test_a_group_that_cannot_be_moved_makes_no_room() -> None:
    """Locked out, only observed, or at a gateway that nobody reaches: whoever comes has to do without its room."""
    groups = [
        group(1, 1, protections=("m1",), bandwidth_bps=4 * MBIT),
        group(2, 3, working="m1", protections=(), bandwidth_bps=3 * MBIT, mode="observe"),
        group(3, 3, working="m1", protections=(), bandwidth_bps=3 * MBIT),
    ]
    bench = Bench(groups)
    bench.ask("lockout", "g3/p3")
    bench.line("f1", "down")

    assert bench.moves() == []
    assert bench.phase("g1/p1") == "NO_BACKUP"
    assert bench.core.clear("g3/p3", bench.now) == ""
    assert bench.settle(60.0) == ["g3/p3>nowhere", "g1/p1>m1"]


def test_the_room_of_one_who_could_not_leave_is_given_to_nobody() -> None:
    """Its gateway answers in the same moment in which another one, that comes before it in order, looks for a line."""
    groups = [
        group(4, 0, protections=("m1",), bandwidth_bps=4 * MBIT),
        group(2, 3, working="m1", protections=(), bandwidth_bps=6 * MBIT),
        group(1, 3, working="f2", protections=("m1",), bandwidth_bps=3 * MBIT),
    ]
    bench = Bench(groups)
    bench.line("f1", "down")
    leaves = bench.step().actions[0]
    assert told(leaves) == "g2/p3>nowhere"

    bench.line("f2", "down")
    bench.report("g2", reported("g2/p3", "m1", fence=7, generation=leaves.generation, outcome="failed"))

    assert bench.moves() == []
    assert bench.core.loads["m1"].admitted_bps == (4 * MBIT, 0, 0, 6 * MBIT)
    assert bench.run(40)[0].endswith(": g2/p3>nowhere")


def test_who_cannot_leave_keeps_its_room_until_it_has_left_and_others_go_in_its_place() -> None:
    """A camera's gateway fails to move it, again and again: the line is not given away once more with each attempt."""
    groups = [
        group(1, 0, protections=("m1",), bandwidth_bps=3 * MBIT),
        group(2, 3, working="m1", protections=(), bandwidth_bps=5 * MBIT),
        group(3, 2, working="f2", protections=("m1",), bandwidth_bps=3 * MBIT),
    ]
    bench = Bench(groups)

    def fail(decided: Decided) -> list[str]:
        """The camera's move fails, the others' arrive; what is ordered then."""
        tried = next(action for action in decided.actions if told(action) == "g2/p3>nowhere")
        bench.report("g2", reported("g2/p3", "m1", fence=7, generation=tried.generation, outcome="failed"))
        rest = [action for action in decided.actions if action is not tried]
        after = bench.verify(decided._replace(actions=rest))
        bench.verify(after)
        return [told(action) for action in after.actions if action.kind == "switch"]

    bench.line("f1", "down")
    bench.line("f2", "down")
    first = bench.step()
    assert [told(action) for action in first.actions] == ["g2/p3>nowhere", "g1/p0>m1", "g3/p2>m1"]
    assert fail(first) == ["g3/p2>nowhere"]
    assert (bench.on("g3/p2"), bench.on("g2/p3")) == (SHED, "m1")

    for _ in range(2):
        again = bench.step(60.0)
        assert [told(action) for action in again.actions] == ["g2/p3>nowhere"]
        assert fail(again) == []
    assert bench.core.loads["m1"].admitted_bps == (3 * MBIT, 0, 0, 5 * MBIT)
    assert bench.settle(60.0) == ["g2/p3>nowhere", "g3/p2>m1"]


def test_guests_on_a_crowded_line_leave_whatever_was_known_when_they_came() -> None:
    """Their gateway put both there and fell silent; nobody could be told. When it is back, one of them goes."""
    bench = Bench([group(1, priority, bandwidth_bps=5 * MBIT, protections=("m1",)) for priority in (2, 3)])
    bench.line("f1", "down", reason="no_answer")
    bench.report("g1", reported("g1/p2", "m1"), reported("g1/p3", "m1"))
    bench.core.lose_gateway("g1")
    assert bench.moves() == []

    bench.report("g1", reported("g1/p2", "m1"), reported("g1/p3", "m1"))

    assert bench.moves() == ["g1/p3>nowhere"]


def test_who_is_put_where_there_is_no_room_by_its_gateway_does_not_crowd_the_others() -> None:
    """m1 has room for one of them: the other is refused at its gateway; a siren is let in all the same."""
    bench = Bench([group(number, 3, bandwidth_bps=5 * MBIT, protections=("m1",)) for number in (1, 2)] + [group(3, 0)])
    bench.line("f1", "down", reason="no_answer")
    for number, priority in ((1, 3), (2, 3), (3, 0)):
        bench.report(f"g{number}", reported(f"g{number}/p{priority}", "m1"))

    assert bench.moves() == ["g2/p3>nowhere"]
    assert [bench.on(name) for name in ("g1/p3", "g3/p0")] == ["m1", "m1"]
