"""In what order commit answers: whoever has something to lose comes first."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from netmon.model import V3Settings
from netmon.snmp.encode import encode_discovery, encode_v2c
from netmon.trap_receiver.bell import Bells
from netmon.trap_receiver.commit import Commit
from netmon.trap_receiver.inform import Responder
from netmon.trap_receiver.journal.segment import Record
from tests.unit.trap_receiver.samples import append, lane_settings, open_writer


def test_informs_are_answered_before_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of discoveries in front of an INFORM does not keep its sender waiting."""
    settings = lane_settings(tmp_path, snmpv3=V3Settings(engine_id="80001f8804aabb", engine_starts_unix_ns=(1,)))
    inform = encode_v2c(
        community=b"public", pdu="inform", request_id=7, uptime_centis=1, trap_oid="1.3.6.1.6.3.1.1.5.3", varbinds=[]
    )
    writer = open_writer(tmp_path)
    end = append(writer, [encode_discovery(msg_id=1, request_id=1)] * 3 + [inform])
    writer.close()
    sent: list[str] = []

    def send(_self: Responder, _answer: bytes, _record: Record, counted: str) -> None:
        sent.append(counted)

    monkeypatch.setattr(Responder, "_send", send)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        Commit(settings, sock, Bells(None, None))._answer_informs(end, durable=True)

    assert sent == ["informs_answered", "reports_sent", "reports_sent", "reports_sent"]
