"""A broker between simulated controllers and gateways: retained topics, clients that come and go, messages that are lost, late, or there twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.sim.engine import MS, Engine, S

Receive = Callable[[str, Any], None]


class Weather(NamedTuple):
    """How messages fare."""

    lost: float = 0.0
    """Share that is lost for good."""
    twice: float = 0.0
    late: float = 0.0
    """Share that takes up to `late_s`, so that others overtake it."""
    late_s: float = 0.0


class _Client:
    def __init__(self, receive: Receive) -> None:
        self.receive = receive
        self.topics: set[str] = set()
        self.is_connected = True
        self.unsent: dict[str, Any] = {}
        """Newest of each topic, told when it is connected again."""


class FakeBroker:
    """Topics and clients by name.

    Attributes:
        weather: Changed by faults.
        is_away: It is down; nobody is connected.
        lost: Messages that nobody got.
    """

    def __init__(self, engine: Engine) -> None:
        """Nobody is connected."""
        self.weather = Weather()
        self.is_away = False
        self.lost = 0
        self._engine = engine
        self._clients: dict[str, _Client] = {}
        self._listeners: dict[str, list[_Client]] = {}
        """Topic to who has subscribed to it."""
        self._retained: dict[str, Any] = {}

    def join(self, name: str, receive: Receive, topics: set[str]) -> None:
        """A client connects for the first time, or anew with another memory."""
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = _Client(receive)
        for topic in client.topics - topics:
            self._listeners[topic].remove(client)
        for topic in sorted(topics - client.topics):
            self._listeners.setdefault(topic, []).append(client)
        client.receive, client.topics = receive, topics
        self._greet(client)

    def leave(self, name: str) -> None:
        """A client is cut off, whether it knows or not."""
        self._clients[name].is_connected = False

    def forget(self, name: str) -> None:
        """What a client could not tell is not told any more: it has ended, or it leads no longer."""
        self._clients[name].unsent.clear()

    def rejoin(self, name: str) -> None:
        """A client is back: it tells what it could not, and hears what is retained."""
        client = self._clients[name]
        client.is_connected = True
        if self.is_away:
            return
        unsent, client.unsent = client.unsent, {}
        for topic, message in unsent.items():
            self.publish(name, topic, message)
        self._greet(client)

    def greet(self, name: str) -> None:
        """A client subscribes anew: it hears what is retained."""
        self._greet(self._clients[name])

    def retained(self, topic: str) -> Any | None:
        """What the broker has of a topic, as somebody who subscribes would hear it."""
        return None if self.is_away else self._retained.get(topic)

    def hears(self, name: str) -> bool:
        """Whether the client is connected."""
        return not self.is_away and self._clients[name].is_connected

    def publish(self, name: str, topic: str, message: Any, *, retained: bool = True) -> None:
        """Takes a message; of one who is cut off, the newest of each retained topic waits."""
        client = self._clients[name]
        if self.is_away or not client.is_connected:
            if retained:
                client.unsent[topic] = message
            return
        if self._engine.chance(self.weather.lost):
            self.lost += 1
            return
        if retained:
            self._retained[topic] = message
        for other in self._listeners.get(topic, ()):
            self._send(other, topic, message)

    def stop(self, *, forgets: bool) -> None:
        """The broker dies; without its retained messages, if its disk was slow."""
        self.is_away = True
        if forgets:
            self._retained.clear()

    def start(self) -> None:
        """The broker is back, and everybody who can connects."""
        self.is_away = False
        for name, client in list(self._clients.items()):
            if client.is_connected:
                self.rejoin(name)

    def _greet(self, client: _Client) -> None:
        if self.is_away or not client.is_connected:
            return
        for topic in sorted(client.topics):
            if topic in self._retained:
                self._send(client, topic, self._retained[topic])

    def _send(self, client: _Client, topic: str, message: Any) -> None:
        self._once(client, topic, message)
        if self._engine.chance(self.weather.twice):
            self._once(client, topic, message)

    def _once(self, client: _Client, topic: str, message: Any) -> None:
        def arrive() -> None:
            if client.is_connected and not self.is_away:
                client.receive(topic, message)
            else:
                self.lost += 1

        if self._engine.chance(self.weather.late):
            self._engine.within(20 * MS, round(self.weather.late_s * S), arrive)
        else:
            self._engine.within(MS, 15 * MS, arrive)
