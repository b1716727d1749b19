"""Which INFORMs are out, answered, due again, given up."""

from __future__ import annotations

import pytest

from loadtest.inform import InformWindow, answered_request_id
from loadtest.templates import build
from netmon.snmp.encode import tlv


def response(request_id: int, error_status: int = 0) -> bytes:
    """A Response-PDU without varbinds."""
    body = tlv(2, request_id.to_bytes(4, "big")) + tlv(2, bytes([error_status])) + tlv(2, b"\0") + tlv(0x30, b"")
    return tlv(0x30, tlv(2, b"\1") + tlv(4, b"public") + tlv(0xA2, body))


def test_an_answered_inform_leaves_the_window_once() -> None:
    """A second answer is unexpected."""
    window = InformWindow(size=3, timeout_s=1.5, retries=2)
    window.sent(10, 3, now_s=0.0)
    assert window.room == 0
    window.answer(11)
    window.answer(11)
    assert (window.room, window.answered, window.unexpected) == (1, 1, 1)


def test_an_inform_is_sent_again_after_the_timeout_and_then_given_up() -> None:
    """With two retries it is sent three times."""
    window = InformWindow(size=8, timeout_s=1.0, retries=2)
    window.sent(0, 2, now_s=0.0)
    window.answer(1)
    assert window.due(0.9) == []
    assert window.due(1.0) == [0]
    assert window.due(1.5) == []
    assert window.due(2.0) == [0]
    assert window.due(3.0) == []
    assert window.unanswered == [0]
    assert window.is_empty


def test_a_late_answer_to_a_retransmission_still_counts() -> None:
    """Nothing is due for it any more."""
    window = InformWindow(size=8, timeout_s=1.0, retries=2)
    window.sent(0, 1, now_s=0.0)
    assert window.due(1.0) == [0]
    window.answer(0)
    assert window.due(9.0) == []
    assert (window.answered, window.unanswered) == (1, [])


def test_the_request_id_is_read_from_a_response_without_error() -> None:
    """An error is no answer: the receiver did not take it."""
    assert answered_request_id(response(0x40000001)) == 0x40000001
    assert answered_request_id(response(0x40000001, error_status=5)) is None


@pytest.mark.parametrize("length", range(len(response(0x40000001)) - 4))
def test_a_cut_response_is_no_answer(length: int) -> None:
    """And no crash."""
    assert answered_request_id(response(0x40000001)[:length]) in {None, 0x40000001}


def test_an_inform_is_not_its_own_answer() -> None:
    """A reflected request has another tag."""
    assert answered_request_id(build("linkdown", "inform", device=1).datagram) is None
