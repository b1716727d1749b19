"""The configuration: what stands in the file that is shipped, and what is said about files that are wrong.

Each file in tests/data/config/ has one kind of mistake, and the messages that it must lead to in `# expect:` comments.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from netmon import config, model
from netmon.alarms.rules import ruleset
from netmon.config import settings as config_settings
from netmon.config import source as config_source
from netmon.config.alarms import STANDARD_RULES
from netmon.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = REPOSITORY / "config" / "netmon.yml"
INVALID = REPOSITORY / "tests" / "data" / "config"
SETTINGS = list(config_settings.names())


@pytest.fixture(autouse=True, scope="module")
def _standard_rules_are_read_once() -> Iterator[None]:
    """They stay the same, and reading them takes longer than all else that a file is checked for."""
    load = ruleset.load
    standard = functools.cache(lambda: load([STANDARD_RULES]))

    def once(files: Sequence[Path], catalogues: Sequence[Path] = ()) -> ruleset.RuleSet:
        return load(files, catalogues) if catalogues or list(files) != [STANDARD_RULES] else standard()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ruleset, "load", once)
        yield


def written(folder: Path, text: str) -> Path:
    """A configuration file with this text."""
    file = folder / "netmon.yml"
    file.write_text(text)
    return file


def mistakes_in(file: Path) -> list[str]:
    """What `load` says about a file, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        config.load(file, thorough=True)
    return [mistake.removeprefix(f"{file}:") for mistake in caught.value.mistakes]


# --- The file that is shipped. ---


def test_shipped_file_is_all_defaults(tmp_path: Path) -> None:
    """Whoever deletes a line of config/netmon.yml changes nothing."""
    empty = written(tmp_path, "")

    assert config.load(SHIPPED).model_dump(exclude={"data_dir"}) == config.load(empty).model_dump(exclude={"data_dir"})
    assert config.load(SHIPPED).data_dir == REPOSITORY / "var"
    assert config.load(empty).data_dir == tmp_path.parent / "var"


@pytest.mark.parametrize("setting", SETTINGS)
def test_shipped_file_shows_every_setting(setting: str) -> None:
    """config/netmon.yml is where an operator looks for what can be set; rules of a list are shown in a comment."""
    written_down = config_source.parse(SHIPPED.read_text()).lines
    name = setting.rpartition(".")[2]

    shown = any(config_source.dotted(path) == setting for path in written_down)

    in_comment = "[]" in setting or ".NAME." in setting
    assert shown or (in_comment and f"{name}: " in SHIPPED.read_text())


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_is_in_the_documentation(setting: str) -> None:
    """docs/configuration.md has a row for each."""
    assert f"| `{setting}` |" in (REPOSITORY / "docs" / "configuration.md").read_text()


def test_defaults_are_those_of_the_model(tmp_path: Path) -> None:
    """The roles' own defaults (netmon.model) and the operator's are the same, so that a test of a role is about both."""
    settings = config.load(written(tmp_path, ""))

    [lane] = config.lane_settings(settings, redis_url="unix:///run/valkey.sock")

    assert lane == model.LaneSettings(
        receiver="trap1",
        lane=0,
        listen="[::]:1162",
        directory=str(tmp_path.parent / "var" / "trap1" / "lane-0"),
        redis=model.RedisSettings(url="unix:///run/valkey.sock"),
        log_format=config.log_format(settings),
    )


# --- Files that are right. ---


def test_lanes_count_through_listeners(tmp_path: Path) -> None:
    """Lane numbers name folders and streams: listener by listener, each with its lanes."""
    text = 'receiver: {lanes_per_listener: 2, listen: ["*:162", "[fe80::1%eth0]:1162"]}'

    lanes = config.lane_settings(config.load(written(tmp_path, text)), redis_url="redis://127.0.0.1")

    assert [(lane.lane, lane.listen, Path(lane.directory).name) for lane in lanes] == [
        (0, "[::]:162", "lane-0"),
        (1, "[::]:162", "lane-1"),
        (2, "[fe80::1%eth0]:1162", "lane-2"),
        (3, "[fe80::1%eth0]:1162", "lane-3"),
    ]


def test_everything_reaches_the_lane(tmp_path: Path) -> None:
    """Each setting that a role needs is handed on, secrets read from their files."""
    (tmp_path / "communities").write_text("public\n\nlift net\n")
    (tmp_path / "password").write_text("geheim\n")
    (tmp_path / "ca.pem").write_text("certificate\n")
    file = written(
        tmp_path,
        """
        data_dir: /var/lib/netmon
        receiver:
          name: east
          listen: [192.0.2.1:162]
          receive_buffer_bytes: 1 MiB
          inform_ack: buffer
          redact_community: no
          allow: [{sources: [192.0.2.0/24, 198.51.100.1], communities_file: communities}, {sources: ["2001:db8::/32"]}]
          trusted_relays: [203.0.113.5]
          limits: {datagram_bytes_max: 1500, nesting_max: 5, varbinds_max: 50, oid_arcs_max: 64}
        journal: {segment_bytes: 1MiB, size_bytes_max: 1GiB, age_s_max: 60, sync_interval_ms: 2}
        redis:
          url: rediss://192.0.2.9:6380/1
          username: netmon
          password_file: password
          tls_ca_file: ca.pem
          stream_memory_bytes_max: 2097152
          append_fsync_wait: false
        log: {level: debug, format: json}
        """,
    )

    assert config.lane_settings(config.load(file), redis_url="rediss://192.0.2.9:6380/1") == [
        model.LaneSettings(
            receiver="east",
            lane=0,
            listen="192.0.2.1:162",
            directory="/var/lib/netmon/east/lane-0",
            redis=model.RedisSettings(
                url="rediss://192.0.2.9:6380/1",
                username="netmon",
                password="geheim",
                tls_ca_file=str(tmp_path / "ca.pem"),
                stream_memory_bytes_max=2 << 20,
                append_fsync_wait=False,
            ),
            receive_buffer_bytes=1 << 20,
            inform_ack="buffer",
            redact_community=False,
            allow=(
                model.AllowRule(sources=("192.0.2.0/24", "198.51.100.1/32"), communities=("public", "lift net")),
                model.AllowRule(sources=("2001:db8::/32",)),
            ),
            trusted_relays=("203.0.113.5/32",),
            limits=model.Limits(datagram_bytes_max=1500, nesting_max=5, varbinds_max=50, oid_arcs_max=64),
            segment_bytes=1 << 20,
            journal_bytes_max=1 << 30,
            journal_age_max_s=60,
            sync_interval_ms=2,
            log_level="debug",
            log_format="json",
        )
    ]


def test_shedding_reaches_the_lane(tmp_path: Path) -> None:
    """A rate may be a whole number; an OID with a dot at its end is a tree."""
    file = written(
        tmp_path,
        """
        shedding:
          backlog_max: 5000
          source_rate_max: 0.5
          source_burst_max: 10
          critical: [1.3.6.1.6.3.1.1.5.3, 1.3.6.1.4.1.8072.]
          express_rate_max: 16
        """,
    )

    [lane] = config.lane_settings(config.load(file), redis_url="redis://127.0.0.1")

    assert lane.shedding == model.SheddingSettings(
        backlog_max=5_000,
        source_rate_max=0.5,
        source_burst_max=10,
        critical=("1.3.6.1.6.3.1.1.5.3", "1.3.6.1.4.1.8072."),
        express_rate_max=16.0,
    )


def test_snmpv3_reaches_the_lane(tmp_path: Path) -> None:
    """Users with their passphrases read from their files, engine IDs in one way of writing, and our own engine."""
    for name in ("auth", "priv"):
        (tmp_path / name).write_text(f"pass phrase of {name} \n")
    file = written(
        tmp_path,
        """
        snmpv3:
          users:
            - {name: lift, auth: sha256, auth_passphrase_file: auth, priv: aes256c, priv_passphrase_file: priv}
            - {name: 電話, engine_ids: ["0x80001F8804AB", "80:00:1f:88:04:ac"]}
          contexts: ["", bridge1]
          boots_reset: reject
          engine_id: "8000000005aa"
        """,
    )
    engine = model.Engine(engine_id="8000000005aa", starts_unix_ns=(1, 2), boots_first=7)

    [lane] = config.lane_settings(config.load(file), redis_url="redis://127.0.0.1", engine=engine)

    assert lane.snmpv3 == model.V3Settings(
        users=(
            model.V3User(
                name="lift",
                auth="sha256",
                auth_passphrase="pass phrase of auth ",
                priv="aes256c",
                priv_passphrase="pass phrase of priv ",
            ),
            model.V3User(name="電話", engine_ids=("80001f8804ab", "80001f8804ac")),
        ),
        contexts=("", "bridge1"),
        boots_reset="reject",
        engine_id="8000000005aa",
        engine_starts_unix_ns=(1, 2),
        engine_boots_first=7,
    )


def test_weak_snmpv3_is_warned_of(tmp_path: Path) -> None:
    """Old devices know nothing better, so it is allowed; a passphrase that everybody can read is, too."""
    (tmp_path / "phrase").write_text("geheimgeheim\n")
    (tmp_path / "phrase").chmod(0o644)
    user = "{name: old, auth: md5, auth_passphrase_file: phrase, priv: des, priv_passphrase_file: phrase}"

    doubts = config.warnings(config.load(written(tmp_path, f"snmpv3: {{users: [{user}]}}")))

    assert [doubt.partition(";")[0] for doubt in doubts] == [
        "snmpv3.users[0].auth: md5 is kept for devices that know nothing better",
        "snmpv3.users[0].priv: des can be broken by trying all keys",
        f"snmpv3.users[0].auth_passphrase_file: {tmp_path}/phrase can be read by every user",
        f"snmpv3.users[0].priv_passphrase_file: {tmp_path}/phrase can be read by every user",
    ]


def test_a_user_that_proves_nothing_is_warned_of(tmp_path: Path) -> None:
    """It may be all that a device can do, but nobody should believe that SNMPv3 alone is safe."""
    (doubt,) = config.warnings(config.load(written(tmp_path, "snmpv3: {users: [{name: lift}]}")))

    assert doubt.startswith("snmpv3.users[0].auth: null: anyone can send as this user")


@pytest.fixture
def powerless() -> Iterator[None]:
    """For a moment we are nobody, when we are root: root may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.usefixtures("powerless")
def test_a_data_directory_that_cannot_be_written_is_a_mistake_of_the_check() -> None:
    """Commands that only read run as other users; `netmon check` is what tells that netmon would not start."""
    values = {"data_dir": "/etc/netmon-has-no-right/here"}

    with pytest.raises(ValidationError, match="/etc cannot be written by user") as caught:
        config.Config.model_validate(values, context={"folder": Path("/"), "thorough": True})

    assert [error["loc"] for error in caught.value.errors()] == [("data_dir",)]
    config.Config.model_validate(values, context={"folder": Path("/")})


def test_section_with_every_line_commented_out_is_the_default(tmp_path: Path) -> None:
    """`receiver:` with nothing below is null to YAML, and what is left after commenting out."""
    assert config.load(written(tmp_path, "receiver:\n  limits:\njournal:\n")).receiver.limits.nesting_max == 8
    assert config.load(written(tmp_path, "receiver:\njournal:\n")).receiver.name == "trap1"


@pytest.mark.parametrize(
    "listens",
    [
        ["192.0.2.1:162", "192.0.2.2:162"],
        ["0.0.0.0:162", "[2001:db8::1]:162"],
        ["127.0.0.1:0", "127.0.0.1:0"],
        ["[::]:162", "[::]:1162"],
    ],
)
def test_addresses_that_can_be_bound_side_by_side(tmp_path: Path, listens: list[str]) -> None:
    """Other addresses, other families, other ports; port 0 is another port each time."""
    file = written(tmp_path, yaml.safe_dump({"receiver": {"listen": listens}}))

    assert config.load(file).receiver.listen == tuple(listens)


@pytest.mark.parametrize("url", ["embedded", "redis://h", "redis://[::1]:6379/2", "rediss://h:1/", "unix:///s?db=3"])
def test_redis_urls_that_can_be_used(tmp_path: Path, url: str) -> None:
    """Every form that docs/configuration.md names."""
    assert config.load(written(tmp_path, yaml.safe_dump({"redis": {"url": url}}))).redis.url == url


def test_embedded_memory_leaves_room_above_the_streams(tmp_path: Path) -> None:
    """Decode stops at the streams' budget; Valkey's own limit must not come first."""
    lanes = "redis: {stream_memory_bytes_max: 100MiB}\nreceiver: {lanes_per_listener: 4}\n"
    settings = config.load(written(tmp_path, f"{lanes}alarms: {{alarms_max: 1000, stream_entries_max: 1048}}"))
    without = config.load(written(tmp_path, f"{lanes}alarms: {{enabled: false}}"))

    assert config.embedded_memory_bytes_max(settings) == (4 * 125 + 64 + 4) << 20
    assert config.embedded_memory_bytes_max(without) == (4 * 125 + 64) << 20


def test_shipped_file_needs_no_warning() -> None:
    """A warning that everybody sees is one that nobody reads."""
    assert config.warnings(config.load(SHIPPED)) == []


def test_open_doors_are_warned_of(tmp_path: Path) -> None:
    """Allowed, since a container may need each of them, but said."""
    for name in ("password", "communities"):
        (tmp_path / name).write_text("geheim\n")
        (tmp_path / name).chmod(0o644)
    file = written(
        tmp_path,
        """
        receiver: {allow: [{sources: [192.0.2.0/24], communities_file: communities}]}
        redis: {url: "redis://192.0.2.9", password_file: password}
        http: {listen: "*:8642"}
        """,
    )

    assert config.warnings(config.load(file)) == [
        "http.listen: [::]:8642 is open to the network, and nobody is asked for a password there",
        "redis.url: sends the password unencrypted; rediss:// would not",
        f"redis.password_file: {tmp_path}/password can be read by every user; chmod 640 would do",
        f"receiver.allow[0].communities_file: {tmp_path}/communities can be read by every user; chmod 640 would do",
    ]


def test_catalogues_reach_the_lane_with_what_is_in_them(tmp_path: Path) -> None:
    """A catalogue made again under its name is another setting, which a reload notices; a lost one stops nobody."""
    file = written(tmp_path, "mibs: {catalogues: [vendor.cat, lost.cat]}")
    lanes = []
    for content in (b"one", b"another"):
        (tmp_path / "vendor.cat").write_bytes(content)
        lanes += config.lane_settings(config.load(file), redis_url="redis://127.0.0.1")

    assert {lane.catalogues for lane in lanes} == {(str(tmp_path / "vendor.cat"), str(tmp_path / "lost.cat"))}
    assert len({lane.catalogue_digests for lane in lanes}) == 2


# --- Files that are wrong. ---


@pytest.mark.parametrize("name", sorted(file.stem for file in INVALID.glob("*.yml")))
def test_mistake_is_told_with_its_line_and_what_was_expected(name: str) -> None:
    """One invalid file per mistake; the expected messages stand in it."""
    file = INVALID / f"{name}.yml"
    expected = [
        line.removeprefix("# expect: ").replace("{folder}", str(INVALID))
        for line in file.read_text().splitlines()
        if line.startswith("# expect: ")
    ]

    assert expected != []
    assert mistakes_in(file) == expected


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """No line to name: the file itself is the mistake."""
    (tmp_path / "latin1.yml").write_bytes(b"receiver: {name: k\xf6ln}\n")

    assert mistakes_in(tmp_path / "none.yml") == [" cannot be read: No such file or directory"]
    assert mistakes_in(tmp_path) == [" cannot be read: Is a directory"]
    assert mistakes_in(tmp_path / "latin1.yml") == [" not UTF-8 text at byte 18"]


def test_secret_that_was_taken_away_after_the_check(tmp_path: Path) -> None:
    """`lane_settings` reads the secret again, so that a reload has the new one; gone is a mistake then too."""
    password = tmp_path / "password"
    password.write_text("geheim\n")
    settings = config.load(written(tmp_path, "redis: {url: 'redis://192.0.2.9', password_file: password}"))
    password.unlink()

    with pytest.raises(ConfigError) as caught:
        config.lane_settings(settings, redis_url="redis://192.0.2.9")

    assert caught.value.mistakes == [f"{password} cannot be read: No such file or directory"]


@pytest.mark.parametrize(
    "place", ["url: 'redis://:geheim@h'", "url: 'redis//x:geheim@h'", "password: geheim", "'geheim'"]
)
def test_no_mistake_repeats_a_password(tmp_path: Path, place: str) -> None:
    """Messages are logged and pasted into tickets."""
    section = f"redis: {{{place}}}" if ":" in place else f"redis: {place}"

    assert "geheim" not in "\n".join(mistakes_in(written(tmp_path, section)))


@given(text=st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r")))
def test_any_text_is_read_or_refused(text: str) -> None:
    """The reader of YAML ends with values or mistakes, never with another exception."""
    source = config_source.parse(text)

    assert source.values is not None or isinstance(source.mistakes, list)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(["1MiB", "[::]:1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "listen", "allow"]), inner),
)


@given(setting=st.sampled_from(SETTINGS), value=values)
def test_any_value_is_taken_or_refused(tmp_path_factory: pytest.TempPathFactory, setting: str, value: object) -> None:
    """Whatever stands at a setting's place, the file loads or ConfigError tells why."""
    for name in reversed(setting.split(".")):
        value = {name.removesuffix("[]"): [value] if name.endswith("[]") else value}
    file = written(tmp_path_factory.mktemp("any"), yaml.safe_dump(value))

    with contextlib.suppress(ConfigError):
        config.load(file)
