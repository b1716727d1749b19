"""From a notification to what it says about alarms: rules, their files, and the standard ones."""
