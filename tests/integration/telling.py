"""The centre's end of the broker: publishes what it is told, and tells what gateways report; in whatever network namespace it is started.

    python telling.py URL FILTER

Each line of its standard input is `Say`, published with QoS 1; each message that it hears is a line of its standard output.
"""

from __future__ import annotations

import asyncio
import base64
import sys

import msgspec

from netmon.failover.mqtt.link import Filter, Heard, Link
from netmon.failover.settings import MqttSettings


class Say(msgspec.Struct, frozen=True, kw_only=True):
    """A message, base64."""

    topic: str
    payload: str
    retained: bool


async def main(url: str, heard_filter: str) -> None:
    """Until its input ends."""

    def hear(heard: Heard) -> None:
        said = Say(topic=heard.topic, payload=base64.b64encode(heard.payload).decode(), retained=heard.retained)
        print(msgspec.json.encode(said).decode(), flush=True)

    link = Link(MqttSettings(url=url), "centre", [Filter(heard_filter)], hear, message_bytes_max=1 << 20)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(link.run())
        reader = asyncio.StreamReader(limit=1 << 22)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            say = msgspec.json.decode(line, type=Say)
            payload = base64.b64decode(say.payload)
            if say.retained:
                link.publish(say.topic, payload)
            else:
                link.shout(say.topic, payload)
        running.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
