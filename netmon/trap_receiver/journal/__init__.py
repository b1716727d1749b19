"""The journal: what a lane has received, as it came: segment files, marks beside them, and who writes and looks at them."""
