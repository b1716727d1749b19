"""SNMP GET: sysUpTime.0, or an interface's ifOperStatus, by SNMPv2c or SNMPv3 (RFC 3416, RFC 3418, RFC 2863).

The protocol is pysnmp's, the socket is ours: pinned, and connected to the agent, so that nobody else's datagrams reach the decoder and a closed port
is told by the kernel. An SNMP engine of pysnmp's costs a megabyte and a tenth of a second; so all SNMPv2c probes share one, and all of one
SNMPv3 user. The round trip is of the last request alone: SNMPv3 first asks who the agent is.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from contextlib import suppress
from typing import Any, Final

import msgspec
from pyasn1.type import univ
from pysnmp.carrier.asyncio.dgram import udp, udp6
from pysnmp.entity import config
from pysnmp.entity.engine import SnmpEngine
from pysnmp.entity.rfc3413.cmdgen import GetCommandGenerator
from pysnmp.error import PySnmpError
from pysnmp.proto import errind, rfc1905
from pysnmp.proto.errind import ErrorIndication

from netmon.active_probe.probers.base import Outcome, ServiceContext
from netmon.active_probe.probers.service import BadAnswer, Service
from netmon.active_probe.vantage.pinning import begin_connect, family_of, make_socket, sockaddr_of
from netmon.errors import ConfigError, DecodeError
from netmon.inventory.probes import AnyProbe, SnmpProbe, label
from netmon.model import V3User
from netmon.snmp.v3 import is_v3, read_message

SYS_UP_TIME: Final = (1, 3, 6, 1, 2, 1, 1, 3, 0)
IF_OPER_STATUS: Final = (1, 3, 6, 1, 2, 1, 2, 2, 1, 8)
OPER_STATES: Final = ("up", "down", "testing", "unknown", "dormant", "notPresent", "lowerLayerDown")
"""ifOperStatus from 1 on (RFC 2863 section 6)."""

FORGET_S: Final = 10
"""pysnmp forgets a request after this; whoever asked has long given up."""

ENGINES_MAX: Final = 16
"""Engine IDs that one agent may have had: an agent is replaced now and then, but pysnmp keeps what it knows of each for ever."""

_AUTHS: Final = {
    None: config.USM_AUTH_NONE,
    "md5": config.USM_AUTH_HMAC96_MD5,
    "sha1": config.USM_AUTH_HMAC96_SHA,
    "sha224": config.USM_AUTH_HMAC128_SHA224,
    "sha256": config.USM_AUTH_HMAC192_SHA256,
    "sha384": config.USM_AUTH_HMAC256_SHA384,
    "sha512": config.USM_AUTH_HMAC384_SHA512,
}
_PRIVS: Final = {
    None: config.USM_PRIV_NONE,
    "des": config.USM_PRIV_CBC56_DES,
    "aes128": config.USM_PRIV_CFB128_AES,
    "aes192": config.USM_PRIV_CFB192_AES_BLUMENTHAL,
    "aes256": config.USM_PRIV_CFB256_AES_BLUMENTHAL,
    "aes192c": config.USM_PRIV_CFB192_AES,
    "aes256c": config.USM_PRIV_CFB256_AES,
}
_MODULES: Final = (
    "SNMP-COMMUNITY-MIB", "SNMP-TARGET-MIB", "SNMP-USER-BASED-SM-MIB", "PYSNMP-USM-MIB", "SNMPv2-TM", "TRANSPORT-ADDRESS-MIB",
)  # fmt: skip
"""What pysnmp would load at the first question, while probes of other lines wait."""
_V2C: Final = 1
_V3: Final = 3
"""Message processing models (RFC 3411 section 5)."""

Varbinds = list[tuple[Any, Any]]
Answer = tuple[ErrorIndication | None, Any, Any, Varbinds]
"""errorIndication, error-status, error-index, bindings."""


class Engine:
    """An SNMP engine that probes share."""

    _shared: Final[dict[V3User | None, Engine]] = {}

    def __init__(self, user: V3User | None) -> None:
        self.snmp = SnmpEngine()
        self.snmp.get_mib_builder().load_modules(*_MODULES)
        self._user = user
        self._borrowers = 0
        self._numbers = itertools.count(1)
        self._credentials: dict[str, str] = {}
        if user is not None:
            config.add_v3_user(
                self.snmp,
                user.name,
                _AUTHS[user.auth],
                _octets(user.auth_passphrase),
                _PRIVS[user.priv],
                _octets(user.priv_passphrase),
            )

    @classmethod
    def borrow(cls, user: V3User | None) -> Engine:
        """The engine of this user, or of SNMPv2c; give it back."""
        engine = cls._shared.get(user)
        if engine is None:
            engine = cls._shared[user] = cls(user)
        engine._borrowers += 1
        return engine

    def give_back(self) -> None:
        """The last one who does ends it."""
        self._borrowers -= 1
        if not self._borrowers:
            self._shared.pop(self._user)
            with suppress(PySnmpError):
                self.snmp.close_dispatcher()

    def credentials(self, community: str) -> str:
        """Name of the target parameters (RFC 3413 section 4.1.2) for this community, or for the engine's user."""
        name = self._credentials.get(community)
        if name is None:
            name = self._credentials[community] = f"c{next(self._numbers)}"
            if self._user is None:
                config.add_v1_system(self.snmp, name, community.encode())
                config.add_target_parameters(self.snmp, name, name, "noAuthNoPriv", _V2C)
            else:
                config.add_target_parameters(self.snmp, name, self._user.name, _level(self._user), _V3)
        return name

    def number(self) -> int:
        """One that nobody else has."""
        return next(self._numbers)

    def keep_time(self) -> None:
        """Lets pysnmp's timer run, by which it forgets requests: it stops with the last transport, so one that does nothing stays."""
        if self.snmp.transport_dispatcher is None:
            config.add_transport(self.snmp, (*udp.DOMAIN_NAME, 0), udp.UdpAsyncioTransport())


class Wire(udp.UdpAsyncioTransport):  # type: ignore[misc]  # pysnmp has no types
    """pysnmp's transport on a socket that is connected already.

    Attributes:
        answer: What the present question waits for; an error of the socket is set as its exception.
        sent_mono_s: When the last datagram went out.
        heard_mono_s: When the last one came in.
    """

    def __init__(self, engines: set[bytes]) -> None:
        """`engines`: those that the agent has had; at most `ENGINES_MAX`."""
        super().__init__(loop=asyncio.get_running_loop())
        self._engines = engines
        self.answer: asyncio.Future[Answer] | None = None
        self.sent_mono_s = 0.0
        self.heard_mono_s = 0.0
        self._agent: object = None
        """Its address as pysnmp writes it, which is how pysnmp knows the agent again."""

    def send_message(self, message: bytes, address: object) -> None:
        """Sends to the agent."""
        assert self.transport is not None
        self._agent = address
        self.sent_mono_s = time.monotonic()
        self.transport.sendto(message)

    def datagram_received(self, datagram: bytes, _address: object) -> None:
        """Hands over what the agent says; what is no SNMP is as good as nothing."""
        self.heard_mono_s = time.monotonic()
        if not self._is_wanted(datagram):
            return
        # Not only its own errors: a datagram that was changed on purpose makes pysnmp raise TypeError, ValueError and what not.
        with suppress(Exception):
            self._callback_function(self, self._agent, datagram)

    def _is_wanted(self, datagram: bytes) -> bool:
        """Whether it comes from an engine that may be remembered."""
        if not is_v3(datagram):
            return True
        try:
            engine_id = read_message(datagram).engine_id
        except (DecodeError, IndexError):
            return False
        if engine_id not in self._engines and len(self._engines) >= ENGINES_MAX:
            self._refuse(BadAnswer("the agent has another engine ID each time"))
            return False
        self._engines.add(engine_id)
        return True

    def error_received(self, error: OSError) -> None:
        """The kernel's: it did not leave, or the port is closed."""
        self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(error)


class SnmpService(Service):
    """One object of one agent."""

    def __init__(self, probe: SnmpProbe, *, community: str, user: V3User | None) -> None:
        super().__init__()
        self._probe = probe
        self._oid = (*IF_OPER_STATUS, probe.if_index) if probe.if_index else SYS_UP_TIME
        self._engine = Engine.borrow(user)
        self._credentials = self._engine.credentials(community)
        self._address = (probe.address.partition("%")[0], probe.port)
        self._generator = GetCommandGenerator()
        self._wire: Wire | None = None
        self._engines: set[bytes] = set()
        self._target = f"t{self._engine.number()}"
        self._domain: tuple[int, ...] = ()

    async def ask(self) -> Outcome:
        """Asks once."""
        wire = self._wire or await self._open()
        wire.answer = asyncio.get_running_loop().create_future()
        try:
            with self.phases.of("round trip"):
                self._send(wire.answer)
                indication, status, _, varbinds = await wire.answer
        except BaseException:
            # An address may have changed, and a connected socket keeps its old one: the next probe takes a new socket.
            self._hang_up()
            raise
        self.phases.seconds["round trip"] = rtt_s = max(0.0, wire.heard_mono_s - wire.sent_mono_s)
        if indication is not None:
            raise BadAnswer(_words(indication))
        if status:
            raise BadAnswer(status.prettyPrint())
        return self._judged(varbinds, rtt_s)

    def _send(self, answer: asyncio.Future[Answer]) -> None:
        try:
            self._generator.send_varbinds(
                self._engine.snmp, self._target, None, "", [(self._oid, rfc1905.unSpecified)], _answered, answer
            )
        except PySnmpError as error:
            raise BadAnswer(str(error)) from None

    def _judged(self, varbinds: Varbinds, rtt_s: float) -> Outcome:
        name = "ifOperStatus" if self._probe.if_index else "sysUpTime"
        if len(varbinds) != 1 or tuple(varbinds[0][0]) != self._oid:
            raise BadAnswer("an answer to another question")
        value = varbinds[0][1]
        if isinstance(value, (rfc1905.NoSuchObject, rfc1905.NoSuchInstance, rfc1905.EndOfMibView)):
            raise BadAnswer(f"{name}: {value.prettyPrint()}")
        if not isinstance(value, univ.Integer):
            raise BadAnswer(f"{name}: no number")
        if not self._probe.if_index:
            return Outcome("reply", rtt_s)
        number = int(value)
        state = OPER_STATES[number - 1] if 1 <= number <= len(OPER_STATES) else str(number)
        return Outcome("reply" if number == 1 else "failed", rtt_s, f"{name} {state}")

    async def _open(self) -> Wire:
        pin, address = self._probe.pin, self._probe.address
        sock = make_socket(pin, family_of(address), socket.SOCK_DGRAM)
        try:
            begin_connect(sock, sockaddr_of(pin, address, self._probe.port))
            wire = Wire(self._engines)
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: wire, sock=sock)
        except BaseException:
            sock.close()
            raise
        # A transport has a number of its own, by which pysnmp keeps what it knows of the agent's engine: with another one it asks again who
        # that is. An agent that has been replaced would not be believed, or asked, for minutes.
        family = udp6 if sock.family == socket.AF_INET6 else udp
        self._domain = (*family.DOMAIN_NAME, self._engine.number())
        self._engine.keep_time()
        config.add_transport(self._engine.snmp, self._domain, wire)
        config.add_target_address(
            self._engine.snmp, self._target, self._domain, self._address, self._credentials, FORGET_S * 100, 0
        )
        self._wire = wire
        return wire

    def _hang_up(self) -> None:
        if self._wire is not None:
            config.delete_target_address(self._engine.snmp, self._target)
            self._engine.snmp.transport_dispatcher.unregister_transport(self._domain)
            self._wire.close_transport()
            self._wire = None

    async def close(self) -> None:
        """Closes the socket."""
        self._hang_up()
        self._engine.give_back()


def _answered(
    _engine: SnmpEngine,
    _handle: int,
    indication: ErrorIndication | None,
    status: Any,
    index: Any,
    varbinds: Varbinds,
    answer: asyncio.Future[Answer],
) -> None:
    if not answer.done():
        answer.set_result((indication, status, index, varbinds))


def _words(indication: ErrorIndication) -> str:
    """What an agent's Report (RFC 3414 section 3.2) or pysnmp's own check says, as a person needs it."""
    cures = {
        errind.UnknownUserName: "the agent does not know the user",
        errind.WrongDigest: "the agent refuses the authentication: wrong passphrase or protocol",
        errind.AuthenticationFailure: "the answer is not authentic: wrong passphrase, or not the agent",
        errind.UnsupportedSecurityLevel: "the agent does not have this security level for the user",
        errind.DecryptionError: "the agent cannot decrypt: wrong passphrase or protocol of priv",
        errind.NotInTimeWindow: "the agent's clock is not where it says",
    }
    return cures.get(type(indication), str(indication))


def _octets(passphrase: str | None) -> bytes | None:
    """As RFC 3414 section 11.2 hashes it; pysnmp would take text for Latin-1."""
    return None if passphrase is None else passphrase.encode()


def _level(user: V3User) -> str:
    return "authPriv" if user.priv else "authNoPriv" if user.auth else "noAuthNoPriv"


def make_service(probe: AnyProbe, context: ServiceContext, /) -> SnmpService:
    """Makes one; see `netmon.active_probe.probers.base.MakeService`."""
    assert isinstance(probe, SnmpProbe)
    if probe.user_file:
        return SnmpService(probe, community="", user=_user(probe, context))
    community = context.secrets.get(probe.community_file, "") if probe.community_file else ""
    if not community:
        raise ConfigError(
            [f"{label(probe)}: community_file: {probe.community_file}: expected a community, or user_file"]
        )
    return SnmpService(probe, community=community, user=None)


def _user(probe: SnmpProbe, context: ServiceContext) -> V3User:
    try:
        return msgspec.json.decode(context.secrets.get(probe.user_file, ""), type=V3User)
    except msgspec.DecodeError:
        # Its own words may quote the file.
        raise ConfigError([f"{label(probe)}: user_file: {probe.user_file}: expected one user of SNMPv3"]) from None
