"""The plans of all gateways, worked out beside the decisions: in a thread of low standing, a few gateways at a time.

What it is told is how the region is; what comes out is what gateways have to be told anew. Nothing waits for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import Final, NamedTuple

from netmon.failover.plan.compute import Plans, plan_of
from netmon.failover.plan.model import Plan
from netmon.failover.settings import ControllerSettings, GatewaySettings
from netmon.log import log

GATEWAYS_MAX: Final = 20
"""Gateways that are worked out before others have their turn."""
_PAUSE_S: Final = 0.002
_CALM_S: Final = 0.5
"""After a change, before plans are made of it: what else fails in that time is decided and told first, and no gateway gets two plans for it."""


class View(NamedTuple):
    """How the region is, as far as plans depend on it."""

    failed: frozenset[str] = frozenset()
    """IDs of lines that are SF."""
    failing: frozenset[str] = frozenset()
    """Risk groups that are suspected."""
    locked: frozenset[tuple[str, str]] = frozenset()
    """Group ID and line ID of what operators have locked out."""


class Planner:
    """A thread that works out plans."""

    def __init__(
        self, settings: ControllerSettings, known: Mapping[str, Plan], fence: int, ring: Callable[[], None]
    ) -> None:
        """Prepares.

        Args:
            settings: Of the process.
            known: Gateway ID to the plan that it was last told.
            fence: The leader's number.
            ring: Called, in the thread, when there is something to `take`.
        """
        self._settings = settings
        self._gateways: dict[str, GatewaySettings] = {
            gateway.gateway_id: gateway for gateway in settings.gateways if gateway.actuator == "agent"
        }
        self._known = {name: plan for name, plan in known.items() if name in self._gateways}
        self._fence = fence
        self._ring = ring
        self._lock = threading.Lock()
        self._view = View()
        self._ready: dict[str, Plan] = {}
        self._wake = threading.Event()
        self._over = threading.Event()

    def start(self, now_unix_ns: Callable[[], int]) -> None:
        """Begins, if there is a gateway that has a plan. `now_unix_ns` tells the time."""
        if self._gateways:
            # Not waited for at the end: it owns nothing.
            threading.Thread(target=self._run, args=(now_unix_ns,), name="failover.plans", daemon=True).start()

    def stop(self) -> None:
        """Ends it soon."""
        self._over.set()
        self._wake.set()

    def see(self, view: View) -> None:
        """Takes how the region is now."""
        if view != self._view:
            self._view = view
            self._wake.set()

    def lead(self, fence: int) -> None:
        """The leader's number is a greater one now."""
        self._fence = fence

    def take(self, count_max: int) -> dict[str, Plan]:
        """Gateway ID to the plan that it has to be told, of some of those that differ from what was told before."""
        with self._lock:
            names = list(islice(self._ready, count_max))
            taken = {name: self._ready.pop(name) for name in names}
            is_more = bool(self._ready)
        if is_more:
            self._ring()
        return taken

    @property
    def known(self) -> Mapping[str, Plan]:
        """Gateway ID to its newest plan. Not to be changed."""
        return self._known

    # -- in the thread

    def _run(self, now_unix_ns: Callable[[], int]) -> None:
        plans = Plans(self._settings.lines, self._settings.groups)
        seen = self._view
        plans.see(failed=seen.failed, failing=seen.failing, locked=seen.locked)
        # All together at the start: P0 of all gateways goes before P3 of any. And all are told: one with a single line has nothing to choose, and
        # needs a plan all the same; of another one the region may say something new.
        plans.advance()
        self._put(plans, self._gateways, now_unix_ns)
        log.info("failover.plans_made", gateways=len(self._gateways))
        while not self._over.is_set():
            if self._view is not seen:
                self._over.wait(_CALM_S)
                seen = self._view
                plans.see(failed=seen.failed, failing=seen.failing, locked=seen.locked)
            if plans.pending:
                self._put(plans, plans.advance(GATEWAYS_MAX), now_unix_ns)
                self._wake.wait(_PAUSE_S)
            else:
                self._wake.wait()
            self._wake.clear()

    def _put(self, plans: Plans, gateway_ids: Collection[str], now_unix_ns: Callable[[], int]) -> None:
        for gateway_id in gateway_ids:
            if self._over.is_set():
                return
            if (gateway := self._gateways.get(gateway_id)) is None:
                continue
            former = self._known.get(gateway_id)
            plan = plan_of(
                gateway,
                plans.rankings(gateway_id),
                former,
                fence=self._fence,
                now_unix_ns=now_unix_ns(),
                centre_lost_s=self._settings.centre_lost_s,
            )
            if plan is not former:
                with self._lock:
                    self._known[gateway_id] = self._ready[gateway_id] = plan
        if gateway_ids:
            self._ring()
