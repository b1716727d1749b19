"""Who is asked: names, numbers that wrap, and turns that stay where they are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.active_probe.probers.base import SEQ_MASK
from netmon.active_probe.settings import ProbedLine, VantageSettings
from netmon.active_probe.vantage.target import Target, anchors_of, targets_of
from netmon.inventory.probes import IcmpProbe, Pin
from netmon.model import RedisSettings

SECOND = 1_000_000_000
PROBE = IcmpProbe(address="192.0.2.1")


def target(*, standby: bool = False) -> Target:
    """Of a wired line."""
    return Target("fibre-1", "icmp 192.0.2.1", PROBE, BUILT_IN["fibre"], standby=standby, started_ns=0)


def test_same_place_asked_by_two_ways_has_two_names() -> None:
    """Metrics and evidence tell them apart; anchors belong to no line."""
    other_way = IcmpProbe(address="192.0.2.1", pin=Pin(interface="wan1"))
    settings = VantageSettings(
        vantage_id="hq",
        redis=RedisSettings(url="redis://127.0.0.1"),
        directory="probe",
        lines=(ProbedLine(line_id="fibre-1", profile=BUILT_IN["fibre"], probes=(PROBE, other_way)),),
        anchors=(PROBE,),
        anchor_profile=BUILT_IN["fibre"],
    )

    assert [one.key for one in targets_of(settings, 0)] == ["fibre-1/icmp 192.0.2.1", "fibre-1/icmp 192.0.2.1 #2"]
    assert [one.key for one in anchors_of(settings, 0)] == ["/icmp 192.0.2.1"]


@given(st.integers(1, 2**40), st.integers(0, 1_000))
def test_number_in_a_packet_is_the_number_of_its_probe(asked: int, behind: int) -> None:
    """Also when the 32 bits of the packet have begun again."""
    one = target()
    one.asked = asked
    seq = asked - 1 - behind

    if seq >= 0:
        assert one.full_number(seq & SEQ_MASK) == seq


def test_number_that_was_never_sent_is_nobody_s() -> None:
    """Before the first probe, ahead of the newest, or long gone."""
    one = target()
    assert one.full_number(0) == -1
    one.asked = 100_000

    assert [one.full_number(seq) for seq in (100_000, 20_000, SEQ_MASK)] == [-1, -1, -1]


def test_turns_go_back_to_their_place_after_doubt() -> None:
    """Asked at once and fast while undecided, and then when it would have been anyway."""
    one = target()
    one.take_place(300_000_000)
    one.track.sent(one.number(0), 0)
    one.track.lost(0, SECOND // 2)

    assert one.track.undecided
    assert one.next_turn_ns(SECOND // 2) == SECOND // 2 + 200_000_000
    one.track.sent(one.number(SECOND // 2), SECOND // 2)
    one.track.replied(1, 1_000_000, SECOND // 2 + 1_000_000)
    assert one.next_turn_ns(700_000_000) == 1_300_000_000


def test_line_on_standby_has_its_place_in_the_long_interval() -> None:
    """Or all of them would be asked in the first second of each half minute."""
    one = target(standby=True)
    one.take_place(17_300_000_000)

    assert one.period_s == 30.0
    assert one.next_turn_ns(0) == 300_000_000  # nothing is known of it yet
    one.track.sent(one.number(0), 0)
    one.track.replied(0, 1_000_000, 1_000_000)
    assert one.next_turn_ns(400_000_000) == 17_300_000_000


def test_target_is_in_no_doubt_after_the_vantage_was_cut_off() -> None:
    """Or its next miss would not be asked about at once."""
    one = target()
    one.track.sent(one.number(0), 0)
    one.track.lost(0, SECOND // 2)
    one.confirming = one.track.undecided
    one.restart(SECOND)

    assert (one.confirming, one.track.undecided, one.track.misses) == (False, False, 0)
