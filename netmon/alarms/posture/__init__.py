"""From alarms, rates, telegrams and declarations to the posture of an area, and what is about to run out."""
