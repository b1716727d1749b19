"""MIB files to a catalogue: the shell around pysmi, which reads SMIv1 and SMIv2.

pysmi is given the text of each module and gives back what is in it; what it refuses becomes a `Problem` with file and
line. A module that is imported and not among the files is made up, from the catalogues that are known
already, or else from nothing but the names that are wanted of it: the objects keep their OIDs, and only their types are
unknown. Whoever compiles a vendor's modules thus needs no copy of the standard ones.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from pysmi.codegen.intermediate import IntermediateCodeGen
from pysmi.codegen.symtable import SymtableCodeGen
from pysmi.error import PySmiError
from pysmi.parser.dialect import smi_v1_relaxed
from pysmi.parser.smi import parserFactory

from netmon.mib import text as texts
from netmon.mib.build import Document, build
from netmon.mib.model import Catalogue
from netmon.mib.text import Problem, Source

FILE_BYTES_MAX = 8 << 20
"""The largest modules of vendors have 3 MB."""
FILES_MAX = 20_000
MIB_SUFFIXES = (".mib", ".my", ".smi", ".smiv2")
"""Of files in which a module is expected; one by another name may hold one, too."""

_FAULTS = (PySmiError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What pysmi raises for files that are odd enough: the others are compiled all the same."""


Report = Callable[[str, str, int], None]
"""(what is done next, with which module, how many such steps there are in all)."""


class Compiled(msgspec.Struct, frozen=True):
    """What one run found."""

    catalogue: Catalogue
    modules: tuple[str, ...]
    """Compiled, by name."""
    ignored: int
    """Files in which there is no MIB module."""
    problems: tuple[Problem, ...]
    """By file and line; empty when all is well."""


def files_of(paths: Iterable[Path]) -> list[Path]:
    """All files that are named or lie in a folder that is, hidden ones left out; sorted within each folder.

    Raises:
        OSError: One of the paths does not exist.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(2, "No such file or directory", str(path))
        if path.is_file():
            found[path] = None
            continue
        below = (file for file in path.rglob("*") if not any(part[0] == "." for part in file.relative_to(path).parts))
        found.update(dict.fromkeys(sorted(file for file in below if file.is_file())))
    return list(found)[:FILES_MAX]


def compile_files(
    files: Sequence[Path],
    known: Sequence[Catalogue],
    progress: Report = lambda _step, _module, _total: None,
    *,
    named: Collection[Path] = (),
) -> Compiled:
    """Compile all modules in these files.

    Args:
        files: From `files_of`; which module is in a file stands in its text, not in its name.
        known: Catalogues that modules may import from, in order of precedence.
        progress: Is told before each step, of which there are two a module.
        named: Of the files, those that a person has named one by one: each is expected to hold a module.
    """
    problems: list[Problem] = []
    sources: dict[str, Source] = {}
    ignored = 0
    for file in files:
        found = _sources(file, problems, wanted=file in named)
        ignored += not found
        for source in found:
            _add(source, sources, problems)
    documents = _compiled(sources, known, problems, progress)
    catalogue = build(documents, known)
    return Compiled(
        catalogue,
        tuple(sorted(module.name for module in catalogue.modules)),
        ignored,
        tuple(sorted(set(problems), key=lambda problem: (problem.file, problem.line, problem.text))),
    )


def _sources(file: Path, problems: list[Problem], *, wanted: bool) -> list[Source]:
    try:
        with file.open("rb") as stream:
            content = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        problems.append(Problem(str(file), 0, "", f"cannot be read: {error.strerror}"))
        return []
    if len(content) > FILE_BYTES_MAX:
        problems.append(Problem(str(file), 0, "", f"has more than {FILE_BYTES_MAX >> 20} MiB, so it is no MIB module"))
        return []
    found = texts.modules(str(file), texts.decoded(content))
    if not found and (why := _without_module(file, content, wanted=wanted)) is not None:
        problems.append(Problem(str(file), 0, "", why))
    return found


def _without_module(file: Path, content: bytes, *, wanted: bool) -> str | None:
    """What is wrong with a file in which there is no module; None when nobody has said that there is one."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        if wanted or file.suffix.lower() in MIB_SUFFIXES:
            return "is UTF-16, in which no MIB module is read; write it again as UTF-8 or ASCII"
        return None
    if not content.strip():
        return "is empty" if wanted or file.suffix.lower() in MIB_SUFFIXES else None
    return "holds no MIB module: NAME DEFINITIONS ::= BEGIN is missing" if wanted else None


def _add(source: Source, sources: dict[str, Source], problems: list[Problem]) -> None:
    """The first of two copies counts; that they differ is for a person to decide."""
    first = sources.setdefault(source.module, source)
    if first is not source and first.text.split() != source.text.split():
        text = f"{source.module} is also in {first.file}, and differs; leave out one of them"
        problems.append(Problem(source.file, source.line, source.module, text))


def _compiled(
    sources: dict[str, Source], known: Sequence[Catalogue], problems: list[Problem], progress: Report
) -> dict[str, Document]:
    """What pysmi makes of the modules, by name; those that it refuses are missing, and told in `problems`."""
    origins = {module.name: catalogue for catalogue in reversed(known) for module in catalogue.modules}
    wanted = {name: texts.imports(source, {*sources, *origins}) for name, source in sources.items()}
    missing = [
        (name, module)
        for name, imports in wanted.items()
        for module, symbols in imports.symbols.items()
        if module not in sources and module not in origins and not all(map(texts.is_macro, symbols))
    ]
    problems.extend(texts.missing(sources[name], module) for name, module in missing)
    pysmi = _Pysmi()
    for name, source in sources.items():
        progress("reading", name, 2 * len(sources))
        if (problem := pysmi.read(source, wanted[name].text)) is not None:
            problems.append(problem)
    while absent := pysmi.absent():
        for name in absent:
            known_text = texts.made_up(origins[name], name) if name in origins else None
            imported = (imports.symbols.get(name, ()) for imports in wanted.values())
            pysmi.supply(name, known_text or texts.placeholder(name, imported))
    documents: dict[str, Document] = {}
    for name in pysmi.complete(sources):
        progress("compiling", name, 2 * len(sources))
        found = pysmi.document(sources[name])
        if isinstance(found, Problem):
            # That a module is missing has been told: what is not in it is the same problem once more.
            if not any(texts.is_of_missing(found, module) for importer, module in missing if importer == name):
                problems.append(found)
        else:
            documents[name] = found
    return documents


@cache
def _parser() -> Any:
    """pysmi's parser, with all that it can forgive; it takes a third of a second to make."""
    return parserFactory(**smi_v1_relaxed)()


class _Pysmi:
    """pysmi's parser and code generators, a module at a time, and what they know of the modules so far.

    Its `MibCompiler` does the same for all modules in one call: what it does not expect in one of them would end all.
    """

    def __init__(self) -> None:
        self._parser = _parser()
        self._symbols = SymtableCodeGen()
        self._generator = IntermediateCodeGen()
        self._trees: dict[str, Any] = {}
        self._tables: dict[str, Any] = {}
        self._imported: set[str] = set()

    def read(self, source: Source, text: str) -> Problem | None:
        """Parse a module and take its symbols; what is wrong with it, else None."""
        try:
            (tree,) = self._parser.parse(text)
            info, table = self._symbols.gen_code(tree, self._tables)
        except _FAULTS as error:
            return _problem(source, error)
        self._trees[info.name], self._tables[info.name] = tree, table
        self._imported.update(info.imported)
        return None

    def supply(self, name: str, text: str) -> None:
        """Take a module that we have made; none at all when a catalogue's names are not what pysmi can read."""
        self._tables[name] = {}
        self.read(Source("", 1, name, text, text), text)
        self._trees.pop(name, None)

    def absent(self) -> list[str]:
        """Modules that are imported and not there yet."""
        return sorted(self._imported - self._tables.keys())

    def complete(self, names: Iterable[str]) -> list[str]:
        """Those of these modules that were read, in order."""
        return [name for name in names if name in self._trees]

    def document(self, source: Source) -> Document | Problem:
        """What is in a module, once all that it imports is there."""
        try:
            _, found = self._generator.gen_code(self._trees[source.module], self._tables, genTexts=False)
        except _FAULTS as error:
            return _problem(source, error)
        return dict(found)


def _problem(source: Source, error: Exception) -> Problem:
    """What pysmi says, with the line that it tells, or else that of the name that it complains about."""
    if not isinstance(error, PySmiError):
        return Problem(source.file, source.line, source.module, f"cannot be compiled: {type(error).__name__} in pysmi")
    line = getattr(error, "lineno", "?")
    return texts.syntax_error(source, line) if isinstance(line, int) else texts.explained(source, str(error.msg))
