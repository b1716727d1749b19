"""What `netmon rejects` tells of a datagram without a key."""

from __future__ import annotations

from netmon.canary.message import encode
from netmon.cli.rejects import Claims, claims_of, line_of
from netmon.model import RejectEvent
from netmon.snmp.encode import encode_discovery


def test_version_and_claims_stand_in_the_header() -> None:
    """A question for an engine has an empty user; what is no SNMP at all claims nothing."""
    v2c = encode("trap", community=b"*", run="0" * 16, number=1, sent_unix_ns=1)
    assert claims_of(v2c.hex()) == Claims("v2c", None, None)
    assert claims_of(encode_discovery(msg_id=1, request_id=1).hex()) == Claims("v3", "", "")
    assert [claims_of(raw) for raw in ("", "30", b"rubbish".hex())] == [Claims(None, None, None)] * 3


def test_a_line_is_safe_for_a_terminal() -> None:
    """Reason, sender, version and place."""
    event = RejectEvent(
        seq=1,
        received_unix_ns=1,
        peer="192.0.2.7\x1b",
        peer_port=1,
        local="::1",
        reason="ber_truncated",
        offset=7,
        raw="30",
    )
    shown = line_of(event)
    assert ("192.0.2.7\\x1b" in shown, "ber_truncated" in shown, shown.isprintable()) == (True, True, True)
    assert shown.endswith("-    at byte 7")
