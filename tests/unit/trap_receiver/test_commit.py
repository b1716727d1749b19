"""What commit believes: only a capture that lives."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from netmon.model import LaneSettings, RedisSettings
from netmon.snmp.encode import encode_v2c
from netmon.trap_receiver.bell import Bells
from netmon.trap_receiver.commit import Commit
from netmon.trap_receiver.ledger import CAPTURE_FIELDS, CAPTURE_STATE, COMMIT_STATE
from netmon.trap_receiver.state import StatePage, read_state
from tests.unit.trap_receiver.samples import append, open_writer, record_ipv6


@pytest.mark.parametrize(("alive", "durable"), [(False, 0), (True, 2)])
def test_only_a_living_capture_says_where_the_journal_ends(tmp_path: Path, alive: bool, durable: int) -> None:
    """After a power cut, what the dead one had counted may be gone; its successor cuts the journal and then speaks."""
    settings = LaneSettings(
        receiver="test", lane=0, listen="", directory=str(tmp_path), redis=RedisSettings(url="redis://192.0.2.1")
    )
    writer = open_writer(tmp_path)
    capture = StatePage(tmp_path / CAPTURE_STATE, CAPTURE_FIELDS)
    capture.values["segment"], capture.values["offset"], capture.values["captured"] = append(writer, [b"x", b"y"])
    capture.values["heartbeat_unix_ns"] = 1
    capture.publish()
    writer.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        commit = Commit(settings, sock, Bells(None, None))
        if alive:
            capture.values["heartbeat_unix_ns"] = 2
            capture.publish()
        commit.stop()
        commit.run()

    assert read_state(tmp_path / COMMIT_STATE)["seq"] == durable


def test_an_inform_is_not_answered_when_the_disk_refuses_to_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed fdatasync the kernel may forget what it could not write: decode may have it, nobody is answered."""

    def refuse(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    settings = LaneSettings(
        receiver="test", lane=0, listen="", directory=str(tmp_path), redis=RedisSettings(url="redis://192.0.2.1")
    )
    inform = encode_v2c(
        community=b"public", pdu="inform", request_id=7, uptime_centis=1, trap_oid="1.3.6.1.6.3.1.1.5.3", varbinds=[]
    )
    with (
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device,
    ):
        ours.bind(("::", 0))
        device.bind(("127.0.0.1", 0))
        device.setblocking(False)
        writer = open_writer(tmp_path)
        capture = StatePage(tmp_path / CAPTURE_STATE, CAPTURE_FIELDS)
        commit = Commit(settings, ours, Bells(None, None))
        monkeypatch.setattr(os, "fdatasync", refuse)
        port = device.getsockname()[1]
        writer.append(
            6, [len(inform)], record_ipv6(inform, peer="::ffff:127.0.0.1", port=port, local="::ffff:127.0.0.1")
        )
        capture.values["segment"], capture.values["offset"], capture.values["captured"] = writer.position
        capture.values["heartbeat_unix_ns"] = 1
        capture.publish()
        commit.stop()
        commit.run()
        writer.close()
        with pytest.raises(BlockingIOError):
            device.recv(65_536)

    state = read_state(tmp_path / COMMIT_STATE)
    assert (state["seq"], state["sync_failures"], state["informs_withheld"], state["informs_answered"]) == (1, 1, 1, 0)
