"""From the configuration to what the alarm worker is told: defaults, files that are named, and what is doubtful."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from netmon import config
from netmon.alarms.settings import AlarmSettings, Flood, Lifecycle, PostureSettings
from netmon.config import alarm_service
from netmon.errors import ConfigError
from netmon.inventory.model import Inventory
from netmon.model import RedisSettings

REPOSITORY = Path(__file__).resolve().parents[2]
URL = "redis://127.0.0.1"
RULE = """
rules:
  - id: own
    trap: linkDown
    resource: interface
    raises: own-alarm
    severity: major
    event_type: communicationsAlarm
    probable_cause: loss_of_signal
    text: {en: down, ja: 断}
"""


def written(folder: Path, text: str) -> Path:
    """A configuration file with this text."""
    file = folder / "netmon.yml"
    file.write_text(text)
    return file


def settings_of(folder: Path, text: str) -> AlarmSettings:
    """What the worker is told by this text."""
    return alarm_service.alarm_settings(config.load(written(folder, text)), redis_url=URL)


def test_defaults_are_those_of_the_settings(tmp_path: Path) -> None:
    """The worker's own defaults and the operator's are the same, so that a test of the worker is about both."""
    told = settings_of(tmp_path, "alarms: {standard_rules: false}")

    assert told == AlarmSettings(
        receivers=("trap1",),
        redis=RedisSettings(url=URL),
        directory=str(tmp_path.parent / "var"),
        log_format=told.log_format,
    )


def test_the_standard_rules_are_there_unless_they_are_not_wanted(tmp_path: Path) -> None:
    """Rules of the operator's come first."""
    (tmp_path / "own.yml").write_text(RULE)
    own = [rule.id for rule in settings_of(tmp_path, "alarms: {rules: [own.yml]}").rules]
    standard = [rule.id for rule in settings_of(tmp_path, "").rules]

    assert (own[0], own[1:] == standard, len(standard) > 10) == ("own", True, True)


def test_every_setting_reaches_the_worker(tmp_path: Path) -> None:
    """Whole numbers are as good as others; streams of peers that write to the same Redis are read, too."""
    told = settings_of(
        tmp_path,
        """
        receiver: {name: east}
        union: {peers: [{receiver: west}, {receiver: north, url: "redis://192.0.2.9"}]}
        alarms:
          standard_rules: false
          flap_toggles: 5
          flap_window_s: 30
          flap_settle_s: 100
          purge_cleared_s: 10
          alarms_max: 5000
          late_clear_s: 0
          cause_window_s: 60
          flood: {raised_max: 20, window_s: 300}
          lease_s: 9
          stream_entries_max: 2000
        posture:
          trap_rate_factor: 5
          trap_rate_min: 3
          lines_suspected_ratio: 0.1
          lines_disaster_ratio: 1
          battery_suspected_sites: 1
          battery_disaster_sites: 9
          jma_intensity_suspected: 3
          jma_intensity_disaster: 6+
        log: {level: debug, format: json}
        """,
    )

    assert told.receivers == ("east", "west")
    assert told.lifecycle == Lifecycle(
        flap_toggles=5,
        flap_window_s=30,
        flap_settle_s=100,
        purge_cleared_s=10,
        alarms_max=5_000,
        late_clear_s=0,
        cause_window_s=60,
    )
    assert told.flood == Flood(raised_max=20, window_s=300)
    assert (told.lease_s, told.stream_entries_max, told.log_level, told.log_format) == (9, 2_000, "debug", "json")
    assert told.posture == msgspec.structs.replace(
        PostureSettings(),
        trap_rate_factor=5.0,
        trap_rate_min=3.0,
        lines_suspected_ratio=0.1,
        lines_disaster_ratio=1.0,
        battery_suspected_sites=1,
        battery_disaster_sites=9,
        jma_intensity_suspected="3",
        jma_intensity_disaster="6+",
    )


def test_what_is_told_survives_the_way_to_the_process() -> None:
    """JSON on its standard input, with the sample region and all standard rules."""
    told = alarm_service.alarm_settings(config.load(REPOSITORY / "config" / "sample.yml"), redis_url=URL)

    assert msgspec.json.decode(msgspec.json.encode(told), type=AlarmSettings) == told
    assert len(told.inventory.sites) == 12


def test_a_region_with_mistakes_stops_the_alarms_and_not_the_receiver(tmp_path: Path) -> None:
    """The configuration loads; who asks for the region is told; and the check tells, too."""
    (tmp_path / "region.yml").write_text("sites: {hall: {area: none, latitude: 35, longitude: 139}}\n")
    file = written(tmp_path, "region: {file: region.yml}")
    expected = [
        f"{tmp_path}/region.yml:1: sites.hall.area: found 'none'; expected the ID of one of the areas, and there are none"
    ]

    with pytest.raises(ConfigError) as asked:
        alarm_service.inventory(config.load(file))
    with pytest.raises(ConfigError) as checked:
        config.load(file, thorough=True)

    assert (asked.value.mistakes, checked.value.mistakes) == (expected, expected)


def test_without_a_region_there_is_an_empty_one(tmp_path: Path) -> None:
    """Alarms are about addresses then."""
    assert alarm_service.inventory(config.load(written(tmp_path, ""))) == Inventory()


def test_a_token_is_read_when_it_is_wanted(tmp_path: Path) -> None:
    """So that a reload has the new one; one that was taken away is a mistake then."""
    token = tmp_path / "token"
    token.write_text("0123456789abcdef\n")
    api = config.load(written(tmp_path, 'api: {listen: "*:8643", token_file: token}')).api
    read = (alarm_service.token(api.token_file), alarm_service.token(None))
    token.unlink()

    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        alarm_service.token(api.token_file)
    assert read == ("0123456789abcdef", None)


def test_doors_of_the_alarm_service_are_warned_of(tmp_path: Path) -> None:
    """Allowed, and said: no TLS before the API, and tokens on their way unencrypted or open to every user."""
    (tmp_path / "token").write_text("0123456789abcdef\n")
    (tmp_path / "token").chmod(0o644)
    file = written(
        tmp_path,
        """
        api: {listen: "*:8643", token_file: token}
        alertmanager: {urls: ["http://127.0.0.1:9093", "http://192.0.2.9:9093", "https://192.0.2.9"], token_file: token}
        """,
    )

    assert config.warnings(config.load(file)) == [
        "api.listen: [::]:8643 is open to the network without TLS; a web server before it would add it",
        "alertmanager.urls[1]: gets the token or password unencrypted; https:// would not",
        f"api.token_file: {tmp_path}/token can be read by every user; chmod 640 would do",
        f"alertmanager.token_file: {tmp_path}/token can be read by every user; chmod 640 would do",
    ]


def test_an_api_that_is_off_needs_no_token(tmp_path: Path) -> None:
    """Nobody listens there."""
    assert config.load(written(tmp_path, 'api: {enabled: false, listen: "*:8643"}')).api.token_file is None
