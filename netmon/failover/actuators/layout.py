"""Which rules and routes put classes onto lines, as values.

Pure. Every class has a table of its own, and rules that lead its packets there:

```
20000  fwmark M  lookup main suppress_prefixlength 0     what main knows to be near goes there; its default route does not count
20001  fwmark M  lookup T
table T:  default via NEXT HOP dev INTERFACE metric 100  the line; or unreachable, when the class is shed
          unreachable default metric 4278198272          when the line's interface is gone, so is its route: no packet falls through
```
A class without a mark is told by its destinations: the longest prefix goes first. To move a class is to replace one route, in each family.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from netmon.failover.model import SHED
from netmon.failover.plan.model import PlannedGroup, PlannedLine

Family = Literal[4, 6]
FAMILIES: Final[tuple[Family, ...]] = (4, 6)

PROTOCOL: Final = 78
"""What our rules and routes carry (rtm_protocol, FRA_PROTOCOL). Free in linux/rtnetlink.h, and not one of FRR's, BIRD's or VyOS's."""
METRIC: Final = 100
METRIC_LAST: Final = 4_278_198_272
"""Of the last resort; greater than any that a daemon gives (the kernel's documentation of VRF has it)."""
MAIN: Final = 254
PREFERENCE: Final = 20_000
"""Of our first rule: behind the local table (0), before the main one (32766)."""
PREFERENCE_PREFIXES: Final = 20_010
TABLES_RESERVED: Final = frozenset({0, 253, 254, 255})
MARKS: Final = 0x4E4D_0000
"""What marks that netmon makes up begin with: "NM"; then the table's number."""
MARK_MAX: Final = 0xFFFF_FFFF


class Rule(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Where to look for the route of which packets."""

    family: Family
    preference: int
    mark: int = 0
    prefix: str = ""
    """Destination (CIDR); empty: any."""
    table: int
    is_suppressed: bool = False
    """Its default routes do not count."""


class Route(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A default route."""

    family: Family
    table: int
    metric: int
    interface: str = ""
    """Empty: `unreachable`."""
    next_hop: str = ""
    """Empty: the interface is point to point."""


class Hops(msgspec.Struct, frozen=True, kw_only=True):
    """How one family gets onto a line."""

    next_hop: str
    is_sure: bool
    """It has to work. What is point to point has perhaps but one family."""


def mark_of(group: PlannedGroup) -> int:
    """By which mark packets go as the class does: its own, or one of netmon's for a class that is told by its destinations."""
    return group.mark or MARKS | group.table & 0xFFFF


def hops_of(line: PlannedLine, family: Family) -> Hops | None:
    """How a family gets onto a line; None: the line does not have it."""
    own, other = (line.next_hop, line.next_hop6) if family == 4 else (line.next_hop6, line.next_hop)
    if not own and other:
        return None
    # As the kernel tells it: in its own way to write it, and without a zone, which is the interface.
    next_hop = str(ipaddress.ip_address(own.partition("%")[0])) if own else ""
    return Hops(next_hop=next_hop, is_sure=bool(own))


def rules_of(group: PlannedGroup, families: Collection[Family] = FAMILIES) -> set[Rule]:
    """All rules that a class needs."""
    mark, table = mark_of(group), group.table
    rules = set()
    for family in families:
        rules |= {
            Rule(family=family, preference=PREFERENCE, mark=mark, table=MAIN, is_suppressed=True),
            Rule(family=family, preference=PREFERENCE + 1, mark=mark, table=table),
        }
    for prefix in () if group.mark else group.prefixes:
        network = ipaddress.ip_network(prefix, strict=False)
        family = network.version
        # Two numbers for each length: of two classes, the one with the longer prefix has both its rules before the other's.
        preference = PREFERENCE_PREFIXES + 2 * (network.max_prefixlen - network.prefixlen)
        if family in families:
            rules |= {
                Rule(family=family, preference=preference, prefix=str(network), table=MAIN, is_suppressed=True),
                Rule(family=family, preference=preference + 1, prefix=str(network), table=table),
            }
    return rules


def last_resorts(table: int, families: Collection[Family] = FAMILIES) -> set[Route]:
    """What refuses packets for which there is no other route."""
    return {Route(family=family, table=table, metric=METRIC_LAST) for family in families}


def routes_of(table: int, line: PlannedLine | None, families: Collection[Family] = FAMILIES) -> list[Route]:
    """The route of each family that puts a table onto a line; None: nowhere."""
    routes = []
    for family in families:
        hops = None if line is None else hops_of(line, family)
        if line is None or hops is None:
            routes.append(Route(family=family, table=table, metric=METRIC))
        else:
            routes.append(
                Route(family=family, table=table, metric=METRIC, interface=line.interface, next_hop=hops.next_hop)
            )
    return routes


def is_sure(route: Route, line: PlannedLine | None) -> bool:
    """Whether the kernel has to take this route, for its class to be on the line."""
    hops = None if line is None else hops_of(line, route.family)
    return hops is None or hops.is_sure


def where(routes: Iterable[Route], lines: Mapping[str, PlannedLine], likely: str | None = None) -> str | None:
    """The line that a table's routes lead to, as the kernel has them.

    Args:
        routes: Of one table.
        lines: By their IDs.
        likely: Where it should be: of two lines by the same interface and next hop, this one is meant.

    Returns:
        A line ID; SHED; None: nowhere that we know, or not the same in all families.
    """
    standing = [route for route in routes if route.metric == METRIC]
    leading = {(route.family, route.interface, route.next_hop) for route in standing if route.interface}
    if not leading:
        return SHED if standing else None
    ordered = sorted(lines.values(), key=lambda line: line.line_id != likely)
    return next((line.line_id for line in ordered if _is_led_by(line, leading)), None)


def _is_led_by(line: PlannedLine, leading: Collection[tuple[Family, str, str]]) -> bool:
    families = {family for family, _, _ in leading}
    wanted = {
        (family, line.interface, hops.next_hop) for family in FAMILIES if (hops := hops_of(line, family)) is not None
    }
    return bool(wanted) and {one for one in wanted if one[0] in families} == set(leading)


def mistakes(groups: Sequence[PlannedGroup], lines: Sequence[PlannedLine]) -> list[str]:
    """What makes groups impossible to be told apart, or to be put onto their lines; a sentence for each, may be empty."""
    found = []
    known = {line.line_id for line in lines if line.interface}
    owners: dict[object, str] = {}
    for group in groups:
        name = f"group {group.group_id}"
        if group.table in TABLES_RESERVED or not 0 < group.table <= MARK_MAX:
            found.append(f"{name}: table {group.table} is not free for a class")
        if not group.mark and not group.prefixes:
            found.append(
                f"{name}: has neither a mark nor prefixes, so nobody can tell its packets; give the class one in region.yml"
            )
        if not 0 <= group.mark <= MARK_MAX:
            found.append(f"{name}: mark {group.mark} is not a number of 32 bits")
        found += [
            f"{name}: line {line_id} has no interface at this gateway; give it one under `ports` in region.yml"
            for line_id in (group.working, *group.protections)
            if line_id not in known
        ]
        for what in (f"table {group.table}", *_selectors(group)):
            other = owners.setdefault(what, group.group_id)
            if other != group.group_id:
                found.append(f"{name}: {what} is that of {other}, too; one machine can move them only together")
    return found


def _selectors(group: PlannedGroup) -> list[str]:
    if group.mark:
        return [f"mark {group.mark:#x}"]
    return [f"prefix {ipaddress.ip_network(prefix, strict=False)}" for prefix in group.prefixes]
