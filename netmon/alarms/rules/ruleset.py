"""Reads alarms.yml: rules, and the examples beside them; every mistake at once, with its file, line and cure.

    rules = load([Path("config/alarms.yml")]).rules      # or ConfigError: each mistake as `FILE:LINE: path: found; expected`

Not for a role: a process gets rules as JSON among its settings. docs/alarms.md tells what each key means.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar, cast, get_args

import msgspec

from netmon.alarms.model import SEVERITIES, EventType, Severity, Text
from netmon.alarms.rules.examples import Example, Sent
from netmon.alarms.rules.expressions import why_refused
from netmon.alarms.rules.model import Condition, ResourceOf, Rule
from netmon.alarms.rules.template import FORMS, TEXT_LETTERS_MAX, WORDS, fields, replaced, stray_braces
from netmon.alarms.rules.vocabulary import MisspeltError, Vocabulary
from netmon.config import source as sources
from netmon.config.source import Mistake
from netmon.errors import ConfigError
from netmon.mib import catalogue as catalogues

FILE_BYTES_MAX: Final = 4 << 20
RULES_MAX: Final = 10_000
"""In all files together."""

_WORD: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")
_CAUSE: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_EFFECTS: Final = {"raises": "raise", "clears": "clear", "ignores": "none"}
_PLACES: Final = ("device", "interface", "line", "site")
_RULE_KEYS: Final = (
    "id", "trap", "when", "at_line", "resource", "raises", "clears", "ignores", "qualifier", "severity", "event_type",
    "probable_cause", "text", "action", "root", "go_on", "examples",
)  # fmt: skip
_CONDITION_KEYS: Final = ("equals", "unequal", "at_least", "at_most", "matches", "present")
_EXAMPLE_KEYS: Final = ("trap", "varbinds", "before", "expect")
_SENT_KEYS: Final = ("trap", "varbinds")
_EXPECT_KEYS: Final = ("resource", "qualifier", "severity", "state", "text")
_STATES: Final = ("raised", "cleared", "none")

_Path = sources.Path
_T = TypeVar("_T")


class RuleSet(msgspec.Struct, frozen=True):
    """What the files hold."""

    rules: tuple[Rule, ...] = ()
    """In the order of the files, and within one in its own: the order that they are tried in."""
    examples: tuple[Example, ...] = ()
    lines: dict[str, tuple[str, int]] = {}
    """Rule ID to the file and line that it stands in."""


def load(files: Sequence[Path], catalogue_files: Sequence[Path] = ()) -> RuleSet:
    """Read and check rules.

    Args:
        files: In order of precedence: an operator's own ones before those that ship.
        catalogue_files: Of `netmon mib compile`, in order of precedence; the shipped one comes after them.

    Raises:
        ConfigError: A file cannot be read, or is wrong; `mistakes` has all there is to say, by file and line.
    """
    known = [catalogues.read(path) for path in (*catalogue_files, catalogues.SHIPPED)]
    texts = [(str(file), _text_of(file)) for file in files]
    return parse(texts, Vocabulary(known))


def _text_of(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise ConfigError([f"{file}: more than {FILE_BYTES_MAX >> 20} MiB; expected a file of rules"])
        return content.decode("utf-8")
    except OSError as error:
        raise ConfigError([f"{file}: cannot be read: {error.strerror}; expected a file of rules"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{file}: not UTF-8 text at byte {error.start}; save it as UTF-8"]) from None


def parse(texts: Sequence[tuple[str, str]], vocabulary: Vocabulary) -> RuleSet:
    """The same for texts that were read already: (name of the file, what is in it). Raises ConfigError."""
    readers = [_File(name, text, vocabulary) for name, text in texts]
    for reader in readers:
        reader.read()
    _check_together(readers)
    mistakes = [_line(reader.name, mistake) for reader in readers for mistake in sorted(set(reader.source.mistakes))]
    if mistakes:
        raise ConfigError(mistakes)
    rules = [rule for reader in readers for _, rule in reader.rules]
    return RuleSet(
        tuple(_inherited(rules)),
        tuple(example for reader in readers for example in reader.examples),
        {rule.id: (reader.name, reader.source.lines.get(path, 1)) for reader in readers for path, rule in reader.rules},
    )


def _line(name: str, mistake: Mistake) -> str:
    where = f"{name}:{mistake.line}: "
    return f"{where}{mistake.path}: {mistake.text}" if mistake.path else f"{where}{mistake.text}"


# --- One file. ---


class _File:
    """Reads one file; what is wrong with it is among its source's mistakes."""

    def __init__(self, name: str, text: str, vocabulary: Vocabulary) -> None:
        self.name = name
        self.source = sources.parse(text)
        self.rules: list[tuple[_Path, Rule]] = []
        self.examples: list[Example] = []
        self._vocabulary = vocabulary

    def note(self, path: _Path, text: str) -> None:
        """One more mistake."""
        self.source.mistakes.append(self.source.mistake(path, text))

    def read(self) -> None:
        """All rules that are well enough to be looked at together."""
        values = self.source.values
        if values is None:
            return
        section = self._section((), values, ("rules",), "rules:")
        written = section.get("rules")
        if written is not None and not isinstance(written, list):
            self.note(("rules",), "found something else; expected a list, each rule beginning with `- id: NAME`")
            return
        for index, each in enumerate(written or ()):
            path: _Path = ("rules", index)
            keys = self._section(path, each, _RULE_KEYS, "a rule, `- id: NAME`")
            if keys:
                self._rule(path, keys)

    def _rule(self, path: _Path, keys: dict[str, Any]) -> None:
        noted = len(self.source.mistakes)
        effect, alarm_type = self._effect(path, keys)
        rule = Rule(
            id=self._id(path, keys),
            trap_oids=self._traps((*path, "trap"), keys.get("trap")),
            when=tuple(self._conditions((*path, "when"), keys.get("when", {}))),
            at_line=self._flag((*path, "at_line"), keys["at_line"]) if "at_line" in keys else None,
            resource=self._resource((*path, "resource"), keys.get("resource"), effect),
            alarm_type=alarm_type,
            qualifier=self._template((*path, "qualifier"), keys.get("qualifier", "")),
            effect=cast("Any", effect),
            severity=cast("Severity", self._choice((*path, "severity"), keys.get("severity"), SEVERITIES)),
            event_type=cast(
                "EventType", self._choice((*path, "event_type"), keys.get("event_type"), get_args(EventType))
            ),
            probable_cause=self._cause((*path, "probable_cause"), keys.get("probable_cause")),
            text=self._text((*path, "text"), keys.get("text"), is_needed=effect == "raise"),
            action=self._text((*path, "action"), keys.get("action")),
            root=self._flag((*path, "root"), keys.get("root")),
            go_on=self._flag((*path, "go_on"), keys.get("go_on")),
        )
        self._check_fit(path, keys, rule)
        examples = list(self._examples((*path, "examples"), keys.get("examples"), rule))
        if len(self.source.mistakes) == noted:
            self.examples += examples
        self.rules.append((path, rule))

    def _check_fit(self, path: _Path, keys: dict[str, Any], rule: Rule) -> None:
        """What cannot be together."""
        if rule.effect == "raise":
            for key in ("severity", "event_type", "probable_cause"):
                if key not in keys:
                    self.note(path, f"missing {key}; expected it of a rule that raises")
        else:
            for key in {"severity", "event_type", "probable_cause", "root"} & set(keys):
                self.note(
                    (*path, key), "found in a rule that raises nothing; expected it in the one that raises the alarm"
                )

    # --- What a rule is made of.

    def _effect(self, path: _Path, keys: dict[str, Any]) -> tuple[str, str]:
        given = [key for key in _EFFECTS if key in keys]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            self.note(
                path,
                f"found {found} of raises, clears, ignores; expected one: `raises: TYPE`, `clears: TYPE`, `ignores: true`",
            )
            return "none", ""
        key = given[0]
        if key == "ignores":
            if keys[key] is not True:
                self.note((*path, key), "found something else; expected true")
            return "none", ""
        return _EFFECTS[key], self._word((*path, key), keys[key]) or ""

    def _traps(self, path: _Path, written: Any) -> tuple[str, ...]:
        if written is None:
            self.note(path, "missing; expected a notification, by name or OID, or a list of them")
        each = written if isinstance(written, list) else [] if written is None else [written]
        if isinstance(written, list) and not written:
            self.note(path, "found an empty list; expected at least one notification")
        found = [self._try((*path, index), self._vocabulary.trap, value) for index, value in enumerate(each)]
        return tuple(oid for oid in found if oid is not None)

    def _conditions(self, path: _Path, written: Any) -> Iterator[Condition]:
        for name, asked in self._section(path, written, None, "conditions, `OBJECT: VALUE`").items():
            here = (*path, name)
            oid = self._try(here, self._vocabulary.object, name)
            if oid is None:
                continue
            if not isinstance(asked, dict):
                yield Condition(oid=oid, equals=self._values(here, asked, oid))
                continue
            keys = self._section(here, asked, _CONDITION_KEYS, "conditions")
            if not asked:
                self.note(here, f"found no condition; expected some of {', '.join(_CONDITION_KEYS)}")
            yield Condition(
                oid=oid,
                equals=self._values((*here, "equals"), keys["equals"], oid) if "equals" in keys else (),
                unequal=self._values((*here, "unequal"), keys["unequal"], oid) if "unequal" in keys else (),
                at_least=self._number((*here, "at_least"), keys.get("at_least")),
                at_most=self._number((*here, "at_most"), keys.get("at_most")),
                matches=self._expression((*here, "matches"), keys.get("matches")),
                is_present=self._flag((*here, "present"), keys["present"]) if "present" in keys else None,
            )

    def _values(self, path: _Path, written: Any, oid: str) -> tuple[str | int, ...]:
        each = written if isinstance(written, list) else [written]
        if not each:
            self.note(path, "found an empty list; expected at least one value")
        found = [self._try(path, partial(self._vocabulary.value, oid), value) for value in each]
        return tuple(value for value in found if value is not None)

    def _resource(self, path: _Path, written: Any, effect: str) -> ResourceOf:
        if written is None:
            if effect != "none":
                self.note(path, f"missing; expected {', '.join(_PLACES)} or `{{part: WORD, index_of: OBJECT}}`")
            return ResourceOf(kind="device")
        if isinstance(written, str):
            return ResourceOf(kind=cast("Any", self._choice(path, written, _PLACES)))
        keys = self._section(path, written, ("part", "kind", "index_of", "value_of"), "a resource")
        if ("part" in keys) == ("kind" in keys):
            self.note(path, f"expected one of part and kind: `part: WORD`, or kind and one of {', '.join(_PLACES)}")
        if "index_of" in keys and "value_of" in keys:
            self.note(path, "found index_of and value_of; expected one of them")
        indexes = {
            key: self._try((*path, key), self._vocabulary.object, keys[key]) for key in keys if key.endswith("_of")
        }
        return ResourceOf(
            kind="part" if "part" in keys else cast("Any", self._choice((*path, "kind"), keys.get("kind"), _PLACES)),
            part=self._word((*path, "part"), keys["part"]) or "" if "part" in keys else "",
            index_of=indexes.get("index_of") or "",
            value_of=indexes.get("value_of") or "",
        )

    def _text(self, path: _Path, written: Any, *, is_needed: bool = False) -> Text:
        if written is None:
            if is_needed:
                self.note(path, "missing; expected `{en: TEXT, ja: TEXT}`")
            return Text("", "")
        keys = self._section(path, written, ("en", "ja"), "`en: TEXT` and `ja: TEXT`")
        for language in ("en", "ja"):
            if not keys.get(language):
                self.note(path, f"missing {language}; expected both languages: whoever is on duty must understand it")
        return Text(*(self._template((*path, language), keys.get(language, "")) for language in ("en", "ja")))

    def _template(self, path: _Path, written: Any) -> str:
        """A template with OIDs instead of names."""
        if not isinstance(written, str):
            self.note(path, f"found {written!r}; expected text, in quotes if it is a number")
            return ""
        if len(written) > TEXT_LETTERS_MAX:
            self.note(path, f"found {len(written)} letters; expected at most {TEXT_LETTERS_MAX}")
        if stray_braces(written):
            self.note(
                path, "found a brace that is no field; expected {OBJECT}, {OBJECT|FORM} or, for a brace, two of them"
            )
        oids: dict[str, str] = {}
        for reference, form in fields(written):
            if form and form not in FORMS:
                self.note(path, f"found |{form}; expected one of {', '.join(FORMS)}")
            if reference not in WORDS:
                found = self._try(path, self._vocabulary.object, reference, f", or one of {', '.join(WORDS)}")
                oids[reference] = found or reference
        return replaced(written, lambda reference: oids.get(reference, reference))

    def _expression(self, path: _Path, written: Any) -> str | None:
        if written is None:
            return None
        wrong = (
            why_refused(written)
            if isinstance(written, str)
            else "it is no text; expected a regular expression in quotes"
        )
        if wrong:
            self.note(path, f"cannot be used: {wrong}")
            return None
        return cast("str", written)

    # --- Small things.

    def _section(self, path: _Path, written: Any, known: Sequence[str] | None, expected: str) -> dict[str, Any]:
        """What is written there by key, unknown ones noted and left out."""
        if not isinstance(written, dict):
            told = {mistake.path for mistake in self.source.mistakes}
            if sources.dotted(path) not in told:
                self.note(path, f"found {'nothing' if written is None else 'something else'}; expected {expected}")
            return {}
        for key in written:
            if known is not None and key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                cure = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
                self.note((*path, key), f"unknown key; {cure}")
        return {key: value for key, value in written.items() if known is None or key in known}

    def _id(self, path: _Path, keys: dict[str, Any]) -> str:
        if "id" not in keys:
            self.note(path, "missing id; expected a name of its own, such as ups-on-battery")
            return ""
        return self._word((*path, "id"), keys["id"]) or ""

    def _try(self, path: _Path, resolve: Callable[[Any], _T], written: Any, or_else: str = "") -> _T | None:
        try:
            return resolve(written)
        except MisspeltError as error:
            self.note(path, f"{error}" if f"{error}".endswith("?") else f"{error}{or_else}")
            return None

    def _word(self, path: _Path, written: Any) -> str | None:
        if isinstance(written, str) and _WORD.fullmatch(written):
            return written
        self.note(path, f"found {written!r}; expected 1 to 64 small letters, digits and hyphens, such as link-down")
        return None

    def _cause(self, path: _Path, written: Any) -> str:
        if written is None:
            return "unknown"
        if isinstance(written, str) and _CAUSE.fullmatch(written):
            return written
        self.note(path, f"found {written!r}; expected a name as in X.733, such as loss_of_signal")
        return "unknown"

    def _choice(self, path: _Path, written: Any, choices: Sequence[str]) -> str:
        """One of these; the first where nothing is written, or nothing that can be used."""
        if written is None or written in choices:
            return written or choices[0]
        near = difflib.get_close_matches(str(written), choices, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        self.note(path, f"found {written!r}; expected one of {', '.join(choices)}{hint}")
        return choices[0]

    def _flag(self, path: _Path, written: Any) -> bool:
        if isinstance(written, bool) or written is None:
            return bool(written)
        self.note(path, f"found {written!r}; expected true or false")
        return False

    def _string(self, path: _Path, written: Any) -> str | None:
        if written is None or isinstance(written, str):
            return written
        self.note(path, f"found {written!r}; expected text, in quotes if it is a number")
        return None

    def _number(self, path: _Path, written: Any) -> float | None:
        if written is None or (isinstance(written, int | float) and not isinstance(written, bool)):
            return None if written is None else float(written)
        self.note(path, f"found {written!r}; expected a number")
        return None

    # --- Examples.

    def _examples(self, path: _Path, written: Any, rule: Rule) -> Iterator[Example]:
        if written is not None and not isinstance(written, list):
            self.note(path, "found something else; expected a list of examples, `- varbinds: …`")
            return
        for index, each in enumerate(written or ()):
            here: _Path = (*path, index)
            keys = self._section(here, each, _EXAMPLE_KEYS, "an example")
            before = keys.get("before") or ()
            if not isinstance(before, list | tuple):
                self.note((*here, "before"), "found something else; expected a list of notifications, `- trap: …`")
                before = ()
            earlier = (self._sent((*here, "before", at), sent, None) for at, sent in enumerate(before))
            expect = self._section((*here, "expect"), keys.get("expect", {}), _EXPECT_KEYS, "what must come of it")
            texts = self._section((*here, "expect", "text"), expect.get("text", {}), ("en", "ja"), "texts")
            yield Example(
                rule_id=rule.id,
                file=self.name,
                line=self.source.lines.get(here, 1),
                before=tuple(sent for sent in earlier if sent is not None),
                sent=self._sent(here, {key: keys[key] for key in _SENT_KEYS if key in keys}, rule) or Sent(trap_oid=""),
                resource=self._string((*here, "expect", "resource"), expect.get("resource")),
                qualifier=self._string((*here, "expect", "qualifier"), expect.get("qualifier")),
                severity=self._choice((*here, "expect", "severity"), expect["severity"], SEVERITIES)
                if "severity" in expect
                else None,
                state=self._choice((*here, "expect", "state"), expect["state"], _STATES) if "state" in expect else None,
                en=self._string((*here, "expect", "text", "en"), texts.get("en")),
                ja=self._string((*here, "expect", "text", "ja"), texts.get("ja")),
            )

    def _sent(self, path: _Path, written: Any, rule: Rule | None) -> Sent | None:
        """A notification; its trap may be left out where a rule's first one is meant."""
        keys = self._section(path, written, _SENT_KEYS, "a notification")
        trap = keys.get("trap")
        oid: str | None = next(iter(rule.trap_oids), None) if rule is not None and trap is None else None
        if oid is None and (rule is None or trap is not None):
            oid = self._try((*path, "trap"), self._vocabulary.trap, trap)
        if oid is not None and oid.endswith("."):
            self.note((*path, "trap"), "found all notifications below an OID; expected one of them")
        varbinds = [
            self._try((*path, "varbinds", name), partial(self._vocabulary.varbind, name), value)
            for name, value in self._section((*path, "varbinds"), keys.get("varbinds", {}), None, "bindings").items()
        ]
        name = None if oid is None else self._vocabulary.name_of_trap(oid)
        known = tuple(varbind for varbind in varbinds if varbind is not None)
        return None if oid is None else Sent(trap_oid=oid, name=name, varbinds=known)


# --- All files together. ---


def _check_together(readers: Sequence[_File]) -> None:
    rules = [(reader, path, rule) for reader in readers for path, rule in reader.rules]
    if len(rules) > RULES_MAX:
        readers[-1].note((), f"found {len(rules)} rules; expected at most {RULES_MAX}")
    raised = {rule.alarm_type for _, _, rule in rules if rule.effect == "raise"}
    seen: dict[str, str] = {}
    for reader, path, rule in rules:
        where = f"{reader.name}:{reader.source.lines.get(path, 1)}"
        if rule.id and (first := seen.setdefault(rule.id, where)) != where:
            reader.note((*path, "id"), f"found {rule.id!r} again, first in {first}; expected another ID")
        if rule.effect == "clear" and rule.alarm_type and rule.alarm_type not in raised:
            near = difflib.get_close_matches(rule.alarm_type, raised, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; expected a rule with `raises` of the same type"
            reader.note((*path, "clears"), f"found {rule.alarm_type!r}, which no rule raises{hint}")
    for reader in readers:
        _check_reached(reader)


def _check_reached(reader: _File) -> None:
    """Refuse a rule that comes after one of the same file that takes all of its notifications."""
    exact: dict[str, str] = {}
    subtrees: dict[str, str] = {}
    for path, rule in reader.rules:
        takers = [exact.get(oid) or _taker(oid, subtrees) for oid in rule.trap_oids]
        if takers and all(takers):
            cure = f"{takers[0]} comes first and has no conditions; expected it the other way round"
            reader.note(path, f"is never tried: {cure}")
        if not rule.when and rule.at_line is None and not rule.go_on:
            for oid in rule.trap_oids:
                (subtrees if oid.endswith(".") else exact).setdefault(oid, rule.id)


def _taker(oid: str, subtrees: dict[str, str]) -> str | None:
    """The rule that takes all below one of the OIDs that this one is below of."""
    ends = (at + 1 for at, letter in enumerate(oid) if letter == ".")
    return next((subtrees[oid[:end]] for end in ends if oid[:end] in subtrees), None)


def _inherited(rules: Sequence[Rule]) -> Iterator[Rule]:
    """Rules that clear have severity, kind and cause of the first that raises the same type."""
    raising: dict[str, Rule] = {}
    for rule in rules:
        if rule.effect == "raise":
            raising.setdefault(rule.alarm_type, rule)
    for rule in rules:
        like = raising.get(rule.alarm_type) if rule.effect == "clear" else None
        yield (
            rule
            if like is None
            else msgspec.structs.replace(
                rule,
                severity=like.severity,
                event_type=like.event_type,
                probable_cause=like.probable_cause,
                root=like.root,
            )
        )
