"""pysnmp's notification receiver (`ntfrcv`) that counts its callbacks: `python -m loadtest.ntfrcv PORT`.

Ends on SIGTERM with the count as JSON on its last line.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import Any

from pysnmp.carrier.asyncio.dgram import udp
from pysnmp.entity import config, engine
from pysnmp.entity.rfc3413 import ntfrcv


def main(port: int) -> None:
    """Receives SNMPv1 and SNMPv2c with community `public` on 127.0.0.1 until SIGTERM."""
    count = 0

    def received(*_: Any) -> None:
        nonlocal count
        count += 1

    snmp = engine.SnmpEngine()
    config.add_transport(snmp, udp.DOMAIN_NAME, udp.UdpTransport().open_server_mode(("127.0.0.1", port)))
    config.add_v1_system(snmp, "area", "public")
    ntfrcv.NotificationReceiver(snmp, received)
    snmp.transport_dispatcher.job_started(1)
    loop = snmp.transport_dispatcher.loop
    loop.add_signal_handler(signal.SIGTERM, loop.stop)
    try:
        snmp.open_dispatcher()
    finally:
        print(json.dumps({"callbacks": count}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
