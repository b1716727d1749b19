"""The protection state machine: what one group does next.

Pure. After ITU-T G.8031 clause 11: the request of the greatest weight decides, and what a phase makes of it stands in one table. It is
level-triggered: each step compares what is with what should be, so that whatever message was lost, the next step puts it right. Stepping
again at the same time with the same view changes nothing and asks for nothing.
"""

from __future__ import annotations

from netmon.failover.model import Group, GroupState, Seen, Step


def initial(group: Group, now_ns: int) -> GroupState:
    """A group of which nothing is known: it is thought to be on its working line, until something is reported."""
    return GroupState(group_id=group.id, on=group.working, since_unix_ns=now_ns)


def step(group: Group, state: GroupState, seen: Seen, now_ns: int) -> Step:
    """What a group makes of what is seen now.

    Args:
        group: As configured; with the posture's timers, if it has changed them.
        state: What the step before has left, or `initial`; of another leader or another configuration, too.
        seen: The view. `result`, `approved` and `clear` are news, each given once; all else is how it is.
        now_ns: Since 1970 UTC; may have gone back since the step before.

    Returns:
        The state to keep (the same object, if nothing has changed); what to do, in this order; when to step again at the latest.
    """
    raise NotImplementedError
