"""What a region may say of its probes, and is worth a second look: probes that ask over another line than the one that they judge.

Pure. Each doubt is `path: text`. Where no line is asked, there is none: nobody has begun.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Final

from netmon.active_probe.measure.profiles import profile_of
from netmon.active_probe.measure.table import SAMPLES_MIN
from netmon.inventory.model import Inventory, Line
from netmon.inventory.probes import AnyProbe, HttpProbe, MqttProbe, Profile

TARGETS_MIN: Final = 2
"""With one, a target that is switched off is a line that is down."""
RATE_MAX: Final = 10_000.0
"""Probes a second of one vantage that are known to go well: docs/benchmarks.md."""


_URL: Final = re.compile(r"(\w+)://(?:\[([^\]]*)\]|([^/:]*))")
"""Of a URL that was checked: scheme, address in brackets, other host."""


def doubts(inventory: Inventory) -> Iterator[str]:
    """Yield each, in the order of the file."""
    asked = [line for line in inventory.lines if line.probes]
    if not asked:
        return
    for line in asked:
        yield from _about_line(inventory, line)
    yield from _about_vantages(inventory, asked)
    for name, profile in inventory.profiles.items():
        yield from (f"profiles.{name}: {text}" for text in _about_profile(inventory, name, profile))


def _about_line(inventory: Inventory, line: Line) -> Iterator[str]:
    for index, probe in enumerate(line.probes):
        yield from (f"lines.{line.id}.probes[{index}]: {text}" for text in _about_probe(probe))
    for vantage, targets in _targets(inventory, line).items():
        if targets < TARGETS_MIN:
            text = "asks one target alone, so the line is down when that is switched off; two say more"
            yield f"lines.{line.id}.probes: {vantage or 'the only vantage'} {text}"


def _about_probe(probe: AnyProbe) -> Iterator[str]:
    pin = probe.pin
    if not (pin.interface or pin.mark or pin.netns):
        if pin.source and not pin.expect_interface:
            yield (
                "is pinned by its source address alone, which chooses no line, since routing goes by the destination; "
                "name interface, mark or netns, or expect_interface, to be told when it took another"
            )
        elif not pin.source:
            yield "has no pin, so it leaves by another line when this one is dead; name interface, mark or netns"
    yield from _about_url(probe)


def _about_url(probe: AnyProbe) -> Iterator[str]:
    if not isinstance(probe, HttpProbe | MqttProbe):
        return
    url = _URL.match(probe.url)
    assert url is not None, "checked when it was read"
    host = url[2] or url[3]
    if not getattr(probe, "address", "") and not _is_literal(host):
        yield f"looks {host} up, and the server that knows names may be behind another line; name its address"
    secret = probe.token_file if isinstance(probe, HttpProbe) else probe.password_file
    if secret and url[1] in {"http", "mqtt"}:
        yield "sends its secret unencrypted; TLS would not"


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _targets(inventory: Inventory, line: Line) -> Mapping[str, int]:
    """Vantage to how many targets of a line it asks; the only one of a region that names none is the empty text."""
    everyone = tuple(vantage.id for vantage in inventory.vantages) or ("",)
    targets: dict[str, int] = {}
    for probe in line.probes:
        for vantage in probe.vantage_ids or everyone:
            targets[vantage] = targets.get(vantage, 0) + 1
    return targets


def _about_vantages(inventory: Inventory, asked: list[Line]) -> Iterator[str]:
    rates: dict[str, float] = {}
    for line in asked:
        interval_s = profile_of(line, inventory).interval_s
        for vantage, targets in _targets(inventory, line).items():
            rates[vantage] = rates.get(vantage, 0.0) + targets / interval_s
    anchored = {vantage.id for vantage in inventory.vantages if vantage.anchors}
    # An agent decides for its own gateway alone, and keeps the route that it has when none of its lines answers.
    anchored.update(gateway.id for gateway in inventory.gateways if gateway.actuator == "agent")
    for vantage, rate in rates.items():
        where = f"vantages.{vantage}" if vantage else "vantages"
        if vantage not in anchored:
            yield f"{where}: no anchors, so a vantage that is cut off itself is known by all lines failing at once alone"
        if rate > RATE_MAX:
            yield f"{where}: {rate:,.0f} probes a second, and {RATE_MAX:,.0f} are known to go well; share them with others"
    for declared in inventory.vantages:
        if declared.id not in rates:
            yield f"vantages.{declared.id}: asks nothing; no probe names it in from, and none is for all"


def _about_profile(inventory: Inventory, name: str, profile: Profile) -> Iterator[str]:
    if not any((line.profile or line.medium) == name for line in inventory.lines):
        yield "no line has it"
    if (samples := profile.window_s / profile.interval_s) < SAMPLES_MIN:
        text = f"window_s holds {samples:.0f} probes, and loss is judged by at least {SAMPLES_MIN}"
        yield f"{text}, so only a cut is found; a longer window, or a shorter interval_s, finds loss, too"
    if profile.timeout_s > profile.interval_s:
        yield (
            f"timeout_s {profile.timeout_s:g} is longer than interval_s {profile.interval_s:g}, "
            "so several probes are under way before one is missed, and a cut is found later than it could be"
        )
