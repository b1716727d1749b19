"""Structured logs: one line an event on standard error, for a person (`console`) or for a collector (`json`).

An event is `<component>.<noun>_<past participle>`, facts are keys, secrets are never printed. For a person structlog
renders; it takes a tenth of a second and some megabytes to import, so it is loaded with the first line that is really
written. For a collector a line is plain JSON, and nothing is loaded: most processes write nothing else.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Literal

Format = Literal["console", "json"]

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
REPEAT_INTERVAL_NS: Final = 10_000_000_000
REPEAT_KEYS_MAX: Final = 1_000

_SECRET_NAMES: Final = re.compile(r"(?:^|_)(?:password|passphrase|secret|token|communit(?:y|ie)|auth_key|priv_key)s?$")
_URL_PASSWORD: Final = re.compile(r"(?<=://)([^/@\s:]*):[^/@\s]*@")


def redacted(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts without secrets: values of keys that name one, and passwords inside URLs, become `***`."""
    return {key: _redacted_value(key, value) for key, value in facts.items()}


def _redacted_value(key: str, value: Any) -> Any:
    if value is not None and _SECRET_NAMES.search(key):
        return "***"
    if isinstance(value, str) and "://" in value:
        return _URL_PASSWORD.sub(r"\1:***@", value)
    if isinstance(value, list):
        return [_redacted_value("", item) for item in value]
    return value


class RateLimiter:
    """Lets one event per key and interval through, and counts those it held back.

    At most `REPEAT_KEYS_MAX` keys are remembered; beyond that the oldest is forgotten, together with its count.
    """

    def __init__(self, interval_ns: int = REPEAT_INTERVAL_NS) -> None:
        self._interval_ns = interval_ns
        self._seen: dict[object, tuple[int, int]] = {}

    def admit(self, key: object, mono_ns: int) -> int | None:
        """Whether an event may pass.

        Args:
            key: What counts as the same event.
            mono_ns: Monotonic time, nanoseconds.

        Returns:
            The number of events held back since the last that passed (0 at first), or None: hold this one back too.
        """
        last = self._seen.get(key)
        if last is not None and mono_ns - last[0] < self._interval_ns:
            self._seen[key] = (last[0], last[1] + 1)
            return None
        self._seen.pop(key, None)
        if len(self._seen) >= REPEAT_KEYS_MAX:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = (mono_ns, 0)
        return 0 if last is None else last[1]


class Logger:
    """Writes events with facts; every logger of the process shares one level, format and set of constant facts."""

    def debug(self, event: str, **facts: Any) -> None:
        """Something only a developer asks for."""
        _write("debug", event, facts)

    def info(self, event: str, **facts: Any) -> None:
        """A change of state."""
        _write("info", event, facts)

    def warning(self, event: str, **facts: Any) -> None:
        """Something odd that netmon recovered from."""
        _write("warning", event, facts)

    def error(self, event: str, **facts: Any) -> None:
        """Data is lost, or a person must act."""
        _write("error", event, facts)


class LimitedLogger(Logger):
    """A logger for what may repeat fast: an event (with the same `reason`, `role`, `lane`) once in 10 s.

    The line that passes carries `suppressed`, the number of those that did not.
    """

    def __init__(self, limiter: RateLimiter | None = None) -> None:
        self._limiter = limiter or RateLimiter()

    def debug(self, event: str, **facts: Any) -> None:
        """Like `Logger.debug`, unless it repeats."""
        self._limited("debug", event, facts)

    def info(self, event: str, **facts: Any) -> None:
        """Like `Logger.info`, unless it repeats."""
        self._limited("info", event, facts)

    def warning(self, event: str, **facts: Any) -> None:
        """Like `Logger.warning`, unless it repeats."""
        self._limited("warning", event, facts)

    def error(self, event: str, **facts: Any) -> None:
        """Like `Logger.error`, unless it repeats."""
        self._limited("error", event, facts)

    def _limited(self, level: str, event: str, facts: dict[str, Any]) -> None:
        key = (level, event, facts.get("reason"), facts.get("role"), facts.get("lane"))
        suppressed = self._limiter.admit(key, time.monotonic_ns())
        if suppressed is None:
            return
        _write(level, event, {**facts, "suppressed": suppressed} if suppressed else facts)


log: Final = Logger()
limited: Final = LimitedLogger()


class _StandardError:
    """Standard error as it is when a line is written: whoever redirects it for a while gets the lines of that while."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


class _Setup:
    """What `set_up` was told; `backend` is made from it when it is first needed."""

    threshold: ClassVar[int] = LEVELS["info"]
    format: ClassVar[Format] = "console"
    facts: ClassVar[dict[str, Any]] = {}
    backend: ClassVar[Callable[[str, str, dict[str, Any]], None] | None] = None


def set_up(level: str = "info", style: Format | None = None, **facts: Any) -> None:
    """Set the process's level, format and constant facts. Cheap: nothing is imported yet.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        style: None is `console` when standard error is a terminal, else `json`.
        **facts: Added to every line, for instance `role="capture", lane=0`.
    """
    _Setup.threshold = LEVELS[level]
    _Setup.format = style or ("console" if sys.stderr.isatty() else "json")
    _Setup.facts = redacted(facts)
    _Setup.backend = None


def _write(level: str, event: str, facts: dict[str, Any]) -> None:
    if LEVELS[level] < _Setup.threshold:
        return
    backend = _Setup.backend
    if backend is None:
        backend = _Setup.backend = _console() if _Setup.format == "console" else _write_json
    # Standard error may be closed or full: there is no better place to say so, and the traps go on.
    with contextlib.suppress(OSError):
        backend(level, event, {**_Setup.facts, **redacted(facts)})


def _write_json(level: str, event: str, facts: dict[str, Any]) -> None:
    stamp = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    line = json.dumps({**facts, "event": event, "level": level, "timestamp": stamp}, default=str)
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _console() -> Callable[[str, str, dict[str, Any]], None]:
    import structlog  # noqa: PLC0415 - see the module docstring

    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    render = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    output: Any = _StandardError()
    logger = structlog.wrap_logger(
        structlog.WriteLogger(output),
        processors=[structlog.processors.add_log_level, stamp, structlog.processors.format_exc_info, render],
        wrapper_class=structlog.make_filtering_bound_logger(_Setup.threshold),
        cache_logger_on_first_use=True,
    )

    def write(level: str, event: str, facts: dict[str, Any]) -> None:
        getattr(logger, level)(event, **facts)

    return write
