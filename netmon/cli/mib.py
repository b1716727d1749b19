"""`netmon mib`: MIB files to a catalogue of names, and what the catalogues know."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from netmon import config as configuration
from netmon.cli.common import NOT_WELL, AsJson, ConfigFile, LineConsole, config_path, exit_codes
from netmon.errors import ConfigError
from netmon.mib import catalogue as catalogues
from netmon.mib.lookup import Found, look_up, modules_of, of_module
from netmon.mib.model import Catalogue
from netmon.show import counted, printable, size

if TYPE_CHECKING:
    from netmon.mib.compile import Compiled

_group = typer.Typer(name="mib", help="Names from MIB files: compile them, look them up.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(_group)


@_group.command("compile")
def compile_(
    paths: Annotated[list[Path], typer.Argument(metavar="DIR_OR_FILE...", help="MIB files, or folders of them.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The catalogue to write.")] = Path(
        "mibs.cat"
    ),
    keep_going: Annotated[
        bool, typer.Option("--keep-going", "-k", help="Write what is well although there are problems; still exit 1.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Turn MIB files into one catalogue. Exit 1: a problem was found, each is told with file, line and cure."""
    with exit_codes(interrupted="interrupted; nothing was written"):
        compiled = _compiled(paths, quiet=as_json)
        written = bool(compiled.modules) and (keep_going or not compiled.problems)
        if written:
            _write(output, compiled.catalogue)
        if as_json:
            _print_json(compiled, output if written else None)
        else:
            _print_summary(compiled, output if written else None)
        raise typer.Exit(NOT_WELL if compiled.problems or not compiled.modules else 0)


def _compiled(paths: Sequence[Path], *, quiet: bool) -> Compiled:
    from netmon.mib import compile as mibs  # noqa: PLC0415 - pysmi is slow to import; `netmon mib show` needs none

    try:
        files = mibs.files_of(paths)
    except OSError as error:
        raise ConfigError([f"{error.filename}: {error.strerror}"]) from None
    named = {path for path in paths if path.is_file()}
    console = Console(stderr=True)
    bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console, transient=True)
    with nullcontext() if quiet or not console.is_terminal else bar:
        task = bar.add_task("reading", total=None)

        def progress(step: str, module: str, total: int) -> None:
            bar.update(task, description=f"{step} {module}", advance=1, total=total)

        return mibs.compile_files(files, [catalogues.read(catalogues.SHIPPED)], progress, named=named)


def _write(output: Path, catalogue: Catalogue) -> None:
    try:
        catalogues.write(output, catalogue)
    except OSError as error:
        raise ConfigError([f"{output} cannot be written: {error.strerror}"]) from None


def _print_json(compiled: Compiled, written: Path | None) -> None:
    answer = {
        "file": None if written is None else str(written),
        "modules": compiled.modules,
        "notifications": compiled.catalogue.count("notification"),
        "objects": compiled.catalogue.count("scalar", "column"),
        "files_ignored": compiled.ignored,
        "problems": compiled.problems,
    }
    print(msgspec.json.encode(answer).decode())


def _print_summary(compiled: Compiled, written: Path | None) -> None:
    for problem in compiled.problems:
        print(printable(str(problem)), file=sys.stderr)
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, count in (
        ("modules", len(compiled.modules)),
        ("notifications", compiled.catalogue.count("notification")),
        ("objects", compiled.catalogue.count("scalar", "column")),
        ("files without a module", compiled.ignored),
        ("problems", len(compiled.problems)),
    ):
        table.add_row(name, f"{count:,}")
    LineConsole().print(table)
    if written is not None:
        print(f"{written}: {size(written.stat().st_size)}. Name it in mibs.catalogues, then reload netmon (SIGHUP).")
    elif compiled.modules:
        print("Nothing was written: solve the problems, or write what is well with --keep-going.", file=sys.stderr)
    else:
        print("Nothing was written: there is no module that can be compiled.", file=sys.stderr)


CatalogueFiles = Annotated[
    list[Path] | None, typer.Option("--catalogue", metavar="FILE", help="Ask this one, not the configured ones.")
]


@_group.command("list")
def list_(catalogue: CatalogueFiles = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """List the modules that the catalogues know, with the file that each stands in."""
    with exit_codes():
        found = modules_of(_catalogues(catalogue, config))
        if as_json:
            for each in found:
                print(msgspec.json.encode(each).decode())
            return
        width = max((len(printable(each.module)) for each in found), default=0)
        print(f"{'module':<{width}}  notifications  objects  catalogue")
        for each in found:
            file = printable(each.catalogue)
            print(f"{printable(each.module):<{width}}  {each.notifications:>13,}  {each.objects:>7,}  {file}")
        print(f"{counted(len(found), 'module')}; `netmon mib show MODULE` lists what one has")


@_group.command()
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME_OR_OID", help="Such as linkDown, IF-MIB::ifType, 1.3.6.1.2.1.1.3.0, IF-MIB")
    ],
    catalogue: CatalogueFiles = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show what the catalogues know of a name or an OID, or all of a module. Exit 1: nothing."""
    with exit_codes():
        known = _catalogues(catalogue, config)
        of_one = of_module(known, name)
        found = look_up(known, name) if of_one is None else of_one
        if of_one is not None and not as_json:
            _print_module(name, of_one)
        elif as_json:
            for each in found:
                print(msgspec.json.encode(each).decode())
        else:
            _print_found(name, found)
        raise typer.Exit(0 if found or of_one is not None else NOT_WELL)


def _catalogues(given: Sequence[Path] | None, config: Path | None) -> dict[str, Catalogue]:
    """The catalogues to ask, in order of precedence. Raises ConfigError."""
    files = [*(_configured(config) if given is None else given), catalogues.SHIPPED]
    return {str(file): catalogues.read(file) for file in files}


def _configured(config: Path | None) -> Sequence[Path]:
    """The catalogues of the configuration, none when there is no such file and none was asked for."""
    path = config_path(config)
    return configuration.load(path).mibs.catalogues if config is not None or path.exists() else ()


def _print_module(name: str, found: Sequence[Found]) -> None:
    """A line for each, what is of any length last."""
    if not found:
        print(f"{printable(name)} defines types, and neither notifications nor objects")
        return
    print(f"{printable(name)}  from {printable(found[0].catalogue)}")
    width = max(len(printable(each.name)) for each in found)
    for each in found:
        objects = f"  {', '.join(each.objects)}" if each.objects else ""
        print(printable(f"  {each.kind:<12}  {each.name:<{width}}  {each.oid}{objects}"))


def _print_found(name: str, found: Sequence[Found]) -> None:
    if not found:
        print(f"{printable(name)} is in no catalogue", file=sys.stderr)
    for each in found:
        lines = [f"{each.module}::{each.name}", f"  oid      {each.oid}", f"  kind     {each.kind}"]
        if each.syntax is not None:
            syntax = each.syntax
            kind = " ".join(dict.fromkeys(filter(None, (syntax.convention, syntax.base)))) or "of a missing module"
            lines.append(f"  syntax   {kind}")
            lines += [f"  hint     {syntax.hint}"] if syntax.hint else []
            lines += [f"  values   {', '.join(f'{n}({v})' for v, n in syntax.names.items())}"] if syntax.names else []
        lines += [f"  unit     {each.unit}"] if each.unit else []
        lines += [f"  objects  {', '.join(each.objects)}"] if each.objects else []
        lines.append(f"  from     {each.catalogue}")
        for line in lines:
            print(printable(line))
