"""What the settings are made of: kinds of values, how they are shown in a mistake, and what all sections share."""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StrictInt
from pydantic import ValidationInfo as Info

from netmon import sockets
from netmon.errors import ConfigError
from netmon.mib import catalogue

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40

_SIZE = re.compile(r"(\d{1,15}) ?(KiB|MiB|GiB|TiB)", re.ASCII)
_OID = re.compile(r"[0-2](\.(0|[1-9]\d{0,9})){1,127}\.?", re.ASCII)
_TOKEN = re.compile(r"[!-~]{16,256}", re.ASCII)
_BARE_PORT = re.compile(r":?(\d{1,5})", re.ASCII)
_UNITS = {"KiB": KIB, "MiB": MIB, "GiB": GIB, "TiB": TIB}

_URL_MAX = 1_000
_FILE_BYTES_MAX = MIB
"""All the certificates of the world are a quarter of this; a file with more in it was named by mistake."""


# --- How values are shown in a mistake. ---


def shown(value: Any) -> str:
    """A value from YAML as it is named in a mistake; short, and never what is inside lists and sections."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return repr(value if len(value) <= 60 else f"{value[:57]}...")
        case list() | tuple():
            return "a list"
        case dict():
            return "settings"
    return str(value)


def sized(number: int) -> str:
    """A number of bytes as a person writes it, when it is a round one: `64MiB`."""
    for unit, size in reversed(_UNITS.items()):
        if number and number % size == 0:
            return f"{number // size}{unit}"
    return str(number)


# --- Kinds of values. ---


def _size(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"found {shown(value)}; expected bytes, such as 65536 or 64MiB (KiB, MiB, GiB, TiB)")
    return int(found[1]) * _UNITS[found[2]]


def _address(value: str) -> str:
    """Accept `ADDRESS:PORT`; `*` becomes the dual-stack wildcard."""
    listen = f"[::]{value[1:]}" if value.startswith("*:") else value
    try:
        sockets.parse_address(listen)
    except ConfigError:
        # A name is refused on purpose: a disaster that takes the name server must not take the receiver.
        raise ValueError(
            f"found {shown(value)}; expected IP-ADDRESS:PORT, such as 192.0.2.1:162, *:1162 or (quoted) [::1]:1162"
        ) from None
    return listen


def _with_a_host(value: Any) -> Any:
    """Refuse a port alone, which is a number to YAML: whether it is to be open to the network has to be said."""
    port = value if isinstance(value, int) and not isinstance(value, bool) else None
    if isinstance(value, str) and (bare := _BARE_PORT.fullmatch(value)):
        port = int(bare[1])
    if port is not None and 0 <= port <= 65_535:
        raise ValueError(
            f"found {shown(value)}; expected an IP address, too: 127.0.0.1:{port} for this machine alone, *:{port} for all"
        )
    return value


def _network(value: str) -> str:
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError(f"found {shown(value)}; expected a network, such as 192.0.2.0/24 or 2001:db8::/32") from None
    if "/" in value and str(network.network_address) != str(ipaddress.ip_address(value.partition("/")[0])):
        raise ValueError(f"found {shown(value)}, which has bits after its prefix; expected {network}")
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped:
        raise ValueError(f"found {shown(value)}; expected an IPv4 network written as such: 192.0.2.0/24")
    return str(network)


def _from_folder(path: Path, info: Info) -> Path:
    """Make a path absolute from the configuration file's folder; symbolic links stay as they are."""
    folder = (info.context or {}).get("folder", Path.cwd())
    return Path(os.path.normpath(folder / path))


def _folder_name(value: Any) -> Any:
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError(f"found {shown(value)}; expected the path of a folder")
    return value


def _folder(path: Path, info: Info) -> Path:
    """Refuse what is no folder and cannot become one; in a thorough check, also what we cannot write to."""
    # Not Path.exists: it raises where we may not look.
    found = next(each for each in (path, *path.parents) if os.path.exists(each))  # noqa: PTH110
    if not found.is_dir():
        raise ValueError(f"{found} is a file; expected a folder, or a place where one can be made")
    if (info.context or {}).get("thorough") and not os.access(found, os.W_OK | os.X_OK, effective_ids=True):
        raise ValueError(
            f"{found} cannot be written by user {os.geteuid()}, who checks this; expected a folder of the user who runs netmon"
        )
    return path


def _filled(path: Path) -> Path:
    lines_of(path)
    return path


def _one_line(path: Path) -> Path:
    count = len(lines_of(path))
    if count > 1:
        raise ValueError(f"{path} has {count} lines; expected one, the password")
    return path


def line_like(pattern: re.Pattern[str], mistake: str) -> Callable[[Path], Path]:
    """A check that a file is one line of this form; of another one `mistake` is told behind its path, and never what is in it."""

    def check(path: Path) -> Path:
        lines = lines_of(path)
        if len(lines) > 1 or not pattern.fullmatch(lines[0].strip()):
            raise ValueError(f"{path} {mistake}")
        return path

    return check


def _web_url(value: str) -> str:
    """Accept `http://` and `https://` without credentials; a refusal never repeats what may have a password in it."""
    try:
        url = urlsplit(value)
        valid = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0 and value.isprintable()
    except ValueError:
        valid = False
    if not valid or " " in value or len(value) > _URL_MAX:
        raise ValueError("found another URL; expected http://HOST:PORT/PATH or https://HOST:PORT/PATH")
    if url.username is not None or url.password is not None or url.query or url.fragment:
        raise ValueError("found a user, password or query in the URL, which gets into logs; expected it without")
    return value


def _readable_catalogue(path: Path, info: Info) -> Path:
    """Refuse what cannot be read, but only in a thorough check: names are not worth a receiver that does not start."""
    if (info.context or {}).get("thorough"):
        try:
            catalogue.read(path)
        except ConfigError as error:
            raise ValueError(str(error)) from None
    return path


def lines_of(file: Path) -> list[str]:
    """The lines of a file that are not empty, at least one.

    Raises:
        ValueError: It cannot be read, has nothing in it, is not text, or is too large; the message says which.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(_FILE_BYTES_MAX + 1)
        text = content.decode()
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not UTF-8 text") from None
    if len(content) > _FILE_BYTES_MAX:
        raise ValueError(f"{file} has more than {sized(_FILE_BYTES_MAX)}")
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{file} is empty")
    return lines


def _rate(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise ValueError(f"found {shown(value)}; expected a number, such as 50 or 0.5")


def _oid_or_subtree(value: str) -> str:
    if not _OID.fullmatch(value):
        raise ValueError(
            f"found {shown(value)}; expected a trap's OID, such as 1.3.6.1.6.3.1.1.5.3, or with a dot at its end for all below it"
        )
    return value


def some(value: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse an empty list."""
    if not value:
        raise ValueError("found an empty list; expected at least one")
    return value


def section_or_defaults(value: Any) -> Any:
    """A section of which every line is commented out is null in YAML; it means the defaults."""
    return {} if value is None else value


Bytes = Annotated[StrictInt, BeforeValidator(_size)]
Address = Annotated[str, BeforeValidator(_with_a_host), AfterValidator(_address)]
Network = Annotated[str, AfterValidator(_network)]
FilePath = Annotated[Path, AfterValidator(_from_folder)]
FolderPath = Annotated[Path, BeforeValidator(_folder_name), AfterValidator(_from_folder), AfterValidator(_folder)]
SecretFile = Annotated[FilePath, AfterValidator(_filled)]
PasswordFile = Annotated[FilePath, AfterValidator(_one_line)]
TokenFile = Annotated[
    FilePath,
    AfterValidator(
        line_like(
            _TOKEN,
            "holds no secret; expected one line of 16 to 256 letters, digits and signs, such as `openssl rand -hex 32` makes",
        )
    ),
]
"""What proves who we are, or who sent something: long enough not to be guessed."""
WebUrl = Annotated[str, AfterValidator(_web_url)]
Rate = Annotated[float, BeforeValidator(_rate)]
TrapOid = Annotated[str, AfterValidator(_oid_or_subtree)]
CatalogueFile = Annotated[FilePath, AfterValidator(_readable_catalogue)]


class Section(BaseModel):
    """What all groups of settings have in common: frozen, and nothing unknown in them."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def names(section: type[Section], prefix: str = "") -> Iterator[str]:
    """Yield every setting in order, such as `receiver.limits.nesting_max`, `receiver.allow[].sources` and `failover.webhooks.NAME.url`."""
    for name, info in section.model_fields.items():
        inner = section_of(info.annotation)
        if inner is None:
            yield prefix + name
        elif get_origin(info.annotation) is dict:
            yield from names(inner, f"{prefix}{name}.NAME.")
        else:
            is_list = info.annotation is not inner
            yield from names(inner, f"{prefix}{name}[]." if is_list else f"{prefix}{name}.")


def section_of(annotation: Any) -> type[Section] | None:
    """The section that a field of this type holds, by itself or as a list; None for plain values."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None
