"""TCP: connects and closes. A refusal is an answer, too: the line has brought the SYN there and the RST back (RFC 9293 section 3.5.2).

The round trip is the kernel's own, of SYN and SYN-ACK, where it has one: how late this process looks does not matter.
"""

from __future__ import annotations

from netmon.active_probe.probers.base import Outcome, ServiceContext
from netmon.active_probe.probers.dial import Dialer, kernel_rtt_s
from netmon.active_probe.probers.service import Service
from netmon.inventory.probes import AnyProbe, TcpProbe


class TcpService(Service):
    """One port."""

    def __init__(self, probe: TcpProbe) -> None:
        super().__init__()
        self._dialer = Dialer(probe.address, probe.port, probe.pin)

    async def ask(self) -> Outcome:
        """Connects."""
        try:
            sock = await self._dialer.connect(self.phases)
        except ConnectionRefusedError:
            return Outcome("reply", self.phases.seconds["connect"], "refused")
        with sock:
            return Outcome("reply", kernel_rtt_s(sock) or self.phases.seconds["connect"])

    async def close(self) -> None:
        """Nothing is kept."""


def make_service(probe: AnyProbe, _context: ServiceContext, /) -> TcpService:
    """Makes one; see `netmon.active_probe.probers.base.MakeService`."""
    assert isinstance(probe, TcpProbe)
    return TcpService(probe)
