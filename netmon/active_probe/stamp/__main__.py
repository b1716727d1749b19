"""`python -m netmon.active_probe.stamp`: a STAMP reflector by itself, until SIGTERM."""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import signal
import sys
from pathlib import Path
from typing import Final

from netmon import log
from netmon.active_probe.stamp.packet import key_of
from netmon.active_probe.stamp.reflector import SOURCE_MAX, TOTAL_MAX, Reflector, ReflectorSettings
from netmon.active_probe.stamp.sessions import Network
from netmon.errors import ConfigError

KEY_FILE_BYTES_MAX: Final = 4_096


def main(argv: list[str] | None = None) -> int:
    """Reflects until SIGTERM or SIGINT; returns the exit code, 2 for settings that are of no use."""
    options = _parser().parse_args(argv)
    try:
        reflector = Reflector(settings_of(options))
    except ConfigError as error:
        print(*error.mistakes, sep="\n", file=sys.stderr)
        return 2
    log.set_up(options.log_level, options.log_format, role="reflector")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reflector.stop())
    if options.json:
        print(json.dumps({"listening": reflector.listening, "pid": os.getpid()}), flush=True)
    log.log.info("reflector.started", listening=reflector.listening, authenticated=options.key_file is not None)
    if options.key_file is None and not options.allow:
        log.log.warning("reflector.answers_everybody", cure="name a --key-file, or the sources with --allow")
    reflector.run()
    reflector.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="netmon reflector", description="Answers STAMP questions (RFC 8762).")
    parser.add_argument(
        "--listen",
        action="append",
        required=True,
        metavar="ADDRESS:PORT",
        help="several times for several; STAMP's port is 862",
    )
    parser.add_argument("--interface", default="", help="answer only what comes in by it")
    parser.add_argument("--key-file", type=Path, help="answer only what is signed with the key in it")
    parser.add_argument("--allow", action="append", default=[], metavar="NETWORK", help="answer only these sources")
    parser.add_argument("--stateless", action="store_true", help="do not count by session")
    parser.add_argument("--rate", type=int, default=TOTAL_MAX, help="answers a second, at most")
    parser.add_argument("--rate-per-source", type=int, default=SOURCE_MAX, help="answers a second to one address")
    parser.add_argument("--json", action="store_true", help="when ready, print one line of JSON with the addresses")
    parser.add_argument("--log-level", choices=list(log.LEVELS), default="info")
    parser.add_argument("--log-format", choices=["console", "json"])
    return parser


def settings_of(options: argparse.Namespace) -> ReflectorSettings:
    """What the options say.

    Raises:
        ConfigError: A network or the key is none; all mistakes at once.
    """
    mistakes: list[str] = []
    networks = [network for text in options.allow if (network := _network(text, mistakes)) is not None]
    key = _key(options.key_file, mistakes) if options.key_file else None
    for name, rate in (("--rate", options.rate), ("--rate-per-source", options.rate_per_source)):
        if rate < 1:
            mistakes.append(f"{name} {rate}: expected at least 1 answer a second")
    if mistakes:
        raise ConfigError(mistakes)
    return ReflectorSettings(
        listen=tuple(options.listen),
        interface=options.interface,
        key=key,
        allow=tuple(networks),
        stateless=options.stateless,
        total_max=options.rate,
        source_max=options.rate_per_source,
    )


def _network(text: str, mistakes: list[str]) -> Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        mistakes.append(f"--allow {text}: {error}; write it as 192.0.2.0/24 or 2001:db8::/32")
        return None


def _key(path: Path, mistakes: list[str]) -> bytes | None:
    try:
        with path.open(encoding="utf-8") as file:
            return key_of(file.read(KEY_FILE_BYTES_MAX))
    except ConfigError as error:
        mistakes += [f"--key-file {path}: {mistake}" for mistake in error.mistakes]
    except (OSError, UnicodeDecodeError) as error:
        mistakes.append(f"--key-file {path}: {getattr(error, 'strerror', None) or 'is no text'}")
    return None


if __name__ == "__main__":
    sys.exit(main())
