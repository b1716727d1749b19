"""Rules applied: which alarm a notification speaks of, where that is, in what words, and that nobody can make it fail."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.alarms.model import Evidence, Key, Observation, Place, Text
from netmon.alarms.rules.matcher import INDEX_LETTERS_MAX, REMEMBERED_LETTERS_MAX, REMEMBERED_MAX, Matcher
from netmon.alarms.rules.model import Condition, ResourceOf, Rule
from netmon.alarms.rules.template import TEXT_LETTERS_MAX, plain
from netmon.inventory.model import Area, Carrier, Device, Interface, Inventory, Line, Site
from netmon.inventory.topology import Topology
from netmon.model import TrapEvent, Varbind

LINK_DOWN = "1.3.6.1.6.3.1.1.5.3"
LINK_UP = "1.3.6.1.6.3.1.1.5.4"
VENDOR = "1.3.6.1.4.1.424242.0.1"
IF_INDEX = "1.3.6.1.2.1.2.2.1.1"
IF_DESCR = "1.3.6.1.2.1.2.2.1.2"
IF_ADMIN_STATUS = "1.3.6.1.2.1.2.2.1.7"
IF_NAME = "1.3.6.1.2.1.31.1.1.1.1"
STATE = "1.3.6.1.4.1.424242.1"
EVIDENCE = Evidence("netmon:{trap1:0}:traps", "1-1")

REGION = Inventory(
    areas=(Area(id="minato", name="港", code="131032"),),
    carriers=(Carrier(id="kita", name="北"),),
    sites=(Site(id="hall", name="庁舎", name_en="Town hall", area_id="minato", longitude=139.7, latitude=35.6),),
    lines=(
        Line(
            id="north",
            name="北回線",
            name_en="North line",
            medium="fibre",
            carrier_id="kita",
            endpoint_site_ids=("hall",),
            capacity_bps=1,
            sectors=("water",),
        ),
    ),
    devices=(
        Device(
            id="r1",
            name="ルーター1",
            name_en="Router 1",
            site_id="hall",
            kind="router",
            addresses=("192.0.2.1",),
            engine_ids=("80001f8801",),
            interfaces=(Interface(index=7, line_id="north", name="ge-0/0/7"),),
        ),
        Device(id="ups", name="UPS", site_id="hall", kind="ups", addresses=("192.0.2.2",), is_power=True),
    ),
)
TOPOLOGY = Topology(REGION)
AT_HALL = Place(area="minato", site="hall", device="r1", sectors=("water",))


def rule(**changes: object) -> Rule:
    """A rule that raises `link-down` on the port for linkDown."""
    usual = Rule(
        id="down",
        trap_oids=(LINK_DOWN,),
        resource=ResourceOf(kind="interface"),
        alarm_type="link-down",
        severity="major",
        probable_cause="loss_of_signal",
        text=Text("{interface} of {device} is down", "{device}の{interface}がダウン"),
    )
    return msgspec.structs.replace(usual, **changes)


def event(
    *varbinds: Varbind,
    trap: str = LINK_DOWN,
    source: str = "192.0.2.1",
    engine: str | None = None,
    trust: str = "other",
) -> TrapEvent:
    """A notification as a stream holds it."""
    return TrapEvent(
        seq=1,
        received_unix_ns=1_000,
        event_unix_ns=900,
        event_time_from="received",
        source=source,
        peer=source,
        peer_port=1,
        local="[::]:1162",
        version="v2c",
        pdu="trap",
        trust=trust,
        trap_oid=trap,
        uptime_centis=1,
        varbinds=list(varbinds),
        digest="0" * 16,
        engine_id=engine,
    )


def if_index(number: int) -> Varbind:
    """Which port."""
    return Varbind(f"{IF_INDEX}.{number}", "Integer32", number)


def status(number: int, value: int) -> Varbind:
    """ifAdminStatus of a port."""
    return Varbind(f"{IF_ADMIN_STATUS}.{number}", "Integer32", value)


def state(value: int | str | None, **more: str) -> Varbind:
    """An object of a vendor's, instance 0."""
    return Varbind(f"{STATE}.0", "OctetString" if isinstance(value, str) else "Integer32", value, **more)


def said(said_event: TrapEvent, *rules: Rule) -> list[Observation]:
    """What rules make of it."""
    return list(Matcher(rules or (rule(),), TOPOLOGY).match(said_event, EVIDENCE).observations)


def one(said_event: TrapEvent, *rules: Rule) -> Observation:
    """The only thing that they make of it."""
    (observation,) = said(said_event, *rules)
    return observation


def matched(said_event: TrapEvent, *rules: Rule) -> tuple[str, ...]:
    """Which rules know it."""
    return Matcher(rules, TOPOLOGY).match(said_event, EVIDENCE).rule_ids


# --- What an observation holds. ---


def test_a_notification_says_all_of_an_alarm() -> None:
    """Key, place, both texts, time of the event, trust and evidence."""
    assert one(event(if_index(7), trust="v3_auth_priv", source="203.0.113.9", engine="80001f8801")) == Observation(
        key=Key("device/r1/interface/7", "link-down"),
        cleared=False,
        severity="major",
        event_type="communicationsAlarm",
        probable_cause="loss_of_signal",
        text=Text("ge-0/0/7 of Router 1 is down", "ルーター1のge-0/0/7がダウン"),
        action=Text("", ""),
        place=msgspec.structs.replace(AT_HALL, line="north"),
        event_unix_ns=900,
        trust="v3_auth_priv",
        evidence=EVIDENCE,
    )


def test_a_repeat_says_the_same_at_its_own_time() -> None:
    """What is remembered is what does not change: time, trust and evidence are the repeat's."""
    matcher = Matcher((rule(),), TOPOLOGY)
    first = matcher.match(event(if_index(7)), EVIDENCE).observations[0]
    later = Evidence("netmon:{trap1:0}:traps", "2-2")
    again = matcher.match(
        msgspec.structs.replace(event(if_index(7)), event_unix_ns=950, trust="allow_listed"), later
    ).observations[0]

    assert again == msgspec.structs.replace(first, event_unix_ns=950, trust="allow_listed", evidence=later)


def test_a_trust_that_is_not_known_is_none() -> None:
    """A stream of another version may hold another word."""
    assert one(event(if_index(7), trust="v4_sworn")).trust == "other"


def test_clear_raise_and_none() -> None:
    """A rule that clears names the same key; one for what is known and no alarm matches and says nothing."""
    up = rule(id="up", trap_oids=(LINK_UP,), effect="clear")
    known = rule(id="known", trap_oids=(VENDOR,), effect="none")
    rules = (rule(), up, known)

    assert one(event(if_index(7), trap=LINK_UP), *rules).key == one(event(if_index(7)), *rules).key
    assert one(event(if_index(7), trap=LINK_UP), *rules).cleared
    assert (said(event(trap=VENDOR), *rules), matched(event(trap=VENDOR), *rules)) == ([], ("known",))
    assert matched(event(trap="1.3.6.1.4.1.9"), *rules) == ()


# --- Which rule. ---


def test_the_first_that_matches_counts() -> None:
    """Exact OIDs and subtrees in the order of the rules; `go_on` lets the next one speak, too."""
    below = rule(id="below", trap_oids=("1.3.6.1.6.3.1.1.5.",), go_on=True)
    first, second = rule(id="first"), rule(id="second")

    assert matched(event(), below, first, second) == ("below", "first")
    assert matched(event(), first, below) == ("first",)
    assert matched(event(trap="1.3.6.1.6.3.1.1.50.3"), below) == ()


@pytest.mark.parametrize(
    ("condition", "fulfilled", "not_fulfilled"),
    [
        (Condition(oid=STATE, equals=(2,)), state(2), state(3)),
        (Condition(oid=STATE, equals=("low",)), state(2, label="low"), state(2)),
        (Condition(oid=STATE, unequal=(2, 3)), state(4), state(3)),
        (Condition(oid=STATE, at_least=10), state(10), state(9)),
        (Condition(oid=STATE, at_most=10.5), state("10.4"), state("warm")),
        (Condition(oid=STATE, matches="^fan [0-9]+"), state("fan 12 stopped"), state("the fan 12")),
        (Condition(oid=STATE, matches=r"\.4$"), Varbind(f"{STATE}.0", "ObjectIdentifier", "1.4"), state("14")),
        (Condition(oid=STATE, is_present=True), state(None), Varbind(f"{STATE}9.0", "Integer32", 1)),
        (Condition(oid=STATE, is_present=False), Varbind(f"{STATE}9.0", "Integer32", 1), state(1)),
        (Condition(oid=STATE, equals=(2,), at_least=1, matches="2"), state(2), state(1)),
    ],
)
def test_conditions(condition: Condition, fulfilled: Varbind, not_fulfilled: Varbind) -> None:
    """About the object's own instances, by number, label or text; one that is not there fulfils nothing else."""
    asking = rule(when=(condition,))

    assert matched(event(fulfilled), asking) == ("down",)
    assert matched(event(not_fulfilled), asking) == ()


def test_a_regular_expression_looks_only_so_far() -> None:
    """What stands behind is not found: a value may be 64 KiB."""
    asking = rule(when=(Condition(oid=STATE, matches="end$"),))

    assert matched(event(state("x" * 60_000 + "end")), asking) == ()


def test_a_rule_may_ask_for_a_line() -> None:
    """Whether a line of the inventory ends at the port tells an outage from an unplugged notebook."""
    rules = (rule(id="line", at_line=True), rule(id="other"))

    assert matched(event(if_index(7)), *rules) == ("line",)
    assert matched(event(if_index(8)), *rules) == ("other",)
    assert matched(event(if_index(7), source="203.0.113.9"), *rules) == ("other",)


# --- Of what. ---


@pytest.mark.parametrize(
    "varbinds",
    [
        (if_index(7),),
        (Varbind(f"{IF_INDEX}.0", "Integer32", 7),),
        (status(7, 1),),
        (Varbind(f"{IF_DESCR}.7", "OctetString", "GigabitEthernet7"),),
        (Varbind(f"{STATE}.1", "OctetString", "x"), Varbind(f"{IF_NAME}.7", "OctetString", "ge7")),
    ],
)
def test_a_port_by_value_or_instance(varbinds: tuple[Varbind, ...]) -> None:
    """ifIndex says it; else the instance of any column of ifTable or ifXTable does."""
    found = one(event(*varbinds))
    assert (found.key.resource, found.place.line) == ("device/r1/interface/7", "north")


def test_a_port_by_name() -> None:
    """A vendor's own notification has only ifName, without an index that says anything."""
    named = Varbind(f"{IF_NAME}", "OctetString", "ge-0/0/7")
    unknown = Varbind(f"{IF_NAME}", "OctetString", "ge-0/0/8")

    assert one(event(named)).key.resource == "device/r1/interface/7"
    assert one(event(unknown)).key.resource == "device/r1/interface/ge-0/0/8"


@pytest.mark.parametrize(
    ("resource", "source", "expected"),
    [
        (ResourceOf(kind="device"), "192.0.2.1", "device/r1"),
        (ResourceOf(kind="device"), "203.0.113.9", "source/203.0.113.9"),
        (ResourceOf(kind="interface"), "2001:db8::1", "source/2001:db8::1/interface/7"),
        (ResourceOf(kind="line"), "192.0.2.1", "line/north"),
        (ResourceOf(kind="line"), "203.0.113.9", "source/203.0.113.9/interface/7"),
        (ResourceOf(kind="site"), "192.0.2.2", "site/hall"),
        (ResourceOf(kind="site"), "192.0.2.1", "device/r1"),
        (ResourceOf(kind="site"), "203.0.113.9", "source/203.0.113.9"),
        (ResourceOf(kind="part", part="sensor"), "192.0.2.1", "device/r1/sensor"),
        (ResourceOf(kind="part", part="sensor", index_of=STATE), "192.0.2.1", "device/r1/sensor/4.2"),
        (ResourceOf(kind="part", part="sensor", value_of=STATE), "192.0.2.1", "device/r1/sensor/fan"),
        (ResourceOf(kind="part", part="sensor", value_of=VENDOR), "192.0.2.1", "device/r1/sensor"),
        (ResourceOf(kind="interface", index_of=STATE), "192.0.2.1", "device/r1/interface/4"),
    ],
)
def test_resources(resource: ResourceOf, source: str, expected: str) -> None:
    """A sender that the inventory does not know is its address; only a power supply speaks for its site."""
    spoken = event(if_index(7), Varbind(f"{STATE}.4.2", "OctetString", "fan"), source=source)
    assert one(spoken, rule(resource=resource)).key.resource == expected


def test_places() -> None:
    """Of a line and a site it is theirs; of an unknown sender it is nowhere."""
    line = one(event(if_index(7)), rule(resource=ResourceOf(kind="line")))
    site = one(event(source="192.0.2.2"), rule(resource=ResourceOf(kind="site")))
    stranger = one(event(if_index(7), source="203.0.113.9"))

    assert line.place == TOPOLOGY.place_of_line("north")
    assert site.place == TOPOLOGY.place_of_site("hall")
    assert stranger.place == Place()


def test_only_a_site_that_is_named_is_a_root() -> None:
    """A UPS that speaks for itself explains nobody else's trouble."""
    powered = rule(resource=ResourceOf(kind="site"), root=True)

    assert one(event(source="192.0.2.2"), powered).root
    assert not one(event(source="192.0.2.1"), powered).root


def test_two_rules_do_not_share_what_they_found() -> None:
    """Each looks for index and port by itself."""
    first = rule(id="first", resource=ResourceOf(kind="interface", index_of=STATE), go_on=True)
    second = rule(id="second", at_line=True)
    spoken = event(if_index(7), Varbind(f"{STATE}.9", "Integer32", 1))

    assert [found.key.resource for found in said(spoken, first, second)] == [
        "device/r1/interface/9",
        "device/r1/interface/7",
    ]


# --- In what words. ---


@pytest.mark.parametrize(
    ("template", "english"),
    [
        ("{device}, {site}, {line}", "Router 1, Town hall, North line"),
        ("{interface} {index} {source} {trap}", f"ge-0/0/7 7 192.0.2.1 {LINK_DOWN}"),
        (f"{{{STATE}}}", "low"),
        (f"{{{STATE}|value}} {{{STATE}|label}} {{{STATE}|text}} {{{STATE}|index}}", "2 low ? 0"),
        (f"{{{VENDOR}}}", "?"),
        ("{{x}} {", "{x} {"),
        ("{unknownName}", "?"),
        ("{ifIndex}", "?"),
    ],
)
def test_templates(template: str, english: str) -> None:
    """Words, objects in each form, what is missing, and braces that are meant."""
    spoken = event(if_index(7), state(2, label="low"))
    assert one(spoken, rule(text=Text(template, ""))).text.en == english


def test_a_name_in_a_template_works_where_bindings_have_names() -> None:
    """For rules made by hand; those of a file hold OIDs."""
    named = Varbind(f"{STATE}.3", "Integer32", 2, name="sirenBattery.3")
    assert one(event(named), rule(text=Text("{sirenBattery} {sirenBattery|index}", ""))).text.en == "2 3"


def test_a_qualifier_tells_alarms_apart() -> None:
    """It is part of the key."""
    qualified = rule(qualifier=f"{{{STATE}|value}}")
    keys = {one(event(if_index(7), state(value)), qualified).key.qualifier for value in (1, 2)}
    assert keys == {"1", "2"}


def test_hostile_text_is_bounded_and_plain() -> None:
    """No escape sequence, no change of direction, and never longer than it may be."""
    spoken = event(if_index(7), state("\x1b[31m\u202e" + "x" * 60_000))
    text = one(spoken, rule(text=Text(f"{{{STATE}}} {{{STATE}}} {{{STATE}}} {{{STATE}}} {{{STATE}}}", ""))).text.en

    assert text.startswith(" [31m xxx")
    assert text.isprintable()
    assert len(text) == TEXT_LETTERS_MAX


def test_what_is_different_stays_different_when_it_is_cut() -> None:
    """Two long indexes that begin alike are two alarms; and one that cannot be printed is not the one with spaces."""
    part = rule(resource=ResourceOf(kind="part", part="x", value_of=STATE))
    values = ("a" * 500 + "1", "a" * 500 + "2", "b\x00", "b ")
    resources = [one(event(state(value)), part).key.resource for value in values]

    assert len(set(resources)) == len(values)
    assert all(len(resource) <= len("device/r1/x/") + INDEX_LETTERS_MAX for resource in resources)


def test_what_no_rule_looks_at_makes_no_new_notification() -> None:
    """A counter or a serial number that is another one each time; the port and what a rule names do count."""
    matcher = Matcher((rule(),), TOPOLOGY)
    found = [matcher.match(event(if_index(7), state(serial)), EVIDENCE) for serial in range(100)]
    other = matcher.match(event(if_index(8), state(0)), EVIDENCE)

    assert all(each == found[0] for each in found)
    assert other != found[0]
    assert len(matcher._remembered) == 2


def test_what_is_remembered_is_bounded() -> None:
    """Whoever sends something new each time only empties the memory."""
    matcher = Matcher((rule(text=Text(f"{{{STATE}}}", "")),), TOPOLOGY)
    for number in range(REMEMBERED_MAX + 10):
        matcher.match(event(if_index(number + 1)), EVIDENCE)
    large = event(if_index(7), state("x" * 10_000))
    before = len(matcher._remembered)
    matcher.match(large, EVIDENCE)

    assert before == 10 < REMEMBERED_MAX
    assert len(matcher._remembered) == before


def test_what_is_remembered_is_bounded_in_size() -> None:
    """Large notifications drive out each other long before there are too many."""
    matcher = Matcher((rule(),), TOPOLOGY)
    for number in range(REMEMBERED_LETTERS_MAX // 3_000 + 10):
        matcher.match(event(if_index(7), state(f"{number:03000}")), EVIDENCE)

    assert len(matcher._remembered) < REMEMBERED_LETTERS_MAX // 3_000


# --- Laws. ---

TEXTS = st.text(max_size=300)
VARBINDS = st.builds(
    Varbind,
    oid=st.one_of(TEXTS, st.sampled_from([f"{IF_INDEX}.7", f"{STATE}.0", f"{IF_NAME}.3", f"{IF_DESCR}.", STATE])),
    type=TEXTS,
    value=st.one_of(st.none(), st.integers(), TEXTS),
    encoding=st.one_of(st.none(), st.just("hex")),
    name=st.one_of(st.none(), TEXTS),
    label=st.one_of(st.none(), TEXTS),
    text=st.one_of(st.none(), TEXTS),
)
EVENTS = st.builds(
    TrapEvent,
    seq=st.integers(),
    received_unix_ns=st.integers(),
    event_unix_ns=st.integers(),
    event_time_from=TEXTS,
    source=st.one_of(TEXTS, st.sampled_from(["192.0.2.1", "192.0.2.2"])),
    peer=TEXTS,
    peer_port=st.integers(),
    local=TEXTS,
    version=TEXTS,
    pdu=TEXTS,
    trust=TEXTS,
    trap_oid=st.one_of(st.just(LINK_DOWN), st.text(max_size=30).map(lambda tail: f"1.3.6.1.4.1.424242.{tail}")),
    uptime_centis=st.none(),
    varbinds=st.lists(VARBINDS, max_size=6),
    digest=TEXTS,
    name=st.one_of(st.none(), TEXTS),
    engine_id=st.one_of(st.none(), TEXTS),
)
ANY_RULES = tuple(
    rule(
        id=f"{kind}-{at}",
        trap_oids=(LINK_DOWN, "1.3.6.1.4.1.424242."),
        when=when,
        at_line=at_line,
        resource=ResourceOf(kind=kind, part="part", index_of=index_of, value_of=value_of),
        qualifier=f"{{{STATE}}}",
        text=Text(
            f"{{device}} {{interface}} {{{STATE}|text}} {{index}}", f"{{trap}} {{source}} {{line}} {{{IF_DESCR}}}"
        ),
        go_on=True,
    )
    for kind in ("device", "interface", "line", "site", "part")
    for at, (index_of, value_of, at_line, when) in enumerate(
        [
            ("", "", None, ()),
            (STATE, "", False, ()),
            ("", STATE, None, (Condition(oid=STATE, unequal=("x",), at_most=9, matches="[0-9]+"),)),
        ]
    )
)
ANY_MATCHER = Matcher(ANY_RULES, TOPOLOGY)


@given(EVENTS)
def test_no_notification_makes_it_fail(any_event: TrapEvent) -> None:
    """Whatever it holds: texts are plain and bounded, keys are too, and what it said twice is the same."""
    match = ANY_MATCHER.match(any_event, EVIDENCE)

    assert match == ANY_MATCHER.match(any_event, EVIDENCE)
    assert "device-0" in match.rule_ids
    for observation in match.observations:
        for text in (observation.text.en, observation.text.ja):
            assert plain(text, TEXT_LETTERS_MAX) == text
        assert len(observation.key.resource) <= 256
        assert len(observation.key.qualifier) <= INDEX_LETTERS_MAX
        assert all(part.encode() is not None for part in observation.key)
