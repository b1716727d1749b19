"""What becomes of alarms: raised, cleared, flapping, operated, explained by each other, too many."""
