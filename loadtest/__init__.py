"""Trap storms: a numbered, paced load on a trap receiver, and the proof of what became of every trap."""
