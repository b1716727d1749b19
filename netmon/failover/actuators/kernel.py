"""The kernel's rules and routes, as far as failover needs them: a netlink socket that stays open, and values in and out.

Owns pyroute2, errors of netlink in words with a cure, and the time that a request may take. The requests work in the network namespace of the
process. Dumps are filtered by the kernel (NETLINK_GET_STRICT_CHK): a gateway may have a million routes of others.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from netmon.errors import UnavailableError
from netmon.failover.actuators.layout import FAMILIES, Family, Route, Rule

REQUEST_S: Final = 2.0
"""For one request; a netlink answer takes less than a millisecond."""
ROUTES_MAX: Final = 65_536
"""Of one dump; more cannot be ours."""

_AF: Final[dict[Family, int]] = {4: socket.AF_INET, 6: socket.AF_INET6}
_ANY: Final[dict[Family, str]] = {4: "0.0.0.0/0", 6: "::/0"}
_UNICAST: Final = 1
_GET_ROUTE: Final = 26
_GET_RULE: Final = 34
_DUMP: Final = 0x301
"""NLM_F_REQUEST | NLM_F_DUMP."""
DUMPS_MAX: Final = 3
"""Of one list that changes while it is read."""
_NEWS_MAX: Final = 256
"""Messages that are thrown away at once; what is left wakes us again."""
_REFUSALS: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EINVAL})
"""What the kernel answers when no route, or one of type unreachable, prohibit or blackhole, is found."""
_IPV6: Final = Path("/proc/net/if_inet6")
"""Not there: this kernel, or this namespace, has no IPv6."""

# Groups of messages (linux/rtnetlink.h): links, IPv4 routes and rules, IPv6 routes; IPv6 rules have no bit of the old kind but number 19.
_NEWS: Final = 0x1 | 0x40 | 0x80 | 0x400 | 1 << 18

_CURES: Final = {
    errno.EPERM: "needs CAP_NET_ADMIN; add it to AmbientCapabilities= of the service",
    errno.ENODEV: "the interface is gone; `ip link` lists those that are there",
    errno.ENETDOWN: "the interface is down; `ip link set ... up`",
    errno.ENETUNREACH: "no address of the interface is in the next hop's network; `ip address` shows them, region.yml has the next hop under `ports`",
    errno.EHOSTUNREACH: "the interface is down, or no address of it is in the next hop's network; `ip address` shows them",
    errno.EOPNOTSUPP: "this kernel cannot do that (IP_MULTIPLE_TABLES, IPV6_MULTIPLE_TABLES)",
    errno.EAFNOSUPPORT: "this kernel has no such addresses",
    errno.ENOBUFS: "the kernel has no room for it; the next try may have",
}


class KernelError(UnavailableError):
    """The kernel refused a change, or did not answer; says which, why and what to do. `code` is errno's, 0 for a time that is up."""

    def __init__(self, what: str, code: int, said: str) -> None:
        cure = _CURES.get(code)
        super().__init__("refused" if code else "timeout", f"{what}: {said}" + (f" ({cure})" if cure else ""))
        self.code = code


class Kernel:
    """The routes of this network namespace. Requests are made one after the other."""

    def __init__(self, protocol: int) -> None:
        """`protocol`: what our rules and routes carry."""
        self._protocol = protocol
        self._stack = contextlib.AsyncExitStack()
        self._turn, self._session_turn = asyncio.Lock(), asyncio.Lock()
        self._route: Any = None
        self._sessions: Any = None
        self.families: tuple[Family, ...] = FAMILIES if _IPV6.exists() else (4,)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the socket; the next request opens another."""
        self._route = self._sessions = None
        await self._stack.aclose()

    # -- what is

    async def rules(self) -> set[Rule]:
        """All rules that carry our protocol."""
        found = set()
        for family in self.families:
            for message in await self._dump(_fib(family), _GET_RULE, "ip rule"):
                if message.get("protocol") == self._protocol:
                    found.add(_rule(family, message))
        return found

    async def routes(self) -> set[Route]:
        """All routes that carry our protocol, in all tables. Only default routes can be ours."""
        found = set()
        for family in self.families:
            for message in await self._dump(_rt(family, self._protocol), _GET_ROUTE, "ip route"):
                if message["proto"] == self._protocol and message["dst_len"] == 0:
                    found.add(_route(family, message))
        return found

    async def table(self, table: int) -> tuple[set[Route], int]:
        """One table: our routes, and how many routes of others are in it."""
        ours, others = set(), 0
        for family in self.families:
            for message in await self._dump(_rt(family, 0, table), _GET_ROUTE, f"ip route show table {table}"):
                if message.get("table") != table:
                    continue
                if message["proto"] == self._protocol and message["dst_len"] == 0:
                    ours.add(_route(family, message))
                else:
                    others += 1
        return ours, others

    async def way(self, address: str, mark: int) -> str:
        """By which interface a packet would leave now, as the kernel decides it; empty: it would be refused."""
        family: Family = 6 if ":" in address else 4
        what = f"ip route get {address} mark {mark:#x}"
        words = {"family": _AF[family], "dst": address, "mark": mark}
        try:
            messages = await self._ask(what, lambda route: route.route("get", **words))
        except KernelError as error:
            if error.code in _REFUSALS:
                return ""
            raise
        return _name(messages[0].get("oif") or 0) if messages else ""

    # -- what shall be

    async def put(self, route: Route) -> None:
        """Puts a route in the place of the one of its table, family and metric, if there is one: a single change."""
        words = self._route_words(route)
        if route.interface:
            words |= {"oif": _index(route.interface)} | ({"gateway": route.next_hop} if route.next_hop else {})
        else:
            words["type"] = "unreachable"
        await self._ask(f"ip route replace {_text(route)}", lambda netlink: netlink.route("replace", **words))

    async def remove(self, route: Route) -> None:
        """Removes one of our routes; nothing if it is gone already."""
        words = self._route_words(route)
        if not route.interface:
            words["type"] = "unreachable"
        with _gone_already():
            await self._ask(f"ip route del {_text(route)}", lambda netlink: netlink.route("del", **words))

    async def add_rule(self, rule: Rule) -> None:
        """Adds a rule; nothing if it is there."""
        words = self._rule_words(rule)
        try:
            await self._ask(f"ip rule add {_rule_text(rule)}", lambda netlink: netlink.rule("add", **words))
        except KernelError as error:
            if error.code != errno.EEXIST:
                raise

    async def remove_rule(self, rule: Rule) -> None:
        """Removes one of our rules; nothing if it is gone already."""
        words = self._rule_words(rule)
        with _gone_already():
            await self._ask(f"ip rule del {_rule_text(rule)}", lambda netlink: netlink.rule("del", **words))

    async def forget_sessions(self, mark: int) -> None:
        """Has connection tracking forget the sessions with a mark, so that they are translated anew. Raises KernelError: it cannot."""
        assert mark, "without a mark, these would be the sessions of everybody"
        from pyroute2.netlink.nfnetlink.nfctsocket import AsyncNFCTSocket  # noqa: PLC0415 - large, and not always there

        async with self._session_turn:
            with _in_words(f"conntrack -D --mark {mark:#x}"):
                async with asyncio.timeout(REQUEST_S):
                    if self._sessions is None:
                        self._sessions = await self._stack.enter_async_context(AsyncNFCTSocket())
                    await self._sessions.flush(mark=mark, mark_mask=0xFFFF_FFFF)

    # -- how it is asked

    def _route_words(self, route: Route) -> dict[str, Any]:
        words = {"family": _AF[route.family], "dst": _ANY[route.family], "table": route.table}
        return words | {"priority": route.metric, "proto": self._protocol}

    def _rule_words(self, rule: Rule) -> dict[str, Any]:
        words: dict[str, Any] = {"family": _AF[rule.family], "priority": rule.preference, "table": rule.table}
        words["protocol"] = self._protocol
        if rule.mark:
            words["fwmark"] = rule.mark
        address, _, length = rule.prefix.partition("/")
        if length not in {"", "0"}:
            words |= {"dst": address, "dst_len": int(length)}
        if rule.is_suppressed:
            words["suppress_prefixlen"] = 0
        return words

    async def _dump(self, message: Any, kind: int, what: str) -> list[Any]:
        async def ask(netlink: Any) -> list[Any]:
            found = []
            async for answer in await netlink.nlm_request(message, msg_type=kind, msg_flags=_DUMP):
                found.append(answer)
                assert len(found) <= ROUTES_MAX, what
            return found

        for is_last in (False,) * (DUMPS_MAX - 1) + (True,):
            try:
                return await self._ask(what, ask)
            except KernelError as error:
                if error.code == errno.ENOENT:  # a table that has never had a route
                    return []
                if error.code != errno.EINTR or is_last:
                    raise
        return []

    async def _ask(self, what: str, ask: Callable[[Any], Awaitable[list[Any]]]) -> list[Any]:
        try:
            async with self._turn:
                with _in_words(what):
                    async with asyncio.timeout(REQUEST_S):
                        return await ask(await self._opened())
        except KernelError as error:
            if not error.code:
                await self.close()  # an answer that comes yet would be taken for another's
            raise

    async def _opened(self) -> Any:
        if self._route is None:
            from pyroute2.iproute.linux import AsyncIPRoute  # noqa: PLC0415 - 14 MB, for those who move routes alone

            # As a child of this process would: the namespace that we are in, and no other thread or loop.
            self._route = await self._stack.enter_async_context(AsyncIPRoute(strict_check=True, ext_ack=True))
        return self._route


class News:
    """Tells that something about links, routes or rules has changed, not what: whoever hears it reads how things are."""

    def __init__(self, changed: Callable[[], None]) -> None:
        """Begins to tell, in the loop that runs. Raises OSError: there is no such socket."""
        self._changed = changed
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._socket.bind((0, _NEWS))
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._read)

    def close(self) -> None:
        """Ends it."""
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # ENOBUFS: there was more than fits, which is news, too
            for _ in range(_NEWS_MAX):
                self._socket.recv(1)
        self._changed()


@contextlib.contextmanager
def _in_words(what: str) -> Iterator[None]:
    """Raises KernelError in place of what netlink and the kernel raise."""
    from pyroute2.netlink.exceptions import NetlinkDumpInterrupted, NetlinkError  # noqa: PLC0415 - see _opened

    try:
        yield
    except TimeoutError:
        raise KernelError(what, 0, f"the kernel has not answered within {REQUEST_S} s") from None
    except NetlinkDumpInterrupted:
        raise KernelError(what, errno.EINTR, "it changed while it was read") from None
    except NetlinkError as error:
        raise KernelError(what, error.code, str(error.args[-1])) from None
    except OSError as error:
        raise KernelError(what, error.errno or errno.EIO, error.strerror or str(error)) from None


@contextlib.contextmanager
def _gone_already() -> Iterator[None]:
    try:
        yield
    except KernelError as error:
        if error.code not in {errno.ESRCH, errno.ENOENT, errno.ENODEV}:
            raise


def _rt(family: Family, protocol: int, table: int = 0) -> Any:
    from pyroute2.netlink.rtnl.rtmsg import rtmsg  # noqa: PLC0415 - see Kernel._opened

    message = rtmsg()
    message["family"] = _AF[family]
    message["proto"] = protocol
    message["attrs"] = [("RTA_TABLE", table)] if table else []
    return message


def _fib(family: Family) -> Any:
    from pyroute2.netlink.rtnl.fibmsg import fibmsg  # noqa: PLC0415 - see Kernel._opened

    message = fibmsg()
    message["family"] = _AF[family]
    return message


def _rule(family: Family, message: Any) -> Rule:
    address = message.get("dst")
    return Rule(
        family=family,
        preference=message.get("priority") or 0,
        mark=message.get("fwmark") or 0,
        prefix=f"{address}/{message['dst_len']}" if address else "",
        table=message.get("table") or 0,
        is_suppressed=message.get("suppress_prefixlen") == 0,
    )


def _route(family: Family, message: Any) -> Route:
    is_unicast = message["type"] == _UNICAST
    return Route(
        family=family,
        table=message.get("table") or 0,
        metric=message.get("priority") or 0,
        interface=_name(message.get("oif") or 0) if is_unicast else "",
        next_hop=(message.get("gateway") or "") if is_unicast else "",
    )


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"interface {index}"  # gone meanwhile


def _index(interface: str) -> int:
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        raise KernelError(f"interface {interface}", errno.ENODEV, "there is none of that name now") from None


def _text(route: Route) -> str:
    to = f"via {route.next_hop} dev {route.interface}" if route.next_hop else f"dev {route.interface}"
    how = f"default {to}" if route.interface else "unreachable default"
    return f"{how} table {route.table} metric {route.metric}"


def _rule_text(rule: Rule) -> str:
    told = f"fwmark {rule.mark:#x}" if rule.mark else f"to {rule.prefix}"
    return f"{told} lookup {rule.table} pref {rule.preference}"
