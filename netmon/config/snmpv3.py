"""The section `snmpv3`: users of the User-based Security Model, and what is done about engines that forget.

Passphrases stand in files of their own, one line each; nothing here holds, shows or compares one beyond its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, StrictStr, field_validator
from pydantic import ValidationInfo as Info

from netmon.config.kinds import FilePath, Section, lines_of, shown

PASSPHRASE_OCTETS_MIN = 8
"""RFC 3414 section 11.2: a shorter one is too easily guessed."""
NAME_OCTETS_MAX = 32
ENGINE_OCTETS = range(5, 33)
"""SnmpEngineID (RFC 3411 section 5)."""

_HEX = re.compile(r"(?:[0-9a-f]{2})*", re.ASCII)

Auth = Literal["md5", "sha1", "sha224", "sha256", "sha384", "sha512"]
Priv = Literal["des", "aes128", "aes192", "aes256", "aes192c", "aes256c"]

_WEAK = {
    "md5": "md5 is kept for devices that know nothing better; sha256 is what RFC 7860 recommends",
    "des": "des can be broken by trying all keys; aes128 cannot",
}


def _engine_id(value: Any) -> Any:
    """Accept what devices and tools print: `80001f8804…`, `0x80001f88…`, `80:00:1f:88:…`; small letters come out."""
    if not isinstance(value, str):
        # Digits alone are a number to YAML, and 8000e5 is one, too.
        raise ValueError(f"found {shown(value)}; expected an engine ID in hexadecimal, in quotes")  # noqa: TRY004 - pydantic's
    text = value.lower().removeprefix("0x").replace(":", "")
    if not _HEX.fullmatch(text) or len(text) // 2 not in ENGINE_OCTETS:
        raise ValueError(f"found {shown(value)}; expected an engine ID of 5 to 32 octets in hexadecimal")
    if set(text) in ({"0"}, {"f"}):
        raise ValueError(f"found {shown(value)}; expected an engine ID that is not all 0 or all f (RFC 3411 section 5)")
    return text


def _user_name(value: str) -> str:
    octets = len(value.encode("utf-8", "surrogatepass"))
    if not 1 <= octets <= NAME_OCTETS_MAX:
        raise ValueError(f"found {octets} octets; expected a name of 1 to {NAME_OCTETS_MAX}")
    return value


def _context(value: str) -> str:
    octets = len(value.encode("utf-8", "surrogatepass"))
    if octets > NAME_OCTETS_MAX:
        raise ValueError(f"found {octets} octets; expected at most {NAME_OCTETS_MAX}")
    return value


def _passphrase(path: Path) -> Path:
    lines = lines_of(path)
    if len(lines) > 1:
        raise ValueError(f"{path} has {len(lines)} lines; expected one, the passphrase")
    octets = len(lines[0].encode())
    if octets < PASSPHRASE_OCTETS_MIN:
        raise ValueError(
            f"{path} has a passphrase of {octets} octets; expected at least {PASSPHRASE_OCTETS_MIN} (RFC 3414 section 11.2)"
        )
    return path


EngineId = Annotated[str, BeforeValidator(_engine_id)]
PassphraseFile = Annotated[FilePath, AfterValidator(_passphrase)]


class User(Section):
    """A user of the User-based Security Model (RFC 3414): listened to at exactly this level of security, no lower one."""

    name: Annotated[StrictStr, AfterValidator(_user_name)]
    """securityName, as on the devices. No default: it is who the devices say they are."""
    auth: Auth | None = None
    """Authentication; null takes whatever anybody sends in this name."""
    auth_passphrase_file: PassphraseFile | None = None
    """File with the passphrase, on one line, at least 8 octets."""
    priv: Priv | None = None
    """Encryption; needs `auth`. `aes192c` and `aes256c` are Cisco's and most others' way to lengthen a key, `aes192` and
    `aes256` Net-SNMP's."""
    priv_passphrase_file: PassphraseFile | None = None
    """As for `auth`; devices with one password for both get the same file twice."""
    engine_ids: tuple[EngineId, ...] = ()
    """Engines at which this user exists. Empty: at any, which is what most networks want; their keys differ by engine
    all the same."""

    @field_validator("auth_passphrase_file", "priv_passphrase_file")
    @classmethod
    def _has_its_protocol(cls, value: Path | None, info: Info) -> Path | None:
        protocol = str(info.field_name).partition("_")[0]
        if protocol not in info.data:
            return value
        if value is None and info.data[protocol] is not None:
            raise ValueError(f"missing; expected the file with the passphrase of {protocol}: {info.data[protocol]}")
        if value is not None and info.data[protocol] is None:
            raise ValueError(f"has no meaning without {protocol}; expected null, or {protocol} too")
        return value

    @field_validator("priv")
    @classmethod
    def _is_authenticated(cls, value: Priv | None, info: Info) -> Priv | None:
        if value is not None and info.data.get("auth", value) is None:
            raise ValueError(f"found {shown(value)} without auth; expected auth too: there is no such security level")
        return value


def _distinct(users: tuple[User, ...]) -> tuple[User, ...]:
    """Refuse two users of one name for the same engine: nobody could tell which passphrase is meant."""
    seen: dict[tuple[str, str], int] = {}
    for index, user in enumerate(users):
        for engine in user.engine_ids or ("",):
            first = seen.setdefault((user.name, engine), index)
            if first != index or user.engine_ids.count(engine) > 1:
                where = f"engine {engine}" if engine else "every engine"
                raise ValueError(
                    f"found {shown(user.name)} twice for {where}, in users[{first}] and users[{index}]; expected once"
                )
    return users


class SnmpV3(Section):
    """SNMPv3: who is listened to. What cannot be read for want of a user waits in the journal."""

    users: Annotated[tuple[User, ...], AfterValidator(_distinct)] = ()
    """Empty: every SNMPv3 notification waits in the journal until its user is configured."""
    contexts: tuple[Annotated[StrictStr, AfterValidator(_context)], ...] = ()
    """contextNames that are listened to. Empty: all; few devices use any."""
    boots_reset: Literal["flag", "reject"] = "flag"
    """What becomes of a notification from an engine that counts its boots from the start again. RFC 3414 rejects it, and
    with it all that a replaced or reset device has to say in a disaster; so it is accepted, flagged, and trusted as
    `other`. `reject` is the RFC's way."""
    engine_id: EngineId | None = None
    """Ours, to which INFORMs are sent; null makes one at the first start and keeps it. Set it to take over from another
    receiver whose engine ID stands in the devices."""


def weaknesses(user: User) -> Iterator[tuple[str, str]]:
    """Settings of a user that are allowed but doubtful, and why."""
    if user.auth is None:
        yield (
            "auth",
            "null: anyone can send as this user, so what it says is trusted no more than SNMPv2c (`other`); set auth and priv",
        )
    for name, value in (("auth", user.auth), ("priv", user.priv)):
        if value in _WEAK:
            yield name, _WEAK[value]
