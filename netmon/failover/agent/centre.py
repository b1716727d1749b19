"""The agent's side of the broker: hears plan, desired state and beats, believes what is signed, and tells how the gateway is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from netmon.failover.mqtt.link import Filter, Heard, Link, LinkState, Will
from netmon.failover.mqtt.wire import BYTES_MAX, PLAN_BYTES_MAX, Topics, encode_reported
from netmon.failover.plan.model import Beat, Desired, Plan, Reported
from netmon.failover.plan.sign import Public, SignatureError, Told, verify
from netmon.failover.settings import MqttSettings
from netmon.log import limited, log

ACKNOWLEDGED_S: Final = 2.0
"""After a move: the broker may be reached by the line that has just died, and TCP would take long to find out."""
LEAVE_S: Final = 1.0
"""How long a stop waits until the broker has heard of it."""


class Centre:
    """One link for one gateway.

    Attributes:
        refused: Messages that were not believed, by reason.
    """

    def __init__(
        self,
        settings: MqttSettings,
        gateway_id: str,
        public: Public,
        take: Callable[[Told, bytes], None],
        now: Callable[[], Reported],
    ) -> None:
        """Makes ready.

        Args:
            settings: The broker.
            gateway_id: Whose agent this is.
            public: The centre's key.
            take: Takes what the centre says, with its octets.
            now: How the gateway is.

        Raises:
            ConfigError: It can never connect.
        """
        self.refused: Counter[str] = Counter()
        self._gateway_id = gateway_id
        self._public = public
        self._take = take
        self._now = now
        self._is_leaving = False
        topics = Topics(settings.prefix)
        self._reported = topics.of(gateway_id, "reported")
        self._kinds: Mapping[str, type[Plan | Desired | Beat]] = {
            topics.of(gateway_id, "plan"): Plan,
            topics.of(gateway_id, "desired"): Desired,
            topics.centre: Beat,
        }
        self._bytes_max: Mapping[str, int] = {
            topics.of(gateway_id, "plan"): BYTES_MAX["plan"],
            topics.of(gateway_id, "desired"): BYTES_MAX["desired"],
            topics.centre: BYTES_MAX["centre"],
        }
        filters = [Filter(topic, qos=0 if topic == topics.centre else 1) for topic in self._kinds]
        self._link = Link(
            settings,
            f"netmon-agent-{gateway_id}",
            filters,
            self._hear,
            message_bytes_max=PLAN_BYTES_MAX,
            changed=self._changed,
            will=lambda: Will(self._reported, encode_reported(_stopped(self._now()))),
        )

    @property
    def state(self) -> LinkState:
        """Of the link."""
        return self._link.state

    async def run(self) -> None:
        """Keeps the link up until it is cancelled."""
        await self._link.run()

    def tell(self) -> None:
        """Tells how the gateway is, as soon as there is somebody to tell; what it was before is not told any more."""
        self._link.publish(self._reported, self._encoded)

    async def tell_surely(self) -> None:
        """The same after a move: if the broker does not acknowledge it soon, the connection is made anew, by whatever way there is now."""
        self.tell()
        if self._link.state.connected and not await self._link.settle(ACKNOWLEDGED_S):
            self._link.renew()

    async def leave(self) -> None:
        """Tells that the agent ends, if that can be told soon. Whatever is told after it, of a move that just ends, says so too."""
        self._is_leaving = True
        self.tell()
        if self._link.state.connected:
            await self._link.settle(LEAVE_S)

    def _encoded(self) -> bytes:
        reported = self._now()
        return encode_reported(_stopped(reported) if self._is_leaving else reported)

    def _hear(self, heard: Heard) -> None:
        wanted = self._kinds.get(heard.topic)
        if wanted is None:
            return
        if len(heard.payload) > self._bytes_max[heard.topic]:
            self._refuse(heard.topic, "too_long")
            return
        try:
            told = verify(heard.payload, self._public, self._gateway_id)
        except SignatureError as error:
            self._refuse(heard.topic, error.reason)
            return
        if not isinstance(told, wanted):
            self._refuse(heard.topic, "other_topic")
            return
        self._take(told, heard.payload)

    def _refuse(self, topic: str, reason: str) -> None:
        self.refused[reason] += 1
        cure = "whoever may write to that topic is not the centre, or verify_key is not the centre's"
        limited.warning("agent.message_refused", reason=reason, topic=topic, cure=cure)

    def _changed(self, state: LinkState) -> None:
        if state.connected:
            log.info("agent.broker_connected")
            self.tell()
        else:
            limited.warning("agent.broker_lost", reason=state.why)


def _stopped(reported: Reported) -> Reported:
    return Reported(
        gateway_id=reported.gateway_id,
        plan_version=reported.plan_version,
        fence=reported.fence,
        beat=reported.beat,
        started_unix_ns=reported.started_unix_ns,
        unix_ns=reported.unix_ns,
        groups=reported.groups,
        refused=reported.refused,
        stopped=True,
    )
