"""Templates of rules: `{ifDescr}` becomes what the notification says, as plain text of bounded length.

Pure. Between braces stands an object, by name or OID, with an optional form behind a bar, or one of `WORDS`. What a device
sends is anybody's text: what cannot be printed becomes a space, and what is too long is cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol, TypeAlias

from netmon.model import Varbind

Language = Literal["en", "ja"]

VALUE_LETTERS_MAX: Final = 128
"""Of one value in a text. A description is as long as a line of a screen; the whole stands in the stream of traps."""
TEXT_LETTERS_MAX: Final = 512
"""Of a text as a whole."""
MISSING: Final = "?"
"""What stands for an object that the notification does not hold."""
FORMS: Final = ("value", "label", "text", "index", "parent")
"""Behind the bar: the value as sent, its name, what its DISPLAY-HINT makes of it, the instance, and of an OID all but its last
arc. Without: the name, else the text, else the value."""
WORDS: Final = ("device", "index", "interface", "line", "site", "source", "trap")
"""What a template can name beside objects; docs/alarms.md tells what each means."""

_FIELD: Final = re.compile(r"\{\{|\}\}|\{([A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)+)(?:\|([a-z]+))?\}")
_IDEOGRAPHIC_SPACE: Final = "\u3000"


class Facts(Protocol):
    """What a template asks for."""

    varbinds: Sequence[Varbind]

    def word(self, word: str, language: Language) -> str:
        """What one of `WORDS` stands for here; any text."""
        ...


Finder: TypeAlias = Callable[[Sequence[Varbind]], Varbind | None]
_Part: TypeAlias = str | Callable[[Facts, Language], str]


def plain(text: str, letters_max: int) -> str:
    """A text without anything that a screen or a log would obey, cut with an ellipsis where it is too long."""
    if len(text) > letters_max:
        text = text[: letters_max - 1] + "…"
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter == _IDEOGRAPHIC_SPACE else " " for letter in text)


def finder(reference: str) -> Finder:
    """What finds the first binding of an object.

    Args:
        reference: Its OID without instance; or its name, for rules made by hand: bindings have names only where the
            receiver resolves them.
    """
    below = f"{reference}."

    def by_oid(varbinds: Sequence[Varbind]) -> Varbind | None:
        for varbind in varbinds:
            if varbind.oid.startswith(below) or varbind.oid == reference:
                return varbind
        return None

    def by_name(varbinds: Sequence[Varbind]) -> Varbind | None:
        for varbind in varbinds:
            if varbind.name is not None and (varbind.name.startswith(below) or varbind.name == reference):
                return varbind
        return None

    return by_oid if reference[:1].isdigit() else by_name


def instance(varbind: Varbind, reference: str) -> str:
    """What stands behind the object's OID or name in a binding of it; empty for none."""
    whole = varbind.oid if reference[:1].isdigit() else varbind.name or ""
    return whole[len(reference) + 1 :]


def shown(varbind: Varbind, form: str = "") -> str:
    """The value of a binding in one of `FORMS`; empty where it has none."""
    if form == "label":
        return varbind.label or ""
    if form == "text":
        return varbind.text or ""
    value = "" if varbind.value is None else str(varbind.value)
    if form == "parent":
        return value.rpartition(".")[0]
    return value if form == "value" else varbind.label or varbind.text or value


def fields(template: str) -> list[tuple[str, str]]:
    """What stands between the braces of a template: (reference or word, form), in order."""
    return [(match[1], match[2] or "") for match in _FIELD.finditer(template) if match[1] is not None]


def stray_braces(template: str) -> bool:
    """Whether there is a brace that belongs to no field and is not doubled."""
    rest = _FIELD.sub("", template)
    return "{" in rest or "}" in rest


def replaced(template: str, replace: Callable[[str], str]) -> str:
    """The template with each reference to an object replaced; words stay."""

    def field(match: re.Match[str]) -> str:
        reference, form = match[1], match[2]
        if reference is None or reference in WORDS:
            return match[0]
        return f"{{{replace(reference)}|{form}}}" if form else f"{{{replace(reference)}}}"

    return _FIELD.sub(field, template)


class Template:
    """One text, ready to be filled in."""

    __slots__ = ("_language", "_parts", "constant")

    def __init__(self, template: str, language: Language = "en") -> None:
        self._language = language
        parts = list(_parts(template))
        self._parts = parts
        self.constant = "".join(part for part in parts if isinstance(part, str)) if not _varies(parts) else None
        """The text, where nothing is to be filled in."""

    def render(self, facts: Facts) -> str:
        """The text: printable, at most `TEXT_LETTERS_MAX` letters."""
        if self.constant is not None:
            return plain(self.constant, TEXT_LETTERS_MAX)
        language = self._language
        text = "".join([part if isinstance(part, str) else part(facts, language) for part in self._parts])
        return plain(text, TEXT_LETTERS_MAX)


def _varies(parts: Sequence[_Part]) -> bool:
    return any(not isinstance(part, str) for part in parts)


def _parts(template: str) -> list[_Part]:
    parts: list[_Part] = []
    at = 0
    for match in _FIELD.finditer(template):
        if match.start() > at:
            parts.append(template[at : match.start()])
        parts.append(match[0][0] if match[1] is None else _field(match[1], match[2] or ""))
        at = match.end()
    if at < len(template):
        parts.append(template[at:])
    return parts


def _field(reference: str, form: str) -> _Part:
    if reference in WORDS:
        return lambda facts, language: plain(facts.word(reference, language), VALUE_LETTERS_MAX) or MISSING
    find = finder(reference)

    def value(facts: Facts, _language: Language) -> str:
        varbind = find(facts.varbinds)
        if varbind is None:
            return MISSING
        text = instance(varbind, reference) if form == "index" else shown(varbind, form)
        return plain(text, VALUE_LETTERS_MAX) or MISSING

    return value
