"""What all commands share: the configuration option, exit codes, and how a broken pipe ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console, RenderableType
from rich.live import Live

from netmon import config as configuration
from netmon.buffer import embedded
from netmon.canary import community
from netmon.canary.settings import admitted
from netmon.cli.main import INTERRUPTED
from netmon.config import EMBEDDED, Config
from netmon.errors import ConfigError, UnavailableError
from netmon.model import Engine, LaneSettings

NOT_WELL: Final = 1
USAGE: Final = 2
UNAVAILABLE: Final = 3

CONFIG_ENV: Final = "NETMON_CONFIG"
CONFIG_PATHS: Final = (Path("config/netmon.yml"), Path("/etc/netmon/netmon.yml"))

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "-c",
        "--config",
        help=f"Configuration file; else ${CONFIG_ENV}, else {CONFIG_PATHS[0]}, else {CONFIG_PATHS[1]}.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, one object a line, for programs.")]


def config_path(given: Path | None) -> Path:
    """The configuration file that a command uses."""
    if given is not None:
        return given
    if os.environ.get(CONFIG_ENV):
        return Path(os.environ[CONFIG_ENV])
    return next((path for path in CONFIG_PATHS if path.exists()), CONFIG_PATHS[0])


def config_in_use(given: Path | None) -> Path:
    """The configuration file for a question about a running netmon: with `make run`, that is not the usual one.

    Without `-c` and $NETMON_CONFIG it is what the netmon runs with whose data the usual configuration names; else the usual one.
    """
    from netmon.supervisor.service import running_config  # noqa: PLC0415 - not for those who do not ask

    path = config_path(given)
    if given is not None or os.environ.get(CONFIG_ENV):
        return path
    try:
        return running_config(configuration.load(path).data_dir) or path
    except ConfigError:
        return path


class LineConsole(Console):
    """A console that leaves a closed pipe to `exit_codes`: `netmon traps | head -1` is no failure."""

    def on_broken_pipe(self) -> None:
        """Called by rich while it handles the BrokenPipeError."""
        raise BrokenPipeError


@contextmanager
def exit_codes(*, endless: bool = False, interrupted: str = "interrupted") -> Iterator[None]:
    """Turn what may go wrong into a message for a person and an exit code.

    Args:
        endless: The command goes on until somebody ends it: Ctrl-C is its end, and no failure.
        interrupted: What Ctrl-C means for the work of the command.
    """
    try:
        yield
    except ConfigError as error:
        for mistake in error.mistakes:
            print(mistake, file=sys.stderr)
        raise typer.Exit(USAGE) from None
    except (UnavailableError, PermissionError) as error:
        print(error.detail if isinstance(error, UnavailableError) else error, file=sys.stderr)
        if isinstance(error, UnavailableError) and error.reason == "connection":
            print("Is netmon running, or the Redis that redis.url names?", file=sys.stderr)
        raise typer.Exit(UNAVAILABLE) from None
    except KeyboardInterrupt:
        if endless:
            raise typer.Exit(0) from None
        print(interrupted, file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # Python flushes standard output once more at exit: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None


@contextmanager
def live_table(first: RenderableType, console: Console) -> Iterator[Live]:
    """A table that is drawn again in its place; behind the last one a new line begins, whatever ended it."""
    try:
        with Live(first, console=console, auto_refresh=False) as live:
            yield live
    finally:
        if not console.is_terminal:
            # On a terminal rich has begun it.
            console.line()


def numbered(lanes: list[LaneSettings], number: int | None, path: Path) -> list[LaneSettings]:
    """The lane with this number, all without one. Raises ConfigError: the configuration at `path` has no such lane."""
    if number is None:
        return lanes
    if number >= len(lanes):
        raise ConfigError([f"--lane {number}: {path} has the lanes 0 to {len(lanes) - 1}"])
    return [lanes[number]]


def redis_url(config: Config) -> str:
    """The URL of Redis that is really used, never `embedded`."""
    return embedded.url(config.data_dir) if config.redis.url == EMBEDDED else config.redis.url


def lanes_of(config: Config, engine: Engine | None = None) -> list[LaneSettings]:
    """The lanes of a configuration, with the URL at which its Redis is. Raises ConfigError."""
    url = redis_url(config)
    lanes = configuration.lane_settings(config, redis_url=url, engine=engine)
    found = community.find(config.data_dir)
    return lanes if found is None else admitted(lanes, found)
