"""Failover: traffic moves to a line that shares no risk with the dead one, life safety first, and moves back slowly."""
