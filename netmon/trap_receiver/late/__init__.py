"""Out of turn: what waited in the journal is decoded later, by the role `late` or by a replay, and goes to the late stream."""
