"""The canary: numbered notifications to our own listeners, looked for in the stream, independent of the ledger."""
