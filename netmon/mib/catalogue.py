"""Catalogue files: written by `netmon mib compile`, read by the roles.

One line that says what it is and in which version, then JSON of a `netmon.mib.model.Catalogue`, deflated. Nothing in a
file is run, and its sizes are bounded before and after inflating: it may have been damaged, or made by anybody.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from netmon.errors import ConfigError
from netmon.log import log
from netmon.mib.model import Catalogue
from netmon.snmp.names import Names

SHIPPED: Final = Path(__file__).with_name("ietf.cat")
"""The most usual modules of IETF and IANA; CONTRIBUTING.md tells how it is made."""
VERSION: Final = 1
FILE_BYTES_MAX: Final = 64 << 20
INFLATED_BYTES_MAX: Final = 512 << 20
"""A thousand modules of one vendor are some 20 MB."""

_HEAD: Final = b"netmon MIB catalogue "
_CURE: Final = "make it again with `netmon mib compile`"
_decode: Final = msgspec.json.Decoder(Catalogue).decode
_encode: Final = msgspec.json.Encoder().encode


def write(path: Path, catalogue: Catalogue) -> None:
    """Write a catalogue; a file of this name is replaced in one step, so that no role ever reads half of one.

    Raises:
        OSError: The folder cannot be written to.
    """
    content = _HEAD + b"%d\n" % VERSION + zlib.compress(_encode(catalogue), 9)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read(path: Path) -> Catalogue:
    """Read a catalogue.

    Raises:
        ConfigError: It cannot be read, or is none; the message names the file and the cure.
    """
    try:
        return _decode(_inflated(_content(path)))
    except OSError as error:
        raise ConfigError([f"{path} cannot be read: {error.strerror}; {_CURE}"]) from None
    except (zlib.error, msgspec.MsgspecError, RecursionError):
        raise ConfigError([f"{path} is a damaged catalogue; {_CURE}"]) from None
    except ValueError as error:
        raise ConfigError([f"{path} is no catalogue that can be used: {error}; {_CURE}"]) from None


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise ValueError(f"it has more than {FILE_BYTES_MAX >> 20} MiB")
    return content


def _inflated(content: bytes) -> bytes:
    head, _, body = content.partition(b"\n")
    if not head.startswith(_HEAD):
        raise ValueError("it begins with something else")
    version = head.removeprefix(_HEAD)
    if version != b"%d" % VERSION:
        raise ValueError(f"it has version {version[:8].decode('ascii', 'replace')}, and this netmon reads {VERSION}")
    inflate = zlib.decompressobj()
    inflated = inflate.decompress(body, INFLATED_BYTES_MAX)
    if not inflate.eof:
        raise ValueError("it is cut short, or too large")
    return inflated


def load_names(paths: Sequence[str]) -> Names:
    """The names of these catalogues, in order of precedence, and of the shipped one after them.

    A role must not stop for want of names: a file that cannot be used is logged, and left out.
    """
    catalogues: list[Catalogue] = []
    for path in (*map(Path, paths), SHIPPED):
        try:
            catalogues.append(read(path))
        except ConfigError as error:
            log.error("names.catalogue_refused", path=str(path), detail=str(error))
    return Names(catalogues)


def digest(path: Path) -> str:
    """16 hexadecimal digits of a file's content, empty when it cannot be read: a new one is noticed by a reload."""
    try:
        return blake2b(_content(path), digest_size=8).hexdigest()
    except (OSError, ValueError):
        return ""
