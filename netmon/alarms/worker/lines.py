"""What the prober says of lines and vantages, as alarms in two languages, with the evidence in words. Pure.

| change | alarm |
|---|---|
| a line is down | `line/<id>`, `line-down`, major: the same one that ports at its ends make (`netmon.alarms.lifecycle.causes`) |
| a line is degraded | `line/<id>`, `line-degraded`, minor; major when it has failed in one direction |
| a vantage is cut off | `vantage/<id>`, `vantage-isolated`, minor |
| a vantage says nothing any more | `vantage/<id>`, `vantage-silent`, minor; warning when it was stopped |

That nobody knows how a line is changes nothing of what stands. Times in texts are Japan Standard Time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

import msgspec

from netmon.active_probe.model import LineChange, LineStatus, Reason, TargetReading, VantageChange, Vote
from netmon.alarms.lifecycle.derived import line_name
from netmon.alarms.model import EventType, Evidence, Key, Observation, Place, Probed, Text
from netmon.alarms.rules.template import TEXT_LETTERS_MAX, plain
from netmon.inventory.topology import Topology

LINE_DEGRADED: Final = "line-degraded"
VANTAGE_ISOLATED: Final = "vantage-isolated"
VANTAGE_SILENT: Final = "vantage-silent"
VOTES_TOLD_MAX: Final = 3
"""Vantages whose evidence a text tells; of more, how many there are."""
LABELS_TOLD_MAX: Final = 2
WORD_LETTERS_MAX: Final = 60
"""Of a probe's label, and of what a far end has answered."""

_JST: Final = timezone(timedelta(hours=9))
_LAST_UNIX_S: Final = 253_402_000_000
_NOTHING: Final = Text("", "")
_DEGRADED: Final[dict[Reason, tuple[Text, str]]] = {
    "loss": (Text("Line {} loses packets", "回線「{}」でパケット損失が発生しています"), "degraded_signal"),
    "round_trip": (Text("Line {} is slow", "回線「{}」の往復時間が長くなっています"), "response_time_excessive"),
    "disagreement": (Text("Vantages disagree about line {}", "回線「{}」の判定が観測点の間で一致しません"), "degraded_signal"),
    "one_way": (
        Text(
            "Line {} answers no probes, but something still arrives over it: one direction has failed",
            "回線「{}」は試験に応答しませんが、受信は続いています。片方向の障害です",
        ),
        "loss_of_signal",
    ),
}  # fmt: skip
_DEGRADED_OTHERWISE: Final = (Text("Line {} is degraded", "回線「{}」の品質が低下しています"), "degraded_signal")
_WATCH: Final = Text(
    "See who uses the line for what cannot wait, and ask its carrier; it may fail altogether",
    "急を要する通信への影響を確認し、通信事業者に問い合わせてください。断線に至るおそれがあります",
)
_ONE_WAY: Final = Text(
    "Count it as down for whatever has to be commanded over it (sirens, pumps, signals), and ask its carrier. "
    "If all is well there, a filter may drop the probes",
    "サイレン、ポンプ、信号などの制御には使えないものとして扱い、通信事業者に確認してください。"
    "異常がなければ、試験パケットが遮断されていないか確認してください",
)
_ISOLATED: Final[dict[str, Text]] = {
    "no_anchor": Text("none of its anchors answers", "基準点のいずれからも応答がありません"),
    "cannot_send": Text("it cannot send probes", "試験パケットを送信できません"),
    "late": Text("its processor is too busy to be on time", "処理が追いついていません"),
}
_STOPPED: Final = "stopped"
_LOOK_AT_UPLINK: Final = Text(
    "Look at its own uplink, cables and routes. What it says of lines does not count until then",
    "観測点自身の上位回線、配線、経路を確認してください。復旧まで、この観測点の判定は使われません",
)
_LOOK_AT_PROBER: Final = Text(
    "See whether its prober runs, and reaches Redis; `netmon lines` tells which lines nobody judges meanwhile",
    "試験プロセスの動作とRedisへの接続を確認してください。判定できない回線は netmon lines で確認できます",
)


# --- Lines. ---


def probed_of(change: LineChange, evidence: Evidence, topology: Topology) -> Probed | None:
    """What the prober says about whether a line is down; None: it does not know."""
    if change.after == "unknown":
        return None
    text = _down_text(change.status, topology) if change.after == "down" else _NOTHING
    return Probed(state=change.after, unix_ns=_event_unix_ns(change), text=text, evidence=evidence)


def degraded_of(change: LineChange, evidence: Evidence, topology: Topology) -> Observation | None:
    """What it says about its quality; None: it does not know."""
    if change.after == "unknown":
        return None
    status = msgspec.structs.replace(change.status, state=change.after)
    return _quality(status, _event_unix_ns(change), evidence, topology)


def _quality(status: LineStatus, unix_ns: int, evidence: Evidence, topology: Topology) -> Observation:
    # Where vantages disagree, something arrives in any case: that alone is no failure in one direction.
    is_one_way = status.reason == "one_way"
    said, probable_cause = _DEGRADED.get(status.reason, _DEGRADED_OTHERWISE)
    name = line_name(topology, status.line_id)
    return Observation(
        key=Key(f"line/{status.line_id}", LINE_DEGRADED),
        cleared=status.state != "degraded",
        severity="major" if is_one_way else "minor",
        event_type="qualityOfServiceAlarm",
        probable_cause=probable_cause,
        text=_with_evidence(Text(said.en.format(name.en), said.ja.format(name.ja)), status, topology),
        action=_ONE_WAY if is_one_way else _WATCH,
        place=topology.place_of_line(status.line_id),
        event_unix_ns=unix_ns,
        trust="v3_auth_priv",
        evidence=evidence,
    )


def restated(status: LineStatus) -> LineChange:
    """How a line is, as if it were told again."""
    return LineChange(
        line_id=status.line_id,
        before="unknown",
        after=status.state,
        unix_ns=status.unix_ns,
        restated=True,
        status=status,
    )


def well(line_id: str, unix_ns: int, evidence: Evidence, topology: Topology) -> Observation:
    """Nothing is said against a line's quality any more."""
    status = LineStatus(line_id=line_id, state="up", since_unix_ns=unix_ns, unix_ns=unix_ns)
    return _quality(status, unix_ns, evidence, topology)


def _event_unix_ns(change: LineChange) -> int:
    """When it came to its state; or, when another reason is told of the same state, when that was found."""
    is_same = change.before == change.after and not change.restated
    return change.unix_ns if is_same else change.status.since_unix_ns


def _down_text(status: LineStatus, topology: Topology) -> Text:
    name = line_name(topology, status.line_id)
    return _with_evidence(Text(f"Line {name.en} is down", f"回線「{name.ja}」が断線しています"), status, topology)


def _with_evidence(said: Text, status: LineStatus, topology: Topology) -> Text:
    told = [*_of_votes(status.votes, topology), _since(status.since_unix_ns)]
    if status.one_way and status.state == "down":
        told.append(Text("in one direction it still works", "片方向はまだ届いています"))
    if status.heard_unix_ns:
        at = _clock(status.heard_unix_ns)
        told.append(Text(f"something last arrived over it at {at} JST", f"最終受信は{at}"))
    en, ja = "; ".join(text.en for text in told), "、".join(text.ja for text in told)
    return Text(plain(f"{said.en}: {en}", TEXT_LETTERS_MAX), plain(f"{said.ja}（{ja}）", TEXT_LETTERS_MAX))


def _of_votes(votes: Iterable[Vote], topology: Topology) -> Iterator[Text]:
    """The worst first."""
    order = {"down": 0, "degraded": 1, "up": 2, "unknown": 3}
    ranked = sorted(votes, key=lambda vote: (order[vote.state], vote.vantage_id))
    for vote in ranked[:VOTES_TOLD_MAX]:
        name, said = vantage_name(topology, vote.vantage_id), _of_vote(vote)
        yield Text(f"{name.en}: {said.en}", f"{name.ja}：{said.ja}")
    if (more := len(ranked) - VOTES_TOLD_MAX) > 0:
        yield Text(f"{more} more vantages", f"ほか{more}観測点")


def _of_vote(vote: Vote) -> Text:
    if vote.state == "up":
        return Text("answered", "応答あり")
    worst = max(vote.targets, key=lambda target: (target.state == vote.state, target.misses, target.loss), default=None)
    if vote.state == "unknown" or worst is None:
        return Text("cannot tell", "判定不能") if vote.state == "unknown" else Text(vote.state, vote.state)
    labels = ", ".join(plain(target.label, WORD_LETTERS_MAX) for target in vote.targets[:LABELS_TOLD_MAX])
    said = _of_target(worst, vote.reason)
    return Text(f"{said.en} ({labels})", f"{said.ja}（{labels}）")


def _of_target(target: TargetReading, reason: Reason) -> Text:
    """What a window shows, in the words of the reason for which it is bad."""
    percent = f"{100 * target.loss:.0f} %"
    if reason == "round_trip" and target.rtt_p50_s is not None and target.baseline_s is not None:
        now, usual = f"{1e3 * target.rtt_p50_s:.0f}", f"{1e3 * target.baseline_s:.0f}"
        return Text(f"round trip {now} ms, usually {usual} ms", f"往復{now}ミリ秒、平常{usual}ミリ秒")
    if reason == "bad_answer":
        detail = plain(target.detail, WORD_LETTERS_MAX) or "?"
        return Text(f"bad answers, {detail}", f"異常な応答、{detail}")
    if target.misses:
        return Text(
            f"{target.misses} in a row without an answer, {percent} of {target.sent} lost",
            f"連続{target.misses}回応答なし、{target.sent}回中の損失{percent}",
        )
    return Text(f"{percent} of {target.sent} lost", f"{target.sent}回中の損失{percent}")


# --- Vantages. ---


def vantage_name(topology: Topology, vantage_id: str) -> Text:
    """What people call a vantage; its ID if the region does not know it."""
    vantage = topology.vantages.get(vantage_id)
    return Text(vantage.name_en or vantage.name, vantage.name) if vantage else Text(vantage_id, vantage_id)


def vantage_said(change: VantageChange, evidence: Evidence, topology: Topology) -> list[Observation]:
    """What is said about a vantage: it is cut off, or silent, or neither."""
    name = vantage_name(topology, change.vantage_id)
    why = _ISOLATED.get(change.reason, _NOTHING)
    because = Text(f": {why.en}", f"（{why.ja}）") if why.en else _NOTHING
    isolated = Text(
        f"Vantage {name.en} is cut off itself{because.en}", f"観測点「{name.ja}」自身が孤立しています{because.ja}"
    )
    silent = Text(f"Vantage {name.en} says nothing any more", f"観測点「{name.ja}」からの報告が途絶えています")
    if change.reason == _STOPPED:
        silent = Text(f"Vantage {name.en} was stopped", f"観測点「{name.ja}」は停止されています")
    return [
        _of_vantage(change, evidence, topology, VANTAGE_ISOLATED, isolated, _LOOK_AT_UPLINK),
        _of_vantage(change, evidence, topology, VANTAGE_SILENT, silent, _LOOK_AT_PROBER),
    ]


def _of_vantage(
    change: VantageChange, evidence: Evidence, topology: Topology, alarm_type: str, text: Text, action: Text
) -> Observation:
    stands = change.after == {VANTAGE_ISOLATED: "isolated", VANTAGE_SILENT: "stale"}[alarm_type]
    event_type: EventType = "communicationsAlarm" if alarm_type == VANTAGE_ISOLATED else "processingErrorAlarm"
    vantage = topology.vantages.get(change.vantage_id)
    site = vantage.site_id if vantage else ""
    return Observation(
        key=Key(f"vantage/{change.vantage_id}", alarm_type),
        cleared=not stands,
        # Whoever has stopped it knows; a restart takes no more than a moment.
        severity="warning" if change.reason == _STOPPED else "minor",
        event_type=event_type,
        probable_cause="communications_subsystem_failure"
        if event_type == "communicationsAlarm"
        else "application_subsystem_failure",
        text=text,
        action=action,
        place=topology.place_of_site(site) if site else Place(),
        event_unix_ns=change.unix_ns,
        trust="v3_auth_priv",
        evidence=evidence,
    )


# --- Words. ---


def _since(unix_ns: int) -> Text:
    at = _clock(unix_ns)
    return Text(f"since {at} JST", f"{at}から")


def _clock(unix_ns: int) -> str:
    moment = datetime.fromtimestamp(min(max(unix_ns // 1_000_000_000, 0), _LAST_UNIX_S), UTC)
    return f"{moment.astimezone(_JST):%Y-%m-%d %H:%M:%S}"
