"""Lines to be cut: a gateway with an interface for each, routers of two carriers behind them, and the far ends.

                 l<n>        n<n>  +-----------+  f<n>        e<n>
    gateway ------- near link ---- | carrier   | ---- far link ------- far: answers at <target> and <target6>
       |                           |  a or b   |
       |                           +-----------+
       |                                 |
       |         central ---- edge ------+     (a second vantage, with one uplink for everything)
       +------- management network, to the anchors, which are at the far end, too

A cut is behind the carrier's router, and drops without a word: the carrier of the near link stays, and nobody's route changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from loadtest.lab.built import LINES_MAX, Built, NumberedLine
from loadtest.lab.namespaces import Family

CARRIERS: Final = ("carrier-a", "carrier-b")
GATEWAY, CENTRAL, EDGE, FAR = "gateway", "central", "edge", "far"

Refusal = Literal["unreachable", "prohibit", "throw"]
"""What a router says of a line that it knows to be dead: host unreachable, prohibited, net unreachable."""


class LabLine(NumberedLine, frozen=True, kw_only=True):
    """One line by its number."""

    @property
    def carrier(self) -> str:
        """Name of its router."""
        return CARRIERS[self.number % len(CARRIERS)]


class Lab(Built):
    """All of it. As a context manager it is built, and gone."""

    anchors: Final = {GATEWAY: "10.67.1.2", CENTRAL: "10.67.2.2"}
    """Vantage to what it reaches by another way than a line."""

    def __init__(self, line_ids: Sequence[str], *, rootless: bool | None = None) -> None:
        """Lines are numbered as they come, in turn by one carrier and the other."""
        super().__init__(rootless=rootless)
        assert len(line_ids) <= LINES_MAX
        self.lines = {line_id: LabLine(line_id=line_id, number=number) for number, line_id in enumerate(line_ids)}

    def _build(self) -> None:
        for name in (GATEWAY, CENTRAL, EDGE, *CARRIERS, FAR):
            self._spaces.add(name)
        self._build_backbone()
        for line in self.lines.values():
            self._build_line(line)

    def _build_backbone(self) -> None:
        """Everything but the lines: the management network, and the second vantage with its uplink."""
        link = self._spaces.link
        link(GATEWAY, "mgmt", FAR, "mgmt1")
        self[GATEWAY].ip("addr add 10.67.1.1/30 dev mgmt")
        link(CENTRAL, "uplink", EDGE, "access")
        self[CENTRAL].ip("addr add 10.65.255.1/30 dev uplink", "route add default via 10.65.255.2")
        link(EDGE, "mgmt", FAR, "mgmt2")
        self[EDGE].ip("addr add 10.65.255.2/30 dev access", "addr add 10.67.2.1/30 dev mgmt")
        self[FAR].ip(
            "addr add 10.67.1.2/30 dev mgmt1",
            "addr add 10.67.2.2/30 dev mgmt2",
            "rule add from 10.67.2.2 lookup 99",
            "route add default via 10.67.2.1 table 99",
        )
        for number, carrier in enumerate(CARRIERS):
            link(EDGE, f"to-{carrier}", carrier, "edge")
            self[EDGE].ip(f"addr add 10.65.{number}.1/30 dev to-{carrier}")
            self[carrier].ip(f"addr add 10.65.{number}.2/30 dev edge", f"route add 10.65.255.0/30 via 10.65.{number}.1")

    def _build_line(self, line: LabLine) -> None:
        """One line: what comes by it goes back by it."""
        n, carrier = line.number, line.carrier
        self._spaces.link(GATEWAY, f"l{n}", carrier, f"n{n}")
        self._spaces.link(carrier, f"f{n}", FAR, f"e{n}")
        self[carrier].ip(
            f"addr add {line.next_hop}/29 dev n{n}",
            f"addr add {line.next_hop6}/64 dev n{n}",
            f"addr add 10.66.{n}.1/30 dev f{n}",
            f"addr add fd66:{n:x}::1/64 dev f{n}",
        )
        self[FAR].ip(f"addr add {line.target}/30 dev e{n}", f"addr add {line.target6}/64 dev e{n}")
        self._plug_near(line)
        self._plug_far(line)
        self[EDGE].ip(f"route add {line.target}/32 via 10.65.{CARRIERS.index(carrier)}.2")

    def share(self, preferred: str, other: str) -> tuple[str, str]:
        """Gives the far end two addresses to which two lines of different carriers lead; the gateway's routes prefer one of them.

        Answers of the first address come back by the line whose address was asked from, as behind a carrier's own network. Those of
        the second all come back by the preferred line, whoever asked, as in a network whose routing prefers it, too.
        """
        one, two = self.lines[preferred], self.lines[other]
        self[FAR].ip(
            "addr add 10.99.0.1/32 dev lo",
            "addr add 10.99.0.2/32 dev lo",
            "rule add from 10.99.0.2 lookup 98",
            f"route add default via 10.66.{one.number}.1 dev e{one.number} table 98",
        )
        for metric, line in ((10, one), (20, two)):
            n = line.number
            self[GATEWAY].ip(f"route add 10.99.0.0/24 via 10.64.{n}.2 dev l{n} metric {metric}")
            self[line.carrier].ip(
                f"route add default via 10.66.{n}.2 dev f{n} table {2000 + n}",
                f"rule add to 10.99.0.0/24 iif n{n} lookup {2000 + n}",
            )
        self[one.carrier].ip(f"route add 10.64.{two.number}.0/29 via {one.source}")
        return "10.99.0.1", "10.99.0.2"

    def _plug_near(self, line: LabLine, source: str = "") -> None:
        """Addresses and routes of the gateway's interface; `source` instead of its usual address."""
        n = line.number
        self[GATEWAY].ip(
            f"addr add {source or line.source}/29 dev l{n}",
            f"addr add fd64:{n:x}::1/64 dev l{n}",
            f"route add {line.target}/32 via {line.next_hop} dev l{n}",
            f"route add {line.target6}/128 via {line.next_hop6} dev l{n}",
        )

    def _plug_far(self, line: LabLine) -> None:
        """The routes back; they go when the link is down."""
        n = line.number
        self[FAR].ip(
            f"route add 10.64.{n}.0/29 via 10.66.{n}.1 dev e{n}",
            f"route add fd64:{n:x}::/64 via fd66:{n:x}::1 dev e{n}",
            f"route add default via 10.66.{n}.1 dev e{n} table {1000 + n}",
            f"rule add from {line.target} to 10.65.255.0/30 lookup {1000 + n}",
        )

    # --- What happens to lines. Each has its opposite.

    def cut(self, *line_ids: str) -> None:
        """Silently, both ways and both families, behind the carrier's router."""
        self._rules("add", line_ids, "to {target} blackhole", "iif {far} blackhole")

    def mend(self, *line_ids: str) -> None:
        """What `cut` did."""
        self._rules("del", line_ids, "to {target} blackhole", "iif {far} blackhole")

    def drop_answers(self, *line_ids: str) -> None:
        """A one-way cut: everything arrives at the far end, nothing comes back."""
        self._rules("add", line_ids, "iif {far} blackhole")

    def pass_answers(self, *line_ids: str) -> None:
        """What `drop_answers` did."""
        self._rules("del", line_ids, "iif {far} blackhole")

    def cut_from_gateway(self, *line_ids: str) -> None:
        """For the gateway alone: the other vantage, which comes to the carrier by another way, still gets through."""
        self._rules("add", line_ids, "iif {near} blackhole")

    def mend_from_gateway(self, *line_ids: str) -> None:
        """What `cut_from_gateway` did."""
        self._rules("del", line_ids, "iif {near} blackhole")

    def refuse(self, how: Refusal, *line_ids: str) -> None:
        """The carrier's router knows that the line is dead, and says so (ICMP)."""
        for line in map(self.lines.__getitem__, line_ids):
            self[line.carrier].ip(f"route add {how} {line.target}/32")

    def accept(self, how: Refusal, *line_ids: str) -> None:
        """What `refuse` did."""
        for line in map(self.lines.__getitem__, line_ids):
            self[line.carrier].ip(f"route del {how} {line.target}/32")

    def unplug_far(self, line_id: str) -> None:
        """The far end of the far link: the carrier's router loses the light, the gateway does not."""
        self[FAR].ip(f"link set e{self.lines[line_id].number} down")

    def plug_far(self, line_id: str) -> None:
        """What `unplug_far` did."""
        line = self.lines[line_id]
        self[FAR].ip(f"rule del from {line.target} to 10.65.255.0/30 lookup {1000 + line.number}")
        self[FAR].ip(f"link set e{line.number} up")
        self._plug_far(line)

    def cut_uplink(self) -> None:
        """Of the second vantage, silently: nothing that it sends goes anywhere."""
        self[EDGE].ip("rule add iif access blackhole")

    def mend_uplink(self) -> None:
        """What `cut_uplink` did."""
        self[EDGE].ip("rule del iif access blackhole")

    def remove_modem(self, line_id: str) -> None:
        """The gateway's interface is gone, as that of a 5G modem that starts anew."""
        line = self.lines[line_id]
        self[GATEWAY].ip(f"link del {line.interface}")
        for name in (GATEWAY, line.carrier):
            self[name].renew()

    def insert_modem(self, line_id: str, source: str) -> None:
        """It is back: another interface by the same name, with another address (10.64.N.3 to 6); the routes are new, too."""
        line = self.lines[line_id]
        n = line.number
        self._spaces.link(GATEWAY, line.interface, line.carrier, f"n{n}")
        self[line.carrier].ip(f"addr add {line.next_hop}/29 dev n{n}", f"addr add {line.next_hop6}/64 dev n{n}")
        self._plug_near(line, source)

    def _rules(self, verb: str, line_ids: Sequence[str], *patterns: str) -> None:
        for line in map(self.lines.__getitem__, line_ids):
            words = {"near": f"n{line.number}", "far": f"f{line.number}"}
            targets: tuple[tuple[Family, str], ...] = (("any", line.target), ("inet6", line.target6))
            for family, target in targets:
                commands = (f"rule {verb} {pattern.format(target=target, **words)}" for pattern in patterns)
                self[line.carrier].ip(*commands, family=family)
