"""What goes to others, and comes from them: the sinks of alarms, and the feed of telegrams."""
