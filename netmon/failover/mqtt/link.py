"""The link to the broker, of the controller and of a gateway alike: is there, or comes back for ever; tells what became of what was published.

What is published are states. So the queue has one place for each topic, and the newest wins: however long the broker is away, what waits is bounded
by the number of topics. What was sent and not acknowledged when a connection breaks is sent again by the next one. A subscriber gets what is retained
with each new connection (clean start), so nothing has to be remembered by the broker for a gateway that is gone for ever.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from netmon.errors import UnavailableError
from netmon.failover.actuators.base import Way
from netmon.failover.mqtt.session import Filter, Heard, Sent, Session, Will, tls_of
from netmon.failover.settings import MqttSettings

__all__ = ["COUNTS", "Filter", "Heard", "Link", "LinkState", "Will"]

KEEPALIVE_S: Final = 10
"""A broker that is stopped is noticed within twice this; one that has a message to acknowledge within `ANSWER_TIMEOUT_S`."""
BACK_OFF_FIRST_S: Final = 1.0
BACK_OFF_MAX_S: Final = 30.0
"""Between attempts: a random part of it, at least a tenth, so that 10,000 gateways do not come at once after the broker was restarted."""
STEADY_S: Final = 10.0
"""A connection that lasted so long was a good one: the next attempt comes soon."""
REFUSED_RETRY_S: Final = 30.0
"""A topic that the broker lets nobody like us write to is tried again after this; its access list may have been put right."""
TOPICS_MAX: Final = 100_000
"""That wait to be published; more is a fault of ours."""
_WATCH_S: Final = 1.0

COUNTS: Final = ("connected", "lost", "heard", "oversize", "told", "refused", "unsent")
"""Of `Link.counts`: connections made, connections lost or not made, messages heard, messages too long to be heard, messages acknowledged, messages
refused by the broker, signs of life that were not sent for want of a connection."""

Payload = bytes | Callable[[], bytes | None]
"""Octets; or what makes them when their turn has come, so that what waits takes no memory and is never old. None: there is nothing to tell any more."""


class LinkState(NamedTuple):
    """How the link is."""

    connected: bool
    since_unix_ns: int
    """Connected: since when. Otherwise: since when it is not."""
    why: str
    """Why it is not connected, in words; empty: it is, or was not tried yet. Nothing secret."""


class _Flight(NamedTuple):
    topic: str
    payload: Payload
    urgent: bool


class Link:
    """To one broker, with one will. `run` keeps it up; everything else may be called at any time and returns at once.

    Attributes:
        state: How it is.
        counts: See COUNTS; all there from the start.
    """

    def __init__(
        self,
        settings: MqttSettings,
        client_id: str,
        filters: Sequence[Filter],
        hear: Callable[[Heard], None],
        *,
        message_bytes_max: int,
        changed: Callable[[LinkState], None] | None = None,
        will: Callable[[], Will] | None = None,
        keepalive_s: int = KEEPALIVE_S,
    ) -> None:
        """Makes ready.

        Args:
            settings: Where the broker is, and who we are.
            client_id: A gateway's is always the same: if its connection died without the broker's having noticed, the next one ends it, and with it
                the old will, before the new report. Two controllers have different ones, or they would throw each other out.
            filters: What to hear; retained messages come with each new connection.
            hear: Takes what arrives, in order, in the loop. What it raises ends `run`.
            message_bytes_max: The broker is told to send nothing longer; what is longer all the same is counted and dropped.
            changed: Takes each new state: "connected" after everything is subscribed to.
            will: Asked for the will before each attempt.
            keepalive_s: Of MQTT.

        Raises:
            ConfigError: It can never connect: no such URL, no such files.
        """
        self.state = LinkState(connected=False, since_unix_ns=time.time_ns(), why="")
        self.counts: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
        self._settings = settings
        self._client_id = client_id
        self._filters = tuple(filters)
        self._hear = hear
        self._message_bytes_max = message_bytes_max
        self._changed = changed
        self._will = will
        self._keepalive_s = keepalive_s
        self._tls = tls_of(settings)
        self._session: Session | None = None
        self._urgent: dict[str, Payload] = {}
        self._other: dict[str, Payload] = {}
        self._flights: dict[int, _Flight] = {}
        self._newest: dict[str, int] = {}
        """Topic to the number of the newest message of it that is under way."""
        self._refused: dict[str, tuple[float, Payload]] = {}
        self._attempt: asyncio.Timeout | None = None
        self._failures = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def pending(self) -> int:
        """Topics of which the broker has not acknowledged the newest."""
        return len(self._urgent) + len(self._other) + len(self._flights) + len(self._refused)

    @property
    def way(self) -> Way:
        """How it is, for a report."""
        return Way(up=self.state.connected, why=self.state.why, waiting=self.pending, counts=dict(self.counts))

    def publish(self, topic: str, payload: Payload, *, urgent: bool = True) -> None:
        """Publishes a state: retained, QoS 1, until the broker has it. A newer one of the same topic takes its place while it waits; what is not
        `urgent` waits until nothing is that is.
        """
        assert len(self._urgent) + len(self._other) < TOPICS_MAX, "topics are those of configured gateways"
        self._refused.pop(topic, None)
        if topic in self._urgent:
            urgent = True
        (self._urgent if urgent else self._other).pop(topic, None)
        if urgent:
            self._other.pop(topic, None)
        (self._urgent if urgent else self._other)[topic] = payload
        self._idle.clear()
        self._pump()

    def shout(self, topic: str, payload: bytes) -> None:
        """Publishes what is of use only now: not retained, QoS 0; without a connection it is not sent, and counted."""
        if self._session is None or self._session.send(topic, payload, qos=0, retain=False) is None:
            self.counts["unsent"] += 1

    def renew(self) -> None:
        """Connects anew at once: the way to the broker has changed, and TCP would take long to find out."""
        if self._attempt is not None:
            self._attempt.reschedule(asyncio.get_running_loop().time())

    async def settle(self, timeout_s: float) -> bool:
        """Waits until the broker has everything that it takes; returns whether it has, after `timeout_s` at the latest."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Keeps the link up until it is cancelled; then takes leave of the broker, which does not publish the will."""
        while True:
            try:
                # A limit without an end, which `renew` sets to now.
                async with asyncio.timeout(None) as self._attempt:
                    await self._connection()
            except UnavailableError as error:
                self._down(error.detail)
            except TimeoutError:
                self._down("connecting anew")
                self._failures = 0
                continue
            except asyncio.CancelledError:
                self.state = LinkState(connected=False, since_unix_ns=time.time_ns(), why="ended")
                raise
            await self._pause()

    async def _connection(self) -> None:
        """One connection, from the attempt to its end.

        Raises:
            UnavailableError: How it ended.
        """
        session = Session(
            self._settings,
            self._client_id,
            hear=self._take,
            sent=self._sent,
            tls=self._tls,
            will=None if self._will is None else self._will(),
            keepalive_s=self._keepalive_s,
            message_bytes_max=self._message_bytes_max,
        )
        await session.open()
        began_s = time.monotonic()
        try:
            # What is urgent does not wait until ten thousand topics are subscribed to.
            self._session = session
            self._pump()
            await session.hear(self._filters)
            self._up()
            while True:
                await session.watch(_WATCH_S)
                self._retry_refused()
        except asyncio.CancelledError:
            session.leave()
            raise
        finally:
            session.drop()
            self._session = None
            if time.monotonic() - began_s > STEADY_S:
                self._failures = 0

    async def _pause(self) -> None:
        limit_s = min(BACK_OFF_FIRST_S * 2 ** min(self._failures, 10), BACK_OFF_MAX_S)
        self._failures += 1
        try:
            async with asyncio.timeout(None) as self._attempt:
                await asyncio.sleep(limit_s * random.uniform(0.1, 1.0))  # noqa: S311 - spread
        except TimeoutError:
            self._failures = 0

    def _up(self) -> None:
        self.counts["connected"] += 1
        self._tell(LinkState(connected=True, since_unix_ns=time.time_ns(), why=""))

    def _down(self, why: str) -> None:
        self.counts["lost"] += 1
        for topic, number in self._newest.items():
            flight = self._flights[number]
            if topic not in self._urgent and topic not in self._other:
                (self._urgent if flight.urgent else self._other)[topic] = flight.payload
        self._flights.clear()
        self._newest.clear()
        since_ns = time.time_ns() if self.state.connected else self.state.since_unix_ns
        self._tell(LinkState(connected=False, since_unix_ns=since_ns, why=why))

    def _tell(self, state: LinkState) -> None:
        if state != self.state:
            self.state = state
            if self._changed is not None:
                self._changed(state)

    def _take(self, heard: Heard) -> None:
        if len(heard.payload) > self._message_bytes_max:
            self.counts["oversize"] += 1
            return
        self.counts["heard"] += 1
        self._hear(heard)

    def _sent(self, sent: Sent) -> None:
        flight = self._flights.pop(sent.message_id, None)
        if flight is not None:
            is_newest = self._newest.get(flight.topic) == sent.message_id
            if is_newest:
                del self._newest[flight.topic]
            if sent.refused:
                self._put_off(flight, is_newest=is_newest)
            else:
                self.counts["told"] += 1
        self._pump()

    def _put_off(self, flight: _Flight, *, is_newest: bool) -> None:
        self.counts["refused"] += 1
        if is_newest and flight.topic not in self._urgent and flight.topic not in self._other:
            self._refused[flight.topic] = (time.monotonic() + REFUSED_RETRY_S, flight.payload)

    def _retry_refused(self) -> None:
        now_s = time.monotonic()
        for topic in [topic for topic, (at_s, _) in self._refused.items() if at_s <= now_s]:
            self.publish(topic, self._refused[topic][1], urgent=False)

    def _pump(self) -> None:
        """Sends as much as the broker takes without having acknowledged."""
        session = self._session
        while session is not None and len(self._flights) < session.in_flight_max:
            waiting = self._urgent or self._other
            if not waiting:
                break
            topic = next(iter(waiting))
            payload = waiting[topic]
            octets = payload if isinstance(payload, bytes) else payload()
            if octets is not None:
                number = session.send(topic, octets, qos=1, retain=True)
                if number is None:
                    break  # `watch` will tell
                self._flights[number] = _Flight(topic, payload, waiting is self._urgent)
                self._newest[topic] = number
            del waiting[topic]
        if not (self._urgent or self._other or self._flights):
            self._idle.set()
