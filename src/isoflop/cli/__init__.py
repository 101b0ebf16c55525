"""The command line: one file per verb, each loading its room inside the verb."""

import sys

from isoflop.cli.interruption import INTERRUPTED, unswallowed


def main() -> None:
    """Run the command line; exits 0 when done, 2 on the user's mistake, 1 on ours, 130 when interrupted."""
    try:
        with unswallowed():  # before most is imported, which takes longer than anything else of a short command
            from isoflop.cli.app import run

            run()
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:  # typer makes this of a KeyboardInterrupt
            raise
        from isoflop.cli.launching import speaks

        if speaks():
            print("isoflop: interrupted; run the same command again to continue.", file=sys.stderr)
        sys.exit(INTERRUPTED)
