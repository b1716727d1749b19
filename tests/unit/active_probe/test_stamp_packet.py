"""STAMP packets octet by octet: whole, cut, prolonged, forged; the same in the eyes of another's decoder."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.contrib.stamp import (
    STAMPSessionReflectorTestUnauthenticated,
    STAMPSessionSenderTestUnauthenticated,
)

from netmon.active_probe.stamp.packet import (
    AUTHENTICATED_OCTETS,
    OCTETS,
    OCTETS_MAX,
    PTP,
    REASONS,
    SYNCHRONISED,
    Answer,
    Format,
    Question,
    decode_answer,
    decode_question,
    encode_answer,
    encode_question,
    error_estimate_of,
    extensions_answered,
    key_of,
    timestamp_of,
    unix_ns_of,
)
from netmon.errors import ConfigError, DecodeError

KEY = b"0123456789abcdef"
YEAR_2104_NS = 4_233_462_143_999_999_999
QUESTION = Question(0x01020304, 0xEC3F_1234_8000_0000, 0x8A01, 0xBEEF)
ANSWER = Answer(
    7, 0xEC3F_1234_8000_1000, 0x8A02, 0xBEEF, 0xEC3F_1234_8000_0800, 0x01020304, 0xEC3F_1234_8000_0000, 0x8A01, 61
)


def packet(annotated: str) -> bytes:
    """Octets from hexadecimal text with comments."""
    return bytes.fromhex(re.sub(r"#.*", "", annotated))


PLAIN_QUESTION = packet("""
    01 02 03 04                # sequence number
    ec 3f 12 34 80 00 00 00    # timestamp
    8a 01                      # error estimate
    be ef                      # SSID
""") + bytes(28)
PLAIN_ANSWER = packet("""
    00 00 00 07                # sequence number
    ec 3f 12 34 80 00 10 00    # timestamp
    8a 02                      # error estimate
    be ef                      # SSID
    ec 3f 12 34 80 00 08 00    # receive timestamp
    01 02 03 04                # sender's sequence number
    ec 3f 12 34 80 00 00 00    # sender's timestamp
    8a 01 00 00                # sender's error estimate
    3d 00 00 00                # sender's TTL
""")
SIGNED_QUESTION = packet("""
    01 02 03 04  00 00 00 00  00 00 00 00  00 00 00 00    # sequence number
    ec 3f 12 34  80 00 00 00  8a 01 be ef  00 00 00 00    # timestamp, error estimate, SSID
""") + bytes(64) + packet("3f ec 46 a0 89 18 22 6b 23 dc 05 14 b1 97 91 ba")  # fmt: skip
SIGNED_ANSWER = packet("""
    00 00 00 07  00 00 00 00  00 00 00 00  00 00 00 00    # sequence number
    ec 3f 12 34  80 00 10 00  8a 02 be ef  00 00 00 00    # timestamp, error estimate, SSID
    ec 3f 12 34  80 00 08 00  00 00 00 00  00 00 00 00    # receive timestamp
    01 02 03 04  00 00 00 00  00 00 00 00  00 00 00 00    # sender's sequence number
    ec 3f 12 34  80 00 00 00  8a 01 00 00  00 00 00 00    # sender's timestamp and error estimate
    3d 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00    # sender's TTL
    00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00    # HMAC
""")


def reason_of(
    data: bytes, key: bytes | None = None, decode: Callable[[bytes, bytes | None], object] = decode_question
) -> str:
    """Why it cannot be decoded; empty: it can."""
    try:
        decode(data, key)
    except DecodeError as error:
        return error.reason
    return ""


@pytest.mark.parametrize(
    ("value", "octets"), [(QUESTION, PLAIN_QUESTION), (ANSWER, PLAIN_ANSWER)], ids=["question", "answer"]
)
def test_plain_packet_is_as_the_figures_of_the_rfc_have_it(value: Question | Answer, octets: bytes) -> None:
    """RFC 8762, figures 4 and 6, with the SSID of RFC 8972; both are 44 octets."""
    encoded = encode_question(value) if isinstance(value, Question) else encode_answer(value)
    decoded = decode_question(octets) if isinstance(value, Question) else decode_answer(octets)

    assert (encoded, decoded, len(octets)) == (octets, value, OCTETS)


def test_signed_question_is_as_the_figure_of_the_rfc_has_it() -> None:
    """RFC 8762, figure 5; the HMAC is what `openssl dgst -sha256 -hmac` makes of the 96 octets before, cut to 16."""
    assert encode_question(QUESTION, KEY) == SIGNED_QUESTION
    assert decode_question(SIGNED_QUESTION, KEY) == QUESTION
    assert len(SIGNED_QUESTION) == AUTHENTICATED_OCTETS


def test_signed_answer_is_as_the_figure_of_the_rfc_has_it() -> None:
    """RFC 8762, figure 7."""
    encoded = encode_answer(ANSWER, KEY)

    assert encoded[:96] == SIGNED_ANSWER[:96]
    assert decode_answer(encoded, KEY) == ANSWER


def test_another_decoder_reads_the_question() -> None:
    """Scapy's, made by others from the same RFCs."""
    read = STAMPSessionSenderTestUnauthenticated(encode_question(QUESTION))

    estimate = read.err_estimate
    assert (read.seq, read.ssid, read.mbz) == (QUESTION.sequence, QUESTION.ssid, 0)
    assert (estimate.S, estimate.Z, estimate.scale, estimate.multiplier) == (1, 0, 10, 1)
    assert bytes(read) == PLAIN_QUESTION


def test_another_decoder_reads_the_answer() -> None:
    """All nine fields."""
    read = STAMPSessionReflectorTestUnauthenticated(encode_answer(ANSWER))

    assert (read.seq, read.ssid, read.seq_sender, read.ttl_sender) == (7, 0xBEEF, 0x01020304, 61)
    assert (read.ts > read.ts_rx, read.ts_rx > read.ts_sender) == (True, True)
    assert (read.err_estimate.multiplier, read.err_estimate_sender.multiplier) == (2, 1)
    assert bytes(read) == PLAIN_ANSWER


def test_another_encoder_is_read() -> None:
    """And the other way round."""
    made = STAMPSessionSenderTestUnauthenticated(seq=5, ssid=9)

    assert decode_question(bytes(made)) == Question(5, 0, 1, 9)


@pytest.mark.parametrize(("key", "octets"), [(None, PLAIN_QUESTION), (KEY, SIGNED_QUESTION)], ids=["plain", "signed"])
def test_a_question_cut_anywhere_is_short(key: bytes | None, octets: bytes) -> None:
    """At every octet."""
    assert {reason_of(octets[:length], key) for length in range(len(octets))} == {"short"}


def test_extensions_up_to_an_ethernet_frame_are_let_pass() -> None:
    """And not one octet more."""
    extended = PLAIN_QUESTION + bytes(OCTETS_MAX - OCTETS)

    assert (reason_of(extended), reason_of(extended + b"\0")) == ("", "long")


@pytest.mark.parametrize("position", range(AUTHENTICATED_OCTETS))
def test_a_signed_question_with_one_bit_turned_is_refused(position: int) -> None:
    """Wherever it is: the HMAC covers all before it, and itself."""
    forged = bytearray(SIGNED_QUESTION)
    forged[position] ^= 0x10

    assert reason_of(bytes(forged), KEY) == "hmac"


def test_another_key_is_refused() -> None:
    """Also one that begins alike."""
    assert reason_of(SIGNED_QUESTION, KEY + b"0") == "hmac"


def test_an_error_estimate_without_multiplier_is_refused() -> None:
    """RFC 4656 section 4.1.2 has such packets discarded."""
    assert reason_of(encode_question(Question(1, 2, 0x8A00, 3))) == "error_estimate"


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "signed"])
def test_an_answer_is_no_question(key: bytes | None) -> None:
    """Or two reflectors would answer each other for ever, once a forged question has set them on."""
    assert reason_of(encode_answer(ANSWER, key), key) == "answer"


def test_every_reason_is_one_of_the_closed_set() -> None:
    """Metrics and logs have them as labels."""
    forged = SIGNED_QUESTION[:-1] + b"?"
    found = {
        reason_of(b""),
        reason_of(bytes(OCTETS_MAX + 1)),
        reason_of(forged, KEY),
        reason_of(bytes(OCTETS)),
        reason_of(PLAIN_ANSWER),
    }

    assert found == set(REASONS)


@given(st.binary(max_size=200), st.sampled_from([None, KEY]))
def test_any_octets_are_decoded_or_refused(data: bytes, key: bytes | None) -> None:
    """With a reason of the closed set, by both decoders."""
    assert reason_of(data, key) in {"", *REASONS}
    assert reason_of(data, key, decode_answer) in {"", *REASONS}


@given(st.binary(max_size=200))
def test_extensions_go_back_with_nothing_changed_but_flags(data: bytes) -> None:
    """As many octets, and those that differ differ in the two flags."""
    answered = extensions_answered(data)

    assert len(answered) == len(data)
    assert {ours ^ theirs for ours, theirs in zip(answered, data, strict=True)} <= {0, 0x80, 0x40}


def test_extensions_that_nobody_knows_are_marked_so() -> None:
    """Each, with U of RFC 8972 section 4; one whose length leads beyond the end with M."""
    known = packet("00 01 00 04 aa aa aa aa   00 07 00 00")
    broken = packet("00 01 00 09 aa")

    assert extensions_answered(known) == packet("80 01 00 04 aa aa aa aa   80 07 00 00")
    assert extensions_answered(broken) == packet("40 01 00 09 aa")


@pytest.mark.parametrize(
    ("unix_ns", "style", "timestamp"),
    [
        (0, "ntp", 2_208_988_800 << 32),
        (500_000_000, "ntp", (2_208_988_800 << 32) + (1 << 31)),
        (2_085_978_496 * 1_000_000_000, "ntp", 0),  # 2036-02-07 06:28:16 UTC: NTP's next era
        (1_500_000_001, "ptp", (1 << 32) + 500_000_001),
    ],
)
def test_timestamps_begin_where_the_rfcs_say(unix_ns: int, style: Format, timestamp: int) -> None:
    """1900 for NTP, 1970 for PTP."""
    assert timestamp_of(unix_ns, style) == timestamp


@given(st.integers(min_value=0, max_value=YEAR_2104_NS), st.sampled_from(["ntp", "ptp"]))
def test_a_timestamp_comes_back_to_the_nanosecond(unix_ns: int, style: Format) -> None:
    """From 1970 to 2104, over the change of NTP's era."""
    assert unix_ns_of(timestamp_of(unix_ns, style), PTP if style == "ptp" else 0) == unix_ns


def error_s_of(error_estimate: int) -> float:
    """How wrong a clock with this estimate may be: Multiplier * 2^-32 * 2^Scale seconds."""
    return (error_estimate & 0xFF) * 2.0 ** ((error_estimate >> 8 & 0x3F) - 32)


@given(st.floats(min_value=2**-32, max_value=1e6))
def test_an_error_estimate_never_says_too_little(error_s: float) -> None:
    """And less than one part in 127 too much."""
    said_s = error_s_of(error_estimate_of(error_s))

    assert error_s <= said_s <= error_s * (1 + 1 / 127) + 2**-32


@pytest.mark.parametrize(
    ("error_s", "estimate"),
    [(0.0, 0x0001), (2**-32, 0x0001), (255 * 2**-32, 0x00FF), (256 * 2**-32, 0x0180), (1.0, 0x1980)],
)
def test_error_estimates_are_multiplier_and_scale(error_s: float, estimate: int) -> None:
    """The multiplier is never 0 (RFC 4656 section 4.1.2)."""
    assert error_estimate_of(error_s) == estimate


def test_an_error_estimate_tells_of_the_clock_and_the_format() -> None:
    """S and Z."""
    assert error_estimate_of(0.0, synchronised=True, style="ptp") == SYNCHRONISED | PTP | 1


def test_a_key_is_text_or_hexadecimal() -> None:
    """White space around it is the editor's."""
    assert key_of(" 0123456789abcdef\n") == KEY
    assert key_of("0x30313233343536373839616263646566") == KEY


@pytest.mark.parametrize("text", ["", "too short", "0xzz" + "0" * 32, "0x3031"])
def test_a_key_that_is_none_is_refused_without_being_shown(text: str) -> None:
    """It may be a good one with a slip of the pen."""
    with pytest.raises(ConfigError) as refused:
        key_of(text)

    assert text[2:] not in str(refused.value) or not text
