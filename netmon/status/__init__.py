"""How netmon itself is: readiness, metrics, and the HTTP server that shows both."""
