"""A disaster over a region: what breaks, what devices say of it, and which alarms and causes must come of it."""
