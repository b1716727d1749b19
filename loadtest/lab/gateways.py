"""A region to be cut: gateways with several lines each, routers of the carriers behind them, and the centre where all lines end.

                 l<n>        n<n>  +-----------+  f<n>        e<n>
    gateway ------- near link ---- |  carrier  | ---- far link ------- centre: answers at <target>, takes flows at SERVICE
       |     l<m>        n<m>      +-----------+  f<m>        e<m>        |
       +------------------------------ management network ----------------+

A cut is behind the carrier's router and without a word, as in `loadtest.lab.lines`. At a gateway, the main table prefers the lines in their
order, and knows nothing of cuts: who shall be moved has to be moved by netmon. The management network is what agents reach the broker by.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from loadtest.figures.subject import ROOT
from loadtest.lab.built import LINES_MAX, Built, NumberedLine
from loadtest.lab.flows import Flow, Receiving, Report, Sending
from loadtest.lab.namespaces import Family, end

CENTRE: Final = "centre"
SERVICE: Final = "10.99.0.1"
"""Where flows go."""
SERVICE6: Final = "fd99::1"
FLOW_PORT: Final = 9_000


class RegionLine(NumberedLine, frozen=True, kw_only=True):
    """One line of a gateway, as the lab has it."""

    gateway: str
    carrier: str

    @property
    def far_interface(self) -> str:
        """Of the centre."""
        return f"e{self.number}"


class Region(Built):
    """All of it. As a context manager it is built, and gone."""

    def __init__(self, gateways: Mapping[str, Mapping[str, str]], *, rootless: bool | None = None) -> None:
        """`gateways`: gateway to its lines, the preferred one first, each with its carrier."""
        super().__init__(rootless=rootless)
        rows = [(gateway, *line) for gateway, lines in gateways.items() for line in lines.items()]
        assert len(rows) <= LINES_MAX
        self.lines = {
            line_id: RegionLine(line_id=line_id, gateway=gateway, number=number, carrier=carrier)
            for number, (gateway, line_id, carrier) in enumerate(rows)
        }
        self.gateways = tuple(gateways)
        self._carriers = sorted({line.carrier for line in self.lines.values()})

    def _build(self) -> None:
        for name in (CENTRE, *self.gateways, *self._carriers):
            self._spaces.add(name)
        self[CENTRE].ip(f"addr add {SERVICE}/32 dev lo", f"addr add {SERVICE6}/128 dev lo")
        for number, gateway in enumerate(self.gateways):
            self._manage(number, gateway)
        for line in self.lines.values():
            self._build_line(line)

    def of(self, gateway: str) -> list[RegionLine]:
        """Its lines, the preferred one first."""
        return [line for line in self.lines.values() if line.gateway == gateway]

    def centre_of(self, gateway: str) -> str:
        """Address of the centre in a gateway's management network."""
        return f"10.67.{self.gateways.index(gateway)}.2"

    def managed(self, gateway: str) -> str:
        """Address of a gateway in its management network."""
        return f"10.67.{self.gateways.index(gateway)}.1"

    def _manage(self, number: int, gateway: str) -> None:
        self._spaces.link(gateway, "mgmt", CENTRE, f"m{number}")
        self[gateway].ip(f"addr add {self.managed(gateway)}/30 dev mgmt")
        self[CENTRE].ip(f"addr add {self.centre_of(gateway)}/30 dev m{number}")

    def _build_line(self, line: RegionLine) -> None:
        """One line: what comes by it goes on by it."""
        n, carrier = line.number, line.carrier
        self._spaces.link(line.gateway, line.interface, carrier, f"n{n}")
        self._spaces.link(carrier, f"f{n}", CENTRE, line.far_interface)
        self._plug_carrier(line)
        self[carrier].ip(
            f"addr add 10.66.{n}.1/30 dev f{n}",
            f"addr add fd66:{n:x}::1/64 dev f{n}",
            f"route add default via {line.target} dev f{n} table {2000 + n}",
            f"rule add iif n{n} lookup {2000 + n}",
        )
        self[CENTRE].ip(
            f"addr add {line.target}/30 dev {line.far_interface}",
            f"addr add {line.target6}/64 dev {line.far_interface}",
            f"route add 10.64.{n}.0/29 via 10.66.{n}.1 dev {line.far_interface}",
            f"route add fd64:{n:x}::/64 via fd66:{n:x}::1 dev {line.far_interface}",
        )
        self[carrier].ip(f"route add default via {line.target6} dev f{n} table {2000 + n}", family="inet6")
        self[carrier].ip(f"rule add iif n{n} lookup {2000 + n}", family="inet6")
        # What somebody asks from the far end is answered by the line that it came by, or the preferred line's death would be everybody's.
        self[line.gateway].ip(f"rule add from {line.source} lookup {500 + n}")
        self._plug(line)

    def _plug_carrier(self, line: RegionLine) -> None:
        n = line.number
        self[line.carrier].ip(f"addr add {line.next_hop}/29 dev n{n}", f"addr add {line.next_hop6}/64 dev n{n}")

    def _plug(self, line: RegionLine) -> None:
        """Addresses and routes of the gateway's interface."""
        metric = 10 * (1 + self.of(line.gateway).index(line))
        self[line.gateway].ip(
            f"addr add {line.source}/29 dev {line.interface}",
            f"addr add fd64:{line.number:x}::1/64 dev {line.interface}",
            f"route add default via {line.next_hop} dev {line.interface} metric {metric}",
            f"route add default via {line.next_hop6} dev {line.interface} metric {metric}",
            f"route add default via {line.next_hop} dev {line.interface} table {500 + line.number}",
        )

    # --- What happens to lines. Each has its opposite.

    def cut(self, *line_ids: str) -> None:
        """Silently, both ways and both families, behind the carrier's router."""
        self._rules("add", line_ids)

    def mend(self, *line_ids: str) -> None:
        """What `cut` did."""
        self._rules("del", line_ids)

    def _rules(self, verb: str, line_ids: Iterable[str]) -> None:
        families: tuple[Family, ...] = ("any", "inet6")
        for line in map(self.lines.__getitem__, line_ids):
            for family in families:
                both = (f"rule {verb} iif {side}{line.number} blackhole" for side in "nf")
                self[line.carrier].ip(*both, family=family)

    def remove_modem(self, line_id: str) -> None:
        """The gateway's interface is gone."""
        line = self.lines[line_id]
        self[line.gateway].ip(f"link del {line.interface}")
        for name in (line.gateway, line.carrier):
            self[name].renew()

    def insert_modem(self, line_id: str) -> None:
        """It is back: another interface by the same name, with the same addresses."""
        line = self.lines[line_id]
        self._spaces.link(line.gateway, line.interface, line.carrier, f"n{line.number}")
        self._plug_carrier(line)
        self._plug(line)

    # --- Traffic.

    def start(self, name: str, words: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Python with these words in a namespace; it ends with the region at the latest."""
        environment = {"PYTHONPATH": str(ROOT), **options.pop("env", {})}
        return self[name].start([sys.executable, *words], cwd=ROOT, env=environment, **options)


class Traffic:
    """Flows of gateways to the centre. As a context manager they run."""

    def __init__(self, region: Region, flows: Mapping[str, Sequence[Flow]]) -> None:
        """`flows`: gateway to what it sends; numbers are those of the whole region."""
        self._region = region
        self._flows = flows
        self._stack = contextlib.ExitStack()
        self._receiver: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            listen = tuple({flow.to for flows in self._flows.values() for flow in flows})
            self._receiver = self._run(stack, CENTRE, "receive", Receiving(listen=listen), stdout=subprocess.PIPE)
            assert self._answer() == b"ready\n"
            for gateway, flows in self._flows.items():
                self._run(stack, gateway, "send", Sending(flows=tuple(flows)))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stack.close()

    def _run(
        self, stack: contextlib.ExitStack, name: str, verb: str, settings: msgspec.Struct, **options: Any
    ) -> subprocess.Popen[bytes]:
        process = self._region.start(name, ["-m", "loadtest.lab.flows", verb], stdin=subprocess.PIPE, **options)
        stack.callback(end, process)
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(settings) + b"\n")
        process.stdin.flush()
        return process

    def _answer(self) -> bytes:
        assert self._receiver.stdout is not None
        return self._receiver.stdout.readline()

    def report(self) -> Report:
        """What has come of each flow up to now."""
        assert self._receiver.stdin is not None
        self._receiver.stdin.write(b"\n")
        self._receiver.stdin.flush()
        return msgspec.json.decode(self._answer(), type=Report)
