"""Topics and reports: what a gateway tells is bounded, and nobody speaks for another."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.errors import ConfigError
from netmon.failover.model import LineSight
from netmon.failover.mqtt import wire
from netmon.failover.plan.model import Reported, ReportedGroup

GROUP = ReportedGroup(
    group_id="gw-1/life", on="fibre", fence=3, generation=2, outcome="verified", phases_s={"act": 0.01}
)
REPORTED = Reported(
    gateway_id="gw-1",
    fence=3,
    beat=8,
    started_unix_ns=1,
    unix_ns=2,
    groups=(GROUP,),
    lines=(LineSight(line_id="fibre", state="up"),),
)


def changed(**fields: object) -> bytes:
    """The report with other fields, as somebody sends it who keeps no limits."""
    return msgspec.json.encode(msgspec.structs.replace(REPORTED, **fields))


def reason_of(message: bytes) -> str:
    """Why a report cannot be used."""
    with pytest.raises(wire.WireError) as caught:
        wire.decode_reported(message, "gw-1")
    return caught.value.reason


def test_topics() -> None:
    """As the documentation has them."""
    topics = wire.Topics("pref/netmon")

    assert [topics.of("gw-港", kind) for kind in wire.KINDS] == [
        "pref/netmon/gateways/gw-港/plan",
        "pref/netmon/gateways/gw-港/desired",
        "pref/netmon/gateways/gw-港/reported",
    ]
    assert topics.centre == "pref/netmon/centre"


@given(st.text("abc-港", min_size=1), st.sampled_from(wire.KINDS))
def test_topic_is_read_as_it_was_written(gateway_id: str, kind: wire.Kind) -> None:
    """For every gateway and kind."""
    topics = wire.Topics("netmon")
    assert topics.place(topics.of(gateway_id, kind)) == wire.Place(gateway_id, kind)


@pytest.mark.parametrize(
    "topic",
    ["", "netmon/centre", "netmon/gateways/", "netmon/gateways//plan", "netmon/gateways/gw-1", "netmon/gateways/gw-1/plan/x", "x/gateways/gw-1/plan"],
)  # fmt: skip
def test_topic_of_nobody(topic: str) -> None:
    """Is none of ours."""
    assert wire.Topics("netmon").place(topic) is None


@pytest.mark.parametrize("prefix", ["", "/", "netmon/", "a//b", "net+mon", "#", "a\nb", "x" * 1_025])
def test_prefix_that_mqtt_forbids(prefix: str) -> None:
    """Is refused with what is expected."""
    with pytest.raises(ConfigError, match="expected words with / between them"):
        wire.Topics(prefix)


def test_report_comes_as_it_was_sent() -> None:
    """Unchanged, but for texts that are too long."""
    assert wire.decode_reported(wire.encode_reported(REPORTED), "gw-1") == REPORTED

    talkative = msgspec.structs.replace(REPORTED, groups=(msgspec.structs.replace(GROUP, detail="長" * 1_000),))
    assert (
        wire.decode_reported(wire.encode_reported(talkative), "gw-1").groups[0].detail == "長" * wire.REPORTED_TEXT_MAX
    )


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b" " * (wire.REPORTED_BYTES_MAX + 1), "too_long"),
        (b"", "malformed"),
        (b"{}", "malformed"),
        (b"[" * 60_000, "malformed"),
        (changed(gateway_id="gw-2"), "other_gateway"),
        (changed(fence=wire.NUMBER_MAX + 1), "out_of_range"),
        (changed(fence=-1), "out_of_range"),
        (changed(beat=1 << 70), "out_of_range"),
        (changed(groups=(GROUP,) * (wire.REPORTED_GROUPS_MAX + 1)), "out_of_range"),
        (changed(lines=(LineSight(line_id="x"),) * (wire.REPORTED_LINES_MAX + 1)), "out_of_range"),
        (changed(groups=(msgspec.structs.replace(GROUP, generation=1 << 60),)), "out_of_range"),
        (changed(groups=(msgspec.structs.replace(GROUP, detail="x" * 257),)), "out_of_range"),
        (changed(groups=(msgspec.structs.replace(GROUP, phases_s={str(n): 0.1 for n in range(17)}),)), "out_of_range"),
    ],
)
def test_report_that_cannot_be_used(message: bytes, reason: str) -> None:
    """Has a reason that says why; a gateway cannot use up the centre's fences, nor its memory."""
    assert reason_of(message) == reason


@given(st.binary(max_size=300))
def test_any_octets_are_refused(message: bytes) -> None:
    """With a word of the closed set."""
    assert reason_of(message) in wire.REASONS


def test_report_that_nobody_would_read_is_not_sent() -> None:
    """It has too many lines."""
    with pytest.raises(wire.WireError, match="too_long"):
        wire.encode_reported(
            msgspec.structs.replace(REPORTED, lines=(LineSight(line_id="x" * 99, reason="y" * 99),) * 1_000)
        )
