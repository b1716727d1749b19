"""Telegrams of the Japan Meteorological Agency: what they say of the areas of a region, and what is refused."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.alarms.posture.model import Bulletin
from netmon.alarms.settings import PostureSettings
from netmon.inventory.model import Area
from netmon.jma import text as jma_text
from netmon.jma.markup import DEPTH_MAX, TelegramError
from netmon.jma.telegram import TELEGRAM_BYTES_MAX, parse

TELEGRAMS = Path(__file__).resolve().parents[2] / "data" / "jma"
SETTINGS = PostureSettings()
MINATO = Area(id="minato", name="みなと市", code="992011", jma_codes=("quake:998", "tsunami:990", "990010"))
YAMATE = Area(id="yamate", name="やまて市", code="992020", jma_codes=("quake:999",))
SHIMANO = Area(id="shimano", name="しまの町", code="993018")
AREAS = (MINATO, YAMATE, SHIMANO)


def telegram(kind: str, **changes: str) -> bytes:
    """One of our own, with some of its words changed."""
    text = (TELEGRAMS / f"{kind}.xml").read_text()
    for now in changes.values():
        before, _, after = now.partition("=>")
        assert before in text
        text = text.replace(before, after)
    return text.encode()


def read(kind: str, **changes: str) -> Bulletin:
    """What it says."""
    bulletin = parse(telegram(kind, **changes), AREAS, SETTINGS)
    assert bulletin is not None
    return bulletin


def refusal(data: bytes) -> str:
    """Why a telegram cannot be used."""
    with pytest.raises(TelegramError) as caught:
        parse(data, AREAS, SETTINGS)
    return f"{caught.value.reason}: {caught.value}"


# --- What they say. ---


def test_the_first_report_of_an_earthquake_names_regions_and_the_prefecture_stands_for_who_has_none() -> None:
    """VXSE51."""
    found = read("VXSE51")

    assert found.areas == {"minato": "6-", "yamate": "4", "shimano": "6-"}
    assert (found.level, found.levels) == ("none", {"minato": "disaster", "yamate": "suspected", "shimano": "disaster"})
    assert found == Bulletin(
        id="20240101161010-VXSE51-0-1704093120-issued-normal",
        event_id="20240101161010",
        kind="VXSE51",
        status="normal",
        info="issued",
        unix_ns=1_704_093_120 * 10**9,
        headline="１日１６時１０分ころ、強い揺れを感じました。",
        areas=found.areas,
        levels=found.levels,
        until_unix_ns=(1_704_093_120 + 21_600) * 10**9,
    )


def test_a_detailed_report_names_cities_also_one_that_is_silent() -> None:
    """VXSE53: no report from where it was 5- at least counts as 5-; the region's maximum is another city's."""
    found = read("VXSE53")

    assert found.areas == {"minato": "5+", "yamate": "3", "shimano": "5-"}
    assert (found.serial, found.levels) == (2, {"minato": "disaster", "shimano": "disaster"})


def test_tsunami_warnings_count_for_forecast_regions() -> None:
    """VTSE41: 999 is a region of tsunamis, too, but Yamate's 999 is one of earthquakes."""
    found = read("VTSE41")

    assert (found.areas, found.level) == ({"minato": "大津波警報"}, "disaster")


def test_weather_warnings_count_for_cities_and_emergency_warnings_are_a_disaster() -> None:
    """VPWW54: what was lifted does not count, an advisory is shown."""
    found = read("VPWW54")

    assert found.areas == {"minato": "大雨特別警報、洪水警報", "yamate": "洪水警報", "shimano": "雷注意報"}
    assert found.levels == {"minato": "disaster", "yamate": "suspected"}
    assert found.event_id == "架空県気象警報・注意報"


def test_warnings_may_be_told_to_mean_nothing() -> None:
    """Where a flood warning comes twenty times a year."""
    found = parse(telegram("VPWW54"), AREAS, PostureSettings(jma_warning="none"))

    assert found is not None
    assert found.levels == {"minato": "disaster"}


def test_what_replaces_a_warning_is_a_bulletin_of_the_same_event_also_when_it_names_none_of_our_areas() -> None:
    """Otherwise nothing would ever end."""
    found = read("VPWW54", a="9920100=>1310100", b="9920200=>1310200", c="9930100=>1310300")

    assert (found.event_id, found.areas, found.level) == ("架空県気象警報・注意報", {}, "none")


@pytest.mark.parametrize(
    ("change", "status", "info"),
    [
        ("通常=>訓練", "drill", "issued"),
        ("通常=>試験", "test", "issued"),
        ("発表</InfoType>=>訂正</InfoType>", "normal", "corrected"),
        ("発表</InfoType>=>取消</InfoType>", "normal", "cancelled"),
    ],
)
def test_status_and_kind_of_report_are_told(change: str, status: str, info: str) -> None:
    """訓練, 試験, 訂正, 取消."""
    found = read("VXSE53", change=change)

    assert (found.status, found.info) == (status, info)


def test_a_cancellation_needs_no_body() -> None:
    """It has only a text."""
    text = telegram("VTSE41", a="発表</InfoType>=>取消</InfoType>").decode()
    data = f"{text.partition('  <Body')[0]}</Report>".encode()

    found = parse(data, AREAS, SETTINGS)

    assert found is not None
    assert (found.event_id, found.areas) == ("20240101161010", {})


def test_thresholds_are_the_operators() -> None:
    """From 3 on, and from 6- on."""
    settings = PostureSettings(jma_intensity_suspected="3", jma_intensity_disaster="6-")

    found = parse(telegram("VXSE53"), AREAS, settings)

    assert found is not None
    assert (found.level, found.levels) == ("suspected", {})


def test_a_ward_of_a_large_city_is_named_by_its_own_code() -> None:
    """Telegrams name wards, and the city has another code than any of them."""
    city = Area(id="city", name="大きな市", code="991007", jma_codes=("9920100", "9920200"))

    found = parse(telegram("VXSE53"), [city], SETTINGS)

    assert found is not None
    assert found.areas == {"city": "5+"}


def test_other_kinds_are_left_alone() -> None:
    """There are some two hundred of them."""
    assert parse(telegram("VXSE53", a="震源・震度に関する情報=>火山の状況に関する解説情報"), AREAS, SETTINGS) is None


def test_a_station_elsewhere_that_says_something_odd_hides_nothing() -> None:
    """Only what is said of our areas has to make sense."""
    found = read("VXSE53", a="<Code>9930100</Code>=><Code>0130100</Code><MaxInt>不明</MaxInt>")

    assert found.areas == {"minato": "5+", "yamate": "3"}


# --- What is refused. ---


@pytest.mark.parametrize(
    ("kind", "change", "expected"),
    [
        (
            "VXSE53",
            'jmaxml1/">=>jmaxml2/">',
            (
                "invalid: line 2, Report: expected Report of http://xml.kishou.go.jp/jmaxml1/,"
                " found Report of http://xml.kishou.go.jp/jmaxml2/"
            ),
        ),
        (
            "VXSE53",
            "informationBasis1=>informationBasis2",
            (
                "invalid: line 10, Report/Head: expected it in http://xml.kishou.go.jp/jmaxml1/informationBasis1/,"
                " found http://xml.kishou.go.jp/jmaxml1/informationBasis2/"
            ),
        ),
        ("VXSE53", "<EventID>20240101161010</EventID>=>", "missing: line 10, Report/Head/EventID: missing"),
        ("VXSE53", "20240101161010=>a b", "invalid: line 13, Report/Head/EventID: expected digits, found 'a b'"),
        ("VXSE53", "<Serial>2=><Serial>two", "invalid: line 15, Report/Head/Serial: expected a number, found 'two'"),
        (
            "VXSE53",
            "通常=>平常",
            "invalid: line 6, Report/Control/Status: expected one of 通常、訓練、試験, found '平常'",
        ),
        (
            "VXSE53",
            "2024-01-01T16:12:00+09:00=>yesterday",
            (
                "invalid: line 12, Report/Head/ReportDateTime: expected a time such as 2024-01-01T16:10:00+09:00,"
                " found 'yesterday'"
            ),
        ),
        (
            "VXSE53",
            ">5+<=>>強い<",
            (
                "invalid: line 35, Report/Body/Intensity/Observation/Pref/Area/City/MaxInt: expected an intensity"
                " (1, 2, 3, 4, 5-, 5+, 6-, 6+, 7), found '強い'"
            ),
        ),
        ("VXSE51", "Observation>=>Observed>", "missing: line 21, Report/Body/Intensity/Observation: missing"),
        ("VTSE41", "Tsunami>=>Wave>", "missing: line 20, Report/Body/Tsunami: missing"),
        ("VPWW54", "Warning=>Advice", "missing: line 20, Report/Body/Warning: missing"),
    ],
)
def test_a_mistake_is_told_with_its_place(kind: str, change: str, expected: str) -> None:
    """Line, path, and what was expected."""
    assert refusal(telegram(kind, change=change)) == expected


def test_a_document_type_and_entities_are_refused() -> None:
    """A billion laughs, and files of ours."""
    bomb = '<!DOCTYPE Report [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>\n<Report>&b;</Report>'
    file = '<!DOCTYPE Report SYSTEM "file:///etc/passwd">\n<Report/>'

    assert {refusal(text.encode()) for text in (bomb, file)} == {
        "dtd: line 1: a document type or entities, which no telegram has"
    }


def test_what_is_larger_or_deeper_than_any_telegram_is_refused() -> None:
    """Before it costs anything."""
    deep = b"<a>" * (DEPTH_MAX + 1)

    assert refusal(b"<" + b" " * TELEGRAM_BYTES_MAX).startswith("too_large: line 1: more than 4194304 bytes")
    assert refusal(deep).endswith(f"more than {DEPTH_MAX} elements within each other")


@pytest.mark.parametrize("kind", ["VXSE51", "VXSE53", "VTSE41", "VPWW54"])
def test_half_a_telegram_is_refused(kind: str) -> None:
    """Cut at every byte: a file that is still being written, a connection that broke."""
    data = telegram(kind).rstrip()

    reasons = {refusal(data[:length]).partition(":")[0] for length in range(0, len(data) - 1, 7)}

    assert reasons == {"malformed"}


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_telegram_or_a_mistake(data: bytes) -> None:
    """Nothing else is ever raised."""
    with pytest.raises(TelegramError):
        parse(data, AREAS, SETTINGS)


@given(st.data())
def test_a_damaged_telegram_is_read_or_refused(data: st.DataObject) -> None:
    """Some bytes of a true one are others: no other error comes of it."""
    found = bytearray(telegram("VPWW54"))
    for _ in range(data.draw(st.integers(1, 3))):
        found[data.draw(st.integers(0, len(found) - 1))] = data.draw(st.integers(0, 255))

    with contextlib.suppress(TelegramError):
        parse(bytes(found), AREAS, SETTINGS)


@pytest.mark.parametrize("encoding", ["no-such-encoding", "shift_jis", "idna"])
def test_an_encoding_that_xml_has_not_is_refused(encoding: str) -> None:
    """Telegrams are UTF-8."""
    assert refusal(f'<?xml version="1.0" encoding="{encoding}"?><Report/>'.encode()).startswith("malformed: line 1")


# --- Telegrams as they were sent. ---


ISHINOMAKI = Area(id="ishinomaki", name="石巻市", code="042021", jma_codes=("quake:222", "tsunami:220"))
MIYAKO = Area(id="miyako", name="宮古島市", code="472140", jma_codes=("tsunami:802",))


@pytest.mark.parametrize(
    ("file", "event", "areas", "levels"),
    [
        ("20210217140808_0_VXSE51_010000.xml", "20210217230627", {"ishinomaki": "3"}, {}),
        ("20210217140847_0_VXSE52_010000.xml", "20210217230627", {}, {}),
        ("20210216140226_0_VXSE53_010000.xml", "20210216225935", {"ishinomaki": "1"}, {}),
        ("20230410231623_04156158_VXSE53.xml", "20230410221000", {}, {}),
        ("20220918154907_08013775_VTSE41.xml", "20220918154449", {"miyako": "津波注意報"}, {"miyako": "suspected"}),
        ("20220918171502_07401528_VTSE41.xml", "20220918154449", {"miyako": "津波注意報解除"}, {}),
        (
            "32-39_11_06_120615_VTSE41.xml",
            "20110311144640",
            {"ishinomaki": "大津波警報", "miyako": "津波予報（若干の海面変動）"},
            {"ishinomaki": "disaster"},
        ),
    ],
)
def test_telegrams_of_the_past(
    sample_data: Path, file: str, event: str, areas: dict[str, str], levels: dict[str, str]
) -> None:
    """Real ones, and the one of 2011-03-11 as the agency has written it for tests."""
    path = sample_data / "jma" / file
    if not path.exists():
        pytest.skip(f"no telegrams in {path.parent}: set NETMON_TEST_DATA")

    found = parse(path.read_bytes(), (ISHINOMAKI, MIYAKO), SETTINGS)

    assert found is not None
    by_area = {area: found.levels.get(area, found.level) for area in found.areas}
    assert (found.event_id, found.areas) == (event, areas)
    assert {area: level for area, level in by_area.items() if level != "none"} == levels


# --- In words. ---


@pytest.mark.parametrize(
    ("kind", "said", "en", "ja"),
    [
        ("VXSE53", "6+", "JMA: seismic intensity 6+", "気象庁: 震度６強"),
        ("VXSE51", "4", "JMA: seismic intensity 4", "気象庁: 震度４"),
        ("VTSE41", "大津波警報", "JMA: Major Tsunami Warning", "気象庁: 大津波警報"),
        (
            "VPWW54",
            "大雨特別警報、洪水警報",
            "JMA: Heavy Rain Emergency Warning, Flood Warning",
            "気象庁: 大雨特別警報、洪水警報",
        ),
        ("VPWW54", "新しい警報", "JMA: 新しい警報", "気象庁: 新しい警報"),
    ],
)
def test_what_people_read(kind: str, said: str, en: str, ja: str) -> None:
    """In both languages."""
    assert (jma_text.english(kind, said), jma_text.japanese(kind, said)) == (en, ja)
