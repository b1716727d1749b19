"""The texts of MIB modules: where a module begins, what it imports, which line a complaint is about.

Pure. Only as much ASN.1 as that needs; `pysmi` reads the rest. Lines count from 1, in the file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

import msgspec

from netmon.mib.model import Catalogue, Module, Syntax

_OPAQUE: Final = re.compile(r'--[^\r\n]*|"[^"]*"')
"""Comments and strings. A second `--` in a line does not end a comment: in too many files it is a line of hyphens."""
_HEAD: Final = re.compile(r"\b([A-Z][A-Za-z0-9-]*)\s*(?:\{[^{}]*\}\s*)?DEFINITIONS\s*::=\s*BEGIN\b")
_IMPORTS: Final = re.compile(r"\bIMPORTS\b([^;]*);")
_FROM: Final = re.compile(r"\bFROM\s+([A-Z][A-Za-z0-9-]*)")
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_BLANK: Final = re.compile(r"[^\r\n]")
_SYMBOL: Final = re.compile(r"Unknown parents? (?:for symbols|symbol): ([\w-]+)")
_DUPLICATE: Final = re.compile(r"Duplicate symbol found: ([\w-]+)")
_UNRESOLVED: Final = re.compile(r'no (?:symbol "([\w-]+)" in )?module "([\w-]+)"')

_LATER_NAMES: Final = {
    "RFC-1213": "RFC1213-MIB",
    "RFC1271-MIB": "RMON-MIB",
    "RFC1286-MIB": "BRIDGE-MIB",
    "RFC1406-MIB": "DS1-MIB",
}
"""Modules that other modules still import by a name that they no longer have."""
_KINDS: Final = {"INTEGER": "INTEGER", "OCTET STRING": "OCTET STRING", "OBJECT IDENTIFIER": "OBJECT IDENTIFIER"}


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with a file, and what to do about it."""

    file: str
    line: int
    """0 when it is the file as a whole."""
    module: str
    """Empty when no module is known."""
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"


class Source(msgspec.Struct, frozen=True):
    """One module of a file; a file may have several, one after the other."""

    file: str
    line: int
    """Of the file, at which the module begins."""
    module: str
    text: str
    """From the module's name on."""
    code: str
    """The same with comments and strings blanked, so that positions are those of `text`."""

    def line_at(self, pos: int) -> int:
        """The file's line at a position of the text."""
        return self.line + self.text.count("\n", 0, pos)


class Imports(msgspec.Struct, frozen=True):
    """What a module wants of others."""

    text: str
    """The module's, with today's names of the modules that it imports from."""
    symbols: Mapping[str, tuple[str, ...]]
    """By module."""


def decoded(content: bytes) -> str:
    """The text of a file: UTF-8, or else Latin-1, in which every file is text; lines end as Unix' do."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def modules(file: str, text: str) -> list[Source]:
    """The modules in a file's text, in order; empty when there is none."""
    code = _OPAQUE.sub(lambda found: _BLANK.sub(" ", found[0]), text)
    heads = list(_HEAD.finditer(code))
    stops = [head.start() for head in heads[1:]] + [len(text)]
    return [
        Source(
            file,
            text.count("\n", 0, head.start()) + 1,
            head[1],
            text[head.start() : stop],
            code[head.start() : stop],
        )
        for head, stop in zip(heads, stops, strict=False)
    ]


def is_macro(symbol: str) -> bool:
    """Whether an imported name is one of the SMI's own words, such as OBJECT-TYPE, which every reader of MIBs knows."""
    return symbol.replace("-", "").isupper() and "-" in symbol


def imports(source: Source, available: Collection[str]) -> Imports:
    """What the module imports; a name of former times is replaced when only its successor is available."""
    clause = _IMPORTS.search(source.code)
    if clause is None:
        return Imports(source.text, {})
    symbols: dict[str, tuple[str, ...]] = {}
    pieces: list[str] = []
    copied = pos = clause.start(1)
    for found in _FROM.finditer(source.code, clause.start(1), clause.end(1)):
        module = found[1]
        if module not in available and _LATER_NAMES.get(module) in available:
            module = _LATER_NAMES[module]
            pieces += source.text[copied : found.start(1)], module
            copied = found.end()
        symbols[module] = (*symbols.get(module, ()), *_WORD.findall(source.code, pos, found.start()))
        pos = found.end()
    return Imports("".join((source.text[: clause.start(1)], *pieces, source.text[copied:])), symbols)


# --- Modules that are not among the files. ---


def made_up(catalogue: Catalogue, name: str) -> str:
    """A text that defines what a catalogue knows of a module: enough for others to import from it."""
    module = next(module for module in catalogue.modules if module.name == name)
    return _module(name, [*_nodes(module), *_types(module, catalogue)])


def _nodes(module: Module) -> Iterable[str]:
    for node in module.nodes:
        yield f"{node.name} OBJECT IDENTIFIER ::= {{ {node.oid.replace('.', ' ')} }}"


def _types(module: Module, catalogue: Catalogue) -> Iterable[str]:
    for name, at in module.types.items():
        yield f"{name} ::= {_syntax(catalogue.syntaxes[at])}"


def _syntax(syntax: Syntax) -> str:
    names = ", ".join(f"{name}({number})" for number, name in syntax.names.items())
    if syntax.base == "BITS":
        return f"BITS {{ {names} }}" if names else "OCTET STRING"
    return f"{_KINDS.get(syntax.base, 'INTEGER')}{f' {{ {names} }}' if names else ''}"


def placeholder(name: str, wanted: Iterable[Iterable[str]]) -> str:
    """A text for a module that is missing: each type that is imported from it, as one that nothing is known of."""
    types = {symbol for symbols in wanted for symbol in symbols if symbol[0].isupper() and not is_macro(symbol)}
    return _module(name, [f"{symbol} ::= OCTET STRING" for symbol in sorted(types)])


def _module(name: str, lines: Iterable[str]) -> str:
    return "\n".join((f"{name} DEFINITIONS ::= BEGIN", *lines, "END", ""))


# --- Complaints. ---


def missing(source: Source, module: str) -> Problem:
    """The problem that an imported module is nowhere."""
    found = re.search(rf"\bFROM\s+({re.escape(module)})(?![A-Za-z0-9-])", source.code)
    line = source.line_at(found.start(1)) if found else source.line
    text = f"imports from {module}, which is missing; name the file or folder that it is in, too"
    return Problem(source.file, line, source.module, text)


def is_of_missing(problem: Problem, module: str) -> bool:
    """Whether the problem is only that something is not in this module."""
    return f" is not in {module}; " in problem.text


def syntax_error(source: Source, line: int) -> Problem:
    """The problem that pysmi stopped at this line, counted in the module's text; it shows what stands there."""
    lines = source.text.split("\n")
    if not 0 < line <= len(lines):
        line = len(lines)
    shown = " ".join(lines[line - 1].split())[:60]
    text = f"syntax error in {shown!r}, or just before" if shown else "syntax error: the module ends too early"
    return Problem(source.file, source.line + line - 1, source.module, text)


def explained(source: Source, message: str) -> Problem:
    """The problem that pysmi tells without a line: that of the name that it complains about."""
    if found := _SYMBOL.search(message):
        return _undefined(source, found[1])
    if found := _DUPLICATE.search(message):
        places = _definitions(source, found[1])
        text = f"{found[1]} is defined twice; take one of the definitions away"
        return Problem(source.file, source.line_at(places[-1]) if places else source.line, source.module, text)
    if (found := _UNRESOLVED.search(message)) and found[1]:
        place = _place(source, found[1])
        text = f"{found[1]} is not in {found[2]}; correct IMPORTS, or add the file with the right {found[2]}"
        return Problem(source.file, source.line_at(place), source.module, text)
    return Problem(source.file, source.line, source.module, f"cannot be compiled: {message}")


def _undefined(source: Source, symbol: str) -> Problem:
    """`symbol` is what pysmi cannot place: a parent, or an object whose type it does not know."""
    places = _definitions(source, symbol)
    start = places[0] if places else _place(source, symbol)
    syntax = re.compile(r"SYNTAX\s+([A-Z][A-Za-z0-9-]*)").search(source.code, start) if places else None
    name = syntax[1] if syntax else symbol
    place = syntax.start(1) if syntax else start
    text = f"{name} is neither defined nor imported; add it to IMPORTS, or correct its name"
    return Problem(source.file, source.line_at(place), source.module, text)


def _definitions(source: Source, symbol: str) -> list[int]:
    """Where a name is defined: it is followed by a macro's name or `::=`. pysmi writes `_` for `-`."""
    pattern = rf"(?<![A-Za-z0-9-]){_spelt(symbol)}(?=\s+[A-Z][A-Z-]+\b|\s*::=)"
    return [found.start() for found in re.finditer(pattern, source.code)]


def _place(source: Source, symbol: str) -> int:
    found = re.search(rf"(?<![A-Za-z0-9-]){_spelt(symbol)}(?![A-Za-z0-9-])", source.code)
    return found.start() if found else 0


def _spelt(symbol: str) -> str:
    return re.escape(symbol.removeprefix("_pysmi_")).replace("_", "[-_]")
