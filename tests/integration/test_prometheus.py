"""A real Prometheus scrapes a running netmon: every query of rules, alerts and boards runs, and names only what there is."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from netmon.snmp.encode import encode_v2c
from tests.integration.harness import REPOSITORY, Netmon
from tests.integration.monitoring import Alertmanager, Prometheus

RULES = sorted((REPOSITORY / "config" / "prometheus").glob("netmon.*.yml"))
BOARDS = sorted((REPOSITORY / "config" / "grafana" / "dashboards").glob("*.json"))
LINK_DOWN = "1.3.6.1.6.3.1.1.5.3"
SNMP_TRAP_ADDRESS = "1.3.6.1.6.3.18.1.3.0"
NAME = re.compile(r"\b(?:[a-z]+:netmon_[a-z0-9_]+:[a-z0-9_]+|netmon_[a-z_]+)\b")
VARIABLES = {"$instance": ".*", "$__rate_interval": "1m", "${datasource}": "prometheus"}
QUIET = frozenset(
    {
        "netmon_forecast_seconds",
        "netmon_line_availability_ratio",
        "netmon_wtr_remaining_seconds",
        "netmon_damping_penalty",
        "netmon_failover_refused_total",
        "netmon_failover_requests",
        "netmon_line_admitted",
    }
)
"""Metrics that have no samples while all is well, or before the first minute is over."""


def rules() -> list[dict[str, Any]]:
    """All recording and alerting rules."""
    files = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in RULES]
    return [rule for file in files if "groups" in file for group in file["groups"] for rule in group["rules"]]


def board_queries() -> list[str]:
    """All queries of all boards, with their variables filled in."""
    boards = [json.loads(file.read_text(encoding="utf-8")) for file in BOARDS]
    found = [target["expr"] for board in boards for panel in board["panels"] for target in panel.get("targets", [])]
    for name, value in VARIABLES.items():
        found = [query.replace(name, value) for query in found]
    return found


def link_down(address: str, port: int) -> bytes:
    """A linkDown of a device of the sample region, as a relay passes it on."""
    return encode_v2c(
        community=b"public",
        pdu="trap",
        request_id=port,
        uptime_centis=port,
        trap_oid=LINK_DOWN,
        varbinds=[(f"1.3.6.1.2.1.2.2.1.1.{port}", "Integer32", port), (SNMP_TRAP_ADDRESS, "IpAddress", address)],
    )


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> Iterator[Alertmanager]:
    """Where the alarms go."""
    with Alertmanager(tmp_path_factory.mktemp("alertmanager"), require_tool("prometheus-alertmanager")) as started:
        yield started


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, member: Alertmanager) -> Iterator[Netmon]:
    """A netmon with everything switched on, over the sample region; two ports of a router are down."""
    settings = {
        "region": {"file": str(REPOSITORY / "config" / "region.example.yml")},
        "probe": {"rehearsal": True},  # nobody answers at addresses for documents
        "receiver": {"trusted_relays": ["127.0.0.0/8"]},
        "alarms": {"enabled": True},
        "canary": {"enabled": True},
        "alertmanager": {"urls": [member.url]},
    }
    with Netmon(tmp_path_factory.mktemp("netmon"), settings) as netmon:
        netmon.send(link_down("192.0.2.1", port) for port in (1, 2))
        yield netmon


@pytest.fixture(scope="module")
def prometheus(
    running: Netmon, tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]
) -> Iterator[Prometheus]:
    """Our own configuration, but quicker, and aimed at that netmon; it has seen rules evaluated twice."""
    program = require_tool("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    settings = yaml.safe_load((REPOSITORY / "config" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    settings["global"] |= {"scrape_interval": "500ms", "evaluation_interval": "500ms", "scrape_timeout": "500ms"}
    settings["rule_files"] = [str(REPOSITORY / "config" / "prometheus" / name) for name in settings["rule_files"]]
    settings["alerting"] = {}
    settings["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{running.http_port}"]}]
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    with Prometheus(folder, program, config) as server:
        wanted = {rule["record"] for rule in rules() if "record" in rule}
        running.wait_until(lambda: wanted <= server.names(), 20.0, f"recorded: {wanted}")
        yield server


def test_every_query_runs_and_names_only_what_there_is(running: Netmon, prometheus: Prometheus) -> None:
    """A metric that was renamed, a label that nobody has, a slip of the pen: found here, not in a disaster."""
    offered = set(re.findall(r"^# TYPE (\S+) ", running.get("/metrics")[1], re.MULTILINE))
    offered |= {f"{name}{ending}" for name in offered for ending in ("_bucket", "_sum", "_count")}
    known = offered | {rule["record"] for rule in rules() if "record" in rule}
    queries = [*(rule["expr"] for rule in rules()), *board_queries()]
    # Boards leave out what is 0; here it has to be there.
    unfiltered = [query.replace(" > 0", "") for query in board_queries()]

    unknown = {name for query in queries for name in NAME.findall(query)} - known
    answers = {query: prometheus.query(query) for query in (*queries, *unfiltered)}

    assert unknown == set()
    silent = [query for query in unfiltered if not answers[query] and not QUIET & set(NAME.findall(query))]
    assert silent == []


def test_a_well_netmon_has_no_alerts(prometheus: Prometheus) -> None:
    """But for the watchdog; what fires for a moment while netmon starts has no time to tell anybody."""
    firing = {found["metric"]["alertname"] for found in prometheus.query('ALERTS{alertstate="firing"}')}

    assert firing == {"NetmonWatchdog"}


def test_a_line_that_is_down_is_an_alert_with_its_place(running: Netmon, member: Alertmanager) -> None:
    """From a trap on the wire by the region's lines to Alertmanager; the ports that it explains are no alerts."""
    resource = "line/fibre-hall-dc"
    running.wait_until(lambda: resource in member.alerts(), what="the line is an alert")

    running.wait_until(lambda: not any("interface" in name for name in member.alerts()), what="its ports are explained")
    labels = member.alerts()[resource]["labels"]
    assert [labels[name] for name in ("alertname", "severity", "region", "line", "source")] == [
        "LineDown",
        "critical",
        "042986",
        "fibre-hall-dc",
        "netmon",
    ]


def test_a_line_that_dies_silently_is_one_alarm_with_its_evidence(
    running: Netmon, member: Alertmanager, prometheus: Prometheus
) -> None:
    """Its far end answers no more, and no trap tells: netmon's own alert says who found out, and Prometheus has it, too."""
    line = "fibre-school"
    assert running.command_line("rehearse", line, "--cut").returncode == 0
    running.wait_until(lambda: f"line/{line}" in member.alerts(), what="the line is an alert")

    alert = member.alerts()[f"line/{line}"]
    assert alert["labels"]["alertname"] == "LineDown"
    assert "回応答なし" in alert["annotations"]["summary"]
    assert "netmon:line-changes" in alert["annotations"]["description"]
    firing = f'ALERTS{{alertname="NetmonLineDown", line="{line}", alertstate="firing"}}'
    running.wait_until(lambda: bool(prometheus.query(firing)), what="Prometheus has it")


def test_open_metrics_are_served_to_who_asks(running: Netmon, require_tool: Callable[[str], str]) -> None:
    """Both formats, told apart by their type, and each complete."""
    request = urllib.request.Request(f"http://127.0.0.1:{running.http_port}/metrics")
    request.add_header("Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
    with urllib.request.urlopen(request, timeout=5) as answer:
        kind, text = answer.headers["Content-Type"], answer.read().decode()
    plain = running.get("/metrics")[1]

    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert (text.endswith("# EOF\n"), "# EOF" in plain) == (True, False)
    assert (
        subprocess.run([require_tool("promtool"), "check", "metrics"], input=plain.encode(), check=False).returncode
        == 0
    )
