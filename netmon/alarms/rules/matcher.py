"""From a notification to what it says about alarms, by rules that were compiled for it.

Pure. In a storm the same few notifications come again and again: what one said is remembered whole, by all that it was made
of, and a repeat is one look into a dictionary. What is remembered is bounded in number and in size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple, TypeAlias, get_args

import msgspec

from netmon.alarms.model import Evidence, Key, Observation, Text, Trust
from netmon.alarms.model import Place as Where
from netmon.alarms.rules.conditions import test_of
from netmon.alarms.rules.model import ResourceOf, Rule
from netmon.alarms.rules.template import WORDS, Language, Template, fields, finder, instance, plain, shown
from netmon.inventory.model import Device
from netmon.inventory.topology import Topology
from netmon.model import TrapEvent, Varbind

INDEX_LETTERS_MAX: Final = 128
"""Of an index in a resource, and of a qualifier. A longer one is cut, and told from others by a hash of the whole."""
ADDRESS_LETTERS_MAX: Final = 64
"""Of an unknown sender's address; IPv6 with a zone needs fewer."""
SENDERS_MAX: Final = 65_536
"""Senders that are remembered; when it is full it is emptied, not aged, as the caches of the decoder."""
REMEMBERED_MAX: Final = 16_384
"""Notifications whose outcome is remembered."""
LETTERS_MAX: Final = 4_096
"""Of a notification that is remembered, each binding counted as `_BINDING_LETTERS` more; larger ones are matched anew."""
REMEMBERED_LETTERS_MAX: Final = 32 << 20
"""Of all that are remembered: some 100 MB at the worst, whatever is sent."""
TRAPS_MAX: Final = 4_096
"""Trap OIDs whose rules are remembered."""

_BINDING_LETTERS: Final = 200
"""What a binding takes beside its texts; rounded up."""
_IF_INDEX: Final = finder("1.3.6.1.2.1.2.2.1.1")
_IF_DESCR: Final = finder("1.3.6.1.2.1.2.2.1.2")
_IF_NAME: Final = finder("1.3.6.1.2.1.31.1.1.1.1")
_IF_TABLES: Final = ("1.3.6.1.2.1.2.2.1.", "1.3.6.1.2.1.31.1.1.1.")
"""ifTable and ifXTable: the instance of each column is an ifIndex (RFC 2863 section 6)."""
_IF_INDEX_MAX: Final = 0x7FFF_FFFF
_TRUSTS: Final[dict[str, Trust]] = {trust: trust for trust in get_args(Trust)}


class Match(msgspec.Struct, frozen=True, gc=False):
    """What the rules make of one notification."""

    observations: tuple[Observation, ...] = ()
    """In the order of the rules; empty also for what is known and not worth an alarm."""
    rule_ids: tuple[str, ...] = ()
    """Of the rules that matched; empty: the notification is unmatched."""


class _Sender(NamedTuple):
    """Who sent it, worked out once."""

    resource: str
    where: Where
    device: Device | None
    source: str


class _Said(NamedTuple):
    """All of an observation that does not differ between repeats."""

    rule: Rule
    key: Key
    text: Text
    action: Text
    where: Where
    root: bool


_Outcome: TypeAlias = tuple[tuple[_Said, ...], tuple[str, ...]]
_NOTHING: Final = Match()


class Matcher:
    """Rules, ready for notifications of one region. Not thread-safe; another inventory needs another one."""

    def __init__(self, rules: Sequence[Rule], topology: Topology) -> None:
        """Takes the rules in the order that they are tried in."""
        self._topology = topology
        self._exact: dict[str, list[int]] = {}
        self._subtrees: list[tuple[str, int]] = []
        self._rules = [_Compiled(rule) for rule in rules]
        for at, rule in enumerate(rules):
            for oid in rule.trap_oids:
                if oid.endswith("."):
                    self._subtrees.append((oid, at))
                else:
                    self._exact.setdefault(oid, []).append(at)
        self._candidates: dict[str, tuple[_Compiled, ...]] = {}
        self._looked_at: dict[str, tuple[str, ...]] = {}
        self._senders: dict[tuple[str, str | None], _Sender] = {}
        self._remembered: dict[tuple[object, ...], _Outcome] = {}
        self._letters = 0

    def match(self, event: TrapEvent, evidence: Evidence) -> Match:
        """What a notification says; never raises, whatever it holds.

        Args:
            event: From a stream.
            evidence: Which entry of which stream it is.
        """
        trap_oid = event.trap_oid
        looked_at = self._looked_at.get(trap_oid) or self._looked_at_of(trap_oid)
        bindings = [each for each in event.varbinds if each.oid.startswith(looked_at)]
        asked = (trap_oid, event.source, event.engine_id, *bindings)
        found = self._remembered.get(asked)
        if found is None:
            found = self._find(event)
            if found[1]:
                self._remember(asked, event, bindings, found)
        said, rule_ids = found
        if not rule_ids:
            return _NOTHING
        trust = _TRUSTS.get(event.trust, "other")
        when = event.event_unix_ns
        return Match(tuple([_observation(each, when, trust, evidence) for each in said]), rule_ids)

    def _remember(
        self, asked: tuple[object, ...], event: TrapEvent, bindings: Sequence[Varbind], found: _Outcome
    ) -> None:
        letters = _BINDING_LETTERS + len(event.trap_oid) + len(event.source) + sum(map(_letters, bindings))
        if letters > LETTERS_MAX:
            return
        self._letters += letters
        if len(self._remembered) >= REMEMBERED_MAX or self._letters > REMEMBERED_LETTERS_MAX:
            self._remembered.clear()
            self._letters = letters
        self._remembered[asked] = found

    def _find(self, event: TrapEvent) -> _Outcome:
        said: list[_Said] = []
        rule_ids: list[str] = []
        facts: _Facts | None = None
        for compiled in self._candidates.get(event.trap_oid) or self._candidates_of(event.trap_oid):
            if not compiled.applies(event.varbinds):
                continue
            rule = compiled.rule
            if facts is None and (rule.effect != "none" or rule.at_line is not None):
                facts = _Facts(event, self._sender(event), self._topology)
            if facts is not None:
                facts.begin()
                if rule.at_line is not None and rule.at_line is not facts.is_at_line():
                    continue
                if rule.effect != "none":
                    said.append(compiled.say(facts))
            rule_ids.append(rule.id)
            if not rule.go_on:
                break
        return tuple(said), tuple(rule_ids)

    def _candidates_of(self, trap_oid: str) -> tuple[_Compiled, ...]:
        """The rules for a trap OID, in their order."""
        below = [at for oid, at in self._subtrees if trap_oid.startswith(oid)]
        found = tuple(self._rules[at] for at in sorted({*self._exact.get(trap_oid, ()), *below}))
        if found:
            if len(self._candidates) >= TRAPS_MAX:
                self._candidates.clear()
            self._candidates[trap_oid] = found
        return found

    def _looked_at_of(self, trap_oid: str) -> tuple[str, ...]:
        """Beginnings of the OIDs that the rules for a trap OID look at: what else a notification holds makes no difference."""
        found = {oid for compiled in self._candidates_of(trap_oid) for oid in compiled.looks_at}
        # A rule made by hand may name an object: then each binding counts, for any may have that name.
        looked_at = tuple(sorted(found)) if all(oid[:1].isdigit() for oid in found) else ("",)
        if found:
            if len(self._looked_at) >= TRAPS_MAX:
                self._looked_at.clear()
            self._looked_at[trap_oid] = looked_at
        return looked_at

    def _sender(self, event: TrapEvent) -> _Sender:
        asked = event.source, event.engine_id
        found = self._senders.get(asked)
        if found is None:
            found = self._new_sender(event)
            if len(self._senders) >= SENDERS_MAX:
                self._senders.clear()
            if len(event.source) + len(event.engine_id or "") <= 2 * ADDRESS_LETTERS_MAX:
                self._senders[asked] = found
        return found

    def _new_sender(self, event: TrapEvent) -> _Sender:
        device = self._topology.device_of(event.source, event.engine_id)
        source = _token(event.source, ADDRESS_LETTERS_MAX)
        if device is None:
            return _Sender(f"source/{source}", Where(), None, source)
        return _Sender(f"device/{device.id}", self._topology.place(device.id), device, source)


def _letters(varbind: Varbind) -> int:
    """How much room a binding takes, about."""
    texts = (varbind.oid, varbind.name, varbind.label, varbind.text, varbind.unit, varbind.value)
    return _BINDING_LETTERS + sum(len(text) for text in texts if isinstance(text, str))


def _observation(said: _Said, when: int, trust: Trust, evidence: Evidence) -> Observation:
    rule = said.rule
    return Observation(
        key=said.key,
        cleared=rule.effect == "clear",
        severity=rule.severity,
        event_type=rule.event_type,
        probable_cause=rule.probable_cause,
        text=said.text,
        action=said.action,
        place=said.where,
        event_unix_ns=when,
        trust=trust,
        evidence=evidence,
        root=said.root,
    )


def _token(text: str, letters_max: int) -> str:
    """A part of a resource: printable, never too long, and different for what is different."""
    clean = plain(text, letters_max) if len(text) <= letters_max else ""
    if clean == text:
        return text
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{plain(text[: letters_max - 17], letters_max)}~{digest}"


# --- One rule. ---


class _Compiled:
    """One rule: what it asks, and what it says."""

    __slots__ = ("_action", "_qualifier", "_resource", "_tests", "_text", "looks_at", "rule")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.looks_at = _looks_at(rule)
        self._tests = [test_of(condition) for condition in rule.when]
        self._resource = _resource_of(rule.resource)
        self._qualifier = Template(rule.qualifier)
        self._text = _Texts(rule.text)
        self._action = _Texts(rule.action)

    def applies(self, varbinds: Sequence[Varbind]) -> bool:
        """Whether all its conditions hold."""
        for test in self._tests:  # noqa: SIM110 - a generator costs more than most tests
            if not test(varbinds):
                return False
        return True

    def say(self, facts: _Facts) -> _Said:
        """What it makes of a notification to which it applies."""
        resource, where = self._resource(facts)
        rule = self.rule
        constant = self._qualifier.constant
        qualifier = _token(self._qualifier.render(facts), INDEX_LETTERS_MAX) if constant is None else constant
        # A site that could not be named leaves the sender, whose trouble explains nobody else's.
        root = rule.root and (rule.resource.kind != "site" or resource.startswith("site/"))
        key = Key(resource, rule.alarm_type, qualifier)
        return _Said(rule, key, self._text.render(facts), self._action.render(facts), where, root)


def _looks_at(rule: Rule) -> frozenset[str]:
    """The objects that a rule looks at, and those that tell a port, which any rule may ask for."""
    templates = (rule.qualifier, rule.text.en, rule.text.ja, rule.action.en, rule.action.ja)
    named = [name for template in templates for name, _ in fields(template) if name not in WORDS]
    asked = [condition.oid for condition in rule.when]
    resource = [oid for oid in (rule.resource.index_of, rule.resource.value_of) if oid]
    return frozenset((*named, *asked, *resource, *_IF_TABLES))


class _Texts:
    """The two languages of a text."""

    __slots__ = ("_constant", "_en", "_ja")

    def __init__(self, text: Text) -> None:
        self._en, self._ja = Template(text.en, "en"), Template(text.ja, "ja")
        en, ja = self._en.constant, self._ja.constant
        self._constant = None if en is None or ja is None else Text(en, ja)

    def render(self, facts: _Facts) -> Text:
        return self._constant or Text(self._en.render(facts), self._ja.render(facts))


class _Facts:
    """What one notification tells, and what the inventory knows of its sender; the port is worked out when first asked for."""

    __slots__ = ("_event", "_is_told", "_known_port", "_port", "_topology", "index", "sender", "varbinds", "where")

    def __init__(self, event: TrapEvent, sender: _Sender, topology: Topology) -> None:
        self.varbinds: Sequence[Varbind] = event.varbinds
        self.sender = sender
        self.index = ""
        self.where = sender.where
        self._event = event
        self._topology = topology
        self._port: tuple[int | None, str] | None = None
        self._known_port: tuple[int | None, str, str | None] | None = None
        self._is_told = False

    def begin(self) -> None:
        """Forgets what another rule has found out."""
        self.index, self.where = "", self.sender.where
        if self._is_told:
            self._port, self._known_port, self._is_told = None, None, False

    def port(self) -> tuple[int | None, str]:
        """ifIndex and name of the port that is spoken of; None and empty where that is not told."""
        if self._port is None:
            varbinds = self.varbinds
            named = _IF_NAME(varbinds) or _IF_DESCR(varbinds)
            name = plain(shown(named), INDEX_LETTERS_MAX).strip() if named is not None else ""
            self._port = _if_index(varbinds), name
        return self._port

    def set_port(self, if_index: int | None) -> None:
        """A rule knows better which port it is."""
        self._port, self._known_port, self._is_told = (if_index, self.port()[1]), None, True

    def known_port(self) -> tuple[int | None, str, str | None]:
        """The port, as far as notification and inventory tell together, and the line that ends there."""
        if self._known_port is not None:
            return self._known_port
        if_index, name = self.port()
        device = self.sender.device
        line = None
        if device is not None:
            line = self._topology.line_at(device.id, if_index, name)
            for port in device.interfaces:
                if port.index == if_index or (if_index is None and name and port.name == name):
                    if_index, name = port.index, name or port.name
                    break
        self._known_port = if_index, name, line
        return self._known_port

    def is_at_line(self) -> bool:
        """Whether a line ends at the port."""
        return self.known_port()[2] is not None

    def at_line(self, line: str) -> Where:
        """Where a line is."""
        return self._topology.place_of_line(line)

    def at_site(self, site: str) -> Where:
        """Where a site is."""
        return self._topology.place_of_site(site)

    def word(self, word: str, language: Language) -> str:
        """For templates."""
        if word == "index":
            return self.index
        if word == "source":
            return self.sender.source
        if word == "trap":
            return self._event.name or self._event.trap_oid
        if word == "interface":
            if_index, name, _ = self.known_port()
            return name or ("" if if_index is None else f"ifIndex {if_index}")
        return self._name(word, language)

    def _name(self, word: str, language: Language) -> str:
        """Of what the inventory has a name for."""
        topology, device = self._topology, self.sender.device
        if word == "line":
            line = topology.lines.get(self.where.line)
            return "" if line is None else _named(line.name, line.name_en, language)
        if device is None:
            return self.sender.source
        named = device if word == "device" else topology.sites.get(device.site_id)
        return "" if named is None else _named(named.name, named.name_en, language)


def _named(name: str, name_en: str, language: Language) -> str:
    return name_en or name if language == "en" else name


def _if_index(varbinds: Sequence[Varbind]) -> int | None:
    """ifIndex by its value, else by the instance of a column of ifTable or ifXTable."""
    varbind = _IF_INDEX(varbinds)
    if varbind is not None and (found := _positive(varbind.value)) is not None:
        return found
    for each in varbinds:
        for table in _IF_TABLES:
            if (
                each.oid.startswith(table)
                and (found := _positive(each.oid[len(table) :].partition(".")[2])) is not None
            ):
                return found
    return None


def _positive(value: object) -> int | None:
    """An ifIndex (InterfaceIndex, RFC 2863), from a value or an arc; None for what is none."""
    if isinstance(value, str) and len(value) <= 10 and value.isascii() and value.isdigit():
        value = int(value)
    return value if isinstance(value, int) and 0 < value <= _IF_INDEX_MAX else None


# --- Resources. ---

_Named: TypeAlias = Callable[[_Facts], tuple[str, Where]]


def _resource_of(resource: ResourceOf) -> _Named:
    index = _index_of(resource)

    def device(facts: _Facts) -> tuple[str, Where]:
        facts.index = index(facts)
        return facts.sender.resource, facts.sender.where

    def part(facts: _Facts) -> tuple[str, Where]:
        facts.index = index(facts)
        below = f"/{facts.index}" if facts.index else ""
        return f"{facts.sender.resource}/{resource.part}{below}", facts.sender.where

    def site(facts: _Facts) -> tuple[str, Where]:
        facts.index = index(facts)
        sender = facts.sender
        if sender.device is None or not sender.device.is_power:
            return sender.resource, sender.where
        return f"site/{sender.device.site_id}", facts.at_site(sender.device.site_id)

    def interface(facts: _Facts) -> tuple[str, Where]:
        if resource.index_of or resource.value_of:
            facts.set_port(_positive(index(facts).partition(".")[0]))
        if_index, name, line = facts.known_port()
        facts.index = str(if_index or name)
        if line is not None:
            facts.where = msgspec.structs.replace(facts.sender.where, line=line)
            if resource.kind == "line":
                return f"line/{line}", facts.at_line(line)
        below = f"/interface/{facts.index}" if facts.index else ""
        return facts.sender.resource + below, facts.where

    return {"device": device, "part": part, "site": site, "interface": interface, "line": interface}[resource.kind]


def _index_of(resource: ResourceOf) -> Callable[[_Facts], str]:
    reference = resource.index_of or resource.value_of
    if not reference:
        return lambda _: ""
    find = finder(reference)

    def index(facts: _Facts) -> str:
        varbind = find(facts.varbinds)
        if varbind is None:
            return ""
        return _token(instance(varbind, reference) if resource.index_of else shown(varbind, "value"), INDEX_LETTERS_MAX)

    return index
