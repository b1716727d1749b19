"""Where a rehearsal's stand-ins answer, and what its file may say."""

from __future__ import annotations

import ipaddress

import msgspec
import pytest

from netmon.active_probe.rehearsal import lines_by_address
from netmon.active_probe.rehearsed import (
    ANCHORS_MAX,
    LINES_MAX,
    Fault,
    Faults,
    RehearsalSettings,
    address_of,
    anchor_address_of,
    anchor_of,
    port_of,
    probe_of,
)

PLACE = "/var/lib/netmon"


def test_every_line_and_anchor_has_an_address_of_its_own() -> None:
    """All on the loopback, none in 127.0/16, where everything else listens."""
    addresses = [address_of(index, PLACE) for index in range(LINES_MAX)]
    addresses += [anchor_address_of(index, PLACE) for index in range(ANCHORS_MAX)]
    second = {address.split(".")[1] for address in addresses}

    assert len(set(addresses)) == LINES_MAX + ANCHORS_MAX
    assert all(ipaddress.ip_address(address).is_loopback for address in addresses[:: LINES_MAX // 100])
    assert len(second) == 1
    assert "0" not in second


def test_two_places_rehearse_side_by_side() -> None:
    """Another address or another port; both, as a rule."""
    other = "/var/lib/netmon-2"

    assert (address_of(0, PLACE), port_of(PLACE)) != (address_of(0, other), port_of(other))


def test_probes_go_where_the_stand_ins_answer() -> None:
    """The settings of the vantage and of the rehearsal come from the same functions."""
    probe, anchor = probe_of(300, PLACE), anchor_of(1, PLACE)

    assert (probe.address, probe.port) == (address_of(300, PLACE), port_of(PLACE))
    assert (anchor.address, anchor.port) == (anchor_address_of(1, PLACE), port_of(PLACE))


def test_an_anchor_has_no_name_by_which_a_fault_could_be_found() -> None:
    """So it always answers."""
    found = lines_by_address(RehearsalSettings(line_ids=("fibre", "radio"), file="", place=PLACE))
    names = list(found.values())

    assert (names[:2], set(names[2:]), len(names)) == (["fibre", "radio"], {""}, 2 + ANCHORS_MAX)
    assert found[ipaddress.ip_address(address_of(1, PLACE)).packed] == "radio"


def test_the_file_is_small_where_nothing_is_wrong() -> None:
    """Only what differs from a healthy line is written."""
    faults: Faults = {"fibre": Fault(cut=True), "radio": Fault(loss=0.25, delay_s=0.3)}

    assert msgspec.json.encode(faults) == b'{"fibre":{"cut":true},"radio":{"loss":0.25,"delay_s":0.3}}'
    assert msgspec.json.decode(msgspec.json.encode(faults), type=Faults) == faults


@pytest.mark.parametrize(
    "text", ['{"a":{"loss":1.5}}', '{"a":{"delay_s":-1}}', '{"a":{"delay_s":1e9}}', '{"a":{"cutt":true}}', "[]"]
)
def test_a_fault_that_is_none_is_refused(text: str) -> None:
    """Shares from 0 to 1, delays up to a limit, no word that nobody knows."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Faults)
