"""A Redis for simulated controllers: lease, fence, states and audit; it can be away, forget its newest writes, or forget everything."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from netmon.buffer.failover_store import FREEZE_FIELD, REQUESTS
from netmon.buffer.failover_writer import Flush
from netmon.failover.actuators.base import Order
from netmon.failover.model import Freeze, GroupState, Request
from netmon.failover.plan.model import Reported
from netmon.failover.record import Audit

_ABSENT = object()


class AwayError(Exception):
    """It does not answer."""


class _Undo(NamedTuple):
    unix_ns: int
    store: dict[str, object]
    key: str
    before: object


class FakeRedis:
    """What all controllers share, as long as it is not lost.

    Attributes:
        is_away: It answers nobody.
        fences_refused: Writes of who leads no more.
        pages, proposals: How many were written.
    """

    def __init__(self) -> None:
        """Empty."""
        self.is_away = False
        self.fences_refused = 0
        self._intents: dict[tuple[str, int], dict[int, Audit]] = {}
        self.pages = self.proposals = 0
        self._meta: dict[str, object] = {"fence": 0, "holder": "", "until_ns": 0}
        self._states: dict[str, object] = {}
        self._requests: dict[str, object] = {}
        self._orders: dict[str, object] = {}
        self._gateways: dict[str, object] = {}
        self._undo: list[_Undo] = []

    # -- lease

    def acquire(self, holder: str, lease_ns: int, now_ns: int) -> int | None:
        """Takes the lease and a number that nobody has had; None: somebody has it. Raises AwayError."""
        self._answer()
        if self._meta["holder"] and self._meta["until_ns"] > now_ns:  # type: ignore[operator]
            return None
        fence = int(self._meta["fence"]) + 1  # type: ignore[call-overload]
        self._put(self._meta, "fence", fence, now_ns)
        self._put(self._meta, "holder", f"{holder}/{fence}", now_ns)
        self._put(self._meta, "until_ns", now_ns + lease_ns, now_ns)
        return fence

    def renew(self, holder: str, fence: int, lease_ns: int, now_ns: int) -> bool:
        """Keeps the lease; False: it is somebody else's. Raises AwayError."""
        self._answer()
        if self._meta["holder"] != f"{holder}/{fence}":
            return False
        self._put(self._meta, "until_ns", now_ns + lease_ns, now_ns)
        return True

    def raise_fence(self, holder: str, fence: int, above: int, now_ns: int) -> int | None:
        """Gives the leader a number above one that a gateway has seen; None: somebody else leads. Raises AwayError."""
        self._answer()
        if self._meta["holder"] != f"{holder}/{fence}":
            return None
        raised = max(above, int(self._meta["fence"])) + 1  # type: ignore[call-overload]
        self._put(self._meta, "fence", raised, now_ns)
        self._put(self._meta, "holder", f"{holder}/{raised}", now_ns)
        return raised

    # -- data

    def commit(self, fence: int, flush: Flush, now_ns: int) -> bool:
        """All of it in one transaction; False: the fence is not the leader's. Raises AwayError."""
        self._answer()
        if self._meta["fence"] != fence:
            self.fences_refused += 1
            return False
        for state in flush.states:
            self._put(self._states, state.group_id, state, now_ns)
        for order in flush.orders:
            self._put(self._orders, order.group_id, order, now_ns)
        for request in flush.requests:
            self._put(self._requests, request.id, request, now_ns)
        for request_id in flush.gone.get(REQUESTS, ()):
            self._put(self._requests, str(request_id), _ABSENT, now_ns)
        for reported in flush.gateways:
            self._put(self._gateways, reported.gateway_id, reported, now_ns)
        if FREEZE_FIELD in flush.meta:
            self.freeze = msgspec.json.decode(flush.meta[FREEZE_FIELD], type=Freeze)
        elif FREEZE_FIELD in flush.meta_gone:
            self.freeze = None
        for entry in flush.audits:
            # An order that takes another one back is an intent as well; that this has come to nothing is none.
            if entry.kind == "intent" or (entry.kind == "abandoned" and entry.evidence):
                self._intents.setdefault((entry.group, entry.generation), {})[entry.fence] = entry
        self.pages += sum(entry.kind == "page" for entry in flush.audits)
        self.proposals += sum(entry.kind == "proposed" for entry in flush.audits)
        return True

    def intent(self, fence: int, group_id: str, generation: int) -> Audit | None:
        """What stands in the audit of an order, by this leader or by the one that it has it from; never forgotten, as people keep it."""
        by_fence = self._intents.get((group_id, generation), {})
        return by_fence.get(max((each for each in by_fence if each <= fence), default=0))

    def gateways(self) -> list[Reported]:
        """As they told last. Raises AwayError."""
        self._answer()
        return list(self._gateways.values())  # type: ignore[arg-type]

    def orders(self) -> list[Order]:
        """The newest of each group. Raises AwayError."""
        self._answer()
        return list(self._orders.values())  # type: ignore[arg-type]

    @property
    def freeze(self) -> Freeze | None:
        """Why nothing moves by itself."""
        return self._meta.get("freeze")  # type: ignore[return-value]

    @freeze.setter
    def freeze(self, freeze: Freeze | None) -> None:
        self._meta["freeze"] = freeze

    def states(self) -> list[GroupState]:
        """All that are stored. Raises AwayError."""
        self._answer()
        return list(self._states.values())  # type: ignore[arg-type]

    def requests(self) -> list[Request]:
        """Operators' requests. Raises AwayError."""
        self._answer()
        return list(self._requests.values())  # type: ignore[arg-type]

    # -- faults

    def lose_tail(self, since_ns: int) -> None:
        """Forgets what was written since then: a replica that was behind has become the master."""
        while self._undo and self._undo[-1].unix_ns >= since_ns:
            _, store, key, before = self._undo.pop()
            if before is _ABSENT:
                store.pop(key, None)
            else:
                store[key] = before

    def lose_everything(self) -> None:
        """An empty server takes its place."""
        self._meta = {"fence": 0, "holder": "", "until_ns": 0}
        self._states, self._requests, self._orders, self._gateways, self._undo = {}, {}, {}, {}, []

    def _answer(self) -> None:
        if self.is_away:
            raise AwayError

    def _put(self, store: dict[str, object], key: str, value: object, now_ns: int) -> None:
        self._undo.append(_Undo(now_ns, store, key, store.get(key, _ABSENT)))
        if value is _ABSENT:
            store.pop(key, None)
        else:
            store[key] = value
