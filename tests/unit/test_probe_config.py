"""From configuration and region to what the processes of the prober are told: who asks what, with which secrets, and when none runs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from netmon import config
from netmon.active_probe import rehearsed
from netmon.active_probe.measure.profiles import BUILT_IN, fall_s
from netmon.active_probe.rehearsed import RehearsalSettings
from netmon.active_probe.settings import (
    JudgedLine,
    KeepaliveSettings,
    ProbedLine,
    VantageSettings,
    VerdictSettings,
)
from netmon.config import Config, probe
from netmon.errors import ConfigError
from netmon.inventory.probes import HttpProbe, IcmpProbe, Pin, SnmpProbe, StampProbe
from netmon.model import RedisSettings, V3User

REPOSITORY = Path(__file__).resolve().parents[2]
URL = "redis://127.0.0.1"
FIBRE = BUILT_IN["fibre"]
REGION = """
areas: {a: {code: "131016"}}
carriers: {c: {}}
sites: {s: {area: a, latitude: 35, longitude: 139}}
gateways: {gw: {site: s, lines: [f]}}
vantages:
  centre: {anchors: [{icmp: 203.0.113.1}]}
  east: {}
lines:
  f: {medium: fibre, carrier: c, ends: [s], capacity_bps: 1Mbps, probes: [
      {stamp: 192.0.2.1, interface: eth1, key_file: keys/stamp},
      {icmp: 192.0.2.2, interface: eth1, from: [gw, centre]}]}
  g: {medium: geo, carrier: c, ends: [s], capacity_bps: 1Mbps, standby: true, probes: [{icmp: 192.0.2.3, from: [east]}]}
  h: {medium: leo, carrier: c, ends: [s], capacity_bps: 1Mbps}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a region, and the key that it names."""
    (tmp_path / "region.yml").write_text(REGION)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "stamp").write_text("geheim geheim geheim\n")
    return tmp_path


def loaded(folder: Path, section: str = "{}", region: str = "region.yml") -> Config:
    """A configuration with this section `probe`."""
    file = folder / "netmon.yml"
    file.write_text(f"data_dir: var\nregion: {{file: {region}}}\nprobe: {section}\nlog: {{format: json}}\n")
    return config.load(file)


def mistakes_in(folder: Path, section: str) -> list[str]:
    """What a thorough check says of it, without the folder's name."""
    loaded(folder, section)
    with pytest.raises(ConfigError) as caught:
        config.load(folder / "netmon.yml", thorough=True)
    return [mistake.replace(f"{folder}/", "") for mistake in caught.value.mistakes]


# --- Who asks what. ---


def test_a_vantage_asks_what_names_it_and_what_names_nobody(folder: Path) -> None:
    """With its anchors, and what stands in the files that its probes name."""
    told = probe.vantage_settings(loaded(folder), redis_url=URL)

    assert told == VantageSettings(
        vantage_id="centre",
        redis=RedisSettings(url=URL),
        directory=str(folder / "var"),
        lines=(
            ProbedLine(
                line_id="f",
                profile=FIBRE,
                probes=(
                    StampProbe(address="192.0.2.1", port=862, key_file="keys/stamp", pin=Pin(interface="eth1")),
                    IcmpProbe(address="192.0.2.2", pin=Pin(interface="eth1"), vantage_ids=("gw", "centre")),
                ),
            ),
        ),
        anchors=(IcmpProbe(address="203.0.113.1"),),
        anchor_profile=FIBRE,
        secrets={"keys/stamp": "geheim geheim geheim"},
    )
    assert "geheim" not in repr(told)


@pytest.mark.parametrize(("vantage", "lines"), [("east", ["f", "g"]), ("gw", ["f"])])
def test_other_vantages_ask_other_lines(folder: Path, vantage: str, lines: list[str]) -> None:
    """A gateway asks only what names it."""
    told = probe.vantage_settings(loaded(folder, f"{{vantage: {vantage}}}"), redis_url=URL)

    assert told is not None
    assert [line.line_id for line in told.lines] == lines


def test_the_judge_knows_who_votes_on_what(folder: Path) -> None:
    """Every vantage that asks; a line that nobody asks is not judged."""
    section = "{heard_s: 20, lease_s: 2.5, months_kept: 3, stream_entries_max: 2000}"

    assert probe.verdict_settings(loaded(folder, section), redis_url=URL) == VerdictSettings(
        redis=RedisSettings(url=URL),
        directory=str(folder / "var"),
        lines=(
            JudgedLine(line_id="f", fall_s=fall_s(FIBRE), vantage_ids=("centre", "east", "gw")),
            JudgedLine(line_id="g", fall_s=fall_s(BUILT_IN["geo"]), vantage_ids=("east",)),
        ),
        heard_s=20.0,
        lease_s=2.5,
        months_kept=3,
        stream_entries_max=2000,
    )


def test_one_may_judge_and_ask_nothing(folder: Path) -> None:
    """Agents ask; no file of their probes is needed here."""
    (folder / "keys" / "stamp").unlink()
    settings = loaded(folder, "{vantage: null}")
    judged = probe.verdict_settings(settings, redis_url=URL)

    assert probe.vantage_settings(settings, redis_url=URL) is None
    assert judged is not None
    assert [line.vantage_ids for line in judged.lines] == [("centre", "east", "gw"), ("east",)]
    assert config.load(folder / "netmon.yml", thorough=True) == settings


def test_where_no_vantage_is_named_there_is_ours(folder: Path) -> None:
    """By whatever name the configuration gives it."""
    (folder / "region.yml").write_text(REGION.partition("vantages:")[0] + "lines:" + REGION.partition("lines:\n")[2])
    text = (folder / "region.yml").read_text().replace(", from: [east]", "").replace(", from: [gw, centre]", "")
    (folder / "region.yml").write_text(text.replace("lines:  f", "lines:\n  f"))
    settings = loaded(folder, "{vantage: hall}")
    told, judged = (make(settings, redis_url=URL) for make in (probe.vantage_settings, probe.verdict_settings))

    assert isinstance(told, VantageSettings)
    assert isinstance(judged, VerdictSettings)
    assert (told.vantage_id, [line.line_id for line in told.lines], told.anchors) == ("hall", ["f", "g"], ())
    assert {line.vantage_ids for line in judged.lines} == {("hall",)}


@pytest.mark.parametrize(
    ("section", "region"), [("{enabled: false}", "region.yml"), ("{}", "empty.yml"), ("{}", "null")]
)
def test_nothing_runs_where_nothing_is_to_be_asked(folder: Path, section: str, region: str) -> None:
    """Switched off, a region without probes, no region: the settings are None, and no process starts."""
    (folder / "empty.yml").write_text("lines:\n")
    settings = loaded(folder, section, region)

    assert [
        make(settings, redis_url=URL)
        for make in (probe.vantage_settings, probe.verdict_settings, probe.rehearsal_settings)
    ] == [None, None, None]


# --- Rehearsals. ---


def test_a_rehearsal_asks_stand_ins_for_every_line(folder: Path) -> None:
    """Those that nobody asks in earnest, too, each by its own profile; no secret is read."""
    (folder / "keys" / "stamp").unlink()
    settings = loaded(folder, "{rehearsal: true}")
    told = probe.vantage_settings(settings, redis_url=URL)
    judged = probe.verdict_settings(settings, redis_url=URL)
    place = str(folder / "var")

    assert probe.rehearsal_settings(settings, redis_url=URL) == RehearsalSettings(
        line_ids=("f", "g", "h"), file=str(folder / "var" / "rehearsal.json"), place=place
    )
    assert told is not None
    assert judged is not None
    assert [(line.line_id, line.profile, line.standby, line.probes) for line in told.lines] == [
        ("f", FIBRE, False, (rehearsed.probe_of(0, place),)),
        ("g", BUILT_IN["geo"], True, (rehearsed.probe_of(1, place),)),
        ("h", BUILT_IN["leo"], False, (rehearsed.probe_of(2, place),)),
    ]
    assert (told.anchors[0], told.secrets) == (rehearsed.anchor_of(0, place), {})
    assert [(line.line_id, line.vantage_ids) for line in judged.lines] == [(each, ("centre",)) for each in "fgh"]


def test_the_sample_is_a_rehearsal_of_all_its_lines() -> None:
    """`make run` has something to show."""
    sample = config.load(REPOSITORY / "config" / "sample.yml", thorough=True)
    told = probe.vantage_settings(sample, redis_url=URL)

    assert told is not None
    assert len(told.lines) == 16
    assert {
        each.address.partition(".")[0] for line in told.lines for each in line.probes if isinstance(each, StampProbe)
    } == {"127"}


# --- Secrets. ---


def test_a_user_of_snmpv3_is_told_with_its_passphrases(folder: Path) -> None:
    """From a file with the keys of one of snmpv3.users; its own files are beside it."""
    (folder / "v3").mkdir()
    (folder / "v3" / "user.yml").write_text("{name: netmon, auth: sha256, auth_passphrase_file: auth.txt}")
    (folder / "v3" / "auth.txt").write_text("maplesyrup\n")
    (folder / "region.yml").write_text(REGION.replace("{icmp: 192.0.2.3", "{snmp: 192.0.2.3, user_file: v3/user.yml"))
    told = probe.vantage_settings(loaded(folder, "{vantage: east}"), redis_url=URL)

    assert told is not None
    assert msgspec.json.decode(told.secrets["v3/user.yml"], type=V3User) == V3User(
        name="netmon", auth="sha256", auth_passphrase="maplesyrup"
    )
    assert told.lines[1].probes[0] == SnmpProbe(
        address="192.0.2.3", port=161, user_file="v3/user.yml", vantage_ids=("east",)
    )


def test_certificates_are_read_by_the_process_itself(folder: Path) -> None:
    """It is told where they are, absolutely."""
    (folder / "ca.pem").write_text("certificate\n")
    asked = "{http: 'https://192.0.2.3/', tls_ca_file: ca.pem"
    (folder / "region.yml").write_text(REGION.replace("{icmp: 192.0.2.3", asked))
    told = probe.vantage_settings(loaded(folder, "{vantage: east}"), redis_url=URL)

    assert told is not None
    assert told.lines[1].probes[0] == HttpProbe(
        url="https://192.0.2.3/", tls_ca_file=str(folder / "ca.pem"), vantage_ids=("east",)
    )
    assert told.secrets == {"keys/stamp": "geheim geheim geheim"}


def test_keepalives_are_told_with_the_password(folder: Path) -> None:
    """And shown without."""
    (folder / "password").write_text("geheim\n")
    section = '{keepalives: {url: "mqtt://192.0.2.9", username: n, password_file: password, topics: {"a/+/b/#": f}}}'
    told = probe.vantage_settings(loaded(folder, section), redis_url=URL)

    assert told is not None
    assert told.keepalives == KeepaliveSettings(
        url="mqtt://192.0.2.9", topics={"a/+/b/#": "f"}, username="n", password="geheim"
    )
    assert "geheim" not in repr(told.keepalives)


# --- Mistakes. ---


def test_files_that_probes_name_are_missed_where_they_are_named(folder: Path) -> None:
    """All at once; only those of the own vantage, since others have theirs elsewhere."""
    (folder / "keys" / "stamp").write_text("one\ntwo\n")
    (folder / "user.yml").write_text("{name: netmon, auth: sha256}")
    text = REGION.replace("{icmp: 203.0.113.1}", "{snmp: 203.0.113.1, user_file: user.yml}")
    text = text.replace("{icmp: 192.0.2.2,", "{snmp: 192.0.2.2, community_file: none,")
    (folder / "region.yml").write_text(text.replace("{icmp: 192.0.2.3", "{snmp: 192.0.2.3, community_file: other"))

    assert mistakes_in(folder, "{}") == [
        "region.yml:11: lines.f.probes[0].key_file: keys/stamp has 2 lines; expected one",
        "region.yml:12: lines.f.probes[1].community_file: none cannot be read: No such file or directory",
        "user.yml:1: auth_passphrase_file: missing; expected the file with the passphrase of auth: sha256",
    ]
    with pytest.raises(ConfigError):
        probe.vantage_settings(loaded(folder), redis_url=URL)


def test_a_key_that_could_be_guessed_is_refused(folder: Path) -> None:
    """And not shown."""
    (folder / "keys" / "stamp").write_text("geheim\n")
    (told,) = mistakes_in(folder, "{}")

    assert told.startswith("region.yml:11: lines.f.probes[0].key_file: keys/stamp: STAMP key: has 6 octets")
    assert "geheim" not in told


def test_what_does_not_fit_the_region_is_told(folder: Path) -> None:
    """At the line of the configuration."""
    section = '{vantage: cnetre, keepalives: {url: "mqtt://192.0.2.9", topics: {a: f, b: ff, c: nothing}}}'

    assert mistakes_in(folder, section) == [
        "netmon.yml:3: probe.keepalives.topics.b: found 'ff'; there is no such line; did you mean f?",
        "netmon.yml:3: probe.keepalives.topics.c: found 'nothing'; there is no such line; expected the ID of a line of the region",
        "netmon.yml:3: probe.vantage: there is no vantage 'cnetre'; did you mean centre?",
    ]
    with pytest.raises(ConfigError, match="there is no vantage 'cnetre'"):
        probe.vantage_settings(loaded(folder, "{vantage: cnetre}"), redis_url=URL)


def test_an_embedded_server_has_room_for_what_is_said_of_lines(folder: Path) -> None:
    """Else it refuses traps; nothing where no line is asked."""
    settings = loaded(folder)
    without = loaded(folder, "{enabled: false}")
    news, states, changes = 4_000 * 2 * 512, 2 * (4_096 + 25 * 512), 100_000 * 2_048

    assert probe.redis_bytes_max(settings) == news + states + changes
    assert (
        config.embedded_memory_bytes_max(settings) - config.embedded_memory_bytes_max(without)
        == news + states + changes
    )
