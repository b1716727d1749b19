"""Control packets of MQTT 5: what is written, octet by octet, what is read, and that nothing else than MqttError comes of nonsense."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.errors import ConfigError
from netmon.mqtt import packet
from netmon.mqtt.location import Location, location_of
from netmon.mqtt.packet import Hello, MqttError, Published, Welcome

HELLO = Hello(client_id="me", keep_alive_s=60, packet_bytes_max=4_096)


def test_connect_by_the_standard() -> None:
    """Protocol name and version, clean start, keep alive, the longest packet; then who we are."""
    assert packet.connect(HELLO).hex(" ") == ("10 14 00 04 4d 51 54 54 05 02 00 3c 05 27 00 00 10 00 00 02 6d 65")


def test_connect_with_a_password() -> None:
    """Flags say so, and both stand behind the client's name."""
    written = packet.connect(
        Hello(client_id="me", username="u", password="pw", keep_alive_s=60, packet_bytes_max=4_096)
    )

    assert written[9] == 0xC2
    assert written.endswith(b"\0\x02me\0\x01u\0\x02pw")


def test_what_a_client_says() -> None:
    """At QoS 0: no identifiers but those of SUBSCRIBE; nothing that was retained."""
    assert packet.publish("a/b", b"x") == b"\x30\x07\0\x03a/b\0x"
    assert packet.subscribe(1, ["a", "b"]) == b"\x82\x0b\0\x01\0\0\x01a\x20\0\x01b\x20"
    assert packet.pingreq() == b"\xc0\0"
    assert packet.disconnect() == b"\xe0\0"


@pytest.mark.parametrize(("size", "octets"), [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (2_097_152, 4)])
def test_remaining_length_takes_as_many_octets_as_it_must(size: int, octets: int) -> None:
    """Seven bits in each (section 1.5.5)."""
    written = packet.publish("", bytes(size - 3)) if size >= 3 else packet.pingreq()

    assert len(written) == 1 + octets + size


def test_welcome_may_want_another_keep_alive() -> None:
    """Of all properties, only that one matters."""
    properties = b"\x21\0\x0a\x27\0\x01\0\0\x22\0\x0a\x13\0\x1e\x26\0\x01k\0\x01v\x12\0\x02id"

    assert packet.read_connack(b"\0\0" + bytes((len(properties),)) + properties) == Welcome(keep_alive_s=30)
    assert packet.read_connack(b"\0\0\0") == Welcome(keep_alive_s=None)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\0\x87\0", "not authorized"),
        (b"\0\x05", "reason 0x05"),
        (b"\0\x01", "speaks no MQTT 5"),
        (b"\0\x89\x0a\x1f\0\x07at noon", "server busy: at noon"),
        (b"\0\x87\x11\x1f\0\x0eNot authorized", "not authorized"),
        (b"\0\x87\x0a\x1f\0\xff", "not authorized"),
        (b"\0", "a CONNACK that is too short"),
        (b"\0\0\x02\x13", "properties that do not end where they say"),
        (b"\0\0\xff\xff\xff\xff\x01", "a length that does not end"),
    ],
)
def test_refusal_in_words(body: bytes, words: str) -> None:
    """The standard's, and the broker's own behind them; a refusal that is malformed is one, too."""
    with pytest.raises(MqttError) as caught:
        packet.read_connack(body)

    assert str(caught.value) == words


def test_published_message() -> None:
    """With properties that do not matter, among them a subscription identifier."""
    body = b"\0\x03a/b\x0a\x01\x01\x0b\x80\x01\x02\0\0\0\x05x"

    assert packet.read_publish(0, body) == Published("a/b", b"x", retained=False)
    assert packet.read_publish(1, b"\0\x01a\0") == Published("a", b"", retained=True)


def test_suback_has_a_code_for_each_filter() -> None:
    """Behind its identifier and properties."""
    assert packet.read_suback(b"\x01\x02\x00\x00\x87") == (258, b"\x00\x87")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the broker has ended the connection"),
        (b"\x8e", "session taken over"),
        (b"\x8b\0", "server shutting down"),
    ],
)
def test_leave_in_words(body: bytes, words: str) -> None:
    """It may say why."""
    assert packet.read_disconnect(body) == words


@pytest.mark.parametrize(
    "read",
    [packet.read_connack, packet.read_suback, lambda body: packet.read_publish(0, body), packet.read_disconnect],
    ids=["connack", "suback", "publish", "disconnect"],
)
@given(body=st.binary(max_size=40) | st.builds(lambda rest: b"\0\0" + rest, st.binary(max_size=40)))
def test_any_octets_are_read_or_refused(read: Callable[[bytes], object], body: bytes) -> None:
    """By MqttError alone."""
    with contextlib.suppress(MqttError):
        read(body)


@pytest.mark.parametrize(
    ("pattern", "topic", "is_match"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/b/c", "a/b", False),
        ("a/+", "a/b", True),
        ("a/+", "a/b/c", False),
        ("a/+/c", "a/b/c", True),
        ("+/+", "/b", True),
        ("+", "/b", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "ab", False),
        ("#", "a/b", True),
        ("#", "$SYS/uptime", False),
        ("+/uptime", "$SYS/uptime", False),
        ("$SYS/#", "$SYS/uptime", True),
    ],
)
def test_topic_filters(pattern: str, topic: str, is_match: bool) -> None:
    """As section 4.7 has them."""
    assert packet.matches(pattern, topic) is is_match


def test_secrets_are_not_shown() -> None:
    """A repr may get into a log."""
    assert "geheim" not in repr(
        Hello(client_id="a", username="u", password="geheim", keep_alive_s=1, packet_bytes_max=1)
    )


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("mqtt://a", Location("a", 1883, secure=False)),
        ("mqtts://a/", Location("a", 8883, secure=True)),
        ("mqtt://[2001:db8::1]:99", Location("2001:db8::1", 99, secure=False)),
    ],
)
def test_location_of_a_broker(url: str, location: Location) -> None:
    """With the usual ports."""
    assert location_of(url, "here") == location


@pytest.mark.parametrize("url", ["", "tcp://a", "mqtt://", "mqtt://u@a", "mqtt://a:0x1", "mqtt://a/b", "mqtt://[::1"])
def test_location_that_is_none(url: str) -> None:
    """The message says where it stands."""
    with pytest.raises(ConfigError) as caught:
        location_of(url, "here")

    assert str(caught.value) == "here: expected mqtt://HOST:PORT or mqtts://HOST:PORT, without a user"
