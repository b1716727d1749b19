"""Messages and the clock: that of a TRAP's sender, that of ours, and what is flagged."""

from __future__ import annotations

import pytest

from netmon.errors import DecodeError
from netmon.model import V3User
from netmon.snmp.engines import LATCHED
from tests.unit.snmp.usm_samples import (
    LIFT,
    LIMITS,
    NOBODY,
    OURS,
    SECOND,
    STARTED,
    T0,
    inform,
    opened,
    read,
    reason_of,
    trap,
    usm,
)

HOUR = 3_600


def test_messages_without_authentication_tell_no_time() -> None:
    """Anybody can write anything into them; they are neither judged by the clock nor believed about it."""
    model = usm()

    assert read(model, trap(NOBODY, boots=LATCHED, time_s=5)).flags == ()
    assert len(model.engines) == 0


def test_a_reset_is_flagged() -> None:
    """On every notification of that life of the engine, and on no other."""
    model = usm()
    life = [(5, 10_000, 0), (1, 20, 100), (1, 21, 101), (6, 0, 200)]

    assert [read(model, trap(boots=b, time_s=s), T0 + at * SECOND).flags for b, s, at in life] == [
        (), ("engine_boots_reset",), ("engine_boots_reset",), (),
    ]  # fmt: skip
    assert [read(model, trap(boots=b, time_s=s), T0 + at * SECOND).flags for b, s, at in life] == [
        (), ("engine_boots_reset",), ("engine_boots_reset",), (),
    ]  # fmt: skip


def test_a_reset_is_rejected_where_that_is_configured() -> None:
    """With the RFC's reason."""
    model = usm(boots_reset="reject")
    read(model, trap())

    assert reason_of(model, trap(boots=4, time_s=3), T0 + HOUR * SECOND) == "usm_not_in_time_window"


def test_a_forged_time_is_not_learnt() -> None:
    """Only what a right digest covers moves the clock."""
    model = usm()
    reason_of(model, trap(boots=9)[:-1] + b"\0")

    assert read(model, trap()).flags == ()


def test_our_own_window() -> None:
    """RFC 3414 section 3.2 step 7 a: our boots, and 150 s to either side of our time."""
    model = usm()
    for time_s, fits in ((850, True), (1_150, True), (849, False), (1_151, False)):
        if fits:
            assert read(model, inform(time_s=time_s)).pdu == "inform"
        else:
            assert reason_of(model, inform(time_s=time_s)) == "usm_not_in_time_window"
    for boots in (6, 8):
        assert reason_of(model, inform(boots=boots)) == "usm_not_in_time_window"
    assert model.engines.get(OURS) is None


@pytest.mark.parametrize("user", [NOBODY, LIFT])
def test_before_our_first_start_no_request_is_opened(user: V3User) -> None:
    """There is no clock to answer with, whatever the level."""
    assert reason_of(usm(), inform(user, boots=0, time_s=0), STARTED - 1) == "usm_not_in_time_window"
    assert reason_of(usm(engine_starts_unix_ns=()), inform(user)) == "usm_not_in_time_window"


def test_no_answer_is_made_for_a_time_before_our_first_start() -> None:
    """An error with a reason, not a broken promise."""
    model = usm()
    with pytest.raises(DecodeError) as caught:
        model.respond(model.open(inform(NOBODY), T0, LIMITS), b"", STARTED - 1)

    assert caught.value.reason == "usm_not_in_time_window"


def test_our_window_is_that_of_the_receipt() -> None:
    """An INFORM that came before our restart is judged by the boots of then, whenever it is decoded."""
    model = usm(engine_starts_unix_ns=(STARTED, T0 + 10 * SECOND, T0 + 20 * SECOND))

    assert read(model, inform(boots=7, time_s=1_000), T0 + 9 * SECOND).pdu == "inform"
    assert reason_of(model, inform(boots=7, time_s=1_010), T0 + 10 * SECOND) == "usm_not_in_time_window"
    assert read(model, inform(boots=8, time_s=9), T0 + 19 * SECOND).pdu == "inform"
    assert read(model, inform(boots=9, time_s=0), T0 + 20 * SECOND).pdu == "inform"
    assert reason_of(model, inform(boots=7, time_s=0), STARTED - 1) == "usm_not_in_time_window"


def test_our_latched_boots() -> None:
    """RFC 3414 section 2.2.3 holds for us, too."""
    model = usm(engine_boots_first=LATCHED)

    assert reason_of(model, inform(boots=LATCHED)) == "usm_not_in_time_window"


def test_without_an_engine_of_ours() -> None:
    """TRAPs are received all the same; an INFORM is for somebody else."""
    model = usm(engine_id="", engine_starts_unix_ns=())

    assert opened(model, trap(LIFT)).user == "lift"
    assert reason_of(model, inform()) == "usm_unknown_engine"
