"""Plays the demo and shows what it measured. Exit codes: 0 it went as promised, 1 it did not, 2 it cannot be played here."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from loadtest.demo import show
from loadtest.demo.stage import Stage, StageError
from loadtest.demo.story import Story, tell
from loadtest.lab.namespaces import LabError

NOT_AS_PROMISED, IMPOSSIBLE = 1, 2
INSTALL = "sudo apt-get install -y --no-install-recommends iproute2 util-linux mosquitto"


def play(
    as_json: Annotated[bool, typer.Option("--json", help="What was measured, as JSON.")] = False,
    keep: Annotated[Path | None, typer.Option(help="Where configuration and logs shall stay; else they go.")] = None,
) -> None:
    """An earthquake, a cut duct, and what becomes of the traffic of four gateways while nobody touches a thing."""
    errors = Console(stderr=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # as Ctrl-C: nothing is left behind
    folder = keep or Path(tempfile.mkdtemp(prefix="netmon-demo-"))
    try:
        story = _played(folder, errors)
    except LabError as error:
        errors.print(f"The demo cannot be played here: {error}", style="red")
        errors.print(f"It needs network namespaces and a broker; on Debian: {INSTALL}")
        raise typer.Exit(IMPOSSIBLE) from None
    except StageError as error:
        errors.print(Text(str(error), style="red"))
        raise typer.Exit(NOT_AS_PROMISED) from None
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(story)).decode())
    else:
        show.story(story, Console(width=None if sys.stdout.isatty() else 120))
    if story.faults:
        raise typer.Exit(NOT_AS_PROMISED)


def _played(folder: Path, errors: Console) -> Story:
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=errors, transient=errors.is_terminal) as progress:
        tasks: list[TaskID] = []

        def step(what: str) -> None:
            for task in tasks:
                progress.update(task, total=1, completed=1)
                progress.stop_task(task)
            tasks.append(progress.add_task(what, total=None))

        with Stage(folder, step) as stage:
            return tell(stage.play())


if __name__ == "__main__":
    typer.run(play)
