"""The frame around the service probers (tcp, http, snmp, mqtt): one deadline, phases, and what each error says of the line.

An error is sorted by who made it. Ours (`PinError`, a name that cannot be looked up) says nothing of the line: `local_error`. Silence,
and a router that says "unreachable": `lost`. A far end that answers, and not as it should: `failed`, with its words.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from netmon.active_probe.model import OutcomeKind
from netmon.active_probe.probers.base import DETAIL_CHARS_MAX, Outcome
from netmon.active_probe.vantage.pinning import describe, is_local_error

_SILENT: Final = frozenset({errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT, errno.ENETRESET, errno.EPROTO})
"""What a router, the neighbour's silence or the kernel's own patience make of a line that is dead: the far end has said nothing."""


class NotSent(Exception):  # noqa: N818 - it is an outcome, no error
    """The probe could not leave: `local_error`."""


class BadAnswer(Exception):  # noqa: N818 - see NotSent
    """The far end has answered, and not as it should: `failed`."""


class Phases:
    """What a probe has spent its time on.

    Attributes:
        seconds: Phase (`name`, `connect`, `tls`, `first byte`, `round trip`) to seconds, in the order of their beginnings; one that the deadline
            cut short has the time until then.
        now: The phase that began last.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.now = ""

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Times a phase."""
        self.now = name
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = time.monotonic() - started


class Service(ABC):
    """A service prober but for what it asks.

    Attributes:
        phases: Of the newest probe.
        timeout_s: Of the newest probe.
    """

    def __init__(self) -> None:
        self.phases = Phases()
        self.timeout_s = 0.0

    async def probe(self, timeout_s: float) -> Outcome:
        """One probe; see `netmon.active_probe.probers.base.ServiceProber`."""
        self.phases, self.timeout_s = Phases(), timeout_s
        return await settled(self.ask, timeout_s, self.phases)

    @abstractmethod
    async def ask(self) -> Outcome:
        """One probe, without a deadline of its own.

        Raises:
            OSError, NotSent, BadAnswer: What `probe` makes an outcome of.
        """

    @abstractmethod
    async def close(self) -> None:
        """Ends what is kept."""


async def settled(ask: Callable[[], Awaitable[Outcome]], timeout_s: float, phases: Phases) -> Outcome:
    """What came of asking; it takes no longer than `timeout_s`, and raises nothing but CancelledError."""
    try:
        async with deadline(timeout_s):
            return await ask()
    except TimeoutError:
        return outcome("lost", f"no answer in time: {phases.now}" if phases.now else "no answer in time")
    except NotSent as error:
        return outcome("local_error", str(error))
    except BadAnswer as error:
        return outcome("failed", str(error))
    except OSError as error:
        return outcome_of(error)


@asynccontextmanager
async def deadline(timeout_s: float) -> AsyncIterator[None]:
    """Cancels what is within after so long, by the monotonic clock, and raises TimeoutError.

    When the event loop itself is late, the time that it was late is given on top, but no more than `timeout_s`: the answer may be there, and
    only we have not looked. In any case what has already arrived is dealt with first.
    """
    loop = asyncio.get_running_loop()
    due = loop.time() + timeout_s
    async with asyncio.timeout(None) as limit:
        timer = loop.call_at(due, lambda: limit.reschedule(loop.time() + min(loop.time() - due, timeout_s)))
        try:
            yield
        finally:
            timer.cancel()


def outcome(kind: OutcomeKind, detail: str, rtt_s: float | None = None) -> Outcome:
    """An outcome whose detail may quote the far end."""
    return Outcome(kind, rtt_s, shown(detail))


def shown(text: str) -> str:
    """What may come from a far end: bounded, and fit to be printed."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:DETAIL_CHARS_MAX])


def outcome_of(error: OSError) -> Outcome:
    """What an error of the kernel or of TLS says of the line."""
    if isinstance(error, ssl.SSLError):
        return outcome("failed", f"TLS: {tls_words(error)}")
    if is_local_error(error):
        return outcome("local_error", describe(error))
    name = errno.errorcode.get(error.errno or 0, str(error) or type(error).__name__)
    return outcome("lost" if error.errno in _SILENT else "failed", name)


def tls_words(error: ssl.SSLError) -> str:
    """Why TLS failed, without the source line of OpenSSL."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    return (error.reason or str(error)).lower().replace("_", " ")
