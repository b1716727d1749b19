"""Storms of SNMPv3: each trap authenticated and encrypted by itself, so made beforehand and not patched in place.

Engines and keys are made up; the user is the same at all of them, as in a network that was set up by one person.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any, Final

from loadtest.storm import Sent
from loadtest.templates import KINDS, NUMBER_OID, REQUEST_ID_BASE, number, source_address
from netmon.model import V3User
from netmon.snmp.encode import encode_v3
from netmon.snmp.keys import LocalKeys, UserKeys

ENGINES: Final = 1_000
USER: Final = "storm"
PASSPHRASE: Final = "a storm of traps"  # noqa: S105 - of engines and a user that exist nowhere else

_BOOTS: Final = 7
_UPTIME_CENTIS: Final = 0x01_00_00_00
_KIND: Final = "linkdown"
_TICK_S: Final = 0.005


def engine_id(index: int) -> bytes:
    """An engine ID with eight administratively assigned octets (RFC 3411 section 5)."""
    return bytes.fromhex("8000000005") + index.to_bytes(8, "big")


def write_user(folder: Path) -> dict[str, Any]:
    """The user as a setting of netmon's, with its passphrase in a file."""
    folder.mkdir(parents=True, exist_ok=True)
    secret = folder / "passphrase.txt"
    secret.write_text(PASSPHRASE + "\n")
    secret.chmod(0o600)
    files = {"auth_passphrase_file": str(secret.absolute()), "priv_passphrase_file": str(secret.absolute())}
    return {"name": USER, "auth": "sha256", "priv": "aes128", **files}


class Storm:
    """Numbered TRAPs of many engines, in memory."""

    def __init__(self, run: int, count: int, engines: int) -> None:
        """Makes them; takes some 30 µs a trap, and a millisecond an engine."""
        user = UserKeys(
            V3User(name=USER, auth="sha256", auth_passphrase=PASSPHRASE, priv="aes128", priv_passphrase=PASSPHRASE)
        )
        keys = [LocalKeys(user, engine_id(index)) for index in range(engines)]
        self._run = run
        self._datagrams = [
            _trap(keys[position % engines], position % engines, run, position) for position in range(count)
        ]

    def send(self, port: int, rate: float | None = None) -> Sent:
        """Sends them to 127.0.0.1, as fast as Python can, or at a rate (traps a second)."""
        cpu_s = time.process_time()
        started_unix_ns, started_s = time.time_ns(), time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", port))
            for position, datagram in enumerate(self._datagrams):
                while rate and position > (time.monotonic() - started_s) * rate:
                    time.sleep(_TICK_S)
                sock.send(datagram)
        seconds = time.monotonic() - started_s
        return Sent(
            run=self._run,
            count=len(self._datagrams),
            started_unix_ns=started_unix_ns,
            ended_unix_ns=time.time_ns(),
            ended_mono_s=started_s + seconds,
            seconds=seconds,
            rate=len(self._datagrams) / seconds,
            cpu_s=time.process_time() - cpu_s,
            slipped_s=0.0,
            backlog_dropped=0,
        )


def _trap(keys: LocalKeys, device: int, run: int, position: int) -> bytes:
    kind = KINDS[_KIND]
    varbinds = kind.varbinds(device, source_address(device))
    return encode_v3(
        keys=keys,
        boots=_BOOTS,
        # An hour, and all within the window of the first (RFC 3414 section 2.2.3).
        time_s=3_600,
        salt=position,
        msg_id=position & 0x7F_FF_FF_FF,
        pdu="trap",
        request_id=REQUEST_ID_BASE | position,
        uptime_centis=_UPTIME_CENTIS + device,
        trap_oid=kind.trap_oid,
        varbinds=[*varbinds, (NUMBER_OID, "Counter64", number(run, position))],
    )
