"""Files of rules: what they become, what is said about those that are wrong, and that their examples are true."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from netmon.alarms.model import Text
from netmon.alarms.rules import examples, ruleset
from netmon.alarms.rules.expressions import why_refused
from netmon.alarms.rules.model import Condition, ResourceOf, Rule
from netmon.alarms.rules.vocabulary import Vocabulary
from netmon.config.alarms import STANDARD_RULES
from netmon.errors import ConfigError
from netmon.mib import catalogue

REPOSITORY = Path(__file__).resolve().parents[3]
VOCABULARY = Vocabulary([catalogue.read(catalogue.SHIPPED)])
STANDARD = ruleset.load([STANDARD_RULES])
WHOLE = """
rules:
  - id: siren-low
    trap: [1.3.6.1.4.1.424242.0.1, IF-MIB::linkDown, 1.3.6.1.4.1.424242.2.]
    when:
      ifAdminStatus: [up, 3]
      1.3.6.1.4.1.424242.1: {at_most: 20, unequal: 0, matches: "^[0-9]+$", present: true}
      upsAlarmDescr: upsAlarmLowBattery
    at_line: false
    resource: {part: battery, index_of: ifIndex}
    raises: battery-low
    qualifier: "{ifDescr|index}"
    severity: major
    event_type: equipmentAlarm
    probable_cause: low_battery_threshold
    text: {en: "{device}: {ifDescr}", ja: "{device}"}
    action: {en: "Charge it", ja: "充電"}
    root: true
    go_on: true
  - {id: siren-well, trap: linkUp, resource: interface, clears: battery-low}
  - {id: known, trap: coldStart, ignores: true}
"""
RAISING = "severity: major, event_type: equipmentAlarm, probable_cause: x, text: {en: x, ja: x}"


def parsed(*texts: str) -> ruleset.RuleSet:
    """Rules of files named a.yml, b.yml, ..."""
    return ruleset.parse([(f"{letter}.yml", text) for letter, text in zip("abc", texts, strict=False)], VOCABULARY)


def mistakes_in(*texts: str) -> list[str]:
    """What is said about them."""
    with pytest.raises(ConfigError) as caught:
        parsed(*texts)
    return caught.value.mistakes


def rule_with(line: str) -> str:
    """A rule that is well, but for what this says of it; in line 3."""
    given = line.partition(":")[0]
    lines = {
        "id": "id: a",
        "trap": "trap: linkDown",
        "resource": "resource: interface",
        "raises": "raises: x",
        "severity": "severity: major",
        "event_type": "event_type: equipmentAlarm",
        "probable_cause": "probable_cause: x",
        "text": "text: {en: x, ja: x}",
    }
    lines.pop(given, None)
    return "rules:\n  -\n    " + "\n    ".join([line, *lines.values()])


# --- What they become. ---


def test_a_file_becomes_rules_without_names() -> None:
    """Notifications, objects, labels and identities are resolved, also in templates."""
    siren, _, _ = parsed(WHOLE).rules

    assert siren == Rule(
        id="siren-low",
        trap_oids=("1.3.6.1.4.1.424242.0.1", "1.3.6.1.6.3.1.1.5.3", "1.3.6.1.4.1.424242.2."),
        when=(
            Condition(oid="1.3.6.1.2.1.2.2.1.7", equals=(1, 3)),
            Condition(oid="1.3.6.1.4.1.424242.1", unequal=(0,), at_most=20, matches="^[0-9]+$", is_present=True),
            Condition(oid="1.3.6.1.2.1.33.1.6.2.1.2", equals=("1.3.6.1.2.1.33.1.6.3.3",)),
        ),
        at_line=False,
        resource=ResourceOf(kind="part", part="battery", index_of="1.3.6.1.2.1.2.2.1.1"),
        alarm_type="battery-low",
        qualifier="{1.3.6.1.2.1.2.2.1.2|index}",
        severity="major",
        event_type="equipmentAlarm",
        probable_cause="low_battery_threshold",
        text=Text("{device}: {1.3.6.1.2.1.2.2.1.2}", "{device}"),
        action=Text("Charge it", "充電"),
        root=True,
        go_on=True,
    )


def test_a_rule_that_clears_is_like_the_one_that_raises() -> None:
    """Severity, event type, cause and root, which a reader of the stream sees in both."""
    siren, well, known = parsed(WHOLE).rules

    assert (well.effect, well.alarm_type, known.effect) == ("clear", "battery-low", "none")
    assert (well.severity, well.event_type, well.probable_cause, well.root) == (
        siren.severity,
        siren.event_type,
        siren.probable_cause,
        siren.root,
    )


def test_rules_go_to_another_process_and_back() -> None:
    """As JSON among its settings."""
    assert msgspec.json.decode(msgspec.json.encode(STANDARD.rules), type=tuple[Rule, ...]) == STANDARD.rules


def test_files_come_in_their_order() -> None:
    """An operator's first; a rule of a later file may be covered by it, and may clear what it raises."""
    own = f"rules: [{{id: own, trap: linkDown, resource: interface, raises: own, {RAISING}}}]"
    later = (
        f"rules: [{{id: later, trap: linkDown, resource: interface, raises: later, {RAISING}}},"
        " {id: clears, trap: linkUp, resource: interface, clears: own}]"
    )
    found = parsed(own, later)

    assert [rule.id for rule in found.rules] == ["own", "later", "clears"]
    assert found.lines["clears"][0] == "b.yml"


def test_an_empty_file_is_no_rule() -> None:
    """All of it may be commented out."""
    assert parsed("", "# rules:\n").rules == ()


# --- What is wrong with them. ---


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ("id: A b", "rules[0].id: found 'A b'; expected 1 to 64 small letters, digits and hyphens, such as link-down"),
        ("trap: linkDwn", "rules[0].trap[0]: found 'linkDwn', which is a notification of no catalogue; did you mean linkDown or linkUp?"),
        ("trap: ifIndex", "rules[0].trap[0]: found 'ifIndex', which is a notification of no catalogue; `netmon mib show` looks names up, and mibs.catalogues adds a vendor's"),
        ("trap: 1.3", "rules[0].trap[0]: found 1.3; expected a notification, by name or OID, in quotes if it is a number"),
        ("trap: []", "rules[0].trap: found an empty list; expected at least one notification"),
        ("when: {ifAdminStatus: dwn}", "rules[0].when.ifAdminStatus: found 'dwn'; expected one of up, down, testing; did you mean down?"),
        ("when: {ifAdminStatus: off}", 'rules[0].when.ifAdminStatus: found false; expected a number or a name, words such as "off" in quotes'),
        ("when: {ifAdminStatus: {equal: up}}", "rules[0].when.ifAdminStatus.equal: unknown key; did you mean equals?"),
        ("when: {ifIndex: {at_least: x}}", "rules[0].when.ifIndex.at_least: found 'x'; expected a number"),
        ("when: {ifDescr: {matches: '('}}", "rules[0].when.ifDescr.matches: cannot be used: it is no regular expression: missing ), unterminated subpattern at position 0"),
        ("when: {ifDescr: {}}", "rules[0].when.ifDescr: found no condition; expected some of equals, unequal, at_least, at_most, matches, present"),
        ("resource: port", "rules[0].resource: found 'port'; expected one of device, interface, line, site"),
        ("resource: {index_of: ifIndex}", "rules[0].resource: expected one of part and kind: `part: WORD`, or kind and one of device, interface, line, site"),
        ("resource: {part: x, index_of: ifIndex, value_of: ifIndex}", "rules[0].resource: found index_of and value_of; expected one of them"),
        ("severity: cleared", "rules[0].severity: found 'cleared'; expected one of indeterminate, warning, minor, major, critical"),
        ("probable_cause: Loss of signal", "rules[0].probable_cause: found 'Loss of signal'; expected a name as in X.733, such as loss_of_signal"),
        ("text: {en: x}", "rules[0].text: missing ja; expected both languages: whoever is on duty must understand it"),
        ("text: {en: '{ifDescr', ja: x}", "rules[0].text.en: found a brace that is no field; expected {OBJECT}, {OBJECT|FORM} or, for a brace, two of them"),
        ("text: {en: '{ifDescr|big}', ja: x}", "rules[0].text.en: found |big; expected one of value, label, text, index, parent"),
        ("text: {en: '{ifDecsr}', ja: x}", "rules[0].text.en: found 'ifDecsr', which is an object of no catalogue; did you mean ifDescr?"),
        ("serverity: major", "rules[0].serverity: unknown key; did you mean severity?"),
        ("go_on: 1", "rules[0].go_on: found 1; expected true or false"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line_and_cure(line: str, mistake: str) -> None:
    """File, line, what was found, and what was expected."""
    assert mistakes_in(rule_with(line)) == [f"a.yml:3: {mistake}"]


def test_all_mistakes_are_told_at_once() -> None:
    """In the order of their lines, those about several rules among them."""
    text = f"""
rules:
  - {{id: a, trap: linkDown, resource: interface, raises: x, {RAISING}}}
  - {{id: a, trap: linkUp, resource: interface, clears: y}}
  - {{id: b, trap: linkDown, ignores: true}}
  - {{id: c, trap: coldStart, ignores: true, clears: x}}
  - {{id: d, trap: newRoot, clears: x, severity: major}}
  - {{trap: warmStart, raises: x}}
  - nothing
"""
    assert mistakes_in(text) == [
        "a.yml:4: rules[1].clears: found 'y', which no rule raises; expected a rule with `raises` of the same type",
        "a.yml:4: rules[1].id: found 'a' again, first in a.yml:3; expected another ID",
        "a.yml:5: rules[2]: is never tried: a comes first and has no conditions; expected it the other way round",
        "a.yml:6: rules[3]: found clears and ignores of raises, clears, ignores; expected one: `raises: TYPE`, `clears: TYPE`, `ignores: true`",
        "a.yml:7: rules[4].resource: missing; expected device, interface, line, site or `{part: WORD, index_of: OBJECT}`",
        "a.yml:7: rules[4].severity: found in a rule that raises nothing; expected it in the one that raises the alarm",
        "a.yml:8: rules[5]: missing event_type; expected it of a rule that raises",
        "a.yml:8: rules[5]: missing id; expected a name of its own, such as ups-on-battery",
        "a.yml:8: rules[5]: missing probable_cause; expected it of a rule that raises",
        "a.yml:8: rules[5]: missing severity; expected it of a rule that raises",
        "a.yml:8: rules[5].resource: missing; expected device, interface, line, site or `{part: WORD, index_of: OBJECT}`",
        "a.yml:8: rules[5].text: missing; expected `{en: TEXT, ja: TEXT}`",
        "a.yml:9: rules[6]: found something else; expected a rule, `- id: NAME`",
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("rules: 3", "a.yml:1: rules: found something else; expected a list, each rule beginning with `- id: NAME`"),
        ("rule: []", "a.yml:1: rule: unknown key; did you mean rules?"),
        ("- id: a", "a.yml:1: found something else; expected rules:"),
        (
            "rules: [",
            "a.yml:1: not YAML: while parsing a flow node, expected the node content, but found '<stream end>'",
        ),
    ],
)
def test_a_file_that_is_something_else(text: str, mistake: str) -> None:
    """It is told, not passed over."""
    assert mistakes_in(text) == [mistake]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, or not text."""
    (tmp_path / "binary.yml").write_bytes(b"rules: \xff")
    for name, mistake in (
        ("none.yml", "cannot be read: No such file or directory; expected a file of rules"),
        ("binary.yml", "not UTF-8 text at byte 7; save it as UTF-8"),
    ):
        with pytest.raises(ConfigError) as caught:
            ruleset.load([tmp_path / name])
        assert caught.value.mistakes == [f"{tmp_path / name}: {mistake}"]


WORDS = """rules id trap when at_line resource raises clears ignores qualifier severity event_type probable_cause text action
root go_on examples equals unequal at_least at_most matches present part kind index_of value_of en ja varbinds before expect
state ifIndex ifIndex.7 linkDown interface"""
KEYS = st.one_of(st.sampled_from(WORDS.split()), st.text(max_size=8))
ANYTHING = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), KEYS, st.sampled_from(["{ifDescr}", "linkUp", "major"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=8)),
    max_leaves=30,
)


@given(st.dictionaries(KEYS, ANYTHING, max_size=12))
def test_whatever_is_written_is_a_rule_or_a_mistake(written: dict[str, object]) -> None:
    """Never a traceback: a rule made of anything becomes one, or is told with file and line; its examples can be run."""
    text = yaml.safe_dump({"rules": [written]}, allow_unicode=True)
    found, mistakes = ruleset.RuleSet(), [""]
    with contextlib.suppress(ConfigError):
        found, mistakes = parsed(text), []
    if mistakes:
        mistakes = mistakes_in(text)

    assert all(re.match(r"a\.yml:[0-9]+: ", mistake) for mistake in mistakes)
    assert len(examples.run(found.rules, found.examples)) == len(found.examples)


# --- Regular expressions. ---


@pytest.mark.parametrize("expression", ["(a+)+", "(a|aa)*c", "(aa?)*c", "(a{1,3}){2,}", r"(a)\1", "(?=a)b", "(?<!a)b", ".*a.*b.*c", "a{1000}", "(", "a" * 300])  # fmt: skip
def test_an_expression_that_may_be_slow_is_refused(expression: str) -> None:
    """Nested repeats, choices in a repeat, looking back, and more than two open repeats."""
    assert why_refused(expression) is not None


@pytest.mark.parametrize(
    "expression", ["^fan [0-9]+ (failed|stopped)$", r"\.6$", "(?i)battery", "a{3}", "x.*y", "(ab)?c"]
)
def test_an_expression_that_is_fast_is_taken(expression: str) -> None:
    """What rules need."""
    assert why_refused(expression) is None


# --- Examples. ---


def test_every_standard_rule_has_an_example_and_every_example_is_true() -> None:
    """The rules that ship."""
    verdicts = examples.run(STANDARD.rules, STANDARD.examples)

    assert {verdict.rule_id for verdict in verdicts} == {rule.id for rule in STANDARD.rules}
    assert [verdict for verdict in verdicts if verdict.failures] == []


def test_every_standard_alarm_can_be_understood() -> None:
    """Both languages, and what to do about it (RFC 8632 section 3.2)."""
    raising = [rule for rule in STANDARD.rules if rule.effect == "raise"]
    assert [
        rule.id for rule in raising if not (rule.text.en and rule.text.ja and rule.action.en and rule.action.ja)
    ] == []


def test_an_example_that_is_not_true_says_what_was_found() -> None:
    """Each thing that differs, with what was expected."""
    text = f"""
rules:
  - id: first
    trap: linkDown
    when: {{ifAdminStatus: down}}
    ignores: true
  - id: down
    trap: linkDown
    resource: interface
    raises: x
    {RAISING.replace(", ", chr(10) + "    ").replace("{en: x" + chr(10) + "    ", "{en: x, ")}
    examples:
      - varbinds: {{ifIndex.7: 7}}
        expect: {{resource: interface/8, severity: minor, state: none, qualifier: q, text: {{en: y, ja: y}}}}
      - varbinds: {{ifAdminStatus.7: down}}
  - id: up
    trap: linkUp
    resource: interface
    clears: x
    examples:
      - varbinds: {{ifIndex.7: 7}}
        before: [{{trap: linkDown, varbinds: {{ifIndex.8: 8}}}}]
      - varbinds: {{ifIndex.7: 7}}
"""
    found = parsed(text)
    verdicts = examples.run(found.rules, found.examples)

    assert [verdict.failures for verdict in verdicts] == [
        (
            "resource: found 'interface/7'; expected 'interface/8'",
            "qualifier: found ''; expected 'q'",
            "severity: found 'major'; expected 'minor'",
            "state: found 'raised'; expected 'none'",
            "text in English: found 'x'; expected 'y'",
            "text in Japanese: found 'x'; expected 'y'",
        ),
        ("matched first; expected down",),
        ("state: found 'none'; expected 'cleared'",),
        (),
    ]


def test_the_examples_file_for_operators_is_well() -> None:
    """config/alarms.yml is where they begin: what it shows is true."""
    found = ruleset.load([REPOSITORY / "config" / "alarms.yml", STANDARD_RULES])
    own = [example for example in found.examples if example.file.endswith("config/alarms.yml")]

    assert own
    assert [verdict for verdict in examples.run(found.rules, own) if verdict.failures] == []


def test_the_worked_example_of_the_documentation_is_true() -> None:
    """With OIDs for the names of a vendor's catalogue."""
    text = (REPOSITORY / "docs" / "alarms.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    oids = {
        "SIREN-MIB::sirenBatteryLow": "1.3.6.1.4.1.424242.0.1",
        "sirenBatteryLow": "1.3.6.1.4.1.424242.0.1",
        "sirenBatteryCharge": "1.3.6.1.4.1.424242.1.2",
    }
    for name, oid in oids.items():
        text = text.replace(name, oid)
    found = parsed(text)

    assert [rule.id for rule in found.rules] == ["siren-battery-low", "siren-battery-well"]
    assert [verdict.failures for verdict in examples.run(found.rules, found.examples)] == [(), ()]
