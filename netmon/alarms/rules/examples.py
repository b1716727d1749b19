"""Examples beside rules: what a device sends, what must come of it, and whether it does.

Pure. Every example is sent by the same device of a small region, over and over the same rules as in service: what the example
says of the last notification must be true, and its own rule must be among those that matched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from netmon.alarms.model import Evidence, Key, Observation
from netmon.alarms.rules.matcher import Match, Matcher
from netmon.alarms.rules.model import Rule
from netmon.inventory.model import Area, Carrier, Device, Interface, Inventory, Line, Site
from netmon.inventory.topology import Topology
from netmon.model import TrapEvent, Varbind

SENDER: Final = "192.0.2.1"
"""Of every example: an address for documents (RFC 5737)."""
PORT: Final = 7
"""ifIndex of the one port where a line ends."""
DEVICE: Final = "device/example"
"""Its resource, which what an example expects begins below."""

REGION: Final = Inventory(
    name="Examples",
    areas=(Area(id="example", name="例", name_en="Example", code="000000"),),
    carriers=(Carrier(id="example", name="例", name_en="Example"),),
    sites=(
        Site(id="example", name="例の拠点", name_en="Example site", area_id="example", longitude=0.0, latitude=0.0),
    ),
    lines=(
        Line(
            id="example",
            name="例の回線",
            name_en="Example line",
            medium="fibre",
            carrier_id="example",
            endpoint_site_ids=("example",),
            capacity_bps=1,
        ),
    ),
    devices=(
        Device(
            id="example",
            name="例の機器",
            name_en="Example device",
            site_id="example",
            kind="example",
            addresses=(SENDER,),
            interfaces=(Interface(index=PORT, line_id="example"),),
            is_power=True,
        ),
    ),
)
"""One device at one site with one line: it is a UPS, too, so that rules about the site can be shown."""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A notification, as far as rules look at it."""

    trap_oid: str
    name: str | None = None
    varbinds: tuple[Varbind, ...] = ()


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """What must come of a notification; None where the example does not say."""

    rule_id: str
    file: str
    line: int
    before: tuple[Sent, ...] = ()
    """What was sent earlier."""
    sent: Sent
    resource: str | None = None
    """Below the device, such as `interface/7`; empty for the device itself; a line or site with its whole path."""
    qualifier: str | None = None
    severity: str | None = None
    state: str | None = None
    """Of the alarm in the end: `raised`, `cleared`, or `none` where none was ever raised."""
    en: str | None = None
    ja: str | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an example is true."""

    rule_id: str
    file: str
    line: int
    failures: tuple[str, ...] = ()
    """Each with what was found and what was expected; empty: all is as the example says."""


def run(rules: Sequence[Rule], examples: Sequence[Example]) -> list[Verdict]:
    """Every example's verdict, in their order."""
    matcher = Matcher(rules, Topology(REGION))
    by_id = {rule.id: rule for rule in rules}
    return [
        Verdict(
            rule_id=example.rule_id,
            file=example.file,
            line=example.line,
            failures=tuple(_failures(matcher, by_id[example.rule_id], example)),
        )
        for example in examples
    ]


def event_of(sent: Sent, seq: int = 1) -> TrapEvent:
    """The notification as a stream would hold it; `seq` is its time, too."""
    return TrapEvent(
        seq=seq,
        received_unix_ns=seq,
        event_unix_ns=seq,
        event_time_from="received",
        source=SENDER,
        peer=SENDER,
        peer_port=1162,
        local="[::]:1162",
        version="v2c",
        pdu="trap",
        trust="other",
        trap_oid=sent.trap_oid,
        uptime_centis=0,
        varbinds=list(sent.varbinds),
        digest="0" * 16,
        name=sent.name,
    )


def _failures(matcher: Matcher, rule: Rule, example: Example) -> Iterator[str]:
    states: dict[Key, str] = {}
    match = Match()
    for seq, sent in enumerate((*example.before, example.sent), 1):
        match = matcher.match(event_of(sent, seq), Evidence("", str(seq)))
        for observation in match.observations:
            cleared = "cleared" if observation.key in states else "none"
            states[observation.key] = cleared if observation.cleared else "raised"
    if rule.id not in match.rule_ids:
        yield f"matched {', '.join(match.rule_ids) or 'no rule'}; expected {rule.id}"
    elif rule.effect != "none":
        own = next(each for each in match.observations if _is_of(each, rule))
        yield from _differences(own, states[own.key], example, rule)


def _is_of(observation: Observation, rule: Rule) -> bool:
    return observation.key.alarm_type == rule.alarm_type and observation.cleared == (rule.effect == "clear")


def _differences(found: Observation, state: str, example: Example, rule: Rule) -> Iterator[str]:
    resource = found.key.resource
    below = "" if resource == DEVICE else resource.removeprefix(f"{DEVICE}/")
    # A clear that has nothing before it shows the key alone.
    state_expected = example.state or ("cleared" if rule.effect == "clear" and example.before else None)
    for what, is_, expected in (
        ("resource", below, example.resource),
        ("qualifier", found.key.qualifier, example.qualifier),
        ("severity", found.severity, example.severity),
        ("state", state, state_expected),
        ("text in English", found.text.en, example.en),
        ("text in Japanese", found.text.ja, example.ja),
    ):
        if expected is not None and is_ != expected:
            yield f"{what}: found {is_!r}; expected {expected!r}"
