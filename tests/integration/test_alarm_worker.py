"""The alarm worker on a real Valkey: nothing is lost, and nothing is done twice, whoever dies when."""

from __future__ import annotations

import itertools
import signal
from collections import Counter
from pathlib import Path

import redis

from tests.integration.alarms import LINK_UP, Worker, changes, event, fill, raises, stored
from tests.integration.valkey import Valkey, wait_until


def test_notifications_become_alarms(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """A port goes down twice and up once: one alarm, which tells all of it."""
    fill(client, [event(1), event(2), event(3, trap_oid=LINK_UP)])
    with Worker(tmp_path, server) as worker:
        worker.wait_done(client)
        assert worker.stop() == 0
    alarm = stored(client)["source/192.0.2.1/interface/1"]
    assert (alarm.is_cleared, alarm.notifications, alarm.severity) == (True, 3, "major")
    assert [change.kind for change in changes(client)] in (["raised", "cleared"], ["cleared"])
