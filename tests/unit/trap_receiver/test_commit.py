"""What commit believes: only a capture that lives."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from netmon.model import LaneSettings, RedisSettings
from netmon.trap_receiver.bell import Bells
from netmon.trap_receiver.commit import Commit
from netmon.trap_receiver.ledger import CAPTURE_FIELDS, CAPTURE_STATE, COMMIT_STATE
from netmon.trap_receiver.state import StatePage, read_state
from tests.unit.trap_receiver.samples import append, open_writer


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
