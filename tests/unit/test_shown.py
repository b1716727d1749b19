"""What people and dashboards see: log lines, metrics, readiness, traps and ledgers."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from netmon import log, show
from netmon.canary import message
from netmon.model import LaneSettings, RedisSettings, TrapEvent, Varbind
from netmon.status import metrics
from netmon.status.health import LaneSample, ProcessSample, Snapshot, checks
from netmon.trap_receiver import ledger
from netmon.trap_receiver.ledger import LaneLedger

NOW_NS = 1_800_000_000_000_000_000
SECOND_NS = 1_000_000_000
SETTINGS = LaneSettings(
    receiver="trap1",
    lane=0,
    listen="[::]:1162",
    directory="/data/trap1/lane-0",
    redis=RedisSettings(url="redis://192.0.2.9"),
)


def empty_ledger(**changes: object) -> LaneLedger:
    """A ledger of a lane where nothing has happened, but that its roles live."""
    beats = dict.fromkeys(
        ("capture_heartbeat_unix_ns", "commit_heartbeat_unix_ns", "decode_heartbeat_unix_ns"), NOW_NS - SECOND_NS
    )
    return msgspec.structs.replace(ledger.read(Path("/nonexistent")), **{"redis_up": True, **beats, **changes})


def snapshot(found: LaneLedger, *, decode_pid: int | None = 12, embedded: str | None = None) -> Snapshot:
    """A tree of one lane."""
    decode = ProcessSample(role="decode", lane=0, pid=decode_pid, restarts=3, resident_bytes=1, cpu_seconds=0.5)
    return Snapshot(
        unix_ns=NOW_NS,
        lanes=(LaneSample(settings=SETTINGS, ledger=found, granted_bytes=4_096),),
        processes=(decode,),
        embedded=embedded,  # type: ignore[arg-type]
        reloads_applied=2,
        reloads_refused=1,
    )


def event(**changes: object) -> TrapEvent:
    """A linkDown with one varbind."""
    base = TrapEvent(
        seq=1,
        received_unix_ns=NOW_NS,
        event_unix_ns=NOW_NS,
        event_time_from="received",
        source="192.0.2.7",
        peer="192.0.2.7",
        peer_port=40_000,
        local="192.0.2.1",
        version="v2c",
        pdu="trap",
        trust="other",
        trap_oid="1.3.6.1.6.3.1.1.5.3",
        uptime_centis=1,
        varbinds=[Varbind("1.3.6.1.2.1.2.2.1.1.7", "Integer32", 7)],
        digest="0" * 16,
    )
    return msgspec.structs.replace(base, **changes)


# --- Log.


def test_secrets_are_never_logged() -> None:
    """By the name of the fact, and inside URLs."""
    facts = {"password": "a", "auth_key": "b", "communities": ["c"], "url": "redis://user:d@h/0", "key": "e", "lane": 0}
    assert log.redacted(facts) == {
        "password": "***",
        "auth_key": "***",
        "communities": "***",
        "url": "redis://user:***@h/0",
        "key": "e",
        "lane": 0,
    }


def test_a_password_without_user_is_found_in_a_url() -> None:
    """Redis URLs often have none."""
    assert log.redacted({"detail": "cannot reach redis://:hush@h:1/0"}) == {"detail": "cannot reach redis://:***@h:1/0"}


def test_repeats_are_held_back_and_counted() -> None:
    """One in ten seconds; the next one says how many there were."""
    limiter = log.RateLimiter()
    times = [0, 1, 2, 10, 11, 25]
    assert [limiter.admit("x", second * SECOND_NS) for second in times] == [0, None, None, 2, None, 1]


def test_the_limiter_forgets_the_oldest_key() -> None:
    """Its memory is bounded, whatever the keys are."""
    limiter = log.RateLimiter()
    for key in range(log.REPEAT_KEYS_MAX + 1):
        limiter.admit(key, 0)
    assert (limiter.admit(0, 1), limiter.admit(log.REPEAT_KEYS_MAX, 1)) == (0, None)


def test_json_lines_carry_event_level_and_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    """One object a line on standard error."""
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    log.set_up("info", "json", role="capture")
    log.log.debug("capture.detail_seen")
    log.log.warning("capture.write_failed", reason="disk_full", path=Path("/data"))
    line = json.loads(written.getvalue())
    del line["timestamp"]
    assert line == {
        "event": "capture.write_failed",
        "level": "warning",
        "role": "capture",
        "reason": "disk_full",
        "path": "/data",
    }


# --- Metrics.


@pytest.mark.parametrize("declared", metrics.DECLARED, ids=lambda declared: declared.name)
def test_metric_names_follow_the_rules(declared: metrics.Declared) -> None:
    """`netmon_<area>_<what>`; `_total` for counters and for nothing else; help is a sentence; labels are bounded."""
    assert re.fullmatch(
        r"netmon_(trap|journal|inform|redis|process|supervisor|build|canary|alarms?|area|disaster|forecast|northbound|probe|line|vantage|verdict|failover|group|class|wtr|damping|fence|lockout|plan|gateway|gateways|region)_[a-z_]+|netmon_(lines|groups|gateways)",
        declared.name,
    )
    assert declared.name.endswith("_total") == (declared.kind == "counter")
    assert declared.help.endswith(".")
    assert set(declared.labels) <= {
        "receiver",
        "lane",
        "listener",
        "role",
        "reason",
        "stream",
        "result",
        "version",
        "kind",
        "severity",
        "outcome",
        "region",
        "sink",
        "member",
        "line",
        "probe",
        "vantage",
        "state",
        "gateway",
        "group",
        "mode",
        "phase",
        "priority",
        "step",
        "way",
        "event",
    }


def test_every_metric_is_declared_once() -> None:
    """And all of them are served."""
    names = [declared.name for declared in metrics.DECLARED]
    served = [family.name for family in metrics.families(snapshot(empty_ledger()))]
    assert len(names) == len(set(names))
    assert sorted(served) == sorted(name.removesuffix("_total") for name in names)


def test_the_latency_histogram_is_cumulative() -> None:
    """The ledger counts each bucket apart; Prometheus wants sums."""
    counts = [0] * (len(ledger.LATENCY_BOUNDS_MS) + 1)
    counts[0], counts[2], counts[-1] = 5, 3, 1
    text = generate_latest(metrics.registry(lambda: snapshot(empty_ledger(latency_counts=counts)))).decode()
    (family,) = (f for f in text_string_to_metric_families(text) if f.name == "netmon_trap_store_latency_seconds")
    found = {sample.labels.get("le"): sample.value for sample in family.samples}
    assert (found["0.001"], found["0.005"], found["600.0"], found["+Inf"]) == (5, 8, 8, 9)


# --- Readiness.


def failing(found: Snapshot) -> dict[str, str]:
    """Name to state of the checks that are not ok; each of them must have a cure."""
    bad = [check for check in checks(found) if not check.ok]
    assert all(check.cure for check in bad)
    return {check.name: check.state for check in bad}


def test_a_healthy_tree_is_ready() -> None:
    """Nothing to say."""
    assert failing(snapshot(empty_ledger())) == {}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (snapshot(empty_ledger(), decode_pid=None), {"lane-0.process.decode": "not running, 3 restarts"}),
        (snapshot(empty_ledger(redis_up=False)), {"lane-0.redis": "unreachable"}),
        (snapshot(empty_ledger(), embedded="loading"), {"lane-0.redis": "unreachable"}),
        (snapshot(empty_ledger(held=True)), {"lane-0.journal": "held: disk or quota full, the kernel's queue fills"}),
        (
            snapshot(msgspec.structs.replace(empty_ledger(), commit_heartbeat_unix_ns=NOW_NS - 60 * SECOND_NS)),
            {"lane-0.heartbeat.commit": "60 s old"},
        ),
        (
            snapshot(msgspec.structs.replace(empty_ledger(), decode_heartbeat_unix_ns=0)),
            {"lane-0.heartbeat.decode": "none yet"},
        ),
    ],
)
def test_each_fault_is_named(found: Snapshot, expected: dict[str, str]) -> None:
    """With its state and a cure."""
    assert failing(found) == expected


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "in turn"),
        (
            {"shedding": True, "in_flight": 250_000},
            "shedding: 250000 behind; what is new goes first, who babbles waits",
        ),
        ({"waiting": {"shed": 7}}, "in turn; 7 shed in a storm are being decoded late"),
    ],
)
def test_a_receiver_that_sheds_is_ready_and_says_so(changes: dict[str, Any], state: str) -> None:
    """It takes everything: whoever takes it out of service makes it worse."""
    found = snapshot(msgspec.structs.replace(empty_ledger(), **changes))

    assert failing(found) == {}
    assert [check.state for check in checks(found) if check.name == "lane-0.order"] == [state]


def test_a_clock_that_was_set_back_is_no_fault() -> None:
    """A heartbeat from the future is fresh."""
    found = msgspec.structs.replace(empty_ledger(), capture_heartbeat_unix_ns=NOW_NS + 3_600 * SECOND_NS)
    assert failing(snapshot(found)) == {}


# --- The command line.


def test_a_trap_is_one_line() -> None:
    """Time, source, name, varbinds."""
    assert show.trap_line(event(), UTC).plain == (
        "2027-01-15 08:00:00.000  192.0.2.7        linkDown  1.3.6.1.2.1.2.2.1.1.7=7"
    )


def test_what_a_device_sends_cannot_drive_the_terminal() -> None:
    """Escape sequences, line ends and direction marks are shown, not obeyed."""
    nasty = Varbind("1.3.6", "OctetString", "a\x1b[2Jb\nc\u202ed")
    assert show.trap_line(event(varbinds=[nasty]), UTC).plain.endswith(r"  1.3.6=a\x1b[2Jb\nc\u202ed")


def test_names_are_shown_in_place_of_numbers() -> None:
    """Names and labels where a catalogue had them, the number beside its label, the unit behind its value."""
    varbinds = [
        Varbind("1.3.6.1.2.1.2.2.1.8.7", "Integer32", 2, None, "ifOperStatus.7", "down"),
        Varbind("1.3.6.1.2.1.2.2.1.6.7", "OctetString", "02005e1000ff", "hex", "ifPhysAddress.7", None, "02:00:5e:10:00:ff"),
        Varbind("1.4", "OctetString", "c0", "hex", "b.0", "one,two"),
        Varbind("1.5", "ObjectIdentifier", "1.3.6.1.6.3.1.1.5.3", None, None, "linkDown"),
        Varbind("1.6", "Gauge32", 5, None, "wait.0", None, None, "seconds"),
    ]  # fmt: skip
    assert show.trap_line(event(name="linkDown", trap_oid="1.2", varbinds=varbinds), UTC).plain.endswith(
        "  linkDown  ifOperStatus.7=down(2)  ifPhysAddress.7=02:00:5e:10:00:ff  b.0=one,two(0xc0)  1.5=linkDown"
        "  wait.0=5 seconds"
    )


def test_names_cannot_drive_the_terminal() -> None:
    """A catalogue, too, comes from somewhere."""
    nasty = Varbind("1.3", "Integer32", 1, None, "a\x1b", "b\x1b", "c\x1b", "d\x1b")
    line = show.trap_line(event(name="e\x1b", varbinds=[nasty]), UTC).plain
    assert line.endswith(r"  e\x1b  a\x1b=c\x1b d\x1b")


def test_long_traps_are_cut_and_say_so() -> None:
    """Hexadecimal is marked, long values end in an ellipsis, further varbinds are counted."""
    varbinds = [Varbind("1.3", "OctetString", "ab" * 50, "hex"), *[Varbind("1.4", "Null", None)] * 7]
    line = show.trap_line(event(varbinds=varbinds, pdu="inform", trap_oid="1.3.6.1.4.1.9"), UTC).plain
    assert line.endswith(f"1.3.6.1.4.1.9 (inform)  1.3=0x{'ab' * 29}a…{'  1.4=Null' * 5}  +2 more")


def test_a_trap_in_json_says_where_it_stands() -> None:
    """Stream and entry ID beside the event's own fields."""
    found = json.loads(show.trap_json("netmon:{trap1:0}:traps", "5-1", event()))
    assert (found["stream"], found["id"], found["seq"]) == ("netmon:{trap1:0}:traps", "5-1", 1)


@pytest.mark.parametrize(("difference", "expected"), [(0, "ok"), (3, "NOT: +3")])
def test_a_ledger_says_whether_it_balances(difference: int, expected: str) -> None:
    """The last row is the answer."""
    console = Console(file=io.StringIO(), width=200)
    console.print(show.ledger_table([(SETTINGS, empty_ledger(difference=difference))], NOW_NS))
    file = console.file
    assert isinstance(file, io.StringIO)
    assert expected in file.getvalue()


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "0 bytes"), (1_023, "1023 bytes"), (64 << 20, "64 MiB"), (3 << 29, "1.5 GiB")]
)
def test_sizes_are_for_people(count: int, expected: str) -> None:
    """The unit that a person would choose."""
    assert show.size(count) == expected


@pytest.mark.parametrize(
    ("age_s", "running", "expected"), [(1, True, ""), (3_600, False, "netmon is not running: counters of 20")]
)
def test_a_ledger_says_when_it_is_not_of_now(age_s: int, running: bool, expected: str) -> None:
    """The roles publish twice a second while they live; the counters of a netmon that is down stay readable."""
    console = Console(file=io.StringIO(), width=100)
    now_ns = NOW_NS + age_s * SECOND_NS
    console.print(show.ledger_table([(SETTINGS, empty_ledger())], now_ns))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert ("not running" in written, expected in written) == (not running, True)
    values = show.ledger_values(SETTINGS, empty_ledger(), now_ns)
    assert (values["running"], values["counters_unix_ns"]) == (running, NOW_NS - SECOND_NS)


def test_a_ledger_where_nothing_has_run_says_so() -> None:
    """Not a time of 1970."""
    console = Console(file=io.StringIO(), width=100)
    console.print(show.ledger_table([(SETTINGS, ledger.read(Path("/nonexistent")))], NOW_NS))
    assert "has never been here" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_line_shows_user_and_trust_of_snmpv3_only() -> None:
    """What is proved of the others is the same for all of them."""
    authentic = event(version="v3", user="monitor\x1b", trust="v3_auth_priv")
    assert "linkDown [monitor\\x1b v3_auth_priv]  1.3" in show.trap_line(authentic, UTC).plain
    assert "[" not in show.trap_line(event(trust="allow_listed"), UTC).plain


def test_canaries_have_names() -> None:
    """No MIB has them."""
    canary = event(trap_oid=message.TRAP_OID, varbinds=[Varbind(message.NUMBER_OID, "Counter64", 7)])
    assert show.trap_line(canary, UTC).plain.endswith("  canary  number=7")
