"""A file of the operator's against a section: its values, or everything that is wrong with it, in words and by line."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from netmon.config import source as config_source
from netmon.config.kinds import Section, names, section_of, shown, sized
from netmon.config.source import Mistake, Source, dotted
from netmon.errors import ConfigError

_EXPECTED: Final = {
    "bool_type": "true or false",
    "dict_type": "settings, name: value",
    "int_type": "a whole number",
    "path_type": "the path of a file",
    "string_too_short": "some text",
    "string_type": "text",
    "tuple_type": "a list",
}
"""pydantic's kinds of errors in words; those that name a limit are in `_expected`."""

_S = TypeVar("_S", bound=Section)


def text_of(path: Path, bytes_max: int) -> str:
    """What stands in a file.

    Raises:
        ConfigError: It cannot be read, is no text, or has more than `bytes_max` bytes.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(bytes_max + 1)
        text = content.decode()
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 text at byte {error.start}"]) from None
    if len(content) > bytes_max:
        raise ConfigError([f"{path}: has more than {sized(bytes_max)}"])
    return text


def told(path: Path, mistakes: Iterable[Mistake]) -> list[str]:
    """Each mistake as `FILE:LINE: path: text`, by line, each once."""
    return [_line(path, mistake) for mistake in sorted(set(mistakes))]


def _line(path: Path, mistake: Mistake) -> str:
    where = f"{path}:{mistake.line}: "
    return f"{where}{mistake.path}: {mistake.text}" if mistake.path else f"{where}{mistake.text}"


def checked(
    section: type[_S],
    source: Source,
    values: Any,
    *,
    at: config_source.Path = (),
    context: dict[str, Any] | None = None,
) -> tuple[_S | None, list[Mistake]]:
    """The section that `values` make, None when they cannot, and what is wrong with them.

    Args:
        section: What they should be.
        source: The file; what is wrong with its YAML is not told again.
        values: The part of it.
        at: Where that part is.
        context: For the validators of the section.
    """
    if not isinstance(values, dict):
        return None, [source.mistake(at, f"found {_kind(values)}; expected settings, name: value")]
    try:
        return section.model_validate(values, context=context), []
    except ValidationError as invalid:
        unread = {mistake.path for mistake in source.mistakes}
        errors = (
            error
            for error in invalid.errors(include_url=False)
            # What YAML could not read is None here, and was told already.
            if error["input"] is not None or dotted((*at, *error["loc"])) not in unread
        )
        return None, [source.mistake((*at, *error["loc"]), _text(section, error)) for error in errors]


def _text(section: type[Section], error: ErrorDetails) -> str:
    kind, found = error["type"], error["input"]
    if kind == "extra_forbidden":
        return f"unknown setting{_suggestion(section, error['loc'])}"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "missing":
        return "missing; expected it, since it has no default"
    if kind == "model_type":
        return f"found {_kind(found)}; expected settings, name: value"
    number = sized if "_bytes" in str(error["loc"][-1]) else str
    shown_value = number(found) if type(found) is int else shown(found)
    return f"found {shown_value}; expected {_expected(error, number)}"


def _expected(error: ErrorDetails, number: Callable[[int], str]) -> str:
    limits = error.get("ctx", {})
    match error["type"]:
        case "literal_error":
            return str(limits["expected"])
        case "greater_than_equal":
            return f"at least {number(limits['ge'])}"
        case "less_than_equal":
            return f"at most {number(limits['le'])}"
        case "string_too_long" | "too_long":
            return f"at most {limits['max_length']} {'letters' if error['type'] == 'string_too_long' else 'of them'}"
        case kind:
            return _EXPECTED.get(kind, error["msg"])


def _kind(value: Any) -> str:
    """What stands where settings should, without repeating it: it may be a URL with a password."""
    return "text" if isinstance(value, str) else shown(value)


def _suggestion(root: type[Section], path: config_source.Path) -> str:
    """The nearest setting of the same section, else the same name in another section, else all that is possible."""
    name = str(path[-1])
    known = [info.alias or key for key, info in _section_at(root, path[:-1]).model_fields.items()]
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    elsewhere = [setting for setting in names(root) if name in setting.replace("[]", "").split(".")]
    if elsewhere:
        return f"; did you mean {elsewhere[0]}?"
    return f"; expected one of {', '.join(known)}"


def _section_at(section: type[Section], path: config_source.Path) -> type[Section]:
    is_name = False
    for part in path:
        if isinstance(part, str) and not is_name:
            annotation = section.model_fields[part].annotation
            section = section_of(annotation) or section
            is_name = get_origin(annotation) is dict
        else:
            is_name = False
    return section


def read(section: type[_S], path: Path, bytes_max: int) -> _S:
    """A file as a section; relative paths in it start at its folder.

    Raises:
        ConfigError: The file cannot be read, or is wrong; `mistakes` has all there is to say, by line.
    """
    source = config_source.parse(text_of(path, bytes_max))
    values = {} if source.values is None else source.values
    found, mistakes = checked(section, source, values, context={"folder": (Path.cwd() / path).parent})
    if found is None or source.mistakes:
        raise ConfigError(told(path, [*source.mistakes, *mistakes]))
    return found
