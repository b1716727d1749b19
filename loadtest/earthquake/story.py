"""A disaster over a region: which notifications devices send and when, and exactly which alarms and causes must come of it.

Pure, and the same for the same region and seed. At t0 ducts are cut and all their lines go down within seconds; power feeders
fail, the batteries of some sites run out and these sites fall silent; devices restart, an interface flaps, a line fades and
recovers, and elsewhere small things go wrong as on any day. The expectation is written down here while the disaster is told, by
who broke what (`loadtest.earthquake.damage`). Nothing of it comes from `netmon.alarms.lifecycle.book` or `causes`, which are what it judges.
"""

from __future__ import annotations

from random import Random
from typing import Final

import msgspec
from msgspec.structs import replace

from loadtest.earthquake import notices
from loadtest.earthquake.damage import Damage, Region, choose, root_of_line, root_of_site
from loadtest.earthquake.notices import Notice, Said, address_of
from netmon.alarms.model import Key, Severity
from netmon.inventory.model import Device, Inventory
from netmon.inventory.topology import Topology

DURATION_MAX_S: Final = 240.0
"""Of a storm that tells this: what flaps must not have settled at its end (`alarms.flap_settle_s`), nor forecasts have ended."""

FORECAST_MINUTES: Final = 120
"""A UPS that says it lasts no longer has an alarm that forecasts its end, and stands for five minutes after its last word."""

CALM, CUT, ROUTING, POWER = (0.0, 0.09), (0.100, 0.113), (0.12, 0.18), (0.20, 0.24)
COOLING, FADE, LOW, LAST_MINUTES, BATTERIES = (0.26, 0.36), (0.30, 0.32), (0.37, 0.38), (0.39, 0.40), (0.41, 0.42)
FAR_ENDS, RECOVERY = (0.44, 0.50), (0.70, 0.80)
"""From when to when, in shares of the duration: days as any, the cut, who notices, the feeder, what overheats, a line that
fades, batteries that run low and out, who notices that, and what recovers."""
_CUT_OFF_AT: Final = 0.115
_SILENT_AT: Final = 0.425
_FLAPS_FROM, _FLAPS_EVERY, _FLAPS = 0.50, 0.01, 5
_FREE_PORT: Final = 900
"""ifIndex of ports that no line ends at."""
DEVICES_A_SMALL_THING: Final = 400
"""Of each kind of small things that go wrong, there is one more for so many devices."""
_BABBLE: Final = 40
"""How much more often a babbling device repeats itself than others do."""


class Step(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One notification that changes something."""

    at: float
    """Share of the duration, 0 to 1."""
    notice: int
    """Index into the story's notices."""
    weight: int = 1
    """How often it is repeated, compared with others, until another one speaks of the same alarm; 0: never."""


class ExpectedAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm as it must stand at the end."""

    key: Key
    severity: Severity
    is_cleared: bool = False
    flapping: bool = False
    cause: Key | None = None
    """The topmost one; None: it is a cause of its own, or cleared."""


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """The disaster, and what must come of it."""

    seed: int
    damage: Damage
    notices: tuple[Notice, ...]
    """Each once."""
    steps: tuple[Step, ...]
    """In the order of time."""
    silences: tuple[tuple[float, str], ...]
    """Share of the duration from which on a device sends nothing more, and its ID."""
    alarms: tuple[ExpectedAlarm, ...]
    """Sorted by key: all that there must be."""
    disaster: dict[str, bool]
    """Area ID to whether its posture must be disaster; False: it must not."""

    @property
    def causes(self) -> dict[Key, int]:
        """The true causes, and how many active alarms each explains; those that stand for themselves with 0."""
        found = {alarm.key: 0 for alarm in self.alarms if alarm.cause is None and not alarm.is_cleared}
        for alarm in self.alarms:
            if alarm.cause is not None:
                found[alarm.cause] += 1
        return found


def tell(inventory: Inventory, seed: int) -> Story:
    """The disaster of this seed.

    Raises:
        ValueError: The region has not enough that can break.
    """
    topology = Topology(inventory)
    region, rng = Region(topology), Random(seed)
    return _Teller(region, choose(region, rng), rng, seed).tell()


class _Teller:
    """Tells a disaster, and writes down what must come of it."""

    def __init__(self, region: Region, damage: Damage, rng: Random, seed: int) -> None:
        self._region, self._damage, self._rng, self._seed = region, damage, rng, seed
        self._topology = region.topology
        self._notices: dict[Notice, int] = {}
        self._steps: list[Step] = []
        self._alarms: dict[Key, ExpectedAlarm] = {}
        self._playable = [device for device in region.topology.devices.values() if address_of(device)]
        self._silent_from = {device.id: self._silence_of(device) for device in region.topology.devices.values()}
        self._faded, self._tripped = self._passing()

    def tell(self) -> Story:
        self._any_day()
        self._cut()
        self._power()
        self._fade()
        self._small_things()
        self._batteries()
        self._flap()
        self._derive()
        return Story(
            seed=self._seed,
            damage=self._damage,
            notices=tuple(self._notices),
            steps=tuple(sorted(self._steps)),
            silences=tuple(sorted((at, device) for device, at in self._silent_from.items() if at < 1)),
            alarms=tuple(sorted(self._alarms.values(), key=lambda alarm: alarm.key)),
            disaster=self._region.in_disaster(self._damage),
        )

    # --- Who can say what. ---

    def _silence_of(self, device: Device) -> float:
        """From when on a device cannot be heard; 1: it always can."""
        if self._region.is_cut_off(device.id, self._damage.cut):
            return _CUT_OFF_AT
        return 1.0 if self._region.can_tell(device, self._damage) else _SILENT_AT

    def _blamed(self, device: Device, kind: str) -> set[Key]:
        """What is to blame for an alarm of a device: `routing` hangs on lines at its ports, `plant` on mains power."""
        region, damage, topology = self._region, self._damage, self._topology
        uplinks, site = topology.uplinks(device.id), device.site_id
        lines = set(uplinks) if region.is_cut_off(device.id, damage.down) else set()
        if kind == "routing":
            lines |= damage.down.intersection(topology.lines_of_device(device.id))
        found = {root_of_line(region, damage, line) for line in lines}
        if site in damage.silent or (site in damage.dark and kind == "plant"):
            found.add(root_of_site(region, damage, site))
        return found

    def _untouched(self) -> list[Device]:
        """Devices that nothing of all this concerns, in no particular order."""
        damage, topology = self._damage, self._topology
        found = [
            device
            for device in self._playable
            if device.site_id not in damage.dark
            and device.site_id != self._tripped
            and self._silent_from[device.id] == 1
            and not damage.down.intersection(topology.lines_of_device(device.id))
        ]
        self._rng.shuffle(found)
        return found

    # --- Writing down. ---

    def _say(
        self,
        when: tuple[float, float],
        notice: Notice,
        cause: Key | None = None,
        *,
        weight: int = 1,
        flapping: bool = False,
    ) -> None:
        """A notification within a time, and what is known of its alarms from then on."""
        at = self._rng.uniform(*when)
        assert at < self._silent_from[notice.device_id], f"{notice.device_id} cannot be heard any more"
        self._steps.append(Step(at=at, notice=self._notices.setdefault(notice, len(self._notices)), weight=weight))
        for said in notice.says:
            self._note(said, cause, flapping)

    def _note(self, said: Said, cause: Key | None, flapping: bool) -> None:
        known = self._alarms.get(said.key)
        if known is None and said.severity is None:
            return
        is_cleared = said.severity is None and not flapping
        severity = said.severity or (known.severity if known else "indeterminate")
        self._alarms[said.key] = ExpectedAlarm(
            key=said.key,
            severity=severity,
            is_cleared=is_cleared,
            flapping=flapping,
            cause=None if is_cleared or cause == said.key else cause,
        )

    def _say_routing(self, when: tuple[float, float], line: str, cause: Key) -> None:
        """Whoever has a port on a line misses a neighbour, if there is but one cause for that."""
        for device, index in self._region.ends(line):
            if self._silent_from[device.id] <= when[1] or self._blamed(device, "routing") != {cause}:
                continue
            self._say(when, notices.ospf(device, _neighbor(device, index), up=False), cause, weight=2)
            if device.kind == "router":
                self._say(when, notices.bgp(device, _neighbor(device, index), up=False), cause)
                self._say(when, notices.bfd(device, index), cause, weight=4)

    # --- The disaster. ---

    def _any_day(self) -> None:
        """Before it: small things. A site that will lose everything speaks of a wrong password, which no power cut explains."""
        untouched = self._untouched()
        if not untouched:
            raise ValueError("this disaster would spare no device; a region needs some that nothing happens to")
        self._say((0.0, 0.0), notices.unauthentic(untouched[0]), weight=4)
        for site in sorted(self._damage.silent):
            for id_ in self._topology.devices_of_site(site):
                device = self._topology.devices[id_]
                blamed = self._blamed(device, "other")
                if address_of(device) and len(blamed) == 1:
                    self._say(CALM, notices.unauthentic(device))
                    break

    def _cut(self) -> None:
        for line in sorted(self._damage.cut):
            cause = root_of_line(self._region, self._damage, line)
            for device, index in self._region.ends(line):
                weight = self._rng.choice((1, 1, _BABBLE))
                self._say(CUT, notices.link(device, index, up=False), cause, weight=weight)
            self._say_routing(ROUTING, line, cause)

    def _power(self) -> None:
        region, damage = self._region, self._damage
        for site in sorted(damage.dark):
            cause, ups = root_of_site(region, damage, site), region.ups[site]
            minutes = self._rng.choice((45, 90, 180))
            self._say(POWER, notices.on_battery(ups, minutes), cause, weight=8)
            if minutes <= FORECAST_MINUTES or site in damage.silent:
                key = Key(f"device/{ups.id}", "battery-running-out")
                self._alarms[key] = ExpectedAlarm(key=key, severity="warning", cause=cause)
            for id_ in self._topology.devices_of_site(site):
                device = self._topology.devices[id_]
                if not address_of(device) or device.is_power or self._silent_from[id_] <= COOLING[1]:
                    continue
                if self._blamed(device, "plant") != {cause}:
                    continue
                self._say(COOLING, notices.component_failed(device, self._rng.randint(1, 8)), cause)
                if self._rng.random() < 0.5:
                    self._say(COOLING, notices.restarted(device), cause)

    def _batteries(self) -> None:
        region, damage = self._region, self._damage
        for site in sorted(damage.silent):
            cause, ups = root_of_site(region, damage, site), region.ups[site]
            self._say(LOW, notices.ups_battery(ups, depleted=False), cause)
            self._say(LAST_MINUTES, notices.on_battery(ups, 3), cause, weight=8)
            self._say(BATTERIES, notices.ups_battery(ups, depleted=True), cause)
        for line in sorted(damage.lost):
            cause = root_of_line(region, damage, line)
            for device, index in region.ends(line):
                if device.site_id not in damage.silent and self._silent_from[device.id] >= 1:
                    self._say(FAR_ENDS, notices.link(device, index, up=False), cause)
            self._say_routing((FAR_ENDS[1], FAR_ENDS[1] + 0.02), line, cause)

    def _passing(self) -> tuple[str | None, str | None]:
        """A line that will go down and come back, and a site whose mains power will; None where that would change more."""
        region, topology, damage = self._region, self._topology, self._damage
        lines = [
            line
            for line in topology.lines
            if line not in damage.dead
            and region.ends(line)
            and all(self._silent_from[device.id] == 1 for device, _ in region.ends(line))
        ]
        sites = [site for site, ups in region.ups.items() if site not in damage.dark and self._silent_from[ups.id] == 1]
        self._rng.shuffle(lines)
        self._rng.shuffle(sites)
        line = next((each for each in lines if self._changes_no_more(replace(damage, lost=damage.lost | {each}))), None)
        worse = damage if line is None else replace(damage, lost=damage.lost | {line})
        site = next((each for each in sites if self._changes_no_more(replace(worse, dark=worse.dark | {each}))), None)
        return line, site

    def _changes_no_more(self, worse: Damage) -> bool:
        """Whether something more that is broken for a while leaves shared risks, postures and what can be heard as they are."""
        region, damage = self._region, self._damage
        cut_off = [device for device in self._topology.devices if region.is_cut_off(device, worse.dead)]
        return (
            region.failed(worse) == region.failed(damage)
            and region.in_disaster(worse) == region.in_disaster(damage)
            and all(self._silent_from[device] < 1 for device in cut_off)
        )

    def _fade(self) -> None:
        """What goes and comes back."""
        for device, index in self._region.ends(self._faded) if self._faded is not None else ():
            self._say(FADE, notices.link(device, index, up=False))
            self._say(FADE, notices.ospf(device, _neighbor(device, index), up=False))
            self._say(RECOVERY, notices.link(device, index, up=True))
            self._say(RECOVERY, notices.ospf(device, _neighbor(device, index), up=True))
        if self._tripped is not None:
            ups = self._region.ups[self._tripped]
            self._say(FADE, notices.on_battery(ups, FORECAST_MINUTES + 30))
            self._say(RECOVERY, notices.mains_back(ups))

    def _small_things(self) -> None:
        """Restarts, batteries of sirens, ports: where nothing else is wrong, each is its own cause."""
        untouched = self._untouched()
        many = 1 + len(self._playable) // DEVICES_A_SMALL_THING
        sirens = [device for device in untouched if device.kind == "siren"]
        for device in sirens[:many]:
            self._say(COOLING, notices.battery_low(device))
        for device in untouched[:many]:
            self._say(COOLING, notices.restarted(device))
        for device in untouched[many : 3 * many]:
            self._say(CALM, notices.link(device, _FREE_PORT, up=False))
        for device in untouched[many : 2 * many]:
            self._say(RECOVERY, notices.link(device, _FREE_PORT, up=True))
        for device in untouched[3 * many : 4 * many]:
            self._say(FADE, notices.component_failed(device, 1))

    def _flap(self) -> None:
        """A port that nothing hangs on goes up and down, five times."""
        for device in self._untouched()[:1]:
            for turn in range(_FLAPS):
                at = _FLAPS_FROM + 2 * turn * _FLAPS_EVERY
                for up, when in ((False, at), (True, at + _FLAPS_EVERY)):
                    notice = notices.link(device, _FREE_PORT + 1, up=up)
                    self._say((when, when), notice, weight=0, flapping=True)

    def _derive(self) -> None:
        """What netmon must find out by itself: lines that are down, shared risks that failed."""
        region, damage = self._region, self._damage
        for line in damage.down:
            key, root = Key(f"line/{line}", "line-down"), root_of_line(region, damage, line)
            self._alarms[key] = ExpectedAlarm(key=key, severity="major", cause=None if root == key else root)
        for group in (*damage.ducts, *damage.feeders):
            key = Key(f"risk-group/{group}", "shared-risk-failure")
            self._alarms[key] = ExpectedAlarm(key=key, severity="critical")
        if self._faded is not None:
            key = Key(f"line/{self._faded}", "line-down")
            self._alarms[key] = ExpectedAlarm(key=key, severity="major", is_cleared=True)


def _neighbor(device: Device, index: int) -> str:
    """An address that a device may have at the other end of a port."""
    return f"10.{200 + index // 256 % 56}.{index % 256}.{1 + sum(device.id.encode()) % 254}"
