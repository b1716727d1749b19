"""Ways to move traffic: one file each, made when a gateway of the region has it.

A new one is a file with `actuator(site)`, a line in `_MODULES`, and a kind in `netmon.inventory.model.ActuatorKind`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final, NamedTuple, Protocol, cast

from netmon.failover.actuators.base import Actuator
from netmon.failover.plan.model import Plan, Reported
from netmon.failover.settings import ControllerSettings, GatewaySettings
from netmon.inventory.model import ActuatorKind


class Site(NamedTuple):
    """What an actuator of the controller is made of."""

    settings: ControllerSettings
    gateways: tuple[GatewaySettings, ...]
    """Those that it moves."""
    fence: int
    """The leader's number."""
    hear: Callable[[Reported], None]
    """Takes what a gateway tells. Called in the actuator's own loop."""


class AgentActuator(Actuator, Protocol):
    """One whose gateways have agents: they act by plans, listen to one leader at a time, and tell how they are."""

    def lead(self, fence: int) -> None:
        """From now on the leader's number is this one, greater than the one before: a gateway knew a greater one than that."""

    def plan(self, plans: Sequence[Plan]) -> None:
        """Takes plans, each in place of the one before of its gateway, and returns at once."""


_MODULES: Final[dict[ActuatorKind, str]] = {
    "agent": "netmon.failover.actuators.mqtt",
    "iota_json": "netmon.failover.actuators.iota_json",
    "routes": "netmon.failover.actuators.linux_routes",
    "webhook": "netmon.failover.actuators.webhook",
    "dry_run": "netmon.failover.actuators.dry_run",
}
"""Each has `actuator(site: Site) -> Actuator` (of kind `agent`: AgentActuator); it raises ConfigError when it can never work."""


def make(kind: ActuatorKind, site: Site) -> Actuator:
    """The actuator of a kind; what it needs is imported only now. Raises ConfigError: it can never work."""
    made: Callable[[Site], Actuator] = import_module(_MODULES[kind]).actuator
    return made(site)


def make_agent(site: Site) -> AgentActuator:
    """The one of gateways with agents. Raises ConfigError: it can never work."""
    return cast("AgentActuator", make("agent", site))
