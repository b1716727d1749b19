"""A story at a pace: everything in order, and in between nothing but what is known already."""

from __future__ import annotations

import socket
from array import array

import pytest

from loadtest.earthquake import script
from loadtest.earthquake import story as earthquake
from loadtest.earthquake.script_ring import BATCH_MAX, ScriptPlan, ScriptRing
from loadtest.earthquake.story import Story
from loadtest.profile import for_count
from loadtest.target import Target
from loadtest.templates import POSITION_BITS, RUN_MIN
from netmon.model import Limits
from netmon.snmp import decode_notification
from netmon.snmp.encode import encode_v2c
from tests.unit.loadtest.test_earthquake import sample

COUNT = 5_000
PROFILE = for_count("earthquake", 1_000, COUNT)


@pytest.fixture(scope="module", params=[1, 2, 3])
def story(request: pytest.FixtureRequest) -> Story:
    """A few disasters."""
    return earthquake.tell(sample(), request.param)


def changes(story: Story, order: array[int]) -> list[int]:
    """The notifications of a storm that say something else of an alarm than what was said last; steps of one alarm in turn."""
    last: dict[object, int] = {}
    found = []
    for index in order:
        key = story.notices[index].says[0].key
        if last.get(key) != index:
            found.append(index)
        last[key] = index
    return found


def test_a_storm_tells_every_step_in_order_and_repeats_change_nothing(story: Story) -> None:
    """However it is filled."""
    order = script.order(story, PROFILE)
    assert len(order) == COUNT
    assert changes(story, order) == [step.notice for step in story.steps]


def test_a_silent_device_repeats_nothing(story: Story) -> None:
    """From the position on that is due when it falls silent; a step that came late may have moved it a little."""
    order = script.order(story, PROFILE)
    for at, device in story.silences:
        first = PROFILE.due(at * PROFILE.duration_s) + len(story.steps)
        assert [index for index in order[first:] if story.notices[index].device_id == device] == []


def test_the_same_seed_fills_a_storm_in_the_same_way(story: Story) -> None:
    """So that a result can be had again."""
    assert script.order(story, PROFILE) == script.order(story, PROFILE)


def test_a_storm_that_is_too_small_for_the_story_is_refused(story: Story) -> None:
    """With the number that it takes."""
    with pytest.raises(ValueError, match=f"at least {script.count_min(story)} notifications"):
        script.order(story, for_count("earthquake", 1_000, script.count_min(story) - 1))


def test_datagrams_leave_in_their_order_each_with_its_number() -> None:
    """Also when a batch has one of them several times."""
    datagrams = [
        encode_v2c(
            community=b"public",
            pdu="trap",
            request_id=1,
            uptime_centis=1,
            trap_oid=f"1.3.6.1.6.3.1.1.5.{last}",
            varbinds=[("1.3.6.1.3.1162.1.0", "Counter64", RUN_MIN << POSITION_BITS)],
        )
        for last in (1, 3)
    ]
    order = array("I", [0, 1, 1, 0, 1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        target = Target("127.0.0.1", receiver.getsockname()[1])
        ring = ScriptRing(ScriptPlan(target=target, run=RUN_MIN, datagrams=datagrams, order=order))
        with ring.socket:
            assert (ring.send(0, 3), ring.send(3, BATCH_MAX)) == (3, 2)
            received = [decode_notification(receiver.recv(65_535), Limits()) for _ in order]
    assert [found.trap_oid[-1] for found in received] == ["1", "3", "3", "1", "3"]
    assert [found.varbinds[-1].value for found in received] == [RUN_MIN << POSITION_BITS | at for at in range(5)]
