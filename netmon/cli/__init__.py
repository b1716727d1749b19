"""The command line, a file for each group of commands; `main` knows where each of them is."""

try:
    from netmon.cli.main import build, main
except KeyboardInterrupt:
    # Who is impatient wants no traceback.
    raise SystemExit(130) from None

__all__ = ["build", "main"]
