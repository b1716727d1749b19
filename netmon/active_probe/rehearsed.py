"""A rehearsal as values: where the stand-ins of a region's lines answer, and the faults that a person has them play.

Pure. Used by the process that answers, by the settings that have a vantage probe it, and by `netmon rehearse`.
"""

from __future__ import annotations

import zlib
from typing import Annotated, Final

import msgspec

from netmon.inventory.probes import StampProbe

LINES_MAX: Final = 250 * 256
"""As many as there are addresses for."""
ANCHORS_MAX: Final = 250
_ANCHORS_OCTET: Final = 255
_PORT_MIN: Final = 20_000
_PORTS: Final = 10_000
"""Below those that Linux hands out by itself."""
DELAY_MAX_S: Final = 30.0
FILE_NAME: Final = "rehearsal.json"
"""In netmon's data folder."""
FILE_BYTES_MAX: Final = 8 << 20


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is wrong with one line. All of it may hold at once."""

    cut: bool = False
    """Nothing arrives at the far end."""
    one_way: bool = False
    """Probes arrive, and what the far end answers is lost."""
    loss: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    """Share of the round trips that are lost, half of them in each direction."""
    delay_s: Annotated[float, msgspec.Meta(ge=0, le=DELAY_MAX_S)] = 0.0
    """Added to each round trip."""
    duplicate: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    """Share of the answers that come twice."""


Faults = dict[str, Fault]
"""Line ID to what is wrong with it: what stands in the file."""


class RehearsalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Of `python -m netmon.active_probe.rehearsal`."""

    line_ids: tuple[str, ...]
    """In the region's order: the place in here is the index of `address_of`."""
    file: str
    """The faults; need not be there."""
    place: str
    """Of `address_of`: two netmons on one machine rehearse side by side. Their data folder is a good one."""
    log_level: str = "info"
    log_format: str = "json"


def address_of(index: int, place: str) -> str:
    """Loopback address at which the line of this index answers.

    Args:
        index: From 0 to `LINES_MAX` - 1.
        place: Whoever rehearses, so that another on this machine has other addresses.
    """
    assert 0 <= index < LINES_MAX
    return f"127.{_octet_of(place)}.{index >> 8}.{index & 0xFF}"


def anchor_address_of(index: int, place: str) -> str:
    """Loopback address of an anchor, which always answers; `index` from 0 to `ANCHORS_MAX` - 1."""
    assert 0 <= index < ANCHORS_MAX
    return f"127.{_octet_of(place)}.{_ANCHORS_OCTET}.{index + 1}"


def port_of(place: str) -> int:
    """UDP port of all of them."""
    return _PORT_MIN + (zlib.crc32(place.encode()) >> 8) % _PORTS


def probe_of(index: int, place: str) -> StampProbe:
    """How to ask the line of this index."""
    return StampProbe(address=address_of(index, place), port=port_of(place))


def anchor_of(index: int, place: str) -> StampProbe:
    """How to ask an anchor."""
    return StampProbe(address=anchor_address_of(index, place), port=port_of(place))


def _octet_of(place: str) -> int:
    # Not 127.0, where everything else listens.
    return 1 + zlib.crc32(place.encode()) % 254
