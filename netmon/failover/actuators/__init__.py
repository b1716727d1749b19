"""Ways to move traffic: one file each."""
