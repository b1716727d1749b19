#!/usr/bin/env python3
"""Writes the Grafana boards beside it: `python config/grafana/boards.py`. A test compares them with what it would write.

A board is a list of panels here, and some thousand lines of JSON there. What every panel must have (a title in both languages, a
description, the datasource by the board's variable) is seen to in one place.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "dashboards"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
SCHEMA_VERSION = 38  # Grafana 10 and later read it, and bring it up to date by themselves

GREEN, YELLOW, RED = "green", "yellow", "red"
GOOD_AT_1 = [(None, RED), (1, GREEN)]
BAD_FROM_1 = [(None, GREEN), (1, RED)]
UP = {0: ("停止 / down", RED), 1: ("稼働 / up", GREEN)}
YES = {0: ("いいえ / no", GREEN), 1: ("はい / yes", RED)}
POSTURE = {
    0: ("平常 / normal", GREEN),
    1: ("疑い / suspected", YELLOW),
    2: ("災害 / disaster", RED),
    3: ("復旧中 / recovering", "blue"),
}
LINE = {
    0: ("正常 / up", GREEN),
    1: ("品質低下 / degraded", YELLOW),
    2: ("断線 / down", RED),
    3: ("不明 / unknown", "blue"),
}

OF = 'instance=~"$instance"'
"""Of the netmons that are chosen above the board."""


def panel(
    kind: str,
    title: str,
    description: str,
    *queries: tuple[str, str],
    unit: str = "short",
    width: int = 8,
    height: int = 7,
    steps: list[tuple[float | None, str]] | None = None,
    words: dict[int, tuple[str, str]] | None = None,
) -> dict[str, Any]:
    """One panel without place and number; queries are pairs of PromQL and legend."""
    defaults: dict[str, Any] = {
        "unit": unit,
        "min": 0,
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": value, "color": color} for value, color in steps or [(None, GREEN)]],
        },
        "mappings": [_mapping(words)] if words else [],
    }
    if steps is None and words is None:
        defaults["color"] = {"mode": "palette-classic"}
    else:
        defaults["color"] = {"mode": "thresholds"}
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": DATASOURCE, "expr": expression, "legendFormat": legend}
            for number, (expression, legend) in enumerate(queries)
        ],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(kind),
        "gridPos": {"w": width, "h": height, "x": 0, "y": 0},
    }


def _mapping(words: dict[int, tuple[str, str]]) -> dict[str, Any]:
    options = {
        str(value): {"text": text, "color": color, "index": index}
        for index, (value, (text, color)) in enumerate(words.items())
    }
    return {"type": "value", "options": options}


def _options(kind: str) -> dict[str, Any]:
    if kind == "stat":
        calculation = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        return {"reduceOptions": calculation, "colorMode": "background", "graphMode": "area", "textMode": "auto"}
    if kind == "state-timeline":
        return {"mergeValues": True, "showValue": "auto", "legend": {"displayMode": "list", "placement": "bottom"}}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def stat(title: str, description: str, *queries: tuple[str, str], **more: Any) -> dict[str, Any]:
    """A figure."""
    return panel("stat", title, description, *queries, **{"width": 4, "height": 4, **more})


def graph(title: str, description: str, *queries: tuple[str, str], **more: Any) -> dict[str, Any]:
    """Figures over time."""
    return panel("timeseries", title, description, *queries, **more)


def row(title: str) -> dict[str, Any]:
    """A heading."""
    return {
        "type": "row",
        "title": title,
        "collapsed": False,
        "panels": [],
        "gridPos": {"w": COLUMNS, "h": 1, "x": 0, "y": 0},
    }


def placed(panels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Panels from left to right and from the top down, numbered."""
    x = y = tallest = 0
    for number, each in enumerate(panels, 1):
        place = each["gridPos"]
        if x + place["w"] > COLUMNS or each["type"] == "row":
            x, y, tallest = 0, y + tallest, 0
        place["x"], place["y"], each["id"] = x, y, number
        x, tallest = x + place["w"], max(tallest, place["h"])
    return panels


def board(uid: str, title: str, description: str, panels: list[dict[str, Any]]) -> dict[str, Any]:
    """A board that can be provisioned as it is: no inputs, no ID, a datasource to choose."""
    instance = {
        "name": "instance",
        "label": "netmon",
        "type": "query",
        "datasource": DATASOURCE,
        "query": "label_values(netmon_build_info, instance)",
        "definition": "label_values(netmon_build_info, instance)",
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }
    datasource = {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
    }
    return {
        "id": None,
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["netmon"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "15s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "templating": {"list": [datasource, instance]},
        "links": [
            {
                "type": "dashboards",
                "title": "netmon",
                "tags": ["netmon"],
                "icon": "dashboard",
                "tooltip": "",
                "asDropdown": False,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
            }
        ],
        "panels": placed(panels),
    }


INGEST = [
    stat("受信 / Received", "Datagrams that reached the sockets, a second.", (f"sum(receiver:netmon_trap_delivered:rate1m{{{OF}}})", "")),
    stat("保存 / Stored", "Notifications that Redis has, a second. Below received for long: a backlog grows.", (f"sum(receiver:netmon_trap_stored:rate1m{{{OF}}})", "")),
    stat("損失 (5分) / Lost, 5 min", "Gone without a trace in 5 minutes: dropped by the kernel, deleted or damaged unread. Should be 0.", (f"sum(receiver:netmon_trap_missing:increase5m{{{OF}}})", ""), steps=BAD_FROM_1),
    stat("収支 / Books", "Whether every captured datagram is accounted for.", (f"min(netmon_trap_ledger_balanced{{{OF}}})", ""), words={0: ("合わない / NOT balanced", RED), 1: ("一致 / balanced", GREEN)}),
    stat("未処理 / Backlog", "Datagrams in the journal that are not in Redis yet.", (f"sum(receiver:netmon_trap_in_flight:sum{{{OF}}})", ""), steps=[(None, GREEN), (10_000, YELLOW), (1_000_000, RED)]),
    stat("試験トラップ欠落 / Canary loss", "Share of our own numbered traps of the last 5 minutes that did not arrive: measured from outside.", (f"max(receiver:netmon_canary_loss:ratio{{{OF}}})", ""), unit="percentunit", steps=[(None, GREEN), (0.001, RED)]),
    row("流れ / Flow"),
    graph("受信と保存 / Received and stored", "Both should lie on each other; the gap between them waits in the journal.", (f"receiver:netmon_trap_delivered:rate1m{{{OF}}}", "受信 received {{receiver}}"), (f"receiver:netmon_trap_stored:rate1m{{{OF}}}", "保存 stored {{receiver}}"), unit="cps", width=12),
    graph("未処理 / Backlog", "Datagrams in the journal that wait for Redis. They are in order, and survive a power cut.", (f"receiver:netmon_trap_in_flight:sum{{{OF}}}", "{{receiver}}"), width=12),
    graph("受信から保存まで / From socket to Redis", "Half of all, and 99 of 100, were stored within this time.", (f"receiver:netmon_trap_store_latency_seconds:p50_5m{{{OF}}}", "50% {{receiver}}"), (f"receiver:netmon_trap_store_latency_seconds:p99_5m{{{OF}}}", "99% {{receiver}}"), unit="s"),
    graph("嵐の仕分け / Sorting in a storm", "What went first because it was new, and what waits because its source babbles. Nothing of it is lost.", (f"sum by (receiver) (rate(netmon_trap_express_sent_total{{{OF}}}[1m]))", "先行 express {{receiver}}"), (f'sum by (receiver) (netmon_trap_waiting{{{OF}, reason="shed"}})', "待機 waiting {{receiver}}")),
    graph("遅れて復号 / Decoded late", "What waited in the journal for a user, a key or the end of a storm, and has been decoded since.", (f"sum by (reason) (rate(netmon_trap_late_total{{{OF}}}[5m]))", "{{reason}}"), unit="cps"),
    row("損失の証拠 / Proof of loss"),
    graph("カーネルでの損失 / Dropped by the kernel", "The socket's queue was full, or a checksum wrong. The one place in the machine where a trap can be lost.", (f"sum by (receiver, lane) (rate(netmon_trap_kernel_drops_total{{{OF}}}[1m]))", "{{receiver}} {{lane}}"), unit="cps"),
    graph("受理しなかったもの / Not accepted", "By reason. The raw datagrams are in the rejects stream: netmon rejects.", (f"sum by (reason) (rate(netmon_trap_rejected_total{{{OF}}}[5m])) > 0", "{{reason}}"), unit="cps"),
    graph("保留 / Parked", "SNMPv3 that the configuration cannot read yet; it waits in the journal: netmon parked.", (f"sum by (reason) (netmon_trap_waiting{{{OF}}})", "{{reason}}")),
    graph("試験トラップの所要時間 / Canary latency", "From sent to seen in a stream, for 99 of 100, as a device and a consumer would see it.", (f"histogram_quantile(0.99, sum by (kind, le) (rate(netmon_canary_stored_latency_seconds_bucket{{{OF}}}[5m])))", "{{kind}}"), unit="s"),
    graph("INFORM", "Answered when stored; withheld while nothing can be stored, so that senders ask again.", (f"sum by (receiver) (rate(netmon_inform_answered_total{{{OF}}}[1m]))", "応答 answered {{receiver}}"), (f"sum by (receiver) (rate(netmon_inform_withheld_total{{{OF}}}[1m]))", "保留 withheld {{receiver}}"), unit="cps"),
    graph("受信バッファ / Socket queue", "Kernel memory of datagrams that wait, beside what there is room for.", (f"sum by (receiver, lane) (netmon_trap_socket_queue_bytes{{{OF}}})", "使用 used {{receiver}} {{lane}}"), (f"sum by (receiver, lane) (netmon_trap_receive_buffer_bytes{{{OF}}})", "上限 room {{receiver}} {{lane}}"), unit="bytes"),
    row("バッファ / Buffers"),
    graph("ジャーナルの未処理分 / Backlog in the journal", "Share of the journal's quota that the backlog takes, about. At 100% capture holds, and the kernel's queue fills.", (f"lane:netmon_journal_backlog:ratio{{{OF}}}", "{{receiver}} {{lane}}"), unit="percentunit"),
    graph("Redis のメモリー / Redis memory", "Of the streams, beside their budget.", (f"sum by (receiver, lane) (netmon_redis_stream_memory_bytes{{{OF}}})", "使用 used {{receiver}} {{lane}}"), (f"sum by (receiver, lane) (netmon_redis_stream_memory_max_bytes{{{OF}}})", "上限 budget {{receiver}} {{lane}}"), unit="bytes"),
    graph("fdatasync", "Mean time of one; what an INFORM waits for.", (f"sum by (receiver, lane) (rate(netmon_journal_sync_seconds_total{{{OF}}}[1m])) / sum by (receiver, lane) (rate(netmon_journal_syncs_total{{{OF}}}[1m]))", "{{receiver}} {{lane}}"), unit="s"),
]  # fmt: skip

ALARMS = [
    panel("state-timeline", "地域の状態 / Posture of areas", "Normal, suspected, disaster, recovering, by area code. `netmon posture` tells the evidence.", ("region:netmon_disaster_posture:max", "{{region}}"), words=POSTURE, width=16, height=8),
    stat("警報の洪水 / Flood", "More new alarms than a person can read (ISA-18.2). Begin with the causes.", ("max(netmon_alarms_flood)", ""), words=YES),
    stat("読むべき警報 / To read", "Alarms that stand and that no other alarm explains.", ("sum(netmon_alarms_roots)", ""), steps=[(None, GREEN), (1, YELLOW), (10, RED)]),
    stat("原因 / Causes", "Alarms that explain others.", ("sum(netmon_alarms_causes)", "")),
    stat("原因に含まれる / Explained", "Alarms that are grouped under a cause.", ("sum(netmon_alarms_explained)", "")),
    row("警報 / Alarms"),
    graph("重大度別 / By severity", "Alarms that stand, explained ones too.", ("severity:netmon_alarms_active:sum", "{{severity}}"), width=12),
    graph("変化 / Changes", "What became of alarms, a second.", ("kind:netmon_alarm_changes:rate1m > 0", "{{kind}}"), unit="cps", width=12),
    graph("発生と回復の反復・保留 / Flapping, shelved", "Flapping alarms are shown as one that stands; shelved ones come back by themselves.", ("sum(netmon_alarms_flapping)", "反復 flapping"), ("sum(netmon_alarms_shelved)", "保留 shelved")),
    graph("一覧の大きさ / Size of the list", "Alarms in the list, cleared ones too, until they are purged.", ("sum(netmon_alarms_listed)", "件 alarms")),
    graph("規則との照合 / What the rules made of it", "Unmatched: no rule knows the notification; `netmon rules` helps.", ("outcome:netmon_alarm_notifications:rate1m > 0", "{{outcome}}"), unit="cps"),
    row("地域と回線 / Areas and lines"),
    graph("地域別トラップ / Traps by area", "Notifications a second of the devices of each area. A multiple of what is usual makes a disaster suspected.", ("region:netmon_area_notifications:rate1m", "{{region}}"), unit="cps", width=12),
    graph("残り時間 / Time left", "Until batteries, disk or memory run out at the present pace. Empty: nothing is running out.", ("min by (kind) (netmon_forecast_seconds)", "{{kind}}"), unit="s", width=12),
    row("警報処理 / Alarm worker"),
    graph("遅れ / Lag", "How long the oldest notification has waited for the alarm worker.", (f"netmon_alarm_oldest_pending_seconds{{{OF}}}", "{{instance}}"), unit="s"),
    graph("未処理の通知 / Notifications waiting", "By kind of stream.", (f"sum by (stream) (netmon_alarm_lag_entries{{{OF}}})", "{{stream}}")),
    graph("書き込み / Writes", "Transactions that wrote alarms, and commands of operators, a second.", (f"sum(rate(netmon_alarm_flushes_total{{{OF}}}[1m]))", "書き込み flushes"), (f"sum(rate(netmon_alarm_commands_total{{{OF}}}[1m]))", "操作 commands"), unit="cps"),
]  # fmt: skip

LINES = [
    stat("断線 / Down", "Lines that are down, as the prober judges.", ('sum(state:netmon_lines:sum{state="down"})', ""), steps=BAD_FROM_1),
    stat("品質低下 / Degraded", "Lines with loss, long round trips, one direction, or vantages that disagree.", ('sum(state:netmon_lines:sum{state="degraded"})', ""), steps=[(None, GREEN), (1, YELLOW)]),
    stat("不明 / Unknown", "Lines of which nobody knows how they are: no live vantage asks over them.", ('sum(state:netmon_lines:sum{state="unknown"})', ""), steps=[(None, GREEN), (1, YELLOW)]),
    stat("正常 / Up", "Lines that are well.", ('sum(state:netmon_lines:sum{state="up"})', "")),
    stat("判定 / Judging", "Whether the process that judges the lines runs and reaches Redis.", (f"max(netmon_verdict_up{{{OF}}})", ""), words=UP),
    stat("止まった試験 / Not asked", "Lines that were not asked when it was their turn.", (f"sum(netmon_probe_stuck{{{OF}}})", ""), steps=BAD_FROM_1),
    panel("state-timeline", "回線の状態 / Lines", "The forty that are worst at each moment. `netmon lines` has all, with the evidence.", ("topk(40, line:netmon_line_state:code)", "{{line}}"), words=LINE, width=24, height=12),
    row("品質 / Quality"),
    graph("往復時間 50% / Round trip, half", "Half of the answers came within this time; the twenty slowest lines.", ("topk(20, line:netmon_probe_round_trip_seconds:p50_5m)", "{{line}} {{vantage}}"), unit="s"),
    graph("往復時間 99% / Round trip, 99 of 100", "99 of 100 answers came within this time; the twenty slowest lines.", ("topk(20, line:netmon_probe_round_trip_seconds:p99_5m)", "{{line}} {{vantage}}"), unit="s"),
    graph("損失 / Loss", "Share of the last window's probes, by the best probe of each line.", ("topk(20, max by (line) (netmon_line_loss_ratio))", "{{line}}"), unit="percentunit"),
    graph("揺らぎ / Variation", "Mean difference of the delays of neighbouring probes (RFC 3393).", ("topk(20, max by (line) (netmon_line_ipdv_seconds))", "{{line}}"), unit="s"),
    graph("今月の稼働率 / Availability this month", "By ITU-T Y.1540, of the minutes that could be judged; the twenty worst. `netmon lines report` has whole months.", ("bottomk(20, max by (line) (netmon_line_availability_ratio))", "{{line}}"), unit="percentunit"),
    graph("停止していた時間 / Down of the last hour", "Share of the last hour in which a line was down: how fast its month burns.", ("topk(20, line:netmon_line_state:down1h) > 0", "{{line}}"), unit="percentunit"),
    graph("変化 / Changes", "How often lines came to a state, in an hour.", ("sum by (state) (increase(netmon_line_changes_total[1h]))", "{{state}}")),
    row("観測点 / Vantages"),
    graph("孤立・無応答 / Cut off or silent", "1 while a vantage is cut off itself, or says nothing: its votes do not count.", ("max by (vantage) (netmon_vantage_isolated)", "孤立 isolated {{vantage}}"), ("max by (vantage) (netmon_vantage_silent)", "無応答 silent {{vantage}}")),
    graph("最後の報告から / Since it last spoke", "Every vantage speaks each second.", ("max by (vantage) (netmon_vantage_age_seconds)", "{{vantage}}"), unit="s"),
    graph("基準点 / Anchors", "What a vantage asks to know that it is not cut off itself, and how many of that answer.", (f"netmon_probe_anchors{{{OF}}}", "基準点 anchors {{vantage}}"), (f"netmon_probe_anchors_answering{{{OF}}}", "応答 answering {{vantage}}")),
    row("試験 / Probing"),
    graph("送信と応答 / Sent and answered", "Probes a second, and answers to them.", (f"sum by (vantage) (rate(netmon_probe_departed_total{{{OF}}}[1m]))", "送信 sent {{vantage}}"), (f"sum by (vantage) (rate(netmon_probe_replies_total{{{OF}}}[1m]))", "応答 answered {{vantage}}"), unit="cps"),
    graph("回線を通らない試験 / Not by their lines", "Probes that could not leave by their line, and answers that came in by another one. Should be 0.", (f"sum by (vantage) (increase(netmon_probe_local_errors_total{{{OF}}}[5m]))", "送信不可 local errors {{vantage}}"), (f"sum by (vantage) (increase(netmon_probe_wrong_interface_total{{{OF}}}[5m]))", "別の回線 wrong interface {{vantage}}")),
    graph("遅れ / Lag", "How late the prober itself was, and how long a vote takes to become a verdict.", (f"max by (vantage) (netmon_probe_loop_lag_seconds{{{OF}}})", "試験 prober {{vantage}}"), (f"max(netmon_verdict_lag_seconds{{{OF}}})", "判定 verdict"), unit="s"),
    graph("報告の新しさ / Age of reports", "Written each second, of many lines less often; older than 15 s, nothing of them is shown.", (f"netmon_probe_report_age_seconds{{{OF}}}", "試験 probe {{instance}}"), (f"netmon_verdict_report_age_seconds{{{OF}}}", "判定 verdict {{instance}}"), unit="s"),
]  # fmt: skip

FAILOVER = [
    stat("迂回先なし / No backup", "Groups that have to leave their line and have nowhere to go.", ('sum(phase:netmon_groups:sum{phase="NO_BACKUP"})', ""), steps=BAD_FROM_1),
    stat("送信停止 / Shed", "Groups that are nowhere, so that those that matter more have room.", ("sum(priority:netmon_class_shed_groups:max)", ""), steps=[(None, GREEN), (1, YELLOW)]),
    stat("予備回線で運用中 / Protecting", "Groups on a protection line.", ('sum(phase:netmon_groups:sum{phase=~"PROTECTING|DEGRADED|WTR|DNR"})', ""), steps=[(None, GREEN), (1, YELLOW)]),
    stat("現用回線で運用中 / At home", "Groups on their working line, and nothing to be done.", ('sum(phase:netmon_groups:sum{phase="NR"})', "")),
    stat("凍結 / Frozen", "Whether nothing moves by itself.", ("max(netmon_failover_frozen)", ""), words=YES),
    stat("制御 / Deciding", "Whether the controller runs and reaches Redis.", (f"max(netmon_failover_up{{{OF}}})", ""), words=UP),
    graph("群の状態 / Phases", "Protection groups by phase, without those that are at home.", ('phase:netmon_groups:sum{phase!="NR"} > 0', "{{phase}}"), width=12),
    graph("切替の理由 / Why traffic moved", "Switches of an hour, by reason.", ("reason:netmon_failover_total:increase1h > 0", "{{reason}}"), width=12),
    row("帯域 / Room"),
    graph("送信停止の帯域 / Shed", "Guaranteed rates of the groups that are nowhere.", ("priority:netmon_class_shed_bps:max", "{{priority}}"), unit="bps"),
    graph("割当済みの帯域 / Admitted", "Guaranteed rates of the groups that are on lines.", ("max by (priority) (netmon_class_admitted_bps)", "{{priority}}"), unit="bps"),
    graph("回線の余裕 / How full lines are", "Of what a line gives away, the share that is taken; the twenty fullest.", ("topk(20, line:netmon_line_admitted:ratio)", "{{line}}"), unit="percentunit"),
    row("切替 / Switches"),
    graph("所要時間 95% / How long, 95 of 100", "Finding out, waiting, deciding, acting, verifying: in the last hour.", ("step:netmon_failover_phase_seconds:p95_1h", "{{step}}"), unit="s"),
    graph("失敗 / Came to nothing", "Attempts whose traffic did not arrive, or that could not be made, in 15 minutes.", ("sum by (reason) (increase(netmon_failover_failed_total[15m]))", "{{reason}}")),
    graph("見送り / Not done", "Commands, orders and moves that were refused, in 15 minutes, by why.", ("sum by (reason) (increase(netmon_failover_refused_total[15m]))", "{{reason}}")),
    graph("切戻しまで / Until traffic returns", "Wait to restore, of each group.", ("max by (group) (netmon_wtr_remaining_seconds)", "{{group}}"), unit="s"),
    graph("断続の抑制 / Damping", "From 3000 on traffic does not return, until it is 750.", ("max by (group) (netmon_damping_penalty)", "{{group}}")),
    graph("操作 / Operators' requests", "In force. A lockout that is forgotten protects nobody.", ("max by (kind) (netmon_failover_requests)", "{{kind}}")),
    row("ゲートウェイ / Gateways"),
    graph("無応答・古い計画 / Silent, or behind", "Gateways with an agent that tell nothing, and those that act by an old plan.", ("max(netmon_gateways_silent)", "無応答 silent"), ("max(netmon_gateways_behind)", "古い計画 behind")),
    graph("拒否された指示 / Orders refused", "Because a gateway knew of a newer one. More than 0: two controllers have decided at once.", (f"sum(increase(netmon_fence_rejected_total{{{OF}}}[15m]))", "")),
    graph("制御の遅れ / Lag", "From news to the orders that follow, and the age of the controller's report.", (f"max(netmon_failover_lag_seconds{{{OF}}})", "遅れ lag"), (f"netmon_failover_report_age_seconds{{{OF}}}", "報告 report {{instance}}"), unit="s"),
]  # fmt: skip

SELF = [
    stat("netmon", "Which netmon runs where.", (f"netmon_build_info{{{OF}}}", "{{instance}} {{version}}"), width=6),
    stat("警報処理 / Alarm worker", "Whether it reports and reaches Redis.", (f"min(netmon_alarm_worker_up{{{OF}}})", ""), words=UP),
    stat("外部連携 / Northbound", "Whether the process that tells others runs and follows the alarms.", (f"min(netmon_northbound_up{{{OF}}})", ""), words=UP),
    stat("止まっているプロセス / Processes down", "Of all processes of netmon.", (f"count(netmon_process_up{{{OF}}} == 0) or vector(0)", ""), steps=BAD_FROM_1, width=5),
    stat("拒否された設定 / Refused configurations", "On SIGHUP, in the last hour. What was in force before goes on.", (f'sum(increase(netmon_supervisor_reloads_total{{{OF}, result="refused"}}[1h]))', ""), steps=BAD_FROM_1, width=5),
    row("外部連携 / Northbound"),
    graph("要求 / Requests", "By sink and outcome, a second. Refused: what we sent is wrong to them. Denied: we may not.", (f"sink:netmon_northbound_requests:rate5m{{{OF}}} > 0", "{{sink}} {{outcome}}"), unit="reqps"),
    graph("送信待ち / Queue", "Changes that each server has not taken yet.", (f"netmon_northbound_queue_entries{{{OF}}}", "{{sink}} {{member}}")),
    graph("最後の成功から / Since the last success", "Whoever is told regularly is below a minute.", (f"time() - (netmon_northbound_last_success_timestamp_seconds{{{OF}}} > 0)", "{{sink}} {{member}}"), unit="s"),
    graph("通知中の警報 / Alarms told", "What others hold as firing, and what they refuse to take.", (f"netmon_northbound_alerts{{{OF}}}", "通知中 told {{sink}}"), (f"netmon_northbound_alerts_refused{{{OF}}}", "拒否 refused {{sink}}")),
    graph("報告の新しさ / Age of reports", "Written each second; older than 15 s, nothing of them is shown.", (f"netmon_alarm_report_age_seconds{{{OF}}}", "警報 alarms"), (f"netmon_northbound_report_age_seconds{{{OF}}}", "外部連携 northbound"), unit="s"),
    graph("省いた警報 / Left out", "Alarms that had no room, in the list or on the way out. Should be 0.", (f"sum(increase(netmon_alarm_refused_total{{{OF}}}[15m]))", "一覧 list"), (f"sum(increase(netmon_northbound_left_out_total{{{OF}}}[15m]))", "外部連携 northbound")),
    row("プロセス / Processes"),
    graph("CPU", "Cores that each role uses.", (f"sum by (role) (rate(netmon_process_cpu_seconds_total{{{OF}}}[1m]))", "{{role}}"), unit="none"),
    graph("メモリー / Memory", "Resident, by role.", (f"sum by (role) (netmon_process_resident_memory_bytes{{{OF}}})", "{{role}}"), unit="bytes"),
    graph("再起動 / Restarts", "That nobody asked for, in 15 minutes. Nothing is lost by one; many mean something.", (f"sum by (role) (increase(netmon_process_restarts_total{{{OF}}}[15m]))", "{{role}}")),
    graph("鼓動の新しさ / Age of heartbeats", "Roles publish their counters twice a second.", (f"time() - (netmon_process_heartbeat_timestamp_seconds{{{OF}}} > 0)", "{{role}} {{lane}}"), unit="s"),
    graph("Redis", "Entries of the streams.", (f"sum by (stream) (netmon_redis_stream_entries{{{OF}}})", "{{stream}}")),
    graph("Redis の拒否 / Refused by Redis", "Batches that Redis did not take, by reason; they are sent again, in order.", (f"sum by (reason) (rate(netmon_redis_failures_total{{{OF}}}[5m])) > 0", "{{reason}}"), unit="cps"),
]  # fmt: skip

BOARDS = [
    board("netmon-ingest", "netmon 受信と損失 / Ingest and loss", "What arrives, where it is, and proof that none is lost.", INGEST),
    board("netmon-alarms", "netmon 回線・警報・災害 / Lines, alarms, posture", "What a person has to know, and where.", ALARMS),
    board("netmon-lines", "netmon 回線の状態と品質 / Lines", "Which lines are down or bad, and who says so.", LINES),
    board("netmon-failover", "netmon 通信の切替 / Failover", "Where traffic is, why, and what has no room.", FAILOVER),
    board("netmon-self", "netmon 外部連携と自身 / Northbound and self", "Whether others are told, and how netmon itself is.", SELF),
]  # fmt: skip


def text_of(made: dict[str, Any]) -> str:
    """The file of a board."""
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Writes all boards."""
    for made in BOARDS:
        (FOLDER / f"{made['uid']}.json").write_text(text_of(made), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
