"""The region of the demo: four gateways, seven lines, one duct in which four of them lie, and who sends notifications.

The pier has nothing but its cameras, in the cell of 5G that the harbour falls back on: when the sirens come, cameras have to go.

Pure.
"""

from __future__ import annotations

from typing import Any, Final

from loadtest.lab.deployment import MBPS, Carried, Drawn, Scene
from loadtest.lab.gateways import FLOW_PORT, SERVICE

CAMERA_SERVICE: Final = "10.99.0.3"
"""Where cameras send to: their class is told by it, all others by a mark."""
DUCT: Final = "coast-road-duct"
COAST, HILLS = "coast", "hills"

SCENE: Final = Scene(
    gateways={
        "harbour": {
            "harbour-fibre": Drawn(carrier="michishio", duct=DUCT, profile="quick"),
            "harbour-fibre-2": Drawn(carrier="akebono", duct=DUCT, profile="quick"),
            "harbour-5g": Drawn(carrier="shiokaze", medium="5g", capacity_bps=25 * MBPS, cost_tier=4),
        },
        "pier": {"pier-5g": Drawn(carrier="shiokaze", shares="harbour-5g")},
        "townhall": {
            "townhall-fibre": Drawn(carrier="michishio", duct=DUCT, profile="quick"),
            "townhall-radio": Drawn(carrier="akebono", medium="radio", capacity_bps=100 * MBPS, profile="quick"),
        },
        "ridge": {
            "ridge-fibre": Drawn(carrier="michishio", duct=DUCT, profile="quick"),
            "ridge-leo": Drawn(carrier="soramichi", medium="leo", capacity_bps=25 * MBPS, cost_tier=6),
        },
    },
    areas={"harbour": COAST, "pier": COAST, "townhall": COAST, "ridge": HILLS},
    carries={"harbour": ("sirens", "pumps", "gauges"), "pier": ("cameras",)},
    sites={"clinic": COAST, "school": COAST, "lighthouse": COAST, "dam": HILLS},
    classes={
        "sirens": Carried(priority=0, bandwidth_bps=1 * MBPS, mark=0x10, to=(SERVICE, FLOW_PORT), interval_s=0.001),
        "pumps": Carried(priority=1, bandwidth_bps=2 * MBPS, mark=0x11, to=(SERVICE, FLOW_PORT), interval_s=0.01),
        "gauges": Carried(priority=2, bandwidth_bps=3 * MBPS, mark=0x12, to=(SERVICE, FLOW_PORT), interval_s=0.01),
        "cameras": Carried(priority=3, bandwidth_bps=20 * MBPS, to=(CAMERA_SERVICE, FLOW_PORT), interval_s=0.01),
    },
    # `fast`, which forgets a cut within ten seconds instead of a minute: until then a mended line is degraded, and nobody returns to it.
    profiles={"quick": {"based_on": "fast", "window_s": "10s"}},
    devices={
        **{
            f"router-{gateway}": {
                "name": f"router {gateway}",
                "site": gateway,
                "kind": "router",
                "addresses": [f"192.0.2.{number}"],
                "interfaces": [
                    {"index": place, "line": line, "name": f"port {place}"} for place, line in enumerate(lines, 1)
                ],
            }
            for number, (gateway, lines) in enumerate(
                {
                    "harbour": ("harbour-fibre", "harbour-fibre-2", "harbour-5g"),
                    "townhall": ("townhall-fibre", "townhall-radio"),
                    "ridge": ("ridge-fibre", "ridge-leo"),
                }.items(),
                1,
            )
        },
        **{
            f"ups-{site}": {
                "name": f"UPS {site}", "site": site, "kind": "ups", "addresses": [f"192.0.2.{number}"], "is_power": True,
            }
            for number, site in enumerate(("harbour", "townhall", "clinic", "school", "lighthouse"), 11)
        },
    },
)  # fmt: skip

CUT: Final = tuple(name for name, line in SCENE.lines().items() if line.duct == DUCT)
"""Lines that die with the duct."""
UNFIT: Final = frozenset({"ridge/cameras"})
"""For whom no line that is left has room."""
SHED: Final = frozenset({"pier/cameras"})
"""Who has to make room, and has nowhere to go."""
RETURNING: Final = frozenset(f"ridge/{name}" for name in SCENE.classes)
"""Groups of the area that is in no disaster: they return after the wait to restore. Those of the coast wait 12 minutes."""

FAILOVER: Final[dict[str, Any]] = {"wtr_s": 5, "lock_delay_s": 1}
"""Of the configuration. The usual wait to restore is five minutes, which nobody would watch."""
