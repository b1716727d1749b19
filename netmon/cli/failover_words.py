"""What the words of failover mean, in English and Japanese: phases, reasons, refusals, what the audit tells.

Pure. The words themselves (`PROTECTING`, `signal_fail`) are shown as they are: they stand in alerts, metrics and the audit, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from netmon.cli.line_table import Language
from netmon.failover.model import Phase, RequestKind, SwitchReason
from netmon.failover.record import AuditKind, CommandKind
from netmon.failover.region.explain import Refusal
from netmon.inventory.model import FailoverMode

Words = tuple[str, str]
"""English, Japanese."""

PHASES: Final[dict[Phase, Words]] = {
    "NR": ("on its working line", "現用回線で運用中"),
    "SF_PENDING": ("its line has failed; not moved yet", "回線障害、まだ切り替えていません"),
    "PROTECTING": ("on a protection line", "予備回線で運用中"),
    "DEGRADED": ("its working line is degraded", "現用回線の品質低下"),
    "WTR": ("its working line is back; waits to return", "現用回線が復旧、切戻し待ち"),
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
    "forced": ("an operator forced it", "強制切替"),
    "manual": ("an operator moved it", "手動切替"),
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
    "lockout": ("locked out", "切替禁止"),
    "forced": ("forced", "強制切替"),
    "manual": ("moved", "手動切替"),
    "exercise": ("exercised", "切替試験"),
    "clear": ("cleared", "解除"),
    "freeze": ("frozen", "凍結"),
    "unfreeze": ("no longer frozen", "凍結解除"),
    "approve": ("approved", "承認"),
}
"""What has been done, when it was."""
REQUESTS: Final[Mapping[RequestKind, Words]] = {
    "lockout": ("lockout", "切替禁止"),
    "forced": ("forced switch", "強制切替"),
    "manual": ("manual switch", "手動切替"),
    "exercise": ("exercise", "切替試験"),
}
AUDITS: Final[dict[AuditKind, Words]] = {
    "lead": ("this controller leads from here on", "この制御装置が主系に"),
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
    "expired": ("an operator's command ran out", "操作の期限切れ"),
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
SHED: Final[Words] = ("nowhere (shed)", "送信停止")


def of(words: Words, language: Language) -> str:
    """In this language."""
    return words[1 if language == "ja" else 0]


def until(moment: str, language: Language) -> str:
    """Until when something lasts."""
    return f"{moment} まで" if language == "ja" else f"until {moment}"
