"""What an earthquake breaks in a region, and which cause each failure has.

Pure. Ducts are cut with all their lines, power feeders fail with all their sites, batteries of some sites run out. What is
broken is chosen so that the truth about every cause is one: no line has two of them, nothing looks like a failure of a duct that
was not cut, and there is an area in disaster and one that is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from random import Random
from typing import Final

import msgspec
from msgspec.structs import replace

from loadtest.earthquake.notices import address_of
from netmon.alarms.model import Key
from netmon.alarms.settings import PostureSettings
from netmon.inventory.model import Device
from netmon.inventory.topology import Topology

DEVICES_A_BLOW: Final = 100
"""A larger region is hit by more blows, one more of each kind for so many devices."""
_Sites = frozenset[str]
_Lines = frozenset[str]


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """What is broken at the end."""

    ducts: tuple[str, ...] = ()
    """Risk groups whose lines were cut, all of them."""
    feeders: tuple[str, ...] = ()
    """Risk groups whose sites lost mains power, all that would tell."""
    cut: _Lines = frozenset()
    dark: _Sites = frozenset()
    """Sites on battery."""
    silent: _Sites = frozenset()
    """Those of them whose batteries ran out."""
    lost: _Lines = frozenset()
    """Lines that end at a silent site, less those that were cut before."""
    unheard: _Lines = frozenset()
    """The like of which nobody is left to tell."""

    @property
    def down(self) -> _Lines:
        """All lines that are known to be down."""
        return self.cut | self.lost

    @property
    def dead(self) -> _Lines:
        """All lines that are down."""
        return self.down | self.unheard


class Region:
    """A region, as somebody sees it who looks for something to break."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.ups = {
            device.site_id: device for device in topology.devices.values() if device.is_power and address_of(device)
        }
        """Site to the device that tells of its power."""
        powered = {device.site_id for device in topology.devices.values() if device.is_power}
        self.lines_of = {group: frozenset(topology.lines_of_risk_group(group)) for group in topology.risk_groups}
        self.sites_of = {
            group: frozenset(topology.sites_of_risk_group(group)) & powered for group in topology.risk_groups
        }

    def ends(self, line: str) -> list[tuple[Device, int]]:
        """The ports that a line ends at whose devices can be played."""
        ports = ((self.topology.devices[device], index) for device, index in self.topology.ends(line))
        return [(device, index) for device, index in ports if address_of(device)]

    def failed(self, damage: Damage) -> set[str]:
        """The risk groups of which everything has failed, at least two things together."""
        return {
            group
            for group, lines in self.lines_of.items()
            if len(lines) + len(self.sites_of[group]) >= 2
            and lines <= damage.down
            and self.sites_of[group] <= damage.dark
        }

    def is_cut_off(self, device: str, down: _Lines) -> bool:
        """Whether all lines over which a device is reached are down."""
        uplinks = self.topology.uplinks(device)
        return bool(uplinks) and down.issuperset(uplinks)

    def can_tell(self, device: Device, damage: Damage) -> bool:
        """Whether a device can still be heard when all is over."""
        return device.site_id not in damage.silent and not self.is_cut_off(device.id, damage.dead)

    def in_disaster(self, damage: Damage, settings: PostureSettings | None = None) -> dict[str, bool]:
        """Area ID to whether what is broken there makes it a disaster."""
        settings = settings or PostureSettings()
        found = {}
        for area in self.topology.areas:
            failing, dark = self.harm(damage, area)
            share = failing / len(self.topology.lines_of_area(area)) if failing >= settings.lines_failing_min else 0.0
            found[area] = 0 < share >= settings.lines_disaster_ratio or dark >= settings.battery_disaster_sites
        return found

    def harm(self, damage: Damage, area: str) -> tuple[int, int]:
        """Lines that are known to be down and sites on battery, of an area."""
        topology = self.topology
        failing = len(damage.down.intersection(topology.lines_of_area(area)))
        return failing, len(damage.dark.intersection(topology.sites_of_area(area)))


def choose(region: Region, rng: Random) -> Damage:
    """Something to break; the same for the same region and state of `rng`.

    Raises:
        ValueError: The region has nothing that fails together, or breaking it is a disaster nowhere, or everywhere.
    """
    areas = list(region.topology.areas)
    rng.shuffle(areas)
    for area in areas:
        damage = _break(region, rng, area)
        disaster = region.in_disaster(damage)
        if any(disaster.values()) and not (all(disaster.values()) and len(disaster) > 1):
            return damage
    raise ValueError(
        "nothing in this region makes a disaster in one area and spares another: it takes a power feeder of three sites "
        "with a UPS each, or a duct with half of an area's lines"
    )


def root_of_line(region: Region, damage: Damage, line: str) -> Key:
    """The true cause of a line that is down."""
    groups = region.topology.risk_groups_of_line(line)
    for group in damage.ducts:
        if group in groups:
            return Key(f"risk-group/{group}", "shared-risk-failure")
    ends = region.topology.lines[line].endpoint_site_ids
    site = next((site for site in ends if line in damage.lost and site in damage.silent), None)
    return Key(f"line/{line}", "line-down") if site is None else root_of_site(region, damage, site)


def root_of_site(region: Region, damage: Damage, site: str) -> Key:
    """The true cause of a site's power failure."""
    groups = region.topology.risk_groups_of_site(site)
    for group in damage.feeders:
        if group in groups:
            return Key(f"risk-group/{group}", "shared-risk-failure")
    return Key(f"site/{site}", "power-failure")


# --- How it is chosen. ---

_Strike = Callable[[Region, Damage, str], Damage]


def _break(region: Region, rng: Random, area: str) -> Damage:
    """Blow after blow, those that hit an area first; and then more, of any kind, until it is in disaster."""
    blows = 1 + len(region.topology.devices) // DEVICES_A_BLOW
    sites = [site for site in region.topology.sites_of_area(area) if site in region.ups]
    damage = _strike(region, Damage(), _feeders(region, rng, area), _strike_feeder, blows)
    damage = _strike(region, damage, _ducts(region, rng, area), _strike_duct, blows)
    damage = _strike(
        region, damage, [*_shuffled(rng, damage.dark.intersection(sites)), *sorted(damage.dark)], _strike_site, 1
    )
    damage = _strike(region, damage, _shuffled(rng, damage.dark), _strike_site, blows - 1)
    more: list[tuple[_Strike, str]] = [(_strike_duct, duct) for duct in _ducts(region, rng, area)]
    more += [(strike, site) for site in sites for strike in (_strike_mains, _strike_site)]
    rng.shuffle(more)
    for strike, name in more:
        worse = strike(region, damage, name)
        if region.in_disaster(damage)[area]:
            break
        if _is_plain(region, worse) and region.harm(worse, area) > region.harm(damage, area):
            damage = worse
    return damage


def _strike(region: Region, damage: Damage, names: Iterable[str], strike: _Strike, count: int) -> Damage:
    """So many blows; those after which the truth would not be plain are left out."""
    for name in names:
        worse = strike(region, damage, name)
        if count > 0 and worse != damage and _is_plain(region, worse):
            damage, count = worse, count - 1
    return damage


def _feeders(region: Region, rng: Random, area: str) -> list[str]:
    groups = [
        group
        for group, sites in region.sites_of.items()
        if len(sites) >= 2 and not region.lines_of[group] and sites <= region.ups.keys()
    ]
    rng.shuffle(groups)
    here = frozenset(region.topology.sites_of_area(area))
    return sorted(groups, key=lambda group: len(here & region.sites_of[group]), reverse=True)


def _ducts(region: Region, rng: Random, area: str) -> list[str]:
    groups = [group for group, lines in region.lines_of.items() if len(lines) >= 2 and not region.sites_of[group]]
    rng.shuffle(groups)
    here = frozenset(region.topology.lines_of_area(area))
    return sorted(groups, key=lambda group: len(here & region.lines_of[group]), reverse=True)


def _shuffled(rng: Random, names: Iterable[str]) -> list[str]:
    found = sorted(names)
    rng.shuffle(found)
    return found


def _strike_feeder(region: Region, damage: Damage, group: str) -> Damage:
    return replace(damage, feeders=(*damage.feeders, group), dark=damage.dark | region.sites_of[group])


def _strike_mains(_: Region, damage: Damage, site: str) -> Damage:
    """A breaker of its own, whatever feeds it."""
    return replace(damage, dark=damage.dark | {site})


def _strike_duct(region: Region, damage: Damage, group: str) -> Damage:
    worse = replace(damage, ducts=(*damage.ducts, group), cut=damage.cut | region.lines_of[group])
    return _with_lost_lines(region, worse)


def _strike_site(region: Region, damage: Damage, site: str) -> Damage:
    """Its batteries are empty."""
    return _with_lost_lines(region, replace(damage, dark=damage.dark | {site}, silent=damage.silent | {site}))


def _with_lost_lines(region: Region, damage: Damage) -> Damage:
    ending = frozenset(chain.from_iterable(map(region.topology.lines_of_site, damage.silent))) - damage.cut
    worse = replace(damage, lost=frozenset(), unheard=ending)
    told = {line for line in ending if any(region.can_tell(device, worse) for device, _ in region.ends(line))}
    return replace(worse, lost=frozenset(told), unheard=ending - told)


def _is_plain(region: Region, damage: Damage) -> bool:
    """Whether the truth about the causes is one, and can be told."""
    if region.failed(damage) != {*damage.ducts, *damage.feeders}:
        return False
    if any(region.is_cut_off(region.ups[site].id, damage.cut) for site in damage.dark):
        return False
    topology = region.topology
    struck = {*damage.ducts, *damage.feeders}
    several = (
        len(struck.intersection(groups)) > 1
        for groups in chain(
            map(topology.risk_groups_of_line, damage.down), map(topology.risk_groups_of_site, damage.dark)
        )
    )
    silent_ends = (damage.silent.intersection(topology.lines[line].endpoint_site_ids) for line in damage.lost)
    roots = ({root_of_site(region, damage, site) for site in sites} for sites in silent_ends)
    return not any(several) and all(region.ends(line) for line in damage.down) and all(len(each) == 1 for each in roots)
