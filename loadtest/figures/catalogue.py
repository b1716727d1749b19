"""The figures that netmon promises: each with its bar, and what measures it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from loadtest.figures import alarms, deciding, decoding, earthquakes, failovers, icmp, lines, probing, receiver
from loadtest.figures.outcome import Outcome


class Figure(msgspec.Struct, frozen=True):
    """One line of the promise."""

    title: str
    bar: str
    measure: Callable[[Path, bool], Outcome]
    """Takes the folder to work in, and whether a short look is enough; a short look proves nothing."""


FIGURES: Final[dict[str, Figure]] = {
    "burst": Figure(
        "burst: 1,000,000 v2c traps (178 bytes, 7 varbinds) into capture",
        "at ≥ 300,000/s: 0 lost, ledger balances",
        receiver.burst,
    ),
    "sustained": Figure(
        "end to end, socket → decoded → acknowledged by Redis, 2 minutes",
        "≥ 60,000/s, 0 lost, backlog not growing",
        receiver.sustained,
    ),
    "cpu": Figure(
        "CPU per trap against snmptrapd printing to a file and pysnmp, same run",
        "≤ 1/3 of snmptrapd, ≤ 1/40 of pysnmp",
        receiver.cpu,
    ),
    "latency": Figure("socket → readable in the stream at 5,000/s", "p99 ≤ 20 ms", receiver.latency),
    "memory": Figure(
        "memory of each role, 5,000,000 traps with Redis away for the middle third",
        "flat, ≤ 150 MB each; drains by itself, in order",
        receiver.memory,
    ),
    "v3": Figure(
        "SNMPv3 authPriv (SHA-256, AES-128) TRAPs from 1,000 engines, decode to stream, one core",
        "≥ 20,000/s; ≥ 20 times pysnmp in the same run",
        decoding.snmpv3,
    ),
    "names": Figure(
        "SNMPv2c with names and enumerations resolved, against the same without",
        "≥ 80 % of the rate",
        decoding.names,
    ),
    "first": Figure(
        "first-occurrence trap during a backlog of 2,000,000",
        "in the stream ≤ 1 s after it arrives",
        decoding.first,
    ),
    "replay": Figure("replay", "≥ 50,000 traps/s", decoding.replay),
    "alarm-repeats": Figure(
        "stream entry → alarm state written, repeats, one worker", "≥ 30,000 notifications/s", alarms.repeats
    ),
    "alarm-raises": Figure("the same, each a new alarm", "≥ 5,000 alarms/s", alarms.raises),
    "alarm-api": Figure("trap on the wire → alarm readable over the API at 2,000/s", "p99 ≤ 100 ms", alarms.to_api),
    "alarm-restart": Figure(
        "restart of the alarm worker with 50,000 active alarms", "≤ 2 s until it works again", alarms.restart
    ),
    "earthquake": Figure(
        "1,000,000-trap earthquake over the sample region, scaled to 2,000 devices",
        "ends with the exact alarms that the scenario implies, grouped under its true causes",
        earthquakes.earthquake,
    ),
    "line-cut": Figure(
        "silent cut at the far end → line told to be down: profile fast (50 ms, three misses), and the default of a wired line",
        "fast: p95 ≤ 220 ms; wired: ≤ 2 s",
        lines.cut,
    ),
    "line-calm": Figure(
        "false downs of 40 healthy lines in 10 minutes while both cores are busy with something else",
        "0",
        lines.calm,
    ),
    "probe-rate": Figure(
        "lines asked at 1 Hz by one process on one core, half of them by sockets of their own",
        "≥ 10,000/s, 0 lost by itself, RTT error against the kernel's stamps p99 ≤ 1 ms",
        probing.rate,
    ),
    "icmp-peers": Figure(
        "CPU for 1,000 ICMP targets at 1 Hz against blackbox_exporter and fping, same run",
        "≤ 1/2 of blackbox_exporter",
        icmp.peers,
    ),
    "failover-edge": Figure(
        "outage of a 1 kHz UDP flow whose line is cut without a word; the gateway acts by its plan (fast profile, ≥ 30 cuts)",
        "median ≤ 180 ms, p95 ≤ 250 ms",
        failovers.edge,
    ),
    "failover-centre": Figure(
        "the same, cuts that only the centre sees: prober, verdict, controller, MQTT, route of the gateway, verified",
        "p95 ≤ 1 s with the fast profile, ≤ 3 s with that of fibre",
        failovers.centre,
    ),
    "failover-flap": Figure(
        "switches of a class whose line is cut and mended every 20 s for 10 minutes",
        "≤ 2",
        failovers.flap,
    ),
    "failover-decide": Figure(
        "decision over 1,000 lines, 10,000 gateways and 40,000 groups after a regional cut of a tenth of the lines",
        "≤ 200 ms from the last verdict to all orders",
        deciding.decide,
    ),
}
"""Every figure by its name in `--only`, in the order in which they run."""
