"""pysnmp's notification receiver (`ntfrcv`) that counts its callbacks: `python -m loadtest.figures.ntfrcv PORT [ENGINES]`.

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
from pysnmp.proto.rfc1902 import OctetString

from loadtest import v3


def main(port: int, engines: int = 0) -> None:
    """Receives on 127.0.0.1 until SIGTERM: SNMPv1 and SNMPv2c with community `public`, SNMPv3 of some engines."""
    count = 0

    def received(*_: Any) -> None:
        nonlocal count
        count += 1

    snmp = engine.SnmpEngine()
    config.add_transport(snmp, udp.DOMAIN_NAME, udp.UdpTransport().open_server_mode(("127.0.0.1", port)))
    config.add_v1_system(snmp, "area", "public")
    for index in range(engines):
        config.add_v3_user(
            snmp,
            v3.USER,
            config.USM_AUTH_HMAC192_SHA256,
            v3.PASSPHRASE,
            config.USM_PRIV_CFB128_AES,
            v3.PASSPHRASE,
            securityEngineId=OctetString(v3.engine_id(index)),
        )
    ntfrcv.NotificationReceiver(snmp, received)
    snmp.transport_dispatcher.job_started(1)
    loop = snmp.transport_dispatcher.loop
    loop.add_signal_handler(signal.SIGTERM, loop.stop)
    try:
        snmp.open_dispatcher()
    finally:
        print(json.dumps({"callbacks": count}), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
