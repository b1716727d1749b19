"""The process that reads the streams and keeps the alarms in Redis."""
