"""What the words of failover mean, in English and Japanese: phases, reasons, refusals, what the audit tells.

Pure. The words themselves (`PROTECTING`, `signal_fail`) are shown as they are: they stand in alerts, metrics and the audit, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from netmon.cli.line_table import Language
from netmon.failover.model import Phase, SwitchReason
from netmon.failover.record import AuditKind, CommandKind
from netmon.failover.region.explain import Refusal
from netmon.inventory.model import FailoverMode

Words = tuple[str, str]
"""English, Japanese."""

PHASES: Final[dict[Phase, Words]] = {
    "NR": ("at rest on its working line", "現用回線で通常運用中"),
    "SF_PENDING": ("its line has failed: not moved yet", "回線障害、まだ切り替えていません"),
    "PROTECTING": ("on a protection line", "予備回線で運用中"),
    "DEGRADED": ("its working line is degraded", "現用回線の品質低下"),
    "WTR": ("its working line is good: waits to return", "現用回線は正常、切戻し待ち"),
    "DNR": ("stays until an operator lets it return", "切戻しは運用者の指示待ち"),
    "FS": ("forced by an operator", "運用者による強制切替"),
    "MS": ("moved by an operator", "運用者による手動切替"),
    "LO": ("locked out by an operator", "運用者による切替禁止"),
    "EXER": ("exercised by an operator", "運用者による切替試験"),
    "NO_BACKUP": ("it has to leave its line, and no other will do", "迂回できる回線なし"),
    "FROZEN": ("frozen: nothing moves by itself", "凍結中（自動切替なし）"),
}
REASONS: Final[dict[SwitchReason, Words]] = {
    "": ("", ""),
    "signal_fail": ("its line had failed", "回線障害"),
    "signal_degrade": ("its line was degraded", "回線の品質低下"),
    "preempted": ("a class of greater weight needed the room", "優先度の高い通信に帯域を譲った"),
    "admitted": ("there was room again", "帯域が空いた"),
    "better": ("another protection line had become better", "より良い予備回線へ"),
    "revert": ("its working line was good again", "現用回線へ切戻し"),
    "forced": ("an operator had forced it", "強制切替による"),
    "manual": ("an operator had moved it", "手動切替による"),
    "cleared": ("an operator's command had ended", "操作の解除"),
    "verify_failed": ("the line before did not carry it", "前の候補で疎通しなかった"),
    "edge": ("its gateway moved it by its plan", "ゲートウェイが計画に従って切替"),
    "reconcile": ("it was not where it should be", "あるべき回線に戻した"),
}
REFUSALS: Final[dict[Refusal, Words]] = {
    "": ("may be used", "使用可"),
    "working": ("its working line", "現用回線"),
    "down": ("it is down", "断線"),
    "one_way": ("one direction has failed, and the class needs both", "片方向障害（双方向が必要）"),
    "unknown": ("nobody knows how it is", "状態不明"),
    "unproven": ("it was not shown to be good of late", "最近の正常確認なし"),
    "locked_out": ("an operator has locked it out", "運用者が使用を禁止"),
    "degraded": ("it is degraded", "品質低下"),
    "no_room": ("it has no room for the class", "帯域不足"),
    "shared_risk": (
        "it shares a risk with what has failed, and another one does not",
        "障害とリスクを共有（他に共有しない回線あり）",
    ),
    "tried": ("it was tried, and did not carry the class", "試したが疎通せず"),
    "small_line": ("too small for this class in a disaster", "災害時は使えない細い回線"),
}
COMMANDS: Final[dict[CommandKind, Words]] = {
    "lockout": ("lockout", "切替禁止"),
    "forced": ("forced switch", "強制切替"),
    "manual": ("manual switch", "手動切替"),
    "exercise": ("exercise", "切替試験"),
    "clear": ("clear", "操作の解除"),
    "freeze": ("freeze", "凍結"),
    "unfreeze": ("unfreeze", "凍結解除"),
    "approve": ("approval", "承認"),
}
"""What operators want: the same word while it waits, is in force, was refused, or has ended."""
OUTCOMES: Final[Mapping[Literal["", "done", "refused"], Words]] = {
    "": ("", ""),
    "done": ("accepted", "受付"),
    "refused": ("refused", "拒否"),
}
"""What becomes of that."""
AUDITS: Final[dict[AuditKind, Words]] = {
    "lead": ("another controller leads from here on", "主系の制御装置が交代"),
    "proposed": ("would be moved, if it is approved", "承認されれば切替"),
    "intent": ("is going to be ordered", "指示"),
    "applied": ("has been done", "実施済み"),
    "verified": ("its traffic arrives", "疎通を確認"),
    "failed": ("came to nothing", "失敗"),
    "refused": ("was refused", "拒否"),
    "unreachable": ("cannot be told now", "連絡不能"),
    "abandoned": ("is void", "取消し"),
    "adopted": ("the gateway had moved it", "ゲートウェイが切替済み"),
    "command": ("an operator", "運用者の操作"),
    "expired": ("an operator's command has ended", "運用者の操作が終了"),
    "freeze": ("nothing moves by itself", "凍結"),
    "unfreeze": ("no longer frozen", "凍結解除"),
    "page": ("people are told", "呼出し"),
}
TIMERS: Final[dict[str, Words]] = {
    "hold_off": ("hold-off: it leaves its line", "ホールドオフ：切替"),
    "wtr": ("wait to restore: it returns", "切戻し待ち：切戻し"),
    "wtb": ("wait to block: it returns", "解除後の待ち：切戻し"),
    "retry": ("all lines are tried again", "再試行"),
    "guard": ("guard: what is said of lines counts again", "ガード：回線の判定が有効に"),
    "better": ("it goes to a line that is better", "より良い回線へ切替"),
    "attempt": ("the attempt is given up", "切替の時間切れ"),
    "approval": ("the proposal is void", "承認の期限"),
    "damping": ("damping ends: it may return", "抑制の終わり"),
    "request": ("the operator's command ends", "操作の期限"),
    "lockout_age": ("people are told that it is still locked out", "切替禁止が続いていることを知らせる"),
}
PROPOSED: Final[Mapping[FailoverMode, Words]] = {
    "observe": ("only observed, so it stays", "観測のみのため切り替えません"),
    "advise": ("waits for approval", "承認待ち"),
    "act": ("proposed", "提案"),
}
"""What a proposal waits for, by the mode of its group."""
STAGES: Final[Mapping[str, Words]] = {
    "ordered": ("ordered", "指示済み"),
    "applied": ("done, not verified yet", "実施済み、疎通確認中"),
    "refused": ("refused, told again soon", "拒否、再指示待ち"),
}
"""How far a switch is that is under way."""
PAGES: Final[Mapping[str, Words]] = {
    "no_backup": ("no other line will do", "迂回できる回線なし"),
    "verify_failed": ("the line does not carry it", "切替先で疎通せず"),
    "lockout_age": ("it is still locked out", "切替禁止が続いています"),
    "exercise_well": ("the exercise has found a line that would do", "切替試験: 使える回線あり"),
    "exercise_no_target": ("the exercise has found no line that would do", "切替試験: 使える回線なし"),
}
"""Why people are told."""
LINE_STATES: Final[Mapping[str, Words]] = {
    "up": ("up", "正常"),
    "degraded": ("degraded", "品質低下"),
    "down": ("down", "断線"),
    "unknown": ("unknown", "不明"),
    "one-way": ("one-way", "片方向"),
}
WHOSE: Final[Mapping[str, Words]] = {
    "nobody": ("nobody", "なし"),
    "verdict": ("verdict", "判定"),
    "gateway": ("gateway", "ゲートウェイ"),
    "trap": ("trap", "トラップ"),
}
"""Whose word it is how a line is."""
POSTURES: Final[Mapping[str, Words]] = {
    "normal": ("normal", "平常"),
    "suspected": ("suspected", "災害の疑い"),
    "disaster": ("disaster", "災害"),
    "recovering": ("recovering", "復旧中"),
}
MODES: Final[Mapping[FailoverMode, Words]] = {
    "observe": ("observe", "観測のみ"),
    "advise": ("advise", "承認制"),
    "act": ("act", "自動"),
}
BRIEFLY: Final[dict[SwitchReason, Words]] = {
    "": ("", ""),
    "signal_fail": ("failed", "障害"),
    "signal_degrade": ("degraded", "品質低下"),
    "preempted": ("makes room", "帯域を譲る"),
    "admitted": ("room again", "帯域回復"),
    "better": ("better line", "より良い回線"),
    "revert": ("returns", "切戻し"),
    "forced": ("forced", "強制"),
    "manual": ("moved", "手動"),
    "cleared": ("cleared", "解除"),
    "verify_failed": ("next line", "次の候補"),
    "edge": ("by plan", "計画"),
    "reconcile": ("put right", "修正"),
}
"""Reasons in a column of a table."""
REHEARSAL: Final[Words] = ("a rehearsal: nothing real is moved", "予行: 実際の通信は切り替わりません")
DISABLED: Final[Words] = ("failover.enabled is false: nobody decides", "failover.enabled が false のため切り替えません")
STANDS_STILL: Final[Words] = (
    "no controller leads: what is shown does not change, and commands wait",
    "制御装置なし: 表示は変わらず、操作は待ちます",
)
NOT_MOVED: Final[Words] = (
    "it would be there now; a dry run, nothing was moved",
    "予行のため実際には切り替えていません",
)
AT_REST: Final[Words] = ("at rest", "通常")
NOWHERE: Final[Words] = ("shed", "送信停止")
LEADS: Final[Words] = ("a controller leads", "制御装置が稼働中")
NOBODY_LEADS: Final[Words] = ("no controller leads", "制御装置なし")
UNTIL_LIFTED: Final[Words] = ("until it is lifted", "解除まで")
SHED: Final[Words] = ("nowhere (shed)", "送信停止")


def of(words: Words, language: Language) -> str:
    """In this language."""
    return words[1 if language == "ja" else 0]


def until(moment: str, language: Language) -> str:
    """Until when something lasts."""
    return f"{moment} まで" if language == "ja" else f"until {moment}"
