"""What the audit and the controller say in a closed set of sentences, in the words of a person, in English or Japanese.

The audit is stored once, in English, with the words that alerts and metrics have. What an operator has written, and what no sentence
here fits, is shown as it stands. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from netmon.cli.failover_words import COMMANDS, LINE_STATES, PAGES, POSTURES, REFUSALS, Words, of
from netmon.cli.line_table import REASONS, Language
from netmon.failover.record import Audit

DRY_RUN: Final = "dry run: nothing was moved"
"""What an actuator tells that moves nothing."""

_DOMAINS: Final[Mapping[str, dict[Any, Words]]] = {
    "state": dict(LINE_STATES),
    "reason": dict(REASONS),
    "refusal": dict(REFUSALS),
    "posture": dict(POSTURES),
    "kind": dict(COMMANDS),
}
"""Named groups of the sentences whose value is a word of a closed set."""
_SENTENCES: Final = tuple(
    (re.compile(pattern), (english, japanese))
    for pattern, english, japanese in (
        # Evidence of decisions.
        (r"(?P<kind>lockout|forced|manual|exercise) by (?P<rest>.+)", "{kind} by {rest}", "{kind}（{rest}）"),
        (r"it was nowhere: no line had room for it", "it was nowhere: no line had room for it", "送信停止中だった（帯域のある回線なし）"),
        (r"(?P<line>\S+) avoids (?P<risks>.+)", "{line} avoids {risks}", "{line} は {risks} を避ける"),
        (r"(?P<line>\S+) shares (?P<risks>.+) with what has failed, and nothing better is left", "{line} shares {risks} with what has failed, and nothing better is left", "{line} は障害と {risks} を共有するが、より良い回線なし"),
        (r"classes of greater weight than (?P<weight>P\d) need the room on (?P<line>\S+)", "classes of greater weight than {weight} need the room on {line}", "{line} の帯域を {weight} より優先度の高い通信が必要とする"),
        (r"tried in vain: (?P<lines>.+)", "tried in vain: {lines}", "試したが疎通せず: {lines}"),
        (r"area (?P<area>\S+) is in posture (?P<posture>\w+)", "area {area} is in posture {posture}", "地域 {area} の態勢: {posture}"),
        (r"frozen by (?P<rest>.+)", "frozen by {rest}", "凍結中（{rest}）"),
        (r"(?P<lines>\d+) of (?P<known>\d+) lines in (?P<areas>\d+) areas failed within (?P<within>\d+) s, while (?P<live>\d+) of (?P<total>\d+) vantages are live", "{lines} of {known} lines in {areas} areas failed within {within} s, while {live} of {total} vantages are live", "{within} 秒間に {areas} 地域で {known} 回線中 {lines} 回線が断、観測点は {total} のうち {live} だけが稼働中"),
        (r"nobody has approved it in time", "nobody has approved it in time", "期限までに承認なし"),
        (r"the actuator told nothing", "the actuator told nothing", "切替装置から応答なし"),
        (r"its line died meanwhile", "its line died meanwhile", "その間に回線が断"),
        (r"(?P<line>\S+): (?P<refusal>[a-z_]+)", "{line}: {refusal}", "{line}: {refusal}"),
        # What has been done, and what is to be known of it.
        (
            r"exercise: would go to (?P<line>\S+)",
            "the exercise has found that it would go to {line}",
            "切替試験: {line} へ切り替えられます",
        ),
        (
            r"exercise: no line would take it: (?P<line>\S+): (?P<refusal>[a-z_]+)",
            "the exercise has found no line; {line}: {refusal}",
            "切替試験: 使える回線なし（{line}: {refusal}）",
        ),
        (
            r"exercise: no line would take it: (?P<refusals>.+)",
            "the exercise has found no line; {refusals}",
            "切替試験: 使える回線なし（{refusals}）",
        ),
        (
            r"room is made: (?P<groups>.+) (?P<has>has|have) to leave",
            "room is made: {groups} {has} to leave",
            "帯域を空けるため {groups} が移ります",
        ),
        (
            r"no room: (?P<used>\S+) of (?P<usable>\S+) Mbit/s(?:; (?P<groups>.+) (?P<are>is|are) there)?",
            "",
            "帯域不足: {used} / {usable} Mbit/s（使用中: {groups}）",
        ),
        (
            r"before its time: it was overruled, has failed, or another one took its place",
            "before its time: it was overruled, has failed, or another one took its place",
            "期限前に終了: より強い条件、失敗、または別の操作による",
        ),
        (r"(?P<rest>.+) is in force: clear it first", "{rest} is in force: clear it first", "先に解除が必要: {rest}"),
        (
            r"(?P<group>\S+) is (?P<rest>.+): only a group at rest is exercised",
            "{group} is {rest}: only a group at rest is exercised",
            "{group} は通常状態ではないため切替試験はできません",
        ),
        (r"it is over already", "it is over already", "すでに終了しています"),
        # Why a command is refused, and what to do about it.
        (r"nothing is frozen", "nothing is frozen", "凍結されていません"),
        (r"nothing is asked of (?P<group>\S+), and it waits for nothing", "nothing is asked of {group}, and it waits for nothing", "{group} には操作も待ちもありません"),
        (r"none needed", "nothing needs to be done", "何もする必要はありません"),
        (r"none needed, or wait until it comes to rest", "nothing needs to be done, or wait until it comes to rest", "何もする必要はありません（または落ち着くまで待ってください）"),
        (r"(?P<line>\S+) has failed: there is nothing to be gained", "{line} has failed, so there is nothing to be gained", "{line} は断線中のため切り替えても無駄です"),
        (r"(?P<line>\S+) is (?P<state>\w+): a manual switch needs a healthy line, a forced one does not", "{line} is {state}: a manual switch needs a healthy line, a forced one does not", "{line} は{state}: 手動切替には正常な回線が必要です（強制切替は可）"),
        (r"(?P<line>\S+) has failed, which overrules a manual switch: use a forced one", "{line} has failed, which overrules a manual switch: use a forced one", "{line} が断線中のため手動切替は無効です。強制切替を使ってください"),
        (r"(?P<line>\S+) is not proven or has no room now: a forced switch goes there all the same", "{line} is not proven or has no room now: a forced switch goes there all the same", "{line} は正常確認がないか帯域不足です（強制切替は可）"),
        (r"(?P<line>\S+) is locked out: clear that first", "{line} is locked out: clear that first", "{line} は使用禁止です。先に解除してください"),
        (r"posture is (?P<posture>\w+): exercises are for calm days", "posture is {posture}: exercises are for calm days", "態勢が{posture}のため切替試験はできません"),
        (r"(?P<group>\S+) is only observed \(mode: observe\): netmon moves nothing there", "{group} is only observed (mode: observe): netmon moves nothing there", "{group} は観測のみ (mode: observe) のため切り替えません"),
        (r"(?P<group>\S+) is in mode (?P<mode>\w+): only in mode advise is there anything to be approved", "{group} is in mode {mode}: only in mode advise is there anything to be approved", "{group} は mode: {mode} です。承認があるのは mode: advise だけです"),
        (r"no proposal (?P<number>\d+) of (?P<group>\S+) waits for approval", "no proposal {number} of {group} waits for approval", "{group} に承認待ちの提案 {number} はありません"),
        (r"look what is proposed now: netmon failover explain says it", "netmon failover explain says what is proposed now", "今の提案は netmon failover explain で分かります"),
        (r"netmon failover explain says how the group and its lines are", "netmon failover explain says how the group and its lines are", "通信と回線の状態は netmon failover explain で分かります"),
        (r"its end has passed", "its end has passed", "終了時刻を過ぎています"),
        (r"ask again, with an end that is to come", "ask again, with an end that is to come", "これからの終了時刻を指定してください"),
    )
)  # fmt: skip
_LINE: Final = re.compile(
    r"(?P<line>\S+) is (?P<state>up|degraded|down|unknown)(?P<one>, one-way)?(?: for (?P<age>[\d.]+) s)?(?: \((?P<reason>\w+)\))?"
    r"(?P<whose>, as the verdict has it|, as its gateway sees it|, as traps say)?(?:, proven (?P<proven>[\d.]+) s ago)?"
)
_WHOSE: Final = {"verdict": "判定", "gateway": "ゲートウェイ", "traps": "トラップ"}


def told(text: str, language: Language) -> str:
    """A sentence of netmon's own; any other text as it is."""
    if found := _LINE.fullmatch(text):
        return _line(found, language)
    for pattern, words in _SENTENCES:
        if found := pattern.fullmatch(text):
            values = {name: _word(name, value, language) for name, value in found.groupdict("-").items()}
            return of(words, language).format(**values) or text
    return text


def sentence(*parts: str, language: Language) -> str:
    """What is told of a refusal: why, and what to do about it; parts may be empty."""
    return ("。" if language == "ja" else "; ").join(told(part, language) for part in parts if part)


def why(audit: Audit, language: Language) -> str:
    """What is told of an entry besides its evidence: an operator's own words, or netmon's."""
    if audit.page:
        found = of(PAGES[audit.page], language) if audit.page in PAGES else audit.page
        return "; ".join(filter(None, (f"{found}: {audit.to}" if audit.to else found, audit.why)))
    return audit.why if audit.command else told(audit.why, language)


def _line(found: re.Match[str], language: Language) -> str:
    """How a line was seen."""
    reason = _word("reason", found["reason"], language) if found["reason"] else ""
    if language == "en":
        return found[0].replace(f"({found['reason']})", f"({reason})") if reason else found[0]
    whose = next((japanese for name, japanese in _WHOSE.items() if name in (found["whose"] or "")), "")
    parts = (
        f"{_word('state', found['state'], language)}{'（片方向）' if found['one'] else ''}",
        reason,
        f"{found['age']} 秒前から" if found["age"] else "",
        f"{whose}による" if whose else "",
        f"{found['proven']} 秒前に正常確認" if found["proven"] else "",
    )
    return f"{found['line']}: {'、'.join(filter(None, parts))}"


def _word(domain: str, value: str, language: Language) -> str:
    if domain == "refusals":
        return ", ".join(told(each, language) for each in value.split(", "))
    words = _DOMAINS.get(domain, {}).get(value)
    return value if words is None else of(words, language)
