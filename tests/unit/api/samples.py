"""An alarm, for tests of what is made of it."""

from __future__ import annotations

from netmon.alarms.model import Alarm, Text

NOON = 1_767_268_800_000_000_000

ALARM = Alarm(
    id="a1",
    resource="device/r1",
    alarm_type="link-down",
    severity="major",
    event_type="communicationsAlarm",
    probable_cause="loss_of_signal",
    text=Text("down", "断"),
    created_unix_ns=NOON,
    raised_unix_ns=NOON,
    event_unix_ns=NOON,
    changed_unix_ns=NOON + 123_456_789,
)
