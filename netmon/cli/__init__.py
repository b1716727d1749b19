"""The command line, a file for each group of commands. `main` has those of daily use and knows all others."""

try:
    from netmon.cli.main import app, main
except KeyboardInterrupt:
    # Half of a second goes into imports: who is impatient then wants no traceback.
    raise SystemExit(130) from None

__all__ = ["app", "main"]
