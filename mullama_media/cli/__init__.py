"""The `mullama` command."""

from __future__ import annotations

import io
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command; errors of ours become one line on stderr and exit status 1."""
    from mullama_media.cli.app import app
    from mullama_media.errors import MullamaError

    if isinstance(sys.stdout, io.TextIOWrapper):  # file names that are no UTF-8 are written as read
        sys.stdout.reconfigure(errors="surrogateescape")
    try:
        app()
    except MullamaError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `mullama run ... | head`
        sys.stderr.close()
        sys.exit(141)
