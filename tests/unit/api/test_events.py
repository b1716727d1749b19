"""What listeners are told, and what becomes of a slow one's queue."""

from __future__ import annotations

import json

import msgspec

from netmon.alarms.model import Text
from netmon.api.events import (
    CLIENTS_MAX,
    QUEUE_BYTES_MAX,
    QUEUE_EVENTS_MAX,
    Client,
    Event,
    Hub,
    event_of,
    reset_event,
)
from tests.unit.api.samples import ALARM


def told(event: Event | None) -> tuple[str, str, object]:
    """Name, ID and data."""
    assert event is not None
    name, entry_id, data, *rest = event.data.decode().split("\n")
    assert rest == ["", ""]
    return name.removeprefix("event: "), entry_id.removeprefix("id: "), json.loads(data.removeprefix("data: "))


def test_each_kind_of_entry_is_an_event() -> None:
    """A change with the alarm as it is now; what is not known is passed over."""
    alarm = msgspec.structs.replace(ALARM, text=Text("line\nbreak", "改行\n"))
    change = msgspec.json.encode({"kind": "raised", "unix_ns": 1, "alarm": alarm})
    name, entry_id, data = told(event_of((b"1-0", {b"change": change})))
    assert (name, entry_id, isinstance(data, dict) and data["alarm"]["id"]) == ("change", "1-0", "a1")
    posture = b'{"unix_ns":1,"before":"normal","now":{"area":"hama"}}'
    assert told(event_of((b"2-0", {b"posture": posture})))[0] == "posture"
    flood = {"active": True, "since": None, "count": 12, "areas": {}, "causes": []}
    assert told(event_of((b"3-0", {b"flood": b'{"active":true,"count":12}'}))) == ("flood", "3-0", flood)
    assert told(event_of((b"4-0", {b"reset": b"{}"}))) == ("reset", "4-0", {"reason": "reloaded"})
    assert [event_of((b"5-0", fields)) for fields in ({b"other": b"{}"}, {b"change": b"{"}, {})] == [None] * 3


async def test_a_full_queue_becomes_one_reset() -> None:
    """By number or by size; what comes after it is kept again."""
    for events, event in ((QUEUE_EVENTS_MAX, Event("1-0", b"x")), (1, Event("1-0", b"x" * QUEUE_BYTES_MAX))):
        client = Client()
        for _ in range(events):
            client.put(event)
        client.put(Event("2-0", b"y"))
        client.put(Event("3-0", b"z"))
        assert client.take() == [reset_event("2-0", "slow"), Event("3-0", b"z")]
        assert client.take() == []


async def test_waiting_ends_with_an_event_or_without() -> None:
    """So that a heartbeat can be sent; and when nothing more will come."""
    client = Client()
    assert await client.wait(0.001) is False
    client.put(Event("1-0", b"x"))
    assert await client.wait(60) is True
    client.take()
    client.close()
    assert (await client.wait(60), client.is_over) == (True, True)


async def test_a_hub_has_room_for_so_many() -> None:
    """Whoever leaves makes room; all who are there are told."""
    hub = Hub()
    clients = [hub.join() for _ in range(CLIENTS_MAX)]
    assert (len(hub), hub.join()) == (CLIENTS_MAX, None)
    first, second = clients[0], clients[1]
    assert first is not None
    assert second is not None
    hub.leave(first)
    assert hub.join() is not None
    hub.publish(Event("1-0", b"x"))
    assert (first.take(), second.take()) == ([], [Event("1-0", b"x")])
