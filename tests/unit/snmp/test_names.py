"""Names beside values: what a catalogue knows is filled in, what the device sent stays what it was."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.mib.model import Catalogue, Module, Node, Syntax
from netmon.model import Limits, Varbind
from netmon.snmp import decode_notification, names
from netmon.snmp.encode import encode_v1, encode_v2c
from netmon.snmp.names import Names

STATES = {1: "up", 2: "down"}
SYNTAXES = (
    Syntax("INTEGER", "", "", STATES),
    Syntax("OCTET STRING", "MacAddress", "1x:"),
    Syntax("OCTET STRING", "DateAndTime", "2d-1d-1d,1d:1d:1d.1d,1a1d:1d"),
    Syntax("BITS", "", "", {0: "low", 9: "high"}),
    Syntax("OCTET STRING", "DisplayString", "255a"),
    Syntax("INTEGER", "", "d-2"),
    Syntax("OCTET STRING", "InetAddress"),
    Syntax("OBJECT IDENTIFIER"),
    Syntax(""),
    Syntax("OCTET STRING"),
)
STATE, MAC, TIME, BITS, TEXT, VOLTS, ADDRESS, POINTER, MISSING, OCTETS = range(len(SYNTAXES))


def catalogue(*nodes: Node) -> Catalogue:
    """One module with these nodes."""
    return Catalogue((Module("TEST-MIB", nodes),), SYNTAXES)


NAMES = Names(
    [
        catalogue(
            Node("test", "1.3.6.1.4.1.9999"),
            Node("testTrap", "1.3.6.1.4.1.9999.0.1", "notification", objects=("state",)),
            Node("testTable", "1.3.6.1.4.1.9999.1", "table"),
            *(
                Node(name, f"1.3.6.1.4.1.9999.1.1.{arc}", "column", arc)
                for arc, name in enumerate(("state", "mac", "time", "bits", "text", "volts", "address", "pointer", "missing"))
            ),
            Node("scalar", "1.3.6.1.4.1.9999.2", "scalar", VOLTS, "millivolts"),
            Node("plain", "1.3.6.1.4.1.9999.3", "scalar", OCTETS),
        )
    ]
)  # fmt: skip


def column(syntax: int) -> str:
    """An instance of the column with this syntax."""
    return f"1.3.6.1.4.1.9999.1.1.{syntax}.7"


def added(kind: str, value: int | str | None, oid: str, encoding: str | None = None) -> tuple[str | None, ...]:
    """What naming added: name, label, text, unit; it must have changed nothing else."""
    sent = Varbind(oid, kind, value, encoding)
    found = NAMES.varbind(sent)
    assert (found.oid, found.type, found.value, found.encoding) == (oid, kind, value, encoding)
    return found.name, found.label, found.text, found.unit


def trap_with(contents: bytes, oid: str) -> bytes:
    """A trap with one OCTET STRING."""
    return encode_v2c(
        community=b"",
        pdu="trap",
        request_id=1,
        uptime_centis=1,
        trap_oid="1.2",
        varbinds=[(oid, "OctetString", contents)],
    )


def octets(contents: bytes, oid: str) -> tuple[str | None, ...]:
    """What naming added to an OCTET STRING as the decoder reads it."""
    (varbind,) = decode_notification(trap_with(contents, oid)).varbinds
    return added(varbind.type, varbind.value, oid, varbind.encoding)


def test_instances_are_the_longest_known_object_and_the_rest() -> None:
    """Columns with their index, scalars with .0, and what has no instance by its bare name."""
    assert added("Integer32", 2, column(STATE))[0] == "state.7"
    assert added("Integer32", 2, column(STATE) + ".192.0.2.1")[0] == "state.7.192.0.2.1"
    assert added("Integer32", 2, "1.3.6.1.4.1.9999.2.0")[0] == "scalar.0"
    assert added("Integer32", 2, "1.3.6.1.4.1.9999.2")[0] == "scalar"


@pytest.mark.parametrize(
    "oid", ["1.3.6.1.4.1.9998.1.0", "1.3.6.1.4.1.9999.7", "1.3.6.1.4.1.9999.1.1.99.1", "1.3.6.1.4.1.99991.1", "0.0", "", "x"]
)  # fmt: skip
def test_what_no_object_covers_has_no_name(oid: str) -> None:
    """Neither what is unknown, nor what is only below a known branch; the binding is handed back as it is."""
    sent = Varbind(oid, "Integer32", 1)
    assert NAMES.varbind(sent) is sent


def test_numbers_have_labels_texts_and_units() -> None:
    """An enumeration's label, a hint's decimal point; a number that the enumeration lacks has none."""
    assert added("Integer32", 2, column(STATE)) == ("state.7", "down", None, None)
    assert added("Integer32", 3, column(STATE)) == ("state.7", None, None, None)
    assert added("Integer32", -1234, "1.3.6.1.4.1.9999.2.0") == ("scalar.0", None, "-12.34", "millivolts")
    assert added("Integer32", "ff", column(STATE), "hex") == ("state.7", None, None, None)
    assert added("noSuchInstance", None, column(STATE)) == ("state.7", None, None, None)
    assert added("Integer32", 5, column(MISSING)) == ("missing.7", None, None, None)


def test_octets_have_texts() -> None:
    """By convention, by hint; also octets that happen to be printable, whose value stays what it is."""
    assert octets(bytes.fromhex("02005e1000ff"), column(MAC)) == ("mac.7", None, "02:00:5e:10:00:ff", None)
    assert octets(b"ABCDEF", column(MAC)) == ("mac.7", None, "41:42:43:44:45:46", None)
    assert octets(bytes.fromhex("07ea030b0e2e1200"), column(TIME)) == ("time.7", None, "2026-03-11T14:46:18.0", None)
    assert octets(bytes(8), column(TIME)) == ("time.7", None, None, None)
    assert octets(bytes.fromhex("c0000201"), column(ADDRESS)) == ("address.7", None, "192.0.2.1", None)
    assert octets(b"plain", column(TEXT)) == ("text.7", None, None, None)
    assert octets(b"C string\0\0", column(TEXT)) == ("text.7", None, "C string", None)
    assert octets(b"\x1b[2J", column(TEXT)) == ("text.7", None, None, None)
    assert octets(b"\x01\x02", "1.3.6.1.4.1.9999.3.0") == ("plain.0", None, None, None)


def test_bits_have_labels() -> None:
    """Bit 0 is the highest of the first octet (RFC 3417 section 8); a bit without a name is its number."""
    assert octets(b"\x80\x40", column(BITS))[1] == "low,high"
    assert octets(b"\x01\x00", column(BITS))[1] == "7"
    assert octets(b"\x00", column(BITS))[1] is None
    assert octets(b"\xff" * (names.BITS_OCTETS_MAX + 1), column(BITS))[1] is None


def test_an_oid_that_is_a_value_has_the_name_of_what_it_points_at() -> None:
    """A notification, an identity, an object with its instance; wherever the binding itself is."""
    assert added("ObjectIdentifier", "1.3.6.1.4.1.9999.0.1", column(POINTER))[:2] == ("pointer.7", "testTrap")
    assert added("ObjectIdentifier", "1.3.6.1.4.1.9999", "1.5")[:2] == (None, "test")
    assert added("ObjectIdentifier", column(STATE), "1.5")[:2] == (None, "state.7")
    assert added("ObjectIdentifier", "1.5.6", column(POINTER))[:2] == ("pointer.7", None)


def test_notifications_have_names_and_other_nodes_are_none() -> None:
    """An identity's OID is no trap's name."""
    assert NAMES.notification("1.3.6.1.4.1.9999.0.1") == "testTrap"
    assert NAMES.notification("1.3.6.1.4.1.9999") is None
    assert NAMES.notification("1.3.6.1.4.1.9999.0.2") is None


def test_the_first_catalogue_is_right() -> None:
    """The operator's own before the standard one; they may even have other syntaxes under the same number."""
    other = Catalogue((Module("A", (Node("mine", "1.9", "scalar", 0),)),), (Syntax("INTEGER", "", "", {1: "eins"}),))
    both = Names([other, catalogue(Node("theirs", "1.9", "scalar", STATE), Node("more", "1.8", "scalar", STATE))])

    assert both.varbind(Varbind("1.9.0", "Integer32", 1)) == Varbind("1.9.0", "Integer32", 1, None, "mine.0", "eins")
    assert both.varbind(Varbind("1.8.0", "Integer32", 1)).label == "up"


def test_a_syntax_that_is_not_there_is_none() -> None:
    """An index out of range in a damaged catalogue costs the labels."""
    broken = Names([Catalogue((Module("A", (Node("x", "1.9", "scalar", 7),)),))])
    assert broken.varbind(Varbind("1.9.0", "Integer32", 1)) == Varbind("1.9.0", "Integer32", 1, None, "x.0")


def test_the_memory_of_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is emptied when full; long OIDs are named but not remembered."""
    monkeypatch.setattr(names, "FOUND_MAX", 3)
    small = Names([catalogue(Node("state", "1.9", "scalar", STATE))])
    for instance in range(10):
        for kind in ("Counter32", "Integer32"):
            assert small.varbind(Varbind(f"1.9.{instance}", kind, 1)).name == f"state.{instance}"
    long = "1.9" + ".4294967295" * 100
    assert small.varbind(Varbind(long, "Integer32", 1)).name == f"state{long[3:]}"
    assert 0 < len(small._found) <= 3
    assert long not in small._found


# --- In the decoder.


def trap(state: int = 2) -> bytes:
    """An SNMPv2c trap of the test module."""
    return encode_v2c(
        community=b"public",
        pdu="trap",
        request_id=1,
        uptime_centis=1,
        trap_oid="1.3.6.1.4.1.9999.0.1",
        varbinds=[(column(STATE), "Integer32", state), (column(VOLTS), "Counter64", 1234)],
    )


def test_notifications_are_decoded_with_names() -> None:
    """Bindings that are cached and bindings that are read anew, the first time and the second."""
    for _ in range(2):
        found = decode_notification(trap(), Limits(), NAMES)
        assert found.name == "testTrap"
        assert [(v.name, v.label, v.text) for v in found.varbinds] == [
            ("state.7", "down", None),
            ("volts.7", None, "12.34"),
        ]


def test_snmpv1_traps_have_names_too() -> None:
    """The translated trap OID, the sender's bindings, and those that RFC 3584 adds."""
    datagram = encode_v1(
        community=b"public",
        enterprise="1.3.6.1.4.1.9999",
        agent_addr="192.0.2.7",
        generic=6,
        specific=1,
        uptime_centis=1,
        varbinds=[(column(STATE), "Integer32", 1)],
    )
    found = decode_notification(datagram, Limits(), NAMES)
    assert found.name == "testTrap"
    assert [(v.name, v.label) for v in found.varbinds] == [("state.7", "up"), (None, None), (None, "test")]


def test_sets_of_names_never_share_a_cache() -> None:
    """Two receivers in one process, or one that has reloaded: each sees its own names, and without names there are none."""
    other = Names([catalogue(Node("renamed", column(STATE).removesuffix(".7"), "column", STATE))])
    for _ in range(2):
        found = [decode_notification(trap(), Limits(), each).varbinds[0].name for each in (None, NAMES, other)]
        assert found == [None, "state.7", "renamed.7"]


hints = st.text(alphabet="0123456789*xdoat-:.b", max_size=12)
any_syntax = st.builds(
    Syntax,
    st.sampled_from(("INTEGER", "OCTET STRING", "OBJECT IDENTIFIER", "BITS", "")),
    st.sampled_from(("", *names.SPECIAL)),
    hints,
    st.dictionaries(st.integers(-(2**63), 2**64), st.text(max_size=5), max_size=3),
)
any_varbind = st.builds(
    Varbind,
    st.sampled_from(("1.9", "1.9.0", "1.9.4294967295.1", "1.8", "", ".", "1..9")),
    st.sampled_from(("OctetString", "Integer32", "ObjectIdentifier", "Opaque", "Null", "tag-0x1f", "Counter64")),
    st.none() | st.integers(-(2**63), 2**64) | st.text() | st.binary(max_size=40).map(bytes.hex),
    st.sampled_from((None, "hex")),
)


@given(syntax=any_syntax, sent=any_varbind)
def test_naming_never_raises_and_never_changes_what_was_sent(syntax: Syntax, sent: Varbind) -> None:
    """Whatever a MIB says and whatever a device sends: OID, type, value and encoding come out as they went in."""
    hostile = Names([Catalogue((Module("X", (Node("x", "1.9", "column", 0),)),), (syntax,))])
    found = hostile.varbind(sent)
    assert (found.oid, found.type, found.value, found.encoding) == (sent.oid, sent.type, sent.value, sent.encoding)


@given(contents=st.binary(max_size=64), syntax=any_syntax)
def test_any_octets_can_be_named_and_sent_on(contents: bytes, syntax: Syntax) -> None:
    """What comes out of the decoder with names is JSON, and the same without the names as it would be without them."""
    hostile = Names([Catalogue((Module("X", (Node("x", "1.9", "column", 0),)),), (syntax,))])
    datagram = trap_with(contents, "1.9.1")
    (named,) = decode_notification(datagram, Limits(), hostile).varbinds
    (plain,) = decode_notification(datagram).varbinds
    assert msgspec.structs.replace(named, name=None, label=None, text=None, unit=None) == plain
    assert msgspec.json.decode(msgspec.json.encode(named), type=Varbind) == named
