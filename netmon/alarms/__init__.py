"""From notifications to the few alarms that a person can act on: rules, lifecycle, causes, posture, and the worker."""
